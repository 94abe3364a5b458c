"""The requests that make up a window."""

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from kubetally.domain.window import DAY, HOUR, Window, midnight, whole_hour

MAX_DAYS = 500
"""At most this many of the newest days of a window are requested: more would take a source hours, and few have them."""


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """A request to a source: whole hours within one UTC day, and the part of them that is wanted."""

    requested: Window
    wanted: Window


def source_requests(window: Window) -> list[SourceRequest]:
    """The requests that make up a window: one for each UTC day, ragged edges in whole hours.

    An edge within an hour is requested by itself, as a whole hour, so that only that hour is prorated.
    The wanted parts are adjacent and add up to the window.
    """
    requests = []
    for day in window.days():
        first, last = whole_hour(day.start), whole_hour(day.end)
        cuts = [day.start]
        if first < day.start:  # the window begins within an hour
            cuts.append(min(first + HOUR, day.end))
        if last < day.end and last > cuts[-1]:  # the window ends within an hour
            cuts.append(last)
        if cuts[-1] < day.end:
            cuts.append(day.end)
        for start, end in pairwise(cuts):
            up = whole_hour(end) if whole_hour(end) == end else whole_hour(end) + HOUR
            requests.append(SourceRequest(Window(whole_hour(start), up), Window(start, end)))
    return requests


def elapsed(window: Window, now: datetime) -> Window:
    """The part of a window that has passed; an empty one at its start if nothing has."""
    return window.until(now) or Window(window.start, window.start)


def clip_to_limit(window: Window) -> Window:
    """The part of a window that is requested of a source: its newest `MAX_DAYS` days."""
    first = window.end - MAX_DAYS * DAY
    return Window(max(window.start, midnight(first)), window.end)
