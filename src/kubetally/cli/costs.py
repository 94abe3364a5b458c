"""`kubetally costs`: what clusters cost, where, and how well it was used."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kubetally.cli import exits
from kubetally.cli.options import (
    ClusterId,
    Currency,
    End,
    Format,
    OutputFormat,
    Start,
    Urls,
    WindowText,
    clusters_of,
    window_of,
)
from kubetally.cli.start import start as start_up
from kubetally.domain.cluster_costs import ClusterCosts, DetailLevel

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubetally.domain.window import Clock, Window
    from kubetally.settings import Settings
    from kubetally.wiring import Cluster, Failed

By = Annotated[DetailLevel, typer.Option("--by", help="How finely.")]


def costs(
    url: Urls = None,
    cluster_id: ClusterId = None,
    currency: Currency = None,
    window: WindowText = None,
    start: Start = None,
    end: End = None,
    by: By = DetailLevel.SUMMARY,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Show what clusters cost.

    The bill by component, where it went, and how well it was used. The parts always add up to the total. Several
    clusters are asked at once.

    \b
    Example:
      kubetally costs --url http://localhost:9003 --window 7d --by namespace
    """
    settings = start_up()
    span = window_of(window, start, end)
    answers = ask(clusters_of(url, cluster_id, currency, settings), span, settings)
    show(answers, by, output)
    raise typer.Exit(exit_of(answers))


def ask(
    clusters: "list[Cluster]", window: "Window", settings: "Settings", clock: "Clock | None" = None
) -> "list[ClusterCosts | Failed]":
    """All clusters' answers, in order, with progress on a terminal; why one failed goes to standard error."""
    import asyncio

    from kubetally.cli.progress import progress
    from kubetally.wiring import get_costs_of_all

    with progress(len(clusters)) as done:
        answers = asyncio.run(get_costs_of_all(clusters, window, settings=settings, clock=clock, done=done))
    for answer in answers:
        if not isinstance(answer, ClusterCosts):
            exits.complain(str(answer.error))
    return answers


def show(answers: "list[ClusterCosts | Failed]", by: DetailLevel, output: Format) -> None:
    """Print the answers."""
    match output:
        case Format.JSON:
            from kubetally.ledger.answer import answer

            print_json(answers, lambda costs: answer(costs, by))
        case Format.CSV:
            from kubetally.cli.csv_rows import write_csv

            write_csv(sys.stdout, answers, by)
        case Format.TABLE:
            from kubetally.cli.tables import print_costs

            print_costs(answers, by)


def print_json(answers: "list[ClusterCosts | Failed]", body_of: "Callable[[ClusterCosts], dict[str, Any]]") -> None:
    """One body where one cluster was asked, a list of them for several; a cluster that failed has its place in it."""
    from kubetally.ledger.answer import failure

    bodies = [
        body_of(answer) if isinstance(answer, ClusterCosts) else failure(answer.error, answer.source)
        for answer in answers
    ]
    print(json.dumps(bodies[0] if len(bodies) == 1 else bodies, indent=2, allow_nan=False))


def exit_of(answers: "list[ClusterCosts | Failed]") -> int:
    """0 while any source answered, else what the first failure is."""
    if any(isinstance(answer, ClusterCosts) for answer in answers):
        return exits.OK
    return next(exits.exit_code(answer.error) for answer in answers if not isinstance(answer, ClusterCosts))
