"""Why no day of a window is stored, in words that hold for the days that are."""

from datetime import date, datetime

import pytest

from kubetally.domain.account import StoredDays
from kubetally.domain.issues import Issue
from kubetally.domain.missing_days import hours_without_data, no_day_words, no_stored_day, stored_outside
from kubetally.domain.window import Window, parse_instant

FIRST, LAST = date(2026, 11, 20), date(2026, 11, 24)
INSTANT = parse_instant("2026-11-22")


def window(start: str, end: str) -> Window:
    return Window(parse_instant(start), parse_instant(end))


def message_at(as_of: datetime | None, start: str, end: str) -> str:
    return no_stored_day(window(start, end), ["a"], StoredDays(2, FIRST, LAST), as_of).message


@pytest.mark.parametrize(
    ("start", "end", "command"),
    [
        ("2026-11-18", "2026-11-20", "backfill` collects past days"),
        ("2026-11-21", "2026-11-23", "backfill` collects past days"),
        ("2026-11-25", "2026-11-26", "collect` collects what is due"),
    ],
)
def test_command_is_the_one_that_collects_the_window(start: str, end: str, command: str) -> None:
    words = no_day_words(window(start, end), FIRST, last=LAST)
    assert words.endswith(f"is stored; all stored days are within 20-24 Nov 2026 UTC: `kubetally {command}")


@pytest.mark.parametrize(
    ("stored", "start", "words"),
    [
        (
            StoredDays(2, FIRST, LAST),
            "2026-11-18",
            "no day of 18-19 Nov 2026 UTC is stored; all stored days are within",
        ),
        (StoredDays(2, FIRST, LAST), "2026-11-19", ""),
        (StoredDays(0, None, None), "2026-11-18", ""),
    ],
)
def test_stored_days_are_named_if_all_are_outside(stored: StoredDays, start: str, words: str) -> None:
    end = "2026-11-20" if start < "2026-11-19" else "2026-11-21"
    found = stored_outside(window(start, end), stored)
    assert found.startswith(words)
    assert bool(found) is bool(words)


def test_later_instant_is_named_only_if_it_may_have_a_day() -> None:
    assert message_at(INSTANT, "2026-11-20", "2026-11-23").endswith("at 2026-11-22T00:00:00Z: use a later instant")
    assert message_at(INSTANT, "2026-11-10", "2026-11-12") == message_at(None, "2026-11-10", "2026-11-12")


NAMES = {id_: f"account {id_}" for id_ in "abcd"}


def gap_of(as_of: datetime | None = None, **hours: dict[date, float]) -> Issue:
    (issue,) = hours_without_data(hours, NAMES, as_of)
    return issue


def test_days_and_hours_without_data_are_counted_over_accounts() -> None:
    issue = gap_of(a={FIRST: 24.0, LAST: 13.0}, b={FIRST: 24.0}, c={})
    assert issue.message == (
        "2 days and 13 hours of account a, account b have no data: `kubetally coverage` shows which, `kubetally "
        "backfill` collects past days"
    )
    assert (issue.window, issue.facts) == (window("2026-11-20", "2026-11-25"), {"accounts": ["a", "b"], "days": 3})
    assert issue.is_missing_data


def test_hours_alone_need_no_backfill() -> None:
    assert gap_of(a={LAST: 1.0}).message == "1 hour of account a has no data: `kubetally coverage` shows which"


def test_of_many_accounts_some_are_named() -> None:
    assert (
        "4 days of account a, account b, account c and 1 more have"
        in gap_of(**{id_: {FIRST: 24.0} for id_ in NAMES}).message
    )


def test_instant_without_data_names_itself() -> None:
    assert gap_of(INSTANT, a={FIRST: 24.0}).message == "1 day of account a had no data at 2026-11-22T00:00:00Z"


def test_nothing_lacking_is_no_issue() -> None:
    assert not [*hours_without_data({"a": {}}, NAMES)]
