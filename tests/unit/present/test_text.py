"""Notes on the data: missing data first, equal issues once with all their periods."""

from collections.abc import Sequence

from kubetally.domain.booking import book
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.reading import Reading
from kubetally.domain.window import Window, parse_window
from kubetally.domain.words import not_checked_words, period_words
from kubetally.present.text import notes_of
from tests.served import NOON_AFTER
from tests.unit.domain.clusters import cluster_costs

WINDOW = parse_window("2026-11-20,2026-11-23", NOON_AFTER)
FIRST, SECOND, THIRD = WINDOW.days()
MISSING, REMARK = IssueKind.WINDOW_WITHOUT_DATA, IssueKind.NOT_MEASURED


def told(covered: Sequence[Window], *issues: tuple[IssueKind, str, Window | None]) -> list[tuple[str, str, list[str]]]:
    """The notes of an answer with data for `covered`: mark, message and periods."""
    days = [book(Reading(day, (), None, (day,), "USD", "http://opencost.test")) for day in covered]
    of = [Issue(kind, message, window=window) for kind, message, window in issues]
    costs = cluster_costs(*days, issues=of, window=WINDOW)
    return [(note.mark, note.message, [*map(period_words, note.windows)]) for note in notes_of(costs)]


def test_missing_data_comes_first_with_its_period() -> None:
    found = told([FIRST, SECOND], (REMARK, "odd", None), (MISSING, "gone", THIRD))
    assert found == [("missing", "gone", ["22 Nov 2026 UTC"]), ("note", "odd", [])]


def test_equal_issues_of_several_periods_are_one_note() -> None:
    [note] = told([SECOND], (MISSING, "gone", THIRD), (MISSING, "gone", FIRST))
    assert note == ("missing", "gone", ["20 Nov 2026 UTC", "22 Nov 2026 UTC"])


def test_note_has_a_period_unless_it_is_about_everything() -> None:
    of_all = [(REMARK, "odd", FIRST), (REMARK, "odd", THIRD)]
    assert told([FIRST, THIRD], *of_all) == [("note", "odd", [])]
    assert told([FIRST, THIRD], of_all[0]) == [("note", "odd", ["20 Nov 2026 UTC"])]


def test_days_that_were_not_checked_are_counted_whatever_the_reason() -> None:
    issues = [
        (IssueKind.HOURS_NOT_CHECKED, f"the day could not be checked: {why}", day)
        for why, day in (("no answer", FIRST), ("refused", SECOND), ("refused", THIRD))
    ]
    assert told([FIRST, SECOND, THIRD], *issues) == [("note", not_checked_words(3), [])]
    [(_, message, days)] = told([FIRST, SECOND, THIRD], *issues[:1])
    assert message.startswith("1 day could not be checked hour by hour: if metrics were lost")
    assert days == ["20 Nov 2026 UTC"]


def test_period_shows_hours_unless_it_has_whole_days() -> None:
    morning = parse_window("2026-11-20T06:00:00Z,2026-11-20T12:00:00Z", NOON_AFTER)
    [note] = told([FIRST], (MISSING, "gone", morning))
    assert note == ("missing", "gone", ["20 Nov 2026 06:00-12:00 UTC"])
