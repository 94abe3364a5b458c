"""Parameters of time: the window, the period before it, and the instant as of which figures are."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from kubetally.domain.compare import default_period
from kubetally.domain.window import (
    DAY,
    EARLIEST,
    FutureWindow,
    InvalidWindow,
    Window,
    midnight,
    parse_instant,
    parse_window,
    rfc3339,
)
from kubetally.web.v1.query_string import InvalidParameter, Parameter, text

DEFAULT_WINDOW: Final = "7d"
MAX_DAYS: Final = 3_660
"""Of a window: ten years. What each day costs in time and memory is paid also for days that are not stored."""


def _instant(name: str) -> Callable[[str], datetime]:
    def read(text: str) -> datetime:
        try:
            return parse_instant(text)
        except InvalidWindow as error:
            raise InvalidParameter(name, f"{name} {error.text!r} {error.why}", code=error.code) from error

    return read


def _whole_day(name: str) -> Callable[[str], datetime]:
    read_instant = _instant(name)

    def read(day: str) -> datetime:
        instant = read_instant(day)
        if instant != midnight(instant):
            raise InvalidParameter(
                name, f"{name} {day!r} is within a day: this API has whole UTC days, write {instant:%Y-%m-%d}"
            )
        return instant

    return read


def _start(default: str) -> Parameter[datetime | None]:
    meaning = (
        f"First day, in UTC, not before 1970; at most {MAX_DAYS:,} days; both dates or neither. Default: {default}."
    )
    return Parameter("start", meaning, _whole_day("start"), None, text(format="date"))


START: Final = _start("today and the six days before")
COMPARED_START: Final = _start("the seven days before today")
END: Final[Parameter[datetime | None]] = Parameter(
    "end", "The day after the last one, in UTC.", _whole_day("end"), None, text(format="date")
)
BEFORE_START: Final[Parameter[datetime | None]] = Parameter(
    "before_start",
    "First day of the period before, in UTC; both dates or neither. Default: the days right before `start`, as many.",
    _whole_day("before_start"),
    None,
    text(format="date"),
)
BEFORE_END: Final[Parameter[datetime | None]] = Parameter(
    "before_end",
    "The day after the last one of the period before, in UTC.",
    _whole_day("before_end"),
    None,
    text(format="date"),
)
AS_OF: Final[Parameter[datetime | None]] = Parameter(
    "as_of", "An instant: figures as they were stored then. Default: now.", _instant("as_of"), None, text()
)


def parse_days(values: Mapping[str, str], now: datetime) -> Window:
    """The window of `start` and `end`, whole UTC days; the last seven days without both. Raises InvalidParameter."""
    if not values.keys() & {START.name, END.name}:
        return parse_window(DEFAULT_WINDOW, now)
    return _window_of(values, now, START, END)


def parse_compared_days(values: Mapping[str, str], now: datetime) -> Window:
    """As `parse_days`, but without both the last seven days that are over. Raises InvalidParameter."""
    return parse_days(values, now) if values.keys() & {START.name, END.name} else default_period(now)


def parse_before(values: Mapping[str, str], now: datetime, window: Window) -> Window:
    """The period before: the one given, else the days right before `window`, as many. Raises InvalidParameter."""
    if values.keys() & {BEFORE_START.name, BEFORE_END.name}:
        return _window_of(values, now, BEFORE_START, BEFORE_END)
    before = window.before()
    if before.start < EARLIEST:
        problem = "the days before it begin before 1970: give a later start, or before_start and before_end"
        raise InvalidParameter(START.name, problem, code=InvalidWindow.code)
    return before


def _window_of(
    values: Mapping[str, str], now: datetime, first: Parameter[datetime | None], last: Parameter[datetime | None]
) -> Window:
    """The window of two parameters, which have to be given both. Its end may be in the future, as that of a month may.

    Raises: InvalidParameter, also for what begins before 1970 or in the future, and for more than `MAX_DAYS`.
    """
    for name in (first.name, last.name):
        if not values.get(name, "").strip():
            both = f"{first.name}=2026-11-20&{last.name}=2026-11-23"
            raise InvalidParameter(name, f"{name} is missing: give both, such as {both}")
    start, end = (parameter.of(values) or now for parameter in (first, last))
    if end <= start:
        problem = (
            f"{last.name} {rfc3339(end)} is not after {first.name} {rfc3339(start)}: give a later {last.name}, such as "
            "the day after, as it is not included itself"
        )
        raise InvalidParameter(last.name, problem, code=InvalidWindow.code)
    if start > now:
        raise InvalidParameter(first.name, str(FutureWindow(rfc3339(start), now)), code=FutureWindow.code)
    if start < EARLIEST:
        problem = f"{first.name} {rfc3339(start)} is before 1970: give a later one"
        raise InvalidParameter(first.name, problem, code=InvalidWindow.code)
    if end - start > MAX_DAYS * DAY:
        problem = f"the window has {(end - start).days:,} days, and {MAX_DAYS:,} are allowed: ask in parts"
        raise InvalidParameter(first.name, problem, code=InvalidWindow.code)
    return Window(start, end)


def parse_past(values: Mapping[str, str], now: datetime) -> datetime | None:
    """The instant of `as_of`; None for now. Raises InvalidParameter."""
    instant = AS_OF.of(values)
    if instant is not None and instant > now:
        problem = (
            f"as_of {rfc3339(instant)} is in the future (now {rfc3339(now)}): give an earlier one, or none for now"
        )
        raise InvalidParameter("as_of", problem)
    return instant
