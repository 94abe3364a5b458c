"""Components, windows, hours and names as they stand in messages."""

from collections.abc import Mapping, Sequence

from kubetally.domain.component import Component
from kubetally.domain.window import Window

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
    """`2026-11-20 to 2026-11-23 UTC`, with times where they are not midnights; the end is exclusive."""
    instants = (window.start, window.end)
    midnights = all((instant.hour, instant.minute, instant.second) == (0, 0, 0) for instant in instants)
    words = [f"{instant:%Y-%m-%d}" if midnights else f"{instant:%Y-%m-%d %H:%M}" for instant in instants]
    return f"{words[0]} to {words[1]} UTC"


def hours_words(hours: float) -> str:
    """`1 hour`, `24 hours`, `0.5 hours`."""
    return f"{hours:g} hour{'' if hours == 1 else 's'}"


def name_some(names: Sequence[str], at_most: int = 10, what: str = "") -> str:
    """The first of several names, and how many more there are: `a, b and 3 more nodes`, where `what` is nodes."""
    more = len(names) - at_most
    return ", ".join(names[:at_most]) + (f" and {more} more {what}".rstrip() if more > 0 else "")
