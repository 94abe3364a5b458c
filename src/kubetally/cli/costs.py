"""`kubetally costs`: what clusters cost, where, and how well it was used."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from kubetally.cli.answer_file import answer_to
from kubetally.cli.asking import Said, ask, exit_of, named, print_json
from kubetally.cli.options import (
    AccountNames,
    AsOf,
    ClusterId,
    Contexts,
    Currency,
    End,
    Format,
    Infrastructure,
    InfrastructureChoice,
    OutputFile,
    OutputFormat,
    PrometheusUrl,
    Quiet,
    Start,
    Strict,
    Tenant,
    Urls,
    WindowText,
    instant_of,
    window_of,
)
from kubetally.cli.start import start as start_up
from kubetally.domain.errors import RequestError
from kubetally.domain.report import CostReport, DetailLevel

if TYPE_CHECKING:
    from kubetally.domain.fleet import Failed

By = Annotated[DetailLevel, typer.Option("--by", help="How finely.")]


def costs(
    accounts: AccountNames = None,
    url: Urls = None,
    context: Contexts = None,
    cluster_id: ClusterId = None,
    currency: Currency = None,
    prometheus_url: PrometheusUrl = None,
    tenant: Tenant = None,
    window: WindowText = None,
    start: Start = None,
    end: End = None,
    as_of: AsOf = None,
    by: By = DetailLevel.SUMMARY,
    infrastructure: InfrastructureChoice = Infrastructure.MEASURED,
    output: OutputFormat = Format.TABLE,
    output_file: OutputFile = None,
    strict: Strict = False,
    quiet: Quiet = False,
) -> None:
    """Show what clusters cost.

    The bill by component, where it went, and how well it was used. The parts always add up to the total. Several
    clusters are asked at once.

    \b
    Examples:
      kubetally costs --url http://localhost:9003 --window 7d --by namespace
      kubetally costs --context prod
      kubetally costs prod staging --window yesterday
    """
    settings, legacy = start_up(quiet=quiet), infrastructure is Infrastructure.LEGACY_SUM
    instant = instant_of("--as-of", as_of)
    if legacy and instant is not None:
        raise RequestError(
            "the old sums are of the metrics as they are now: omit --infrastructure or --as-of", code="legacy_is_of_now"
        )
    span = window_of(window, start, end)
    said = Said(cluster_id, currency, prometheus_url, tenant)
    meant = named(accounts, url, context, said, settings, quiet=quiet)
    with answer_to(output_file):
        answers = ask(meant.clusters, span, settings, legacy=legacy, as_of=instant, quiet=quiet)
        show(answers, by, output, is_one=meant.is_one, quiet=quiet)
    raise typer.Exit(exit_of(answers, strict=strict))


def show(answers: "list[CostReport | Failed]", by: DetailLevel, output: Format, *, is_one: bool, quiet: bool) -> None:
    """Print the answers; `quiet`: without notes of how they are printed."""
    match output:
        case Format.JSON:
            from kubetally.present.answer import answer

            print_json(answers, lambda costs: answer(costs, by), is_one=is_one)
        case Format.CSV:
            from kubetally.present.csv_rows import write_csv

            write_csv(sys.stdout, answers, by)
        case Format.TABLE:
            from kubetally.present.tables import print_costs

            print_costs(answers, by, quiet=quiet)
