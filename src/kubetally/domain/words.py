"""Components, windows, hours and names as they stand in messages."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time

from kubetally.domain.component import Component
from kubetally.domain.window import DAY, Window, midnight

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_COMPONENT_WORDS: Mapping[Component, str] = {
    Component.CPU: "CPU",
    Component.RAM: "RAM",
    Component.GPU: "GPU",
    Component.PV: "volumes",
    Component.NODE_DISK: "node disks",
    Component.LOAD_BALANCER: "balancers",
    Component.NETWORK: "network",
    Component.MANAGEMENT: "management",
    Component.SHARED: "shared",
    Component.EXTERNAL: "external",
}


def component_word(component: Component) -> str:
    """A component's name."""
    return _COMPONENT_WORDS[component]


def window_words(window: Window) -> str:
    """`20-22 Nov 2026 (3 days, UTC)`, the last day included; `20 Nov 2026 06:00-12:00 UTC` of parts of a day."""
    if window.is_empty or any(instant.time() != time() for instant in (window.start, window.end)):
        start, end = _instant_words(window.start), _instant_words(window.end)
        if window.end.date() == window.start.date():
            end = f"{window.end:%H:%M}"
        elif window.end == midnight(window.start) + DAY:
            end = "24:00"
        return f"{start}-{end} UTC" if " " not in end else f"{start} to {end} UTC"
    first, last = window.start.date(), (window.end - DAY).date()
    days = (last - first).days + 1
    return f"{_dates_words(first, last)} ({days} day{'' if days == 1 else 's'}, UTC)"


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


def hours_words(hours: float) -> str:
    """`1 hour`, `24 hours`, `0.5 hours`."""
    return f"{hours:g} hour{'' if hours == 1 else 's'}"


def name_some(names: Sequence[str], at_most: int = 10, what: str = "") -> str:
    """The first of several names, and how many more there are: `a, b and 3 more nodes`, where `what` is nodes."""
    more = len(names) - at_most
    return ", ".join(names[:at_most]) + (f" and {more} more {what}".rstrip() if more > 0 else "")
