"""The steps of a window."""

from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.question.steps import Step, steps_of
from kubetally.domain.window import DAY, Window, parse_instant
from tests.unit.domain.clusters import windows


def starts(start: str, end: str, step: Step) -> list[str]:
    window = Window(parse_instant(start), parse_instant(end))
    return [f"{part.start:%m-%d}" for part in steps_of(window, step)]


def test_weeks_begin_on_monday_and_are_clipped() -> None:
    assert starts("2026-11-20", "2026-12-01", Step.WEEK) == ["11-20", "11-23", "11-30"]


def test_months_are_those_of_the_calendar() -> None:
    assert starts("2026-01-31", "2026-04-01", Step.MONTH) == ["01-31", "02-01", "03-01"]


def test_without_step_the_window_is_its_only_step() -> None:
    window = Window(parse_instant("2026-11-20"), parse_instant("2026-11-23"))
    assert steps_of(window, None) == [window]


@given(windows, st.sampled_from(Step))
def test_steps_tile_the_window(window: Window, step: Step) -> None:
    short = Window(window.start, min(window.end, window.start + 400 * DAY))
    steps = steps_of(short, step)
    assert [part for part in steps if part.is_empty] == []
    assert all(one.end == other.start for one, other in pairwise(steps))
    assert sum((part.end - part.start for part in steps), timedelta()) == short.end - short.start
