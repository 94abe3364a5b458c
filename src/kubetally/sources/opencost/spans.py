"""When a row or an asset was: its step, and the part of it in which the source saw it."""

from datetime import timedelta
from functools import lru_cache

from kubetally.domain.window import InvalidWindow, Window, parse_instant
from kubetally.sources.faults import AnswerNotUnderstood
from kubetally.sources.opencost.wire import Span

_ENDS_DIFFER_MINUTES = 1.0  # by which a source's rounding may part them from minutes


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


def life_of(start: str | None, end: str | None, minutes: float | None, step: Window) -> Window | None:
    """The span of the step in which the source saw a row; None where it tells neither ends nor a whole step.

    Ends that can't be read are no reason to refuse figures: they only say nothing of when the row ran.
    """
    if start and end:
        try:
            inside, between = _parsed_life(start, end)
        except InvalidWindow:
            return None
        if not (step.start <= inside.start and inside.end <= step.end):
            within = inside.overlap(step)
            if within is None:
                return None
            inside, between = within, within.hours * 60
    elif minutes:
        inside, between = step, step.hours * 60
    else:
        return None
    # Ends that are those of the step, or absent, say less than minutes, which bound how long it can have been seen.
    if minutes is not None and 0 < minutes < between - _ENDS_DIFFER_MINUTES:
        return Window(inside.start, inside.start + timedelta(minutes=minutes))
    return inside
