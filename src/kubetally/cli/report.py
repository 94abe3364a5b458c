"""`kubetally report`: infrastructure cost beside the full cost, and how the full cost divides."""

from typing import TYPE_CHECKING

import typer

from kubetally.cli.answer_file import answer_to
from kubetally.cli.asking import Said, ask, exit_of, named, print_json
from kubetally.cli.options import (
    AccountNames,
    ClusterId,
    Contexts,
    Currency,
    End,
    OutputFile,
    PrometheusUrl,
    Quiet,
    ScreenOrJson,
    ScreenOrJsonFormat,
    Start,
    Strict,
    Tenant,
    Urls,
    WindowText,
    window_of,
)
from kubetally.cli.start import start as start_up
from kubetally.domain.cluster_costs import ClusterCosts, Status
from kubetally.domain.money import to_number

if TYPE_CHECKING:
    from rich.console import Console

    from kubetally.cli.grid import Grid
    from kubetally.present.comparison import Comparison

_BAR = 20


def report(
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
    output: ScreenOrJsonFormat = ScreenOrJson.TABLE,
    output_file: OutputFile = None,
    strict: Strict = False,
    quiet: Quiet = False,
) -> None:
    """Compare infrastructure cost with full cost.

    Infrastructure is management, load balancers and network: what can be seen without asking who used the nodes. Each
    component's share of the full cost stands below; the shares add up to 100 %.

    \b
    Example:
      kubetally report --url http://localhost:9003 --window 7d
    """
    from kubetally.cli.screen import console
    from kubetally.cli.tables import print_rounding
    from kubetally.present.comparison import compare

    settings = start_up(quiet=quiet)
    span = window_of(window, start, end)
    said = Said(cluster_id, currency, prometheus_url, tenant)
    meant = named(accounts, url, context, said, settings, quiet=quiet)
    with answer_to(output_file):
        answers = ask(meant.clusters, span, settings, quiet=quiet)
        if output is ScreenOrJson.JSON:
            print_json(answers, lambda costs: _body(costs, compare(costs)), is_one=meant.is_one)
        else:
            out, read = console(), [costs for costs in answers if isinstance(costs, ClusterCosts)]
            for costs in read:
                print_report(out, costs, compare(costs))
            if not quiet:
                print_rounding(out, read, "--format json has")
    raise typer.Exit(exit_of(answers, strict=strict))


def print_report(out: "Console", costs: ClusterCosts, comparison: "Comparison") -> None:
    """Both tables of one cluster."""
    from kubetally.cli.screen import print_grid
    from kubetally.cli.tables import print_heading, print_notes

    print_heading(out, costs)
    if costs.status is not Status.NO_DATA:
        print_grid(out, _comparison(costs, comparison))
        out.print()
        print_grid(out, _shares(out, costs, comparison))
    print_notes(out, costs)


def _comparison(costs: ClusterCosts, comparison: "Comparison") -> "Grid":
    from kubetally.cli.grid import Grid
    from kubetally.present.rounding import round_parts
    from kubetally.present.text import money

    full, part = comparison.full, comparison.infrastructure_permille
    infrastructure, left_out = round_parts([comparison.infrastructure, comparison.improvement])
    grid = Grid(["comparison"], [costs.currency, "of full"])
    grid.add(["infrastructure only (management, load balancers, network)"], [money(infrastructure), share(part)])
    grid.add(["full cost"], [money(full), share(None if part is None else 1000)])
    rest = share(None if part is None else 1000 - part)
    grid.add(["left out by infrastructure only"], [money(left_out), rest])
    return grid


def _shares(out: "Console", costs: ClusterCosts, comparison: "Comparison") -> "Grid":
    from kubetally.cli.grid import Grid
    from kubetally.cli.screen import draws_lines
    from kubetally.domain.words import component_word
    from kubetally.present.rounding import round_parts
    from kubetally.present.text import NOT_MEASURED, money

    grid = Grid(["component"], [costs.currency, "share", ""])
    marks = ("█", "░") if draws_lines(out) else ("#", ".")
    amounts = round_parts([part.cost for part in comparison.shares])
    for part, amount in zip(comparison.shares, amounts, strict=True):
        if part.component in costs.not_measured:
            grid.add([component_word(part.component)], instead=NOT_MEASURED)
        elif part.cost:
            cells = [money(amount), share(part.permille), bar(part.permille, *marks)]
            grid.add([component_word(part.component)], cells)
    whole = None if comparison.infrastructure_permille is None else 1000
    grid.add(["total"], [money(comparison.full), share(whole)], style="bold")
    return grid


def share(permille: int | None) -> str:
    """`36.0 %`; a dash where there is none."""
    return "-" if permille is None else f"{permille / 10:.1f} %"


def bar(permille: int | None, full: str, empty: str) -> str:
    """A bar as long as the share; a share below zero has none."""
    filled = max(0, min(_BAR, round((permille or 0) * _BAR / 1000)))
    return full * filled + empty * (_BAR - filled)


def _body(costs: ClusterCosts, comparison: "Comparison") -> dict[str, object]:
    from kubetally.present.answer import issue_body, source_body

    known = costs.status is not Status.NO_DATA
    return {
        "cloud_account_id": costs.source.account_id,
        "account": costs.source.account_name,
        "source": source_body(costs.source),
        "status": costs.status.value,
        "not_measured": sorted(f"{component}_cost" for component in costs.not_measured),
        "errors": [issue_body(issue) for issue in costs.issues if issue.is_missing_data],
        "currency": costs.currency,
        "currency_assumed": costs.currency_assumed,
        "infrastructure_cost": to_number(comparison.infrastructure) if known else None,
        "total_cost": to_number(comparison.full) if known else None,
        "left_out_cost": to_number(comparison.improvement) if known else None,
        "shares": [
            {
                "component": part.component.value,
                "cost": None if unknown else to_number(part.cost),
                "share_percent": None if part.permille is None or unknown else part.permille / 10,
            }
            for part, unknown in ((part, part.component in costs.not_measured) for part in comparison.shares)
            if known
        ],
    }
