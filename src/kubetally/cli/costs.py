"""`kubetally costs`: what clusters cost, where, and how well it was used."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from kubetally.cli.answer_file import answer_to
from kubetally.cli.asking import ask, exit_of, print_json
from kubetally.cli.clusters import choose_clusters
from kubetally.cli.option_groups import with_option_groups
from kubetally.cli.options import (
    AnswerOptions,
    AsOf,
    ClusterOptions,
    Format,
    Infrastructure,
    InfrastructureChoice,
    OutputFormat,
    Strict,
    WindowOptions,
    instant_of,
)
from kubetally.cli.start import start as start_up
from kubetally.domain.errors import RequestError
from kubetally.domain.question.cost_question import DetailLevel
from kubetally.domain.report import ClusterReport

if TYPE_CHECKING:
    from kubetally.domain.fleet import Failed

By = Annotated[DetailLevel, typer.Option("--by", help="Level of detail.")]


@with_option_groups
def costs(
    *,
    clusters: ClusterOptions,
    window: WindowOptions,
    as_of: AsOf = None,
    by: By = DetailLevel.SUMMARY,
    infrastructure: InfrastructureChoice = Infrastructure.MEASURED,
    output: OutputFormat = Format.TABLE,
    strict: Strict = False,
    answer: AnswerOptions,
) -> None:
    """Show what clusters cost.

    Prints the cost of each component, where it went, and how efficiently it was used. The parts always add up to the
    total. Several clusters are read concurrently.

    \b
    Examples:
      kubetally costs --url http://localhost:9003 --window 7d --by namespace
      kubetally costs --context prod
      kubetally costs prod staging --window yesterday
    """
    settings, legacy = start_up(quiet=answer.quiet), infrastructure is Infrastructure.LEGACY_SUM
    instant = instant_of("--as-of", as_of)
    if legacy and instant is not None:
        raise RequestError(
            "the old sums are of the metrics as they are now: omit --infrastructure or --as-of", code="legacy_is_of_now"
        )
    span = window.read()
    chosen = choose_clusters(clusters, settings, quiet=answer.quiet)
    with answer_to(answer.output_file):
        answers = ask(chosen.clusters, span, settings, legacy=legacy, as_of=instant, quiet=answer.quiet)
        show(answers, by, output, is_one=chosen.is_one, quiet=answer.quiet)
    raise typer.Exit(exit_of(answers, strict=strict))


def show(
    answers: "list[ClusterReport | Failed]", by: DetailLevel, output: Format, *, is_one: bool, quiet: bool
) -> None:
    """Print the answers; `quiet`: without notes of how they are printed."""
    match output:
        case Format.JSON:
            from kubetally.present.answer import ClusterCosts, answer

            print_json(answers, ClusterCosts, lambda costs: answer(costs, by), is_one=is_one)
        case Format.CSV:
            from kubetally.present.csv_rows import write_csv

            write_csv(sys.stdout, answers, by)
        case Format.TABLE:
            from kubetally.present.tables import print_costs

            print_costs(answers, by, quiet=quiet)
