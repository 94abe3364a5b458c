"""`kubetally doctor`: what a source is, what it can answer, what is missing."""

import json
from typing import Annotated

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
    from kubetally.present.findings import findings_body, print_findings
    from kubetally.wiring.diagnosis import diagnose

    settings = start_up(quiet=quiet)
    span = window_of(window, start, end, default="yesterday")
    said = Said(cluster_id, currency, prometheus_url, tenant)
    meant = named(places, url, context, said, settings, quiet=quiet)
    with answer_to(output_file):
        diagnoses = diagnose(meant.clusters, span, settings)
        if output is ScreenOrJson.JSON:
            bodies = [findings_body(diagnosis) for diagnosis in diagnoses]
            print(json.dumps(bodies[0] if meant.is_one else bodies, indent=2))
        else:
            print_findings(diagnoses)
    raise typer.Exit(exits.NO_SOURCE if any(diagnosis.has_failed for diagnosis in diagnoses) else exits.OK)
