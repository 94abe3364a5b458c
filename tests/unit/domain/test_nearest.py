"""Names that somebody may have meant."""

import pytest

from kubetally.domain.nearest import nearest

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


def test_no_more_are_named_than_asked() -> None:
    assert nearest("prod", [f"prod-{number}" for number in range(9)], count=2) == ["prod-0", "prod-1"]
