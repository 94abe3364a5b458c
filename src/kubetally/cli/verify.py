"""`kubetally verify`: our total beside the source's own."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from kubetally.cli import exits
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
from kubetally.domain.errors import RequestError
from kubetally.domain.money import to_number

if TYPE_CHECKING:
    from kubetally.ledger.verification import Verification


class InvalidTolerance(RequestError):
    """A tolerance that is no share."""

    code = "invalid_tolerance"

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(f"the tolerance {text!r} is none: write 5% or 0.05")


def verify(
    url: Urls = None,
    cluster_id: ClusterId = None,
    currency: Currency = None,
    window: WindowText = None,
    start: Start = None,
    end: End = None,
    tolerance: Annotated[str, typer.Option(help="Largest difference of the totals: 5% or 0.05.")] = "5%",
    output: Annotated[Format, typer.Option("--format", help="table or json.")] = Format.TABLE,
) -> None:
    """Compare our total with the source's own for the same window, and show where they part.

    The source's own is what its allocations come to, idle with them. Exits 1 when a cluster is past the tolerance.

    Example: kubetally verify --url http://localhost:9003 --window yesterday --tolerance 5%
    """
    from kubetally.cli.costs import ask, exit_of
    from kubetally.ledger.verification import verify as compare
    from kubetally.settings import Settings

    if output is Format.CSV:
        raise typer.BadParameter("verify prints a table or json", param_hint="--format")
    allowed = parse_tolerance(tolerance)
    settings = Settings.read()
    span = window_of(window, start, end)
    answers = ask(clusters_of(url, cluster_id, currency, settings), span, settings)
    read = [costs for costs in answers if isinstance(costs, ClusterCosts)]
    checked = [(costs, compare(costs, allowed)) for costs in read]
    if output is Format.JSON:
        bodies = [_body(costs, check) for costs, check in checked]
        print(json.dumps(bodies[0] if len(bodies) == 1 else bodies, indent=2))
    else:
        _print(checked)
    past = any(not check.is_within for costs, check in checked if costs.status is not Status.NO_DATA)
    raise typer.Exit(exits.PAST_TOLERANCE if past else exit_of(answers))


def parse_tolerance(text: str) -> float:
    """A fraction from `5%` or `0.05`. Raises InvalidTolerance."""
    number, is_percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        value = float(number)
    except ValueError:
        raise InvalidTolerance(text) from None
    fraction = value / 100 if is_percent else value
    # A bare 5 would be 500 %: nobody means that.
    if not 0 <= fraction <= 1:
        raise InvalidTolerance(text)
    return fraction


def _print(checked: "list[tuple[ClusterCosts, Verification]]") -> None:
    from kubetally.cli.tables import console, money, print_balance, print_heading, print_notes

    out = console()
    for costs, check in checked:
        print_heading(out, costs)
        if costs.status is Status.NO_DATA:
            out.print("  nothing to compare: the source holds no data of this window")
            continue
        print_balance(out, costs)
        verdict = "within" if check.is_within else "PAST"
        difference = "no percentage" if check.difference is None else f"{check.difference:+.4%}"
        out.print(
            f"{verdict} the tolerance of {check.tolerance:g}: ours {money(check.ours)}, the source shows "
            f"{money(check.source_shows)} {costs.currency}, {difference}"
        )
        print_notes(out, costs)


def _body(costs: ClusterCosts, check: "Verification") -> dict[str, object]:
    from kubetally.ledger.answer import source_body

    return {
        "source": source_body(costs.source),
        "status": costs.status.value,
        "currency": costs.currency,
        "total_cost": to_number(check.ours),
        "source_total_cost": to_number(check.source_shows),
        "difference": check.difference,
        "tolerance": check.tolerance,
        "within_tolerance": check.is_within,
        "audited": costs.audited,
        "balance": [
            {
                "component": row.component.value,
                "bill": to_number(row.bill),
                "workload": to_number(row.workload),
                "idle": to_number(row.idle),
                "unmounted": to_number(row.unmounted),
                "overhead": to_number(row.overhead),
                "unexplained": to_number(row.unexplained),
                "source_shows": to_number(row.source_shows),
                "causes": [{"cause": cause.value, "cost": to_number(amount)} for cause, amount in row.causes],
            }
            for row in check.components
        ],
    }
