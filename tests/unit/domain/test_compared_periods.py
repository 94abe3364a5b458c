"""Periods of a comparison that are covered unequally."""

from dataclasses import replace

import pytest

from kubetally.domain.compared_periods import PeriodCosts, unequal_coverage
from kubetally.domain.issues import IssueKind
from kubetally.domain.window import DAY, Window
from tests.unit.domain.test_compare import BEFORE, NOW, report


def period(window: Window, *, over: float | None = None, **covered: float) -> PeriodCosts:
    """Covered hours by account. over: hours of the period that are; all of them if None."""
    made, asked = report([], window), len(covered) * (window.hours if over is None else over)
    coverage = replace(made.coverage, hours_asked=asked, hours_covered=sum(covered.values()))
    return PeriodCosts(replace(made, coverage=coverage), covered)


def test_accounts_with_hours_missing_in_one_period_are_named() -> None:
    before = period(BEFORE, a=24, b=24, c=18.5, d=12)
    (issue,) = unequal_coverage(before, period(NOW, a=24, b=6, c=24, d=12))
    assert (issue.kind, issue.window) == (IssueKind.UNEQUAL_COVERAGE, NOW)
    assert issue.facts == {"accounts": ["b", "c"], "days": 2}
    assert issue.message == (
        "the periods cover 2 accounts unequally, 42.5 of 48 hours before and 30 of 48 now: a part of the change comes "
        "from hours without data"
    )


@pytest.mark.parametrize("hours", [12, 24])
def test_share_of_the_period_decides_where_lengths_differ(hours: float) -> None:
    longer = Window(NOW.start, NOW.start + 2 * DAY)
    assert not [*unequal_coverage(period(BEFORE, a=hours), period(longer, a=2 * hours))]
    (issue,) = unequal_coverage(period(BEFORE, a=hours), period(longer, a=hours))
    assert f"1 account unequally, {hours} of 24 hours before and {hours} of 48 now" in issue.message


def test_hours_that_are_not_over_are_not_called_missing() -> None:
    before, words = (
        period(BEFORE, a=24),
        "24 of 24 hours before and 12 of 24 now: a part of the change comes from hours ",
    )
    (issue,) = unequal_coverage(before, period(NOW, over=12, a=12))
    assert f"{words}that are not over; compare windows that end before today" in issue.message
    (issue,) = unequal_coverage(before, period(NOW, over=13, a=12))
    assert f"{words}without data" in issue.message
    (issue,) = unequal_coverage(period(BEFORE, a=23), period(NOW, over=12, a=12))
    assert "hours without data" in issue.message


def test_account_of_one_period_is_said_once() -> None:
    (issue,) = unequal_coverage(period(BEFORE, a=24), period(NOW, a=24, b=12))
    assert (issue.kind, issue.facts["accounts"]) == (IssueKind.WINDOW_WITHOUT_DATA, ["b"])


def test_period_without_data_has_no_change_to_explain() -> None:
    assert not [*unequal_coverage(period(BEFORE), period(NOW, a=12))]
