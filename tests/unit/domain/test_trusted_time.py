"""How much time has passed, whatever the clock says."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.trusted_time import TrustedTime

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
HOUR, DAY, YEAR = timedelta(hours=1), timedelta(days=1), timedelta(days=365)
KEEP = timedelta(days=10)


def _daily(newest: datetime, days: int) -> list[tuple[datetime, datetime]]:
    """Collections of so many days, each from morning to evening."""
    return [(newest - day * DAY - 8 * HOUR, newest - day * DAY) for day in range(days)]


def test_daily_collecting_keeps_history_as_long_as_set() -> None:
    time = TrustedTime(NOW, _daily(NOW - HOUR, 20))
    assert time.lengthen(KEEP) == KEEP
    assert time.silence(KEEP) is None


def test_clock_ahead_before_collecting_removes_nothing_more() -> None:
    collected = _daily(NOW - HOUR, 20)
    ahead = TrustedTime(NOW + YEAR, collected)
    assert ahead.lengthen(KEEP) == KEEP + YEAR + HOUR
    assert ahead.silence(KEEP) == (NOW - HOUR, NOW + YEAR)


def test_own_collections_of_a_clock_ahead_vouch_for_nothing() -> None:
    collected = _daily(NOW - HOUR, 20)
    ahead = TrustedTime(NOW + YEAR + HOUR, [(NOW + YEAR, NOW + YEAR + HOUR / 2), *collected])
    assert ahead.lengthen(KEEP) == KEEP + YEAR + HOUR
    assert ahead.silence(KEEP) == (NOW - HOUR, NOW + YEAR)


def test_machine_that_was_off_removes_history_again_later() -> None:
    before, week = _daily(NOW - 7 * DAY, 20), timedelta(days=7)
    for days_since in range(10):
        now = NOW + days_since * DAY
        time = TrustedTime(now, [*_daily(now, days_since + 1)[:-1], (NOW, NOW), *before])
        assert time.lengthen(KEEP) == KEEP + week
    now = NOW + KEEP
    time = TrustedTime(now, [*_daily(now, 11)[:-1], (NOW, NOW), *before])
    assert time.lengthen(KEEP) == KEEP
    assert time.silence(KEEP) is None


def test_clock_that_was_ahead_leaves_nothing_behind() -> None:
    time = TrustedTime(NOW, [(NOW + YEAR, NOW + YEAR + HOUR), *_daily(NOW - HOUR, 20)])
    assert time.lengthen(KEEP) == KEEP


@pytest.mark.parametrize("spans", [[], _daily(NOW, 3)])
def test_nothing_goes_before_collecting_lasted_as_long(spans: Sequence[tuple[datetime, datetime]]) -> None:
    time = TrustedTime(NOW, spans)
    assert time.lengthen(KEEP) is None
    assert time.silence(KEEP) is None


@given(
    steps=st.lists(st.integers(1, 60), min_size=1, max_size=30),
    jump=st.integers(31, 20_000),
    at=st.integers(0, 29),
    keep=st.integers(0, 600),
)
def test_jump_never_makes_anything_older(steps: list[int], jump: int, at: int, keep: int) -> None:
    """The same true history, by a right clock and by one that jumped: what may go by the second may by the first."""
    at %= len(steps)
    instants = [NOW]
    for step in steps:
        instants.append(instants[-1] + step * HOUR)
    jumped = [*instants[: at + 1], *(instant + jump * HOUR for instant in instants[at + 1 :])]

    def lengthened(by: list[datetime]) -> timedelta | None:
        return TrustedTime(by[-1], [(instant, instant) for instant in reversed(by[:-1])]).lengthen(keep * HOUR)

    right, wrong = lengthened(instants), lengthened(jumped)
    if wrong is not None:
        assert right is not None
        cutoff, cutoff_by_wrong = instants[-1] - right, jumped[-1] - wrong
        assert cutoff_by_wrong <= cutoff or cutoff_by_wrong >= jumped[at + 1]
        assert cutoff_by_wrong - (jump * HOUR if cutoff_by_wrong >= jumped[at + 1] else timedelta()) <= cutoff
        assert right >= keep * HOUR
