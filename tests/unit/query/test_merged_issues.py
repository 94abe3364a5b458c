"""Issues of several accounts and windows that say the same."""

from datetime import UTC, datetime

from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.window import Window
from kubetally.query.issues import merged_over_accounts


def days(first: int, end: int) -> Window:
    return Window(datetime(2026, 11, first, tzinfo=UTC), datetime(2026, 11, end, tzinfo=UTC))


def missing(window: Window | None, account: str, kind: IssueKind = IssueKind.WINDOW_WITHOUT_DATA) -> Issue:
    return Issue(kind, "the source holds no data of this window", None, window, None, {"accounts": [account]})


def test_missing_data_does_not_reach_over_data() -> None:
    issues = [
        missing(days(1, 20), "a"),
        missing(days(23, 30), "a"),
        missing(days(20, 21), "b"),
        missing(days(2, 3), "b"),
    ]
    assert [(issue.window, issue.facts) for issue in merged_over_accounts(issues)] == [
        (days(1, 21), {"accounts": ["a", "b"], "days": 21}),
        (days(23, 30), {"accounts": ["a"], "days": 7}),
    ]


def test_other_issues_and_those_without_window_are_one() -> None:
    notes = [missing(days(first, first + 1), "a", IssueKind.NOT_MEASURED) for first in (1, 5)]
    (note,) = merged_over_accounts(notes)
    assert (note.window, note.facts["days"]) == (days(1, 6), 2)
    without, dated = merged_over_accounts([missing(days(1, 2), "b"), missing(None, "a"), missing(None, "b")])
    assert (without.window, dated.window) == (None, days(1, 2))
