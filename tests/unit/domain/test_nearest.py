"""Names that somebody may have meant."""

import pytest

from kubetally.domain.nearest import nearest, suggestion

NAMES = ["prod", "prod-eu", "staging", "Legacy"]


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("prd", ["prod"]),
        ("PROD", ["prod", "prod-eu"]),
        ("stagign", ["staging"]),
        ("legacy", ["Legacy"]),
        ("pro", ["prod", "prod-eu"]),
        ("staging-2", ["staging"]),
        ("st", []),
        ("other", []),
        ("", []),
    ],
)
def test_nearest_names_come_best_first(word: str, found: list[str]) -> None:
    assert nearest(word, NAMES) == found


def test_suggestion_follows_the_mention_of_a_name() -> None:
    assert suggestion("prd", NAMES) == " (did you mean prod?)"
    assert suggestion("pro", NAMES) == " (did you mean prod or prod-eu?)"
    assert suggestion("other", NAMES) == ""


def test_no_more_are_named_than_asked() -> None:
    assert nearest("prod", [f"prod-{number}" for number in range(9)], count=2) == ["prod-0", "prod-1"]
