"""Windows are half-open: adjacent ones neither lose nor double a second."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.window import (
    DAY,
    HOUR,
    InvalidWindow,
    Window,
    covered_hours,
    from_unix,
    midnight,
    rfc3339,
    to_unix,
    whole_hour,
)
from tests.unit.domain.clusters import MIDNIGHT, TODAY, instants, windows


def cut(window: Window, at: list[float]) -> list[Window]:
    """The window in adjacent pieces, some of them of no length."""
    points = [window.start, *(window.start + (window.end - window.start) * part for part in sorted(at)), window.end]
    return [Window(start, end) for start, end in pairwise(points)]


cuts = st.lists(st.floats(0, 1), max_size=5)


@given(windows)
def test_days_of_a_window_are_adjacent_utc_days(window: Window) -> None:
    days = list(window.days())
    assert sum((day.end - day.start for day in days), timedelta()) == window.end - window.start
    assert not any(day.is_empty for day in days)
    if not window.is_empty:
        assert (days[0].start, days[-1].end) == (window.start, window.end)
    for day, following in pairwise(days):
        assert day.end == following.start == midnight(day.end)
    for day in days:
        assert midnight(day.start) <= day.start < day.end <= midnight(day.start) + DAY
    assert window.dates() == [day.start.date() for day in days]


@given(windows, cuts)
def test_every_instant_of_a_window_is_in_exactly_one_of_its_pieces(window: Window, at: list[float]) -> None:
    pieces = cut(window, at)
    overlaps = [window.overlap(piece) for piece in pieces]
    assert sum((item.end - item.start for item in overlaps if item), timedelta()) == window.end - window.start
    for piece, following in pairwise(pieces):
        assert piece.overlap(following) is None
        assert window.contains(piece)


@given(windows, windows)
def test_overlap_is_in_both_windows_and_symmetric(one: Window, other: Window) -> None:
    moved = Window(one.start + (other.end - other.start) / 2, one.end + (other.end - other.start) / 2)
    for second in (other, moved):
        common = one.overlap(second)
        assert common == second.overlap(one)
        assert common is None or (one.contains(common) and second.contains(common) and not common.is_empty)


@given(windows, instants)
def test_a_window_until_an_instant_and_the_rest_make_the_whole(window: Window, instant: datetime) -> None:
    middle = window.start + (window.end - window.start) / 3
    for when in (instant, middle, window.start, window.end):
        before = window.until(when)
        after = Window(before.end if before else window.start, window.end)
        assert before is None or (before.start == window.start and before.end <= when)
        assert (before.hours if before else 0) + after.hours == pytest.approx(window.hours)
        assert before or when <= window.start or window.is_empty


@given(windows, cuts, st.randoms(use_true_random=False))
def test_hours_of_adjacent_windows_add_up_exactly(window: Window, at: list[float], random: object) -> None:
    pieces = cut(window, at)
    random.shuffle(pieces)  # type: ignore[attr-defined]
    assert covered_hours(pieces) == window.hours
    assert covered_hours([*pieces, window, *pieces]) == window.hours


def test_hours_that_two_windows_share_count_once() -> None:
    def hours(start: int, end: int) -> Window:
        return Window(MIDNIGHT + start * HOUR, MIDNIGHT + end * HOUR)

    assert covered_hours([]) == 0
    assert covered_hours([hours(0, 4), hours(2, 6), hours(3, 4), hours(10, 11), hours(12, 12)]) == 7


@given(windows, cuts)
def test_fractions_of_adjacent_parts_meet(window: Window, at: list[float]) -> None:
    if window.is_empty:
        return
    fractions = [window.fractions_of(piece) for piece in cut(window, at)]
    assert fractions[0][0] == 0.0
    assert fractions[-1][1] == 1.0
    assert all(one[1] == following[0] for one, following in pairwise(fractions))


def test_instants_of_any_zone_are_kept_in_utc() -> None:
    berlin = timezone(timedelta(hours=1))
    window = Window(datetime(2026, 11, 20, 1, tzinfo=berlin), datetime(2026, 11, 21, 1, tzinfo=berlin))
    assert window == TODAY
    assert window.start.tzinfo is UTC
    assert str(window) == "2026-11-20T00:00:00Z,2026-11-21T00:00:00Z"


def test_an_end_before_the_start_is_refused() -> None:
    with pytest.raises(InvalidWindow, match=r"2026-11-21T00:00:00Z,2026-11-20T00:00:00Z.*ends before it starts"):
        Window(TODAY.end, TODAY.start)


def test_an_instant_without_zone_is_refused() -> None:
    naive = datetime(2026, 11, 20)  # noqa: DTZ001 - the fault under test
    with pytest.raises(InvalidWindow, match="no time zone"):
        Window(naive, TODAY.end)
    with pytest.raises(InvalidWindow, match="no time zone"):
        Window(TODAY.start, naive)


def test_a_window_of_no_length_is_legal_and_shares_nothing() -> None:
    empty = Window(MIDNIGHT, MIDNIGHT)
    assert empty.is_empty
    assert empty.hours == 0
    assert list(empty.days()) == []
    assert empty.overlap(TODAY) is None
    assert empty.until(TODAY.end) is None


@given(st.integers(-62135596800, 253402300799))
def test_an_instant_comes_back_from_unix_seconds_and_from_rfc3339(seconds: int) -> None:
    instant = from_unix(seconds)
    assert to_unix(instant) == seconds
    assert datetime.fromisoformat(rfc3339(instant)) == instant
    assert len(rfc3339(instant)) == len("2026-11-20T00:00:00Z")


@given(instants)
def test_a_whole_hour_is_the_last_one_begun(instant: datetime) -> None:
    started = whole_hour(instant)
    assert started <= instant < started + HOUR
    assert (started.minute, started.second, started.microsecond) == (0, 0, 0)
