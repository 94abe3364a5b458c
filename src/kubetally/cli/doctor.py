"""`kubetally doctor`: what a source is, what it can answer, what is missing."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from kubetally.cli import exits
from kubetally.cli.options import (
    ClusterId,
    Currency,
    End,
    OneDay,
    ScreenOrJson,
    ScreenOrJsonFormat,
    Start,
    clusters_of,
    window_of,
)
from kubetally.cli.start import start as start_up

if TYPE_CHECKING:
    from kubetally.domain.window import Window
    from kubetally.ledger.diagnosis import Finding
    from kubetally.settings import Settings
    from kubetally.wiring import Cluster


def doctor(
    url: Annotated[str, typer.Argument(metavar="URL", help="URL of an OpenCost or Kubecost.")],
    cluster_id: ClusterId = None,
    currency: Currency = None,
    window: OneDay = None,
    start: Start = None,
    end: End = None,
    output: ScreenOrJsonFormat = ScreenOrJson.TABLE,
) -> None:
    """Say what a source can and can't answer.

    What it is, what is missing, and what to do about each. One day is read and booked for it. Exits 3 when its costs
    can't be read.

    \b
    Example:
      kubetally doctor http://localhost:9003
    """
    import asyncio

    from kubetally.ledger.diagnosis import Level

    settings = start_up()
    span = window_of(window, start, end, default="yesterday")
    (cluster,) = clusters_of([url], cluster_id, currency, settings)
    shown, findings = asyncio.run(_diagnose(cluster, span, settings))
    if output is ScreenOrJson.JSON:
        bodies = [
            {"level": one.level.value, "subject": one.subject, "seen": one.seen, "remedy": one.remedy}
            for one in findings
        ]
        print(json.dumps({"url": shown, "findings": bodies}, indent=2))
    else:
        _print(shown, findings)
    failed = any(one.level is Level.FAILED for one in findings)
    raise typer.Exit(exits.NO_SOURCE if failed else exits.OK)


def _print(shown: str, findings: "list[Finding]") -> None:
    """The findings, each with what to do about it."""
    from kubetally.cli.screen import console, say

    out = console()
    say(out, shown, style="bold")
    for one in findings:
        say(out, f"  {one.level.value:9}{one.subject}: {one.seen}", indent=11)
        if one.remedy:
            say(out, f"           do: {one.remedy}", indent=15)


async def _diagnose(cluster: "Cluster", window: "Window", settings: "Settings") -> "tuple[str, list[Finding]]":
    from kubetally.ledger.diagnosis import diagnose
    from kubetally.wiring import open_source

    async with open_source(cluster, settings) as source:
        return source.url, await diagnose(source, next(window.days(), window))
