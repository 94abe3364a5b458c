"""The time of a row or an asset: its step, and the part of it in which the source saw it."""

from datetime import timedelta
from functools import lru_cache

from kubetally.domain.window import InvalidWindow, Window, parse_instant
from kubetally.sources.faults import AnswerNotUnderstood
from kubetally.sources.opencost.wire import Span

_MAX_ROUNDING_MINUTES = 1.0  # between the ends of a row and its minutes


def window_of(span: Span | None, url: str) -> Window | None:
    if span is None or not span.start or not span.end or "null" in (span.start, span.end):
        return None
    try:
        return _parsed(span.start, span.end)
    except InvalidWindow as error:
        raise AnswerNotUnderstood(url, f"answered with an invalid window: {error.text!r} {error.why}") from error


@lru_cache(maxsize=1024)
def _parsed(start: str, end: str) -> Window:
    return Window(parse_instant(start), parse_instant(end))


@lru_cache(maxsize=1024)
def _parsed_life(start: str, end: str) -> tuple[Window, float]:
    """A span, and its minutes."""
    life = _parsed(start, end)
    return life, life.hours * 60


def life_of(step: Window, *, start: str | None, end: str | None, minutes: float | None) -> Window | None:
    """The span of the step in which the source saw a row; None if it is unknown or unreadable."""
    if start and end:
        try:
            inside, between = _parsed_life(start, end)
        except InvalidWindow:
            return None
        if not (step.start <= inside.start and inside.end <= step.end):
            if (common := inside.overlap(step)) is None:
                return None
            inside, between = common, common.hours * 60
    elif minutes:
        inside, between = step, step.hours * 60
    else:
        return None
    # Minutes are exact where the ends are absent or those of the step.
    if minutes is not None and 0 < minutes < between - _MAX_ROUNDING_MINUTES:
        return Window(inside.start, inside.start + timedelta(minutes=minutes))
    return inside
