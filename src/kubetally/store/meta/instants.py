"""Converts instants to whole microseconds since 1970, as newer tables have them, or seconds, and the drivers' dates."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_microseconds(instant: datetime) -> int:
    """Microseconds since 1970 of an aware instant, exactly."""
    return (instant - _EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int) -> datetime:
    """The instant, aware, in UTC."""
    return _EPOCH + microseconds * _MICROSECOND


def to_seconds(instant: datetime) -> int:
    """Whole seconds since 1970 of an aware instant."""
    return int(instant.timestamp())


def from_seconds(seconds: int) -> datetime:
    """The instant, aware, in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


class Dates(dict[Any, date]):
    """Dates by the driver's value, which is text for SQLite; each is converted once."""

    def __missing__(self, day: date | str) -> date:
        self[day] = day if isinstance(day, date) else date.fromisoformat(day)
        return self[day]
