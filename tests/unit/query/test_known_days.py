"""Known days are read again once the database has changed."""

from collections.abc import Hashable
from datetime import timedelta

from kubetally.domain.collection import CoveredDay
from kubetally.domain.status import DayState
from kubetally.domain.window import DAY, Window, parse_instant
from kubetally.query.known_days import WindowDays, WindowDaysCache

NOW = parse_instant("2026-11-22T12:00:00Z")
START = parse_instant("2026-11-20")


def day(account: str, number: int = 0, **more: object) -> CoveredDay:
    its = {"collection_id": f"{account}{number}", "state": DayState.SETTLED, "rows": 3, "hours_covered": 24.0}
    date = (START + number * DAY).date()
    return CoveredDay(account, date, **{"currency": "USD", "collected_at": NOW - DAY, **its, **more})  # type: ignore[arg-type]


class Database:
    """Counts how often it is read."""

    def __init__(self, *days: CoveredDay) -> None:
        self.days, self.count, self.revision = days, 0, 1

    def read(self) -> WindowDays:
        self.count += 1
        return WindowDays(self.days, ())


def counts(database: Database, *revisions: Hashable | None) -> list[int]:
    found = iter(revisions)
    cache, counted = WindowDaysCache(lambda: next(found)), []
    for _ in revisions:
        cache.get("key", NOW, database.read)
        counted.append(database.count)
    return counted


def test_days_are_read_again_after_a_change() -> None:
    assert counts(Database(day("a")), 1, 1, 2, 2, 3) == [1, 1, 2, 2, 3]


def test_database_that_does_not_tell_is_always_read() -> None:
    assert counts(Database(day("a")), None, None) == [1, 2]


def test_day_collected_in_the_future_is_not_kept() -> None:
    assert counts(Database(day("a", collected_at=NOW + DAY)), 1, 1) == [1, 2]


def test_other_keys_are_kept_beside_each_other() -> None:
    cache, database = WindowDaysCache(lambda: 1), Database(day("a"))
    known = [cache.get(key, NOW, database.read) for key in ("one", "two", "one", "two")]
    assert known[:2] == known[2:]
    assert database.count == 2


def test_failed_and_damaged_days_are_not_readable() -> None:
    failed = day("a", 0, collection_id=None, last_error=("source_unreachable", "refused"))
    damaged = day("b", 0, last_error=("day_damaged", "its file is missing"))
    tried = day("c", 0, last_error=("source_unreachable", "refused"))
    known = WindowDays([failed, damaged, tried], ())
    assert list(known.readable) == [tried]
    assert [rows.account_id for rows in known.stored] == ["c"]


def test_rows_are_those_of_the_currency() -> None:
    known = WindowDays([day("a"), day("b", currency="EUR"), day("c", rows=0)], ())
    assert [rows.account_id for rows in known.stored_in("USD")] == ["a"]
    assert [rows.account_id for rows in known.stored_in("EUR")] == ["b"]
    assert known.stored_in(None) == []


def test_hours_of_a_step_are_those_of_its_days() -> None:
    known = WindowDays([day("a"), day("a", 1), day("b", 1, hours_covered=12.5), day("b", 2)], ())
    assert known.hours_covered(Window(START + DAY, START + 2 * DAY)) == 36.5
    assert known.hours_covered(Window(START, START + timedelta(days=9))) == 84.5
