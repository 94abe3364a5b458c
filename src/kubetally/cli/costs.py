"""`kubetally costs`: what clusters cost, where, and how well it was used."""

import sys
from typing import TYPE_CHECKING

import typer

from kubetally.cli.answer_file import answer_to
from kubetally.cli.asking import ask, exit_of, print_json
from kubetally.cli.clusters import choose_clusters
from kubetally.cli.grouped_costs import grouped_costs
from kubetally.cli.grouping import By, GroupingOptions, grouped_question, level_of
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


@with_option_groups
def costs(
    *,
    clusters: ClusterOptions,
    window: WindowOptions,
    as_of: AsOf = None,
    by: By = DetailLevel.SUMMARY.value,
    grouping: GroupingOptions,
    infrastructure: InfrastructureChoice = Infrastructure.MEASURED,
    output: OutputFormat = Format.TABLE,
    strict: Strict = False,
    answer: AnswerOptions,
) -> None:
    """Show what clusters cost.

    Prints the cost of each component, where it went, and how efficiently it was used. The parts always add up to the
    total. Several clusters are read concurrently. Grouped by anything but summary, namespace and workload, or with an
    option from --step to --compare-with, all clusters are one report: that of GET /api/v1/costs or compare. Without a
    named cluster it counts the stored days of removed accounts, too.

    \b
    Examples:
      kubetally costs --url http://localhost:9003 --window 7d --by namespace
      kubetally costs --context prod
      kubetally costs prod staging --window yesterday
      kubetally costs --by label:team --step week --window 2026-11
      kubetally costs --by cluster,pod --filter 'namespace:"shop"' --top 10
      kubetally costs --by namespace --window 2026-10 --compare-with 2026-09
    """
    settings = start_up(quiet=answer.quiet)
    instant, span = instant_of("--as-of", as_of), grouping.read_window(window)
    legacy = infrastructure is Infrastructure.LEGACY_SUM
    if legacy and instant is not None:
        raise RequestError(
            "the old sums are of the metrics as they are now: omit --infrastructure or --as-of", code="legacy_is_of_now"
        )
    level = None if grouping.given or output is Format.PARQUET else level_of(by)
    if level is None:
        question = grouped_question(by, grouping, span, instant, output, legacy=legacy, file=answer.output_file)
    choice = choose_clusters(clusters, settings, quiet=answer.quiet)
    with answer_to(answer.output_file):
        if level is None:
            code = grouped_costs(question, choice, settings, output, strict=strict, quiet=answer.quiet)
        else:
            answers = ask(choice.clusters, span, settings, legacy=legacy, as_of=instant, quiet=answer.quiet)
            show(answers, level, output, is_one=choice.is_one, quiet=answer.quiet)
            code = exit_of(answers, strict=strict)
    raise typer.Exit(code)


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
