"""`kubetally doctor`: what a source is, what it can answer, what is missing."""

import json
from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from kubetally.cli import exits
from kubetally.cli.answer_file import answer_to
from kubetally.cli.clusters import choose_clusters
from kubetally.cli.option_groups import with_option_groups
from kubetally.cli.options import (
    WINDOW_FORMS,
    AnswerOptions,
    ClusterOptions,
    ScreenOrJson,
    ScreenOrJsonFormat,
    WindowOptions,
)
from kubetally.cli.start import start as start_up

Places = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="URL|ACCOUNT",
        help="URLs of an OpenCost or Kubecost, names or ids of accounts; default: all accounts.",
    ),
]
OneDay = Annotated[
    str | None,
    typer.Option(
        "--window", metavar="WINDOW", help=f"{WINDOW_FORMS} Its first day is read. Default: yesterday, in UTC."
    ),
]


@dataclass(frozen=True)
class DiagnosedClusters(ClusterOptions):
    """The same options, with another help for the arguments."""

    accounts: Places = None


@dataclass(frozen=True)
class DiagnosedDay(WindowOptions):
    """A window of which the first day counts."""

    default: ClassVar[str] = "yesterday"

    window: OneDay = None


@with_option_groups
def doctor(
    *,
    clusters: DiagnosedClusters,
    window: DiagnosedDay,
    output: ScreenOrJsonFormat = ScreenOrJson.TABLE,
    answer: AnswerOptions,
) -> None:
    """Check what sources can answer, and what is missing.

    Each finding says what to do about it. One day is read and booked. Exits 3 if the costs of any cluster can't be
    read, or the Prometheus that is set for it.

    \b
    Examples:
      kubetally doctor http://localhost:9003
      kubetally doctor prod
    """
    from kubetally.present.findings import findings_body, print_findings
    from kubetally.wiring.diagnosis import diagnose

    settings = start_up(quiet=answer.quiet)
    span = window.read()
    choice = choose_clusters(clusters, settings, quiet=answer.quiet)
    with answer_to(answer.output_file):
        diagnoses = diagnose(choice.clusters, span, settings)
        if output is ScreenOrJson.JSON:
            bodies = [findings_body(diagnosis) for diagnosis in diagnoses]
            print(json.dumps(bodies[0] if choice.is_one else bodies, indent=2))
        else:
            print_findings(diagnoses)
    raise typer.Exit(exits.NO_SOURCE if any(diagnosis.has_failed for diagnosis in diagnoses) else exits.OK)
