"""Half-open spans of UTC time, and the ways a person writes them."""

import re
from calendar import monthrange
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

from kubetally.domain.errors import RequestError

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
LATEST_UNIX = 253402300799  # 9999-12-31T23:59:59Z, the last second that a datetime can hold
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)  # what a person asks for does not begin before the first Unix second
_UNITS = {"h": HOUR, "d": DAY, "w": timedelta(weeks=1)}
_FORMS = (
    "write it as 7d, 24h, 2w, today, yesterday, week, lastweek, month, lastmonth, "
    "2026-10 (a month), 2026-Q3 (a quarter), 2026 (a year), "
    "2026-11-20,2026-11-23, 2026-11-20T00:00:00Z,2026-11-23T00:00:00Z or 1795132800,1795392000"
)
_PERIOD = re.compile(r"(?P<year>[0-9]{4})(?:-(?:(?P<month>[0-9]{1,2})|[Qq](?P<quarter>[0-9]{1,2})))?")
_DATE = re.compile(r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})(?![0-9])")
_MONTHS_OF_A_QUARTER, _MONTHS_OF_A_YEAR = 3, 12


class InvalidWindow(RequestError):
    """A text that is not a span of time, or an impossible one."""

    code = "invalid_window"

    def __init__(self, text: str, why: str) -> None:
        self.text, self.why = text, why
        super().__init__(f"the window {text!r} {why}")


class FutureWindow(InvalidWindow):
    """A window that has not begun."""

    code = "future_window"

    def __init__(self, text: str, now: datetime) -> None:
        self.now = now
        super().__init__(text, f"is in the future (now {rfc3339(now)}): give one that has begun")


class Clock(Protocol):
    """Tells the time; passed in, so that a test can set it."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        ...


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """The span `[start, end)`: aware UTC instants, the start inside, the end not.

    Raises: InvalidWindow, when the end is before the start or an instant has no zone. Equal ends are legal: a window
            of no length, which costs nothing.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise InvalidWindow(f"{self.start},{self.end}", "has no time zone: give aware UTC instants")
        object.__setattr__(self, "start", self.start.astimezone(UTC))
        object.__setattr__(self, "end", self.end.astimezone(UTC))
        if self.end < self.start:
            raise InvalidWindow(str(self), "ends before it starts: exchange start and end")

    def __str__(self) -> str:
        return f"{rfc3339(self.start)},{rfc3339(self.end)}"

    @property
    def hours(self) -> float:
        """Its length in hours."""
        return (self.end - self.start) / HOUR

    @property
    def is_empty(self) -> bool:
        """Whether it has no length."""
        return self.start == self.end

    def overlap(self, other: "Window") -> "Window | None":
        """What both have in common, or None."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Window(start, end) if start < end else None

    def contains(self, other: "Window") -> bool:
        """Whether `other` lies wholly inside."""
        return self.start <= other.start and other.end <= self.end

    def fractions_of(self, part: "Window") -> tuple[float, float]:
        """Where `part` of it begins and ends, as fractions of its length from 0 to 1."""
        length = self.end - self.start
        return (part.start - self.start) / length, (part.end - self.start) / length

    def days(self) -> Iterator["Window"]:
        """Cut at each UTC midnight; the pieces are adjacent and add up to the whole."""
        start = self.start
        while start < self.end:
            end = min(midnight(start) + DAY, self.end)
            yield Window(start, end)
            start = end

    def dates(self) -> list[date]:
        """The UTC dates of its days, in order."""
        if self.is_empty:
            return []
        first, last = self.start.date(), (self.end - timedelta.resolution).date()
        return [first + number * DAY for number in range((last - first).days + 1)]

    def before(self) -> "Window":
        """The span of the same length that ends where it starts. Raises OverflowError, before the first year."""
        return Window(self.start - (self.end - self.start), self.start)

    def until(self, instant: datetime) -> "Window | None":
        """The part before `instant`, or None."""
        return self.overlap(Window(self.start, max(self.start, instant)))


def rfc3339(instant: datetime) -> str:
    """`2026-11-20T00:00:00Z`: UTC, whole seconds, literal Z, the only form that every source understands."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def midnight(instant: datetime) -> datetime:
    """The UTC midnight at or before it."""
    return instant.replace(hour=0, minute=0, second=0, microsecond=0)


def whole_hour(instant: datetime) -> datetime:
    """The whole hour at or before it."""
    return instant.replace(minute=0, second=0, microsecond=0)


def from_unix(seconds: int) -> datetime:
    """The instant, from Unix seconds."""
    return datetime.fromtimestamp(seconds, UTC)


def to_unix(instant: datetime) -> int:
    """Unix seconds of the instant."""
    return int(instant.timestamp())


def covered_hours(windows: Iterable[Window]) -> float:
    """Hours in the union of `windows`: what two share counts once."""
    covered, reached = timedelta(), None
    for window in sorted(windows):
        start = window.start if reached is None else max(window.start, reached)
        if window.end > start:
            covered += window.end - start
            reached = window.end
    return covered / HOUR


def joined_spans(spans: Iterable[Window]) -> list[Window]:
    """The same time as `spans`, in order, without overlaps; adjacent ones are one."""
    joined: list[Window] = []
    for span in sorted(spans):
        if joined and span.start <= joined[-1].end:
            joined[-1] = Window(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return joined


def spans_without(spans: Iterable[Window], *, cuts: Iterable[Window]) -> list[Window]:
    """What of `spans` is in none of `cuts`, in order."""
    left: list[Window] = []
    cuts = joined_spans(cuts)
    for span in joined_spans(spans):
        start = span.start
        for cut in cuts:
            if cut.end > start and cut.start < span.end:
                if cut.start > start:
                    left.append(Window(start, cut.start))
                start = max(start, cut.end)
        if start < span.end:
            left.append(Window(start, span.end))
    return left


def common_spans(spans: Iterable[Window], others: Iterable[Window]) -> list[Window]:
    """What of `spans` is in any of `others` too, in order."""
    several = list(spans)
    return spans_without(several, cuts=spans_without(several, cuts=others))


def known_spans(*spans: Window | None) -> list[Window]:
    """Those that are not None."""
    return [span for span in spans if span is not None]


def hull(spans: Iterable[Window]) -> Window | None:
    """From the start of the first to the end of the last; None of none."""
    several = list(spans)
    if not several:
        return None
    return Window(min(span.start for span in several), max(span.end for span in several))


def parse_instant(text: str) -> datetime:
    """An instant from a date (00:00 UTC), an RFC3339 time or Unix seconds. Raises InvalidWindow."""
    text = text.strip()
    if text.isdecimal() and len(text) > 8:
        if len(text) > len(str(LATEST_UNIX)) or int(text) > LATEST_UNIX:
            raise InvalidWindow(text, "is past the year 9999: give Unix seconds, not milliseconds")
        return from_unix(int(text))
    if (period := _PERIOD.fullmatch(text)) is not None:
        kind, first = _kind(period), rfc3339(_period(text, period).start).partition("T")[0]
        raise InvalidWindow(
            text, f"is a whole {kind}, not a time: write a day as {first}, or give that {kind} as the window"
        )
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        forms = "is not a time: write 2026-11-20, 2026-11-20T06:00:00Z or Unix seconds"
        raise InvalidWindow(text, no_such_day(text) or forms) from None
    if instant.tzinfo is None and re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) is None:
        raise InvalidWindow(text, "has no time zone: end it with Z for UTC")
    try:
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except OverflowError:
        raise InvalidWindow(text, "is before the year 1 or past the year 9999 in UTC") from None


def no_such_day(text: str) -> str | None:
    """Why the date that a text begins with does not exist; None if it does, or if the text begins with none."""
    if (match := _DATE.match(text.strip())) is None:
        return None
    year, month, day = (int(match[name]) for name in ("year", "month", "day"))
    if not 1 <= month <= _MONTHS_OF_A_YEAR:
        return f"does not exist: months are {year:04}-01 to {year:04}-12"
    last = monthrange(year, month)[1]
    if 1 <= day <= last:
        return None
    name, number = ("first", 1) if day < 1 else ("last", last)
    return f"does not exist: the {name} day of {year:04}-{month:02} is {year:04}-{month:02}-{number:02}"


def parse_window(text: str, now: datetime) -> Window:
    """The window that a person wrote.

    Words:   today, yesterday, week, lastweek, month, lastmonth. Weeks begin on Monday; `today`, `week` and `month`
             end with the day of `now`.
    Lengths: `24h`, `7d`, `2w`: whole units of UTC time ending with the running one, so that `7d` is today and
             the six days before it. A week's length counts in days. `3m` is refused: minutes or months?
    Periods: `2026-10`, `2026-Q3`, `2026`: the whole month, quarter or year, also where it is not over.
    Pairs:   RFC3339 times, dates or Unix seconds, with a comma between (Unix seconds also with a dash).
    Raises:  InvalidWindow, also for what begins before 1970; FutureWindow for what begins after `now`.
    Source:  Kubecost API documentation, "window"; OpenCost core/pkg/opencost/window.go. Periods are our own.
    """
    text, now = text.strip(), now.astimezone(UTC)
    window = _understood(text, now)
    if window.start < EARLIEST:
        raise InvalidWindow(text, "begins before 1970, before any cluster cost anything: ask for a shorter one")
    if window.start > now:
        raise FutureWindow(text, now)
    return window


def _understood(text: str, now: datetime) -> Window:
    today = midnight(now)
    tomorrow, monday, first = today + DAY, today - today.weekday() * DAY, today.replace(day=1)
    words = {
        "today": (today, tomorrow),
        "yesterday": (today - DAY, today),
        "week": (monday, tomorrow),
        "lastweek": (monday - 7 * DAY, monday),
        "month": (first, tomorrow),
        "lastmonth": ((first - DAY).replace(day=1), first),
    }
    if text.lower() in words:
        return Window(*words[text.lower()])
    if match := re.fullmatch(r"([1-9][0-9]{0,4})([mMhdw])", text):
        return _length(text, int(match[1]), match[2], now)
    if (period := _PERIOD.fullmatch(text)) is not None:
        return _period(text, period)
    pair = re.fullmatch(r"(\d{9,})\s*[,|-]\s*(\d{9,})", text) or re.fullmatch(r"([^,|]+)[,|]([^,|]+)", text)
    if pair is None:
        if (why := no_such_day(text)) is not None:
            raise InvalidWindow(text, why)
        raise InvalidWindow(text, f"is not understood: {_instead_of_a_day(text)}{_FORMS}")
    try:
        return Window(parse_instant(pair[1]), parse_instant(pair[2]))
    except InvalidWindow as error:
        if error.text not in {pair[1].strip(), pair[2].strip()}:
            raise
        forms = "" if no_such_day(error.text) else f"; {_FORMS}"
        raise InvalidWindow(text, f"is not understood: {error.text!r} {error.why}{forms}") from None


def _instead_of_a_day(text: str) -> str:
    """How to write a single day, where `text` is one."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        return f"for that day write {day:%Y-%m-%d},{day + DAY:%Y-%m-%d}; "
    except (ValueError, OverflowError):
        return ""


def _length(text: str, count: int, unit: str, now: datetime) -> Window:
    """`count` units that end with the running one; weeks end with the running day."""
    if unit in "mM":
        raise InvalidWindow(text, f"is ambiguous: minutes? months? {_instead_of_m(count, now)}, else {_FORMS}")
    running = min(_UNITS[unit], DAY)
    end = midnight(now) + (now - midnight(now)) // running * running + running
    try:
        return Window(end - count * _UNITS[unit], end)
    except OverflowError:
        raise InvalidWindow(text, "reaches before the year 1: ask for a shorter one") from None


def _instead_of_m(count: int, now: datetime) -> str:
    """How to write `count` minutes, and `count` months with the running one, as pairs."""
    end = now.replace(second=0, microsecond=0)
    minutes = f"For minutes write {rfc3339(end - timedelta(minutes=count))},{rfc3339(end)}"
    month = now.year * _MONTHS_OF_A_YEAR + now.month - count  # counted from 0
    if month < EARLIEST.year * _MONTHS_OF_A_YEAR:
        return minutes
    first = f"{month // _MONTHS_OF_A_YEAR}-{month % _MONTHS_OF_A_YEAR + 1:02}-01"
    return f"{minutes}, for months {first},{midnight(now) + DAY:%Y-%m-%d}"


def _kind(period: re.Match[str]) -> str:
    return "quarter" if period["quarter"] else "month" if period["month"] else "year"


def _period(text: str, period: re.Match[str]) -> Window:
    """The whole month, quarter or year. Raises InvalidWindow where there is none of that number."""
    year = int(period["year"])
    if period["quarter"]:
        number, most, length = int(period["quarter"]), 4, _MONTHS_OF_A_QUARTER
    elif period["month"]:
        number, most, length = int(period["month"]), _MONTHS_OF_A_YEAR, 1
    else:
        number, most, length = 1, 1, _MONTHS_OF_A_YEAR
    is_written_out = len(period["month"] or "12") == 2 and len(period["quarter"] or "1") == 1
    if not (1 <= number <= most and is_written_out):
        sign, width = ("Q", 1) if period["quarter"] else ("", 2)
        range_ = f"{year:04}-{sign}{1:0{width}} to {year:04}-{sign}{most:0{width}}"
        raise InvalidWindow(text, f"is not a {_kind(period)}: {_kind(period)}s are {range_}; {_FORMS}")
    months = (number - 1) * length, number * length
    try:
        first, end = (
            datetime(year + month // _MONTHS_OF_A_YEAR, month % _MONTHS_OF_A_YEAR + 1, 1, tzinfo=UTC)
            for month in months
        )
    except ValueError:
        raise InvalidWindow(text, f"is before the year 1 or reaches past the year 9999; {_FORMS}") from None
    return Window(first, end)
