"""Numbers and spans of days as text."""

from collections.abc import Iterable
from datetime import date, timedelta

from kubetally.domain.words import days_words

_ONE_DAY = timedelta(days=1)
_MAX_SPANS = 4


def day_spans(days: Iterable[date]) -> str:
    """`2026-11-20 to 2026-11-22 (3 days), 2026-11-24`: each day once; of many spans only the first."""
    spans: list[list[date]] = []
    for day in sorted(set(days)):
        if spans and day - spans[-1][-1] == _ONE_DAY:
            spans[-1].append(day)
        else:
            spans.append([day])
    words = [str(span[0]) if len(span) == 1 else f"{span[0]} to {span[-1]} ({days_words(len(span))})" for span in spans]
    if len(words) <= _MAX_SPANS:
        return ", ".join(words)
    more = sum(len(span) for span in spans[_MAX_SPANS:])
    return ", ".join(words[:_MAX_SPANS]) + f" and {days_words(more)} more"


def without_day(message: str, day: date) -> str:
    """The message of an error without its day, so that the same error of many days has one message."""
    return " ".join(message.replace(day.isoformat(), "the day").replace((day + _ONE_DAY).isoformat(), "next").split())
