"""`kubetally doctor`: what a source is, what it can answer, what is missing."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kubetally.cli import exits
from kubetally.cli.answer_file import answer_to
from kubetally.cli.asking import Said, named
from kubetally.cli.options import (
    ClusterId,
    Contexts,
    Currency,
    End,
    OneDay,
    OutputFile,
    PrometheusUrl,
    Quiet,
    ScreenOrJson,
    ScreenOrJsonFormat,
    Start,
    Tenant,
    Urls,
    window_of,
)
from kubetally.cli.start import start as start_up

if TYPE_CHECKING:
    from kubetally.domain.window import Window
    from kubetally.ledger.diagnose.cluster import Diagnosis
    from kubetally.ledger.ports.clusters import AnyCluster
    from kubetally.settings import Settings

Places = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="URL|ACCOUNT",
        help="URLs of an OpenCost or Kubecost, names or ids of accounts; without any, all accounts.",
    ),
]


def doctor(
    places: Places = None,
    url: Urls = None,
    context: Contexts = None,
    cluster_id: ClusterId = None,
    currency: Currency = None,
    prometheus_url: PrometheusUrl = None,
    tenant: Tenant = None,
    window: OneDay = None,
    start: Start = None,
    end: End = None,
    output: ScreenOrJsonFormat = ScreenOrJson.TABLE,
    output_file: OutputFile = None,
    quiet: Quiet = False,
) -> None:
    """Say what a source can and can't answer.

    What it is, what is missing, and what to do about each. One day is read and booked for it. Exits 3 when the costs
    of any can't be read, or the Prometheus that is stated for it.

    \b
    Examples:
      kubetally doctor http://localhost:9003
      kubetally doctor prod
    """
    from kubetally.ledger.diagnose.cluster import with_storage
    from kubetally.ledger.diagnose.source import Level
    from kubetally.tasks import run
    from kubetally.wiring.storage import check_storage

    settings = start_up(quiet=quiet)
    span = window_of(window, start, end, default="yesterday")
    said = Said(cluster_id, currency, prometheus_url, tenant)
    meant = named(places, url, context, said, settings, quiet=quiet)
    with answer_to(output_file):
        found = run(_diagnose(meant.clusters, span, settings))
        if any(diagnosis.account_id for diagnosis in found):
            found = with_storage(found, check_storage(settings).problems)
        if output is ScreenOrJson.JSON:
            bodies = [_body(diagnosis) for diagnosis in found]
            print(json.dumps(bodies[0] if meant.is_one else bodies, indent=2))
        else:
            for diagnosis in found:
                _print(diagnosis)
    failed = any(finding.level is Level.FAILED for diagnosis in found for finding in diagnosis.findings)
    raise typer.Exit(exits.NO_SOURCE if failed else exits.OK)


async def _diagnose(clusters: "Sequence[AnyCluster]", window: "Window", settings: "Settings") -> "list[Diagnosis]":
    import asyncio

    from kubetally.wiring.diagnosis import diagnose

    return await asyncio.gather(*(diagnose(cluster, window, settings) for cluster in clusters))


def _body(diagnosis: "Diagnosis") -> dict[str, Any]:
    return {
        "url": diagnosis.place,
        "cloud_account_id": diagnosis.account_id,
        "account": diagnosis.account_name,
        "findings": [
            {"level": finding.level.value, "subject": finding.subject, "seen": finding.seen, "remedy": finding.remedy}
            for finding in diagnosis.findings
        ],
    }


def _print(diagnosis: "Diagnosis") -> None:
    """The findings, each with what to do about it."""
    from kubetally.present.screen import console, say

    out = console()
    say(out, " ".join(filter(None, (diagnosis.account_name, diagnosis.place))), style="bold")
    for finding in diagnosis.findings:
        say(out, f"  {finding.level.value:9}{finding.subject}: {finding.seen}", indent=11)
        if finding.remedy:
            say(out, f"           do: {finding.remedy}", indent=15)
