"""Options that group costs: what they ask for, and what they refuse."""

from datetime import UTC, datetime, timedelta

import pytest

from kubetally.cli.grouping import GroupingOptions, grouped_question, level_of
from kubetally.cli.options import Format
from kubetally.domain.question.cost_question import DetailLevel, Idle, Split
from kubetally.domain.question.steps import Step
from kubetally.domain.window import Window
from tests.errors import raises_code

START = datetime(2026, 11, 20, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(days=3))


@pytest.mark.parametrize(("by", "level"), [("summary", DetailLevel.SUMMARY), ("namespace,pod", None), ("pod", None)])
def test_level_of_detail_is_told_from_a_group(by: str, level: DetailLevel | None) -> None:
    assert level_of(by) is level


def test_options_that_were_given_are_listed() -> None:
    assert GroupingOptions().given == []
    options = GroupingOptions(step=Step.DAY, filter="", idle=Idle.SEPARATE, share_labels="", top=3, compare=True)
    assert options.given == ["--step", "--filter", "--idle", "--share-labels", "--top", "--compare"]


def test_words_say_what_is_not_at_its_default() -> None:
    assert list(GroupingOptions(filter=" ", idle=Idle.SEPARATE, top=3).words()) == []
    options = GroupingOptions(filter='pod:"a"', idle=Idle.NONE, share_labels="team:a", share_split=Split.WEIGHTED)
    assert list(options.words()) == ['filter pod:"a"', "idle none", "shared team:a"]
    both = GroupingOptions(share_namespaces="a,b", share_labels="team:a", share_split=Split.EVEN)
    assert both.question("pod", WINDOW, None).words == ("shared a,b and team:a, split evenly",)


def test_period_before_is_as_long_as_the_window() -> None:
    asked = GroupingOptions(compare=True, top=5).question("workload", WINDOW, None)
    assert [dimension.name for dimension in asked.costs.group] == ["namespace", "controller_kind", "controller"]
    assert asked.top == 5
    assert asked.compared is not None
    assert asked.compared.before == Window(START - timedelta(days=3), START)


def test_period_to_compare_with_is_any_window() -> None:
    asked = GroupingOptions(compare_with="2026-09").question("pod", WINDOW, None)
    assert asked.compared is not None
    assert asked.compared.before == Window(datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 10, 1, tzinfo=UTC))
    assert GroupingOptions(compare_with="2026-09").given == ["--compare-with"]


@pytest.mark.parametrize(
    ("period", "code"),
    [("2026-13", "invalid_window"), ("2999-01", "future_window"), ("2026-09-01,2026-09-01", "invalid_window")],
)
def test_bad_period_names_its_option(period: str, code: str) -> None:
    with raises_code(code, match="^--compare-with: the window "):
        GroupingOptions(compare_with=period).question("pod", WINDOW, None)


@pytest.mark.parametrize("option", ["share_namespaces", "share_labels"])
def test_too_many_to_share_name_their_option(option: str) -> None:
    many = ",".join(f"a{at}:b" if option == "share_labels" else f"a{at}" for at in range(51))
    with raises_code("too_many_shared", match=f"^--{option.replace('_', '-')}: .* 50 at most"):
        GroupingOptions(**{option: many}).question("pod", WINDOW, None)  # type: ignore[arg-type]


def test_old_sums_name_what_they_do_not_go_with() -> None:
    with raises_code("legacy_is_of_clusters") as error:
        grouped_question("pod", GroupingOptions(top=1), WINDOW, None, Format.TABLE, legacy=True, file=None)
    assert str(error.value).endswith("omit it or --by pod, --top")


def test_nothing_is_before_the_first_window() -> None:
    first = Window(datetime(1, 1, 1, tzinfo=UTC), START)
    with raises_code("invalid_window"):
        GroupingOptions(compare=True).question("pod", first, None)
