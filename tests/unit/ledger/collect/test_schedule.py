"""Which days are due."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from kubetally.domain.collection import NO_DATA, CoveredDay, window_of
from kubetally.domain.status import DayState
from kubetally.ledger.collect.schedule import (
    ONE_DAY,
    READER_DIED,
    Due,
    KnownDays,
    Policy,
    Reason,
    due,
    find_first_source_day,
)

NOW = datetime(2026, 11, 24, 12, 7, tzinfo=UTC)
TODAY = NOW.date()
POLICY = Policy()


def held(day: date, collected_at: datetime, *, is_running: bool = False) -> CoveredDay:
    settled = collected_at >= window_of(day).end + timedelta(hours=72)
    state = DayState.SETTLED if settled else DayState.PROVISIONAL
    return CoveredDay("a", day, "id", state, is_running, collected_at=collected_at, hours_covered=24)


def empty(day: date, tried_at: datetime = NOW) -> CoveredDay:
    return CoveredDay("a", day, attempts=1, tried_at=tried_at, last_error=(NO_DATA, "nothing"))


def failed(day: date, tried_at: datetime, attempts: int = 1) -> CoveredDay:
    return CoveredDay("a", day, attempts=attempts, tried_at=tried_at, last_error=("source_unreachable", "refused"))


def history(days: Iterable[CoveredDay] = (), begins: date | None = None) -> KnownDays:
    return KnownDays("a", {day.day: day for day in days}, begins)


def ago(days: int) -> date:
    return TODAY - days * ONE_DAY


def due_days(found: KnownDays, now: datetime = NOW) -> list[tuple[Reason, int]]:
    """What is due: why, and how many days ago it is."""
    return [(due_day.reason, (now.date() - due_day.day).days) for due_day in due([found], now, POLICY)]


def settled_since(days: int) -> list[CoveredDay]:
    return [held(ago(n), window_of(ago(n)).end + timedelta(hours=80)) for n in range(4, days + 1)]


def fresh() -> list[CoveredDay]:
    """The last three days and today, collected lately."""
    at = NOW - timedelta(minutes=10)
    return [held(TODAY, at, is_running=True), *(held(ago(n), at) for n in (1, 2, 3))]


def test_new_account_starts_with_today_and_the_newest_days() -> None:
    days = due_days(history())
    assert days[0] == (Reason.RUNNING, 0)
    assert days[1:] == [(Reason.MISSING, n) for n in range(1, 16)]


def test_nothing_is_due_if_all_days_are_fresh_or_settled() -> None:
    assert due_days(history([*fresh(), *settled_since(30)], begins=ago(30))) == []


def test_running_day_is_due_every_15_minutes_after_its_first_hour() -> None:
    known = history([*fresh(), *settled_since(9)], begins=ago(9))
    assert due_days(known, NOW + timedelta(minutes=4)) == []
    assert due_days(known, NOW + timedelta(minutes=5)) == [(Reason.RUNNING, 0)]
    next_day = datetime(2026, 11, 25, 0, 59, tzinfo=UTC)
    assert (Reason.RUNNING, 0) not in due_days(known, next_day)
    assert (Reason.RUNNING, 0) in due_days(known, next_day + timedelta(minutes=1))


def test_day_collected_while_it_ran_is_missing_once_it_is_over() -> None:
    yesterday = held(ago(1), window_of(ago(1)).end - timedelta(minutes=5), is_running=True)
    known = history([*(item for item in fresh() if item.day != ago(1)), yesterday, *settled_since(9)], begins=ago(9))
    assert due_days(known) == [(Reason.MISSING, 1)]


def test_provisional_day_is_due_daily_and_when_it_settles() -> None:
    day, end = ago(2), window_of(ago(2)).end
    others = [item for item in [*fresh(), *settled_since(9)] if item.day != day]
    first = held(day, end + timedelta(hours=1))
    for hours, is_due in ((2, False), (24, False), (25, True)):
        found = due([history([*others, first], begins=ago(9))], end + timedelta(hours=hours), POLICY)
        assert (Due(Reason.UNSETTLED, day, "a") in found) is is_due, hours
    late = held(day, end + timedelta(hours=71))
    assert Due(Reason.UNSETTLED, day, "a") in due([history([*others, late])], end + timedelta(hours=72), POLICY)
    settled = held(day, end + timedelta(hours=72))
    assert Due(Reason.UNSETTLED, day, "a") not in due([history([*others, settled])], end + timedelta(days=30), POLICY)


def test_day_collected_in_the_future_is_collected_again() -> None:
    day = ago(5)
    others = [item for item in [*fresh(), *settled_since(9)] if item.day != day]
    ahead = held(day, NOW + timedelta(days=40))
    assert due_days(history([*others, ahead], begins=ago(9))) == [(Reason.UNSETTLED, 5)]
    refused = ahead._replace(attempts=1, tried_at=NOW - timedelta(hours=1), last_error=("fewer_hours", "less"))
    assert due_days(history([*others, refused], begins=ago(9))) == []
    assert due_days(history([*others, ahead._replace(collected_at=NOW)], begins=ago(9))) == []


def test_pause_after_an_error_doubles() -> None:
    others = [*(item for item in fresh() if item.day != ago(1)), *settled_since(9)]
    for attempts, minutes in ((1, 5), (2, 10), (4, 40), (30, 60)):
        known = history([*others, failed(ago(1), NOW - timedelta(minutes=minutes - 1), attempts)], begins=ago(9))
        assert due_days(known) == []
        assert due_days(known, NOW + timedelta(minutes=1)) == [(Reason.MISSING, 1)], attempts


def test_incomplete_running_day_is_due_no_more_often() -> None:
    others = [*(item for item in fresh() if item.day != TODAY), *settled_since(9)]
    for code in ("assets_failed", "fewer_hours", "unforeseen", "value_beyond_lake"):
        today = held(TODAY, NOW - timedelta(hours=2), is_running=True)._replace(attempts=9, last_error=(code, "why"))
        known = history([*others, today._replace(tried_at=NOW - timedelta(minutes=14))], begins=ago(9))
        assert due_days(known) == [], code
        assert due_days(known, NOW + timedelta(minutes=1)) == [(Reason.RUNNING, 0)], code


def test_pause_of_a_source_lost_during_a_round_doubles() -> None:
    others = [item for item in fresh() if item.day not in {ago(2), ago(3)}]
    for attempts, minutes in ((1, 5), (2, 10), (30, 60)):
        tried_at = NOW - timedelta(minutes=minutes - 1)
        answered = [item._replace(collected_at=tried_at - timedelta(seconds=1)) for item in others]
        away = [failed(ago(2), tried_at, attempts), failed(ago(3), tried_at, attempts)]
        known = history([*answered, *away])
        assert [days for reason, days in due_days(known) if reason is not Reason.RUNNING] == []
        assert (Reason.MISSING, 2) in due_days(known, NOW + timedelta(minutes=1)), attempts


def test_single_failed_day_delays_no_other() -> None:
    known = history([*(item for item in fresh() if item.day != ago(2)), failed(ago(2), NOW), *settled_since(5)])
    assert (Reason.MISSING, 6) in due_days(known)


def test_days_that_always_fail_delay_no_newer_day() -> None:
    always = [failed(ago(n), NOW - timedelta(minutes=1), 30) for n in (4, 5)]
    known = history([held(TODAY, NOW - timedelta(minutes=20), is_running=True), *always])
    assert due_days(known) == [(Reason.RUNNING, 0), *((Reason.MISSING, n) for n in (1, 2, 3))]


def test_answer_for_any_day_ends_the_pause_of_a_source() -> None:
    away = [failed(ago(n), NOW - timedelta(minutes=2)) for n in (2, 3)]
    for answer in (held(ago(1), NOW - timedelta(minutes=1)), empty(ago(1), NOW - timedelta(minutes=1))):
        assert (Reason.MISSING, 4) in due_days(history([*away, answer]))


def test_source_that_fails_two_accounts_pauses_for_all() -> None:
    def of(account_id: str, *days: CoveredDay, source: str = "http://one") -> KnownDays:
        return replace(history(days), account_id=account_id, source=source)

    away = [of(id_, failed(ago(2), NOW - timedelta(minutes=4))) for id_ in ("a", "b")]
    others = [of("c"), of("d", source="http://other")]
    assert {due_day.account_id for due_day in due([*away, *others], NOW, POLICY)} == {"d"}
    assert {due_day.account_id for due_day in due([*away, *others], NOW + timedelta(minutes=1), POLICY)} == {
        "a",
        "b",
        "c",
        "d",
    }
    back = of("e", held(ago(1), NOW - timedelta(minutes=3)))
    assert "c" in {due_day.account_id for due_day in due([*away, *others, back], NOW, POLICY)}
    assert {due_day.account_id for due_day in due([away[0], *others], NOW, POLICY)} == {"a", "c", "d"}, (
        "one failure is none"
    )


def test_partial_day_is_due_daily_for_30_days() -> None:
    day = ago(20)
    partial = held(day, NOW - timedelta(hours=23))._replace(state=DayState.PROVISIONAL, hours_covered=12)
    known = history([*fresh(), *(item for item in settled_since(30) if item.day != day), partial], begins=ago(30))
    assert due_days(known) == []
    assert due_days(known, NOW + timedelta(hours=1))[-1] == (Reason.UNSETTLED, 20)
    end = window_of(day).end + timedelta(hours=72, days=30)
    for now, is_due in ((end - timedelta(minutes=1), True), (end, False)):
        assert (Due(Reason.UNSETTLED, day, "a") in due([known], now, POLICY)) is is_due


def test_day_whose_reader_died_is_retried_and_delays_no_other() -> None:
    others = [*(item for item in fresh() if item.day not in {TODAY, ago(1)}), *settled_since(9)]
    for attempts, minutes in ((1, 5), (2, 24 * 60), (30, 24 * 60)):
        tried = CoveredDay("a", ago(1), attempts=attempts, tried_at=NOW, last_error=(READER_DIED, "killed"))
        today = held(TODAY, NOW + timedelta(minutes=minutes - 1), is_running=True)
        known = history([*others, tried, today], begins=ago(9))
        for later, is_due in ((minutes - 1, False), (minutes, True)):
            found = due([known], NOW + timedelta(minutes=later), POLICY)
            assert (Due(Reason.MISSING, ago(1), "a") in [replace(item, has_failed=False) for item in found]) is is_due
    died = CoveredDay("a", TODAY, attempts=1, tried_at=NOW, last_error=(READER_DIED, "killed"))
    assert due_days(history([*others, died], begins=ago(9)), NOW + timedelta(minutes=1)) == [(Reason.MISSING, 1)]
    assert (Reason.RUNNING, 0) in due_days(history([*others, died], begins=ago(9)), NOW + timedelta(minutes=5))
    again = history([*others, died._replace(attempts=2)], begins=ago(9))
    assert (Reason.RUNNING, 0) not in due_days(again, NOW + timedelta(minutes=60)), "it may be that day's own fault"


def test_nothing_is_due_while_the_newest_day_waits() -> None:
    for newest, count in ((TODAY, 16), (ago(1), 17)):
        known = history([failed(newest, NOW - timedelta(minutes=2))])
        assert due_days(known) == []
        assert len(due_days(known, NOW + timedelta(minutes=4))) == count
    fresh_again = history([*fresh(), failed(ago(4), NOW - timedelta(minutes=2))])
    assert len(due_days(fresh_again)) == 15, "an older day's error is its own"


def test_no_days_are_due_before_a_batch_that_failed() -> None:
    tried = [failed(ago(n), NOW - timedelta(minutes=4)) for n in range(1, 20)]
    known = history([held(TODAY, NOW - timedelta(minutes=10), is_running=True), *tried])
    assert due_days(known) == []
    assert due_days(known, NOW + timedelta(minutes=2)) == [(Reason.MISSING, n) for n in range(1, 16)]


def test_clock_set_back_delays_nothing() -> None:
    later = NOW + timedelta(days=400)
    known = history([held(TODAY, later, is_running=True), failed(ago(1), later)], begins=ago(9))
    assert due_days(known)[:2] == [(Reason.RUNNING, 0), (Reason.MISSING, 1)]


def test_accounts_take_turns() -> None:
    found = due([history(), KnownDays("b", {}), KnownDays("c", {})], NOW, POLICY)
    assert [item.account_id for item in found[:6]] == ["a", "b", "c", "a", "b", "c"]


# --- how far back


def walk(holds: set[int], policy: Policy = POLICY) -> tuple[set[int], set[int], date | None]:
    """Collect until nothing is due: how many days ago those are that were collected, all that were asked, the begin."""
    known: dict[date, CoveredDay] = {}
    begins = None
    asked: set[int] = set()
    for _ in range(100):
        now = NOW
        found = KnownDays("a", known, begins)
        begins = begins or find_first_source_day(found, now, policy)
        dues = [day for day in due([KnownDays("a", known, begins)], now, policy) if day.reason is not Reason.UNSETTLED]
        if not dues:
            return {(TODAY - day).days for day, one in known.items() if one.is_stored}, asked, begins
        for due_day in dues:
            n = (TODAY - due_day.day).days
            asked.add(n)
            known[due_day.day] = held(due_day.day, NOW, is_running=n == 0) if n in holds else empty(due_day.day)
    raise AssertionError("it never ends")


def test_history_is_collected_to_the_first_day_of_the_source() -> None:
    collected, asked, begins = walk(set(range(41)))
    assert collected == set(range(41))
    assert begins == ago(40)
    assert len(asked) < 41 + 50


def test_days_before_a_gap_of_weeks_are_found() -> None:
    holds = {*range(10), *range(45, 60)}
    collected, _, begins = walk(holds)
    assert collected == holds
    assert begins == ago(59)


def test_empty_source_begins_after_its_empty_days() -> None:
    collected, asked, begins = walk(set())
    assert collected == set()
    assert begins is not None
    assert len(asked) < 50


def test_no_day_before_max_days_is_due() -> None:
    policy = Policy(max_days=30)
    collected, asked, begins = walk(set(range(1000)), policy)
    assert collected == asked == set(range(31))
    assert begins == ago(30)


@given(st.sets(st.integers(0, 80), max_size=60))
@settings(max_examples=60, deadline=None)
def test_collecting_ends_with_all_days_that_were_found(holds: set[int]) -> None:
    collected, asked, _ = walk(holds, Policy(max_days=90))
    assert collected == holds & asked
    assert asked <= set(range(91))
