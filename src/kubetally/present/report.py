"""Infrastructure cost compared with full cost, as tables and as a body."""

from collections.abc import Sequence

from rich.console import Console

from kubetally.domain.money import to_number
from kubetally.domain.report import ClusterReport
from kubetally.domain.status import Status
from kubetally.domain.words import component_word
from kubetally.present.answer import head_body
from kubetally.present.comparison import Comparison, compare
from kubetally.present.grid import Grid
from kubetally.present.rounding import round_parts
from kubetally.present.screen import console, draws_lines, print_grid
from kubetally.present.tables import print_heading, print_notes, print_rounding
from kubetally.present.text import NOT_MEASURED, money

_BAR = 20


def print_comparisons(reports: Sequence[ClusterReport], *, quiet: bool = False) -> None:
    """Both tables of each cluster. quiet: without the note on rounding."""
    out = console()
    for costs in reports:
        _print_comparison(out, costs, compare(costs))
    if not quiet:
        print_rounding(out, reports, "--format json has")


def _print_comparison(out: Console, costs: ClusterReport, comparison: Comparison) -> None:
    print_heading(out, costs)
    if costs.status is not Status.NO_DATA:
        print_grid(out, _comparison(costs, comparison))
        out.print()
        print_grid(out, _shares(out, costs, comparison))
    print_notes(out, costs)


def _comparison(costs: ClusterReport, comparison: Comparison) -> Grid:
    full, part = comparison.full, comparison.infrastructure_permille
    infrastructure, left_out = round_parts([comparison.infrastructure, comparison.improvement])
    grid = Grid(["comparison"], [costs.currency, "of full"])
    grid.add(["infrastructure only (management, load balancers, network)"], [money(infrastructure), share(part)])
    grid.add(["full cost"], [money(full), share(None if part is None else 1000)])
    rest = share(None if part is None else 1000 - part)
    grid.add(["left out by infrastructure only"], [money(left_out), rest])
    return grid


def _shares(out: Console, costs: ClusterReport, comparison: Comparison) -> Grid:
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
    """`36.0 %`; a dash without a share."""
    return "-" if permille is None else f"{permille / 10:.1f} %"


def bar(permille: int | None, full: str, empty: str) -> str:
    """A bar of the share; empty for a share below zero."""
    filled = max(0, min(_BAR, round((permille or 0) * _BAR / 1000)))
    return full * filled + empty * (_BAR - filled)


def comparison_body(costs: ClusterReport, comparison: Comparison) -> dict[str, object]:
    """Both tables as plain JSON values."""
    known = costs.status is not Status.NO_DATA
    return {
        **head_body(costs),
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
