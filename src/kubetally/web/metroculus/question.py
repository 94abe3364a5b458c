"""The parameters of the existing API, checked in its order and with its errors."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from kubetally.domain.question.cost_question import DetailLevel
from kubetally.domain.window import LATEST_UNIX, Clock, Window, from_unix, parse_window, to_unix
from kubetally.web.metroculus.errors import invalid, missing, no_such_account, problem_of
from kubetally.web.problems import Failure

LARGEST = 2**31 - 1
DEFAULT_WINDOW = "7d"
LEGACY_SUM = "legacy_sum"
_NAMES = frozenset(
    {
        b"cloud_account_id",
        b"start_date",
        b"end_date",
        b"detail_level",
        b"limit",
        b"offset",
        b"infrastructure",
        b"metrics",
    }
)
OF_SERIES = frozenset({b"cloud_account_id", b"start_date", b"end_date", b"metrics"})
_LEVELS = frozenset(level.value for level in DetailLevel)
_NUMBER = re.compile(r"-?[0-9]{1,20}")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
Dates = tuple[int, int]


class RequestedWindow(NamedTuple):
    """The dates of a request as Unix seconds, repeated in its answer, and their window."""

    dates: Dates
    window: Window

    @property
    def samples(self) -> Window:
        """The window of samples between the dates, both of them included."""
        return Window(*map(from_unix, self.dates))


@dataclass(frozen=True, slots=True)
class Question:
    """The parameters of a request. dates: None if both are missing. limit: None for all rows."""

    cloud_account_id: str
    dates: Dates | None
    detail_level: DetailLevel = DetailLevel.SUMMARY
    limit: int | None = None
    offset: int = 0
    is_paged: bool = False
    with_legacy: bool = False
    metrics: str | None = None

    def requested_window(self, clock: Clock) -> RequestedWindow:
        """The window of the dates; without any, the last seven days.

        An end on second :59 is the last second of the window, as the existing clients send it; any other is exclusive.
        """
        if self.dates is None:
            window = parse_window(DEFAULT_WINDOW, clock.now())
            return RequestedWindow((to_unix(window.start), to_unix(window.end)), window)
        return _window_of(self.dates)


@lru_cache(maxsize=4096)
def _window_of(dates: Dates) -> RequestedWindow:
    start, end = dates
    until = end + 1 if end % 60 == 59 and start < end < LATEST_UNIX else end
    return RequestedWindow(dates, Window(from_unix(start), from_unix(until)))


@lru_cache(maxsize=4096)
def parse(query: bytes, names: frozenset[bytes] = _NAMES) -> Question:
    """The parameters in a query string. Raises Problem for the first invalid one.

    names: parameters of the endpoint; others are ignored. The last value of a repeated name counts, without blanks
    around it.
    """
    values = {name: _text(value) for name, value in _pairs(query) if name in names}
    account_id = values.get(b"cloud_account_id", "")
    if not account_id:
        raise missing("cloud_account_id")
    dates = _dates(values.get(b"start_date"), values.get(b"end_date"))
    level = values.get(b"detail_level", DetailLevel.SUMMARY)
    if level not in _LEVELS:
        raise invalid("detail_level")
    infrastructure = values.get(b"infrastructure")
    if infrastructure not in {None, "measured", LEGACY_SUM}:
        raise invalid("infrastructure")
    limit, offset = values.get(b"limit"), values.get(b"offset")
    question = Question(
        account_id,
        dates,
        DetailLevel(level),
        None if limit is None else _number("limit", limit, 1, LARGEST),
        0 if offset is None else _number("offset", offset, 0, LARGEST),
        is_paged=not (limit is None and offset is None),
        with_legacy=infrastructure == LEGACY_SUM,
        metrics=values.get(b"metrics"),
    )
    if _ID.fullmatch(account_id) is None:  # not an id of any account
        raise no_such_account()
    return question


def _dates(start: str | None, end: str | None) -> Dates | None:
    if start is None and end is None:
        return None
    if start is None:
        raise missing("start_date")
    first = _number("start_date", start, 0, LATEST_UNIX)
    if end is None:
        raise missing("end_date")
    last = _number("end_date", end, 1, LATEST_UNIX)
    if first > last:
        raise invalid("end_date")
    return first, last


def _number(name: str, text: str, minimum: int, maximum: int) -> int:
    if _NUMBER.fullmatch(text) is None or not minimum <= int(text) <= maximum:
        raise invalid(name)
    return int(text)


def _pairs(query: bytes) -> list[tuple[bytes, bytes]]:
    parts = (part.partition(b"=") for part in query.replace(b"+", b" ").split(b"&") if part)
    return [(unquote_to_bytes(name), unquote_to_bytes(value)) for name, _, value in parts]


def _text(value: bytes) -> str:
    try:
        return _CONTROL.sub(" ", value.decode()).strip()
    except UnicodeDecodeError:
        raise problem_of(Failure(400)) from None
