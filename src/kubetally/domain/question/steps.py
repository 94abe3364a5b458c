"""The steps of a window."""

from datetime import datetime, timedelta
from enum import StrEnum

from kubetally.domain.window import DAY, Window, midnight


class Step(StrEnum):
    """How a window is divided; weeks begin on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


def steps_of(window: Window, step: Step | None) -> list[Window]:
    """The steps that a window touches, each clipped to it, in order; without a step the window itself."""
    if step is None:
        return [window]
    steps = []
    start = window.start
    while start < window.end:
        end = min(_next(start, step), window.end)
        steps.append(Window(start, end))
        start = end
    return steps


def _next(instant: datetime, step: Step) -> datetime:
    """The beginning of the next step."""
    today = midnight(instant)
    match step:
        case Step.DAY:
            return today + DAY
        case Step.WEEK:
            return today + (7 - today.weekday()) * DAY
        case Step.MONTH:
            return (today.replace(day=1) + timedelta(days=32)).replace(day=1)
