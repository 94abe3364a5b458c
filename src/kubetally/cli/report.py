"""`kubetally report`: infrastructure cost beside the full cost, and how the full cost divides."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from kubetally.cli.options import (
    ClusterId,
    Currency,
    End,
    Format,
    Start,
    Urls,
    WindowText,
    clusters_of,
    window_of,
)
from kubetally.domain.cluster_costs import ClusterCosts, Status
from kubetally.domain.money import to_number

if TYPE_CHECKING:
    from rich.console import Console

    from kubetally.ledger.comparison import Comparison

_BAR = 20


def report(
    url: Urls = None,
    cluster_id: ClusterId = None,
    currency: Currency = None,
    window: WindowText = None,
    start: Start = None,
    end: End = None,
    output: Annotated[Format, typer.Option("--format", help="table or json.")] = Format.TABLE,
) -> None:
    """Compare infrastructure cost with the full cost, and show each component's share; shares add up to 100 %.

    Example: kubetally report --url http://localhost:9003 --window 7d
    """
    from kubetally.cli.costs import ask, exit_of
    from kubetally.cli.tables import console
    from kubetally.ledger.comparison import compare
    from kubetally.settings import Settings

    if output is Format.CSV:
        raise typer.BadParameter("report prints a table or json", param_hint="--format")
    settings = Settings.read()
    span = window_of(window, start, end)
    answers = ask(clusters_of(url, cluster_id, currency, settings), span, settings)
    read = [costs for costs in answers if isinstance(costs, ClusterCosts)]
    if output is Format.JSON:
        bodies = [_body(costs, compare(costs)) for costs in read]
        print(json.dumps(bodies[0] if len(bodies) == 1 else bodies, indent=2))
    else:
        out = console()
        for costs in read:
            print_report(out, costs, compare(costs))
    raise typer.Exit(exit_of(answers))


def print_report(out: "Console", costs: ClusterCosts, comparison: "Comparison") -> None:
    """Both tables of one cluster."""
    from kubetally.cli.tables import component_word, money, new_table, print_heading

    print_heading(out, costs)
    if costs.status is Status.NO_DATA:
        return
    full, infrastructure = comparison.full, comparison.infrastructure
    part = infrastructure * 100 / full if full > 0 else None
    table = new_table(["comparison"], [costs.currency, "of full"], out=out)
    table.add_row("infrastructure only (management, balancers, network)", money(infrastructure), _percent(part))
    table.add_row("full cost", money(full), _percent(100.0 if full > 0 else None))
    table.add_row(
        "left out by infrastructure only", money(comparison.improvement), _percent(None if part is None else 100 - part)
    )
    out.print(table)
    out.print()
    shares = new_table(["component"], [costs.currency, "share", ""], out=out)
    shares.columns[-1].justify = "left"
    for share in comparison.shares:
        if share.component in costs.not_measured:
            shares.add_row(component_word(share.component), "not measured", "", "")
        elif share.cost or share.permille:
            shares.add_row(
                component_word(share.component), money(share.cost), _share(share.permille), _bar(share.permille)
            )
    shares.add_row("total", money(full), _share(1000 if full > 0 else None), "", style="bold")
    out.print(shares)
    out.print()


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} %"


def _share(permille: int | None) -> str:
    return (
        "-"
        if permille is None
        else f"{permille // 10}.{permille % 10} %"
        if permille >= 0
        else f"-{-permille / 10:.1f} %"
    )


def _bar(permille: int | None) -> str:
    filled = max(0, min(_BAR, round((permille or 0) * _BAR / 1000)))
    return "█" * filled + "░" * (_BAR - filled)


def _body(costs: ClusterCosts, comparison: "Comparison") -> dict[str, object]:
    from kubetally.ledger.answer import source_body

    known = costs.status is not Status.NO_DATA
    return {
        "source": source_body(costs.source),
        "status": costs.status.value,
        "currency": costs.currency,
        "infrastructure_cost": to_number(comparison.infrastructure) if known else None,
        "total_cost": to_number(comparison.full) if known else None,
        "left_out_cost": to_number(comparison.improvement) if known else None,
        "shares": [
            {
                "component": share.component.value,
                "cost": None if share.component in costs.not_measured else to_number(share.cost),
                "share_percent": None if share.permille is None else share.permille / 10,
            }
            for share in comparison.shares
            if known
        ],
    }
