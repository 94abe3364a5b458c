"""`kubetally doctor`: what a source is, what it can answer, what is missing."""

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

from kubetally.cli import exits
from kubetally.cli.options import ClusterId, Currency, End, Format, Start, WindowText, clusters_of, window_of

if TYPE_CHECKING:
    from kubetally.domain.window import Window
    from kubetally.ledger.diagnosis import Finding
    from kubetally.settings import Settings
    from kubetally.wiring import Cluster


def doctor(
    url: Annotated[str, typer.Argument(help="URL of an OpenCost or Kubecost.")],
    cluster_id: ClusterId = None,
    currency: Currency = None,
    window: WindowText = None,
    start: Start = None,
    end: End = None,
    output: Annotated[Format, typer.Option("--format", help="table or json.")] = Format.TABLE,
) -> None:
    """Say what a source is, what it can and can't answer, what is missing, and what to do about each.

    One window is read and booked for it: by default yesterday. Exits 3 when its costs can't be read.

    Example: kubetally doctor http://localhost:9003
    """
    from kubetally.ledger.diagnosis import Level
    from kubetally.settings import Settings

    if output is Format.CSV:
        raise typer.BadParameter("doctor prints a table or json", param_hint="--format")
    settings = Settings.read()
    span = window_of(window, start, end, default="yesterday")
    (cluster,) = clusters_of([url], cluster_id, currency, settings)
    shown, findings = asyncio.run(_diagnose(cluster, span, settings))
    if output is Format.JSON:
        print(
            json.dumps(
                {
                    "url": shown,
                    "findings": [
                        {"level": one.level.value, "subject": one.subject, "seen": one.seen, "remedy": one.remedy}
                        for one in findings
                    ],
                },
                indent=2,
                ensure_ascii=False,
            )
        )
    else:
        from kubetally.cli.tables import console, print_findings

        print_findings(console(), shown, findings)
    failed = any(one.level is Level.FAILED for one in findings)
    raise typer.Exit(exits.NO_SOURCE if failed else exits.OK)


async def _diagnose(cluster: "Cluster", window: "Window", settings: "Settings") -> "tuple[str, list[Finding]]":
    from kubetally.ledger.diagnosis import diagnose
    from kubetally.wiring import open_source

    async with open_source(cluster, settings) as source:
        return source.url, await diagnose(source, next(window.days(), window))
