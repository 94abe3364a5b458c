"""`kubetally demo`: three sample clusters, asked and booked as real ones are."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from datetime import datetime


def demo() -> None:
    """Show what three sample clusters cost.

    They are recorded answers of a real OpenCost, served over HTTP on this machine, asked and booked as real ones are.

    \b
    Example:
      kubetally demo
    """
    from kubetally.cli.costs import ask, exit_of
    from kubetally.cli.logs import set_up_logs
    from kubetally.cli.screen import console, say
    from kubetally.cli.tables import print_costs
    from kubetally.domain.cluster_costs import DetailLevel
    from kubetally.domain.window import Window, parse_instant
    from kubetally.samples import END_DAY, FIRST_DAY, NAMES
    from kubetally.samples.replay import ReplayServer
    from kubetally.settings import Settings
    from kubetally.wiring import Cluster

    set_up_logs(None)
    window = Window(parse_instant(FIRST_DAY), parse_instant(END_DAY))
    out = console()
    say(out, "Sample clusters: answers that a real OpenCost v1.112 gave on synthetic metrics, served here over HTTP.")
    say(out, "Not your costs.")
    out.print()
    with ReplayServer() as server:
        clusters = [Cluster(server.url_of(name)) for name in NAMES]
        answers = ask(clusters, window, Settings(), _After(window.end))
    print_costs(answers, DetailLevel.SUMMARY)
    out.print()
    say(out, "Your own:  kubetally costs --url http://localhost:9003    (kubetally costs --help)")
    raise typer.Exit(exit_of(answers))


class _After:
    """A clock that stands after the samples, whatever the machine's says."""

    def __init__(self, instant: "datetime") -> None:
        self._instant = instant

    def now(self) -> "datetime":
        return self._instant
