"""Standard output for people: styles on a terminal and none in a pipe; figures and names as words."""

import os
import sys
import textwrap
from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

from kubetally.cli.grid import Grid, printable
from kubetally.domain.cluster_costs import ClusterCosts, SourceIdentity, Status
from kubetally.domain.component import Component
from kubetally.domain.money import to_shown
from kubetally.domain.window import Window

UNKNOWN = "-"
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


class _Console(Console):
    """Goes on in silence when nobody reads any more, so that the command ends with its own exit code."""

    def on_broken_pipe(self) -> None:
        """Whoever read our output has had enough."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def console() -> Console:
    """Standard output. What comes from a source is never read as markup, and a line is never cut."""
    return _Console(file=sys.stdout, highlight=False, markup=False, emoji=False, soft_wrap=True)


def width_of(out: Console) -> int | None:
    """Columns of the terminal; None in a pipe, which has any."""
    return out.width if out.is_terminal else None


def draws_lines(out: Console) -> bool:
    """Whether lines and bars can be drawn."""
    return out.encoding.lower().startswith("utf")


def print_grid(out: Console, grid: Grid) -> None:
    """A table, with rules on a terminal."""
    rule = ("─" if draws_lines(out) else "-") if out.is_terminal else ""
    for line, style in grid.lines(width_of(out), rule):
        out.print(Text(line, style))


def say(out: Console, text: str, *, indent: int = 0, style: str = "") -> None:
    """A sentence; on a terminal it is wrapped between words, further lines begin `indent` columns in."""
    text, width = printable(text), width_of(out)
    lines = [text]
    if width is not None and len(text) > width:
        lines = textwrap.wrap(
            text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
        )
    for line in lines:
        out.print(Text(line, style))


def money(micros: int | None) -> str:
    """Two decimals, for the eye; unknown is a dash, never a zero."""
    return UNKNOWN if micros is None else to_shown(micros)


def percent(ratio: float | None) -> str:
    """`76 %`; a dash where there is none."""
    return UNKNOWN if ratio is None else f"{ratio * 100:.0f} %"


def component_word(component: Component) -> str:
    """A component's name on screen."""
    return _COMPONENT_WORDS[component]


def name_of(source: SourceIdentity) -> str:
    """What a person calls the cluster: its account's name, else its own, else its id, else where it was found."""
    return source.account_name or source.cluster_name or source.cluster_id or source.url


def window_words(window: Window) -> str:
    """`2026-11-20 to 2026-11-23 UTC`, with times where they are not midnights; the end is exclusive."""
    instants = (window.start, window.end)
    midnights = all((instant.hour, instant.minute, instant.second) == (0, 0, 0) for instant in instants)
    words = [f"{instant:%Y-%m-%d}" if midnights else f"{instant:%Y-%m-%d %H:%M}" for instant in instants]
    return f"{words[0]} to {words[1]} UTC"


def hours_of(costs: ClusterCosts) -> str:
    """`72 of 72`: hours covered of hours asked."""
    return f"{costs.hours_covered:g} of {costs.hours_asked:g}"


def status_words(costs: ClusterCosts) -> str:
    """Whether anything is missing, and whether there was a bill to hold it against."""
    if costs.status is Status.NO_DATA:
        return "no data"
    return f"{costs.status.value}, {'audited' if costs.audited else 'unaudited'}"
