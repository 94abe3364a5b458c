"""Known days are read again once the database has changed."""

from collections.abc import Hashable
from datetime import timedelta

from kubetally.domain.collection import CoveredDay
from kubetally.domain.collection_facts import FactSum
from kubetally.domain.status import DayState
from kubetally.domain.window import DAY, HOUR, Window, parse_instant
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


def test_days_in_other_currencies_leave_with_their_rows() -> None:
    known = WindowDays([day("a"), day("b", currency="EUR"), day("c", rows=0)], ())
    assert [rows.account_id for rows in known.without(frozenset({"EUR"})).stored] == ["a"]
    assert [rows.account_id for rows in known.without(frozenset({"USD"})).stored] == ["b"]
    assert known.without(frozenset({"EUR", "USD"})).stored == []
    assert known.without(frozenset()) is known


def test_days_without_data_stay_with_their_accounts() -> None:
    nothing = {"collection_id": None, "currency": None, "last_error": ("source_unreachable", "refused")}
    days = [day("a"), day("a", 1, **nothing), day("b", currency="EUR"), day("b", 1, **nothing), day("c", **nothing)]
    left = WindowDays(days, ()).without(frozenset({"EUR"}))
    assert [(day.account_id, day.currency) for day in left.days] == [("a", "USD"), ("a", None), ("c", None)]
    assert (left.gone, list(left.others)) == ({"b"}, [])


def test_account_of_two_currencies_keeps_its_other_days_and_facts() -> None:
    days = [day("a"), day("a", 1, currency="EUR"), day("a", 2), day("b", currency="EUR")]
    facts = [FactSum(day.account_id, "gpu", 1, None, day.day, day.day) for day in days]
    left = WindowDays(days, facts).without(frozenset({"EUR"}))
    assert [day.day for day in left.days] == [fact.first for fact in left.facts] == [days[0].day, days[2].day]
    assert (left.gone, list(left.others)) == ({"b"}, [days[1]])
    window = Window(START, START + 36 * HOUR)
    assert (left.hours_left_out(window), left.hours_left_out(window, but={"a"}), left.hours_left_out(None)) == (
        12,
        0,
        0,
    )


def test_hours_of_a_step_are_those_of_its_days() -> None:
    known = WindowDays([day("a"), day("a", 1), day("b", 1, hours_covered=12.5), day("b", 2)], ())
    assert known.hours_covered(Window(START + DAY, START + 2 * DAY)) == 36.5
    assert known.hours_covered(Window(START, START + timedelta(days=9))) == 84.5
