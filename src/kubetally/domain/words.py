"""Components, windows, hours and names as they stand in messages."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from kubetally.domain.component import Component
from kubetally.domain.window import DAY, Window, midnight

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_COMPONENT_WORDS: Mapping[Component, str] = {
    Component.CPU: "CPU",
    Component.RAM: "RAM",
    Component.GPU: "GPU",
    Component.PV: "volumes",
    Component.NODE_DISK: "node disks",
    Component.LOAD_BALANCER: "load balancers",
    Component.NETWORK: "network",
    Component.MANAGEMENT: "management",
    Component.SHARED: "shared",
    Component.EXTERNAL: "external",
}


def component_word(component: Component) -> str:
    """A component's name."""
    return _COMPONENT_WORDS[component]


def window_words(window: Window) -> str:
    """`20-22 Nov 2026 (3 days, UTC)`, the last day included; else as `period_words`."""
    if not _is_of_whole_days(window):
        return period_words(window)
    days = (window.end - window.start) // DAY
    return f"{period_words(window).removesuffix(' UTC')} ({days} day{'' if days == 1 else 's'}, UTC)"


def period_words(window: Window) -> str:
    """`20-22 Nov 2026 UTC`, the last day included; `20 Nov 2026 06:00-12:00 UTC` of parts of a day."""
    if _is_of_whole_days(window):
        return f"{_dates_words(window.start.date(), (window.end - DAY).date())} UTC"
    start, end = _instant_words(window.start), _instant_words(window.end)
    if window.end.date() == window.start.date():
        return f"{start}-{window.end:%H:%M} UTC"
    if window.end == midnight(window.start) + DAY:
        return f"{start}-24:00 UTC"
    return f"{start} to {end} UTC"


def _is_of_whole_days(window: Window) -> bool:
    return not window.is_empty and all(instant == midnight(instant) for instant in (window.start, window.end))


def _dates_words(first: date, last: date) -> str:
    """`20 Nov 2026`, `20-22 Nov 2026`, `28 Oct - 3 Nov 2026`, `30 Dec 2026 - 2 Jan 2027`."""
    end = f"{last.day} {_MONTHS[last.month - 1]} {last.year}"
    if first == last:
        return end
    if first.year != last.year:
        return f"{first.day} {_MONTHS[first.month - 1]} {first.year} - {end}"
    if first.month != last.month:
        return f"{first.day} {_MONTHS[first.month - 1]} - {end}"
    return f"{first.day}-{end}"


def _instant_words(instant: datetime) -> str:
    return f"{instant.day} {_MONTHS[instant.month - 1]} {instant.year} {instant:%H:%M}"


def days_words(count: int) -> str:
    """`1 day`, `3 days`, `1,200 days`."""
    return "1 day" if count == 1 else f"{count:,} days"


def not_checked_words(days: int) -> str:
    """What it means that so many days were not checked hour by hour, and what to do."""
    return (
        f"{days_words(days)} could not be checked hour by hour: if metrics were lost for some hours, costs are too low "
        "and nothing else shows it; give the account a Prometheus with --prometheus-url, which shows gaps"
    )


def hours_words(hours: float) -> str:
    """`1 hour`, `24 hours`, `0.5 hours`."""
    return f"{hours:g} hour{'' if hours == 1 else 's'}"


def name_some(names: Sequence[str], at_most: int = 10, what: str = "", *, separator: str = ", ") -> str:
    """The first of several names, and how many more there are: `a, b and 3 more nodes`, if `what` is nodes."""
    more = len(names) - at_most
    return separator.join(names[:at_most]) + (f" and {more} more {what}".rstrip() if more > 0 else "")
