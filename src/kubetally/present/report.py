"""Infrastructure cost compared with full cost, as tables and as a body."""

from collections.abc import Sequence

from msgspec import Struct, to_builtins
from rich.console import Console

from kubetally.domain.money import to_number
from kubetally.domain.report import ClusterReport
from kubetally.domain.status import Status
from kubetally.domain.words import component_word
from kubetally.present.answer import Head, Json
from kubetally.present.comparison import Comparison, Share, compare
from kubetally.present.grid import Grid
from kubetally.present.rounding import round_parts
from kubetally.present.screen import console, draws_lines, print_grid
from kubetally.present.tables import print_heading, print_notes, print_rounding
from kubetally.present.text import NOT_MEASURED, money

_BAR = 20


class _Share(Struct, forbid_unknown_fields=True):
    component: str
    cost: float | None
    share_percent: float | None


class InfrastructureReport(Head, forbid_unknown_fields=True, kw_only=True):
    """The body of a report: infrastructure cost, full cost, and the share of each component. Null without data."""

    infrastructure_cost: float | None
    total_cost: float | None
    left_out_cost: float | None
    shares: list[_Share]


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
    full, empty = ("█", "░") if draws_lines(out) else ("#", ".")
    for part in comparison.shares:
        if part.component in costs.not_measured:
            grid.add([component_word(part.component)], instead=NOT_MEASURED)
        elif part.cost:
            cells = [money(part.cost), share(part.permille), bar(part.permille, full=full, empty=empty)]
            grid.add([component_word(part.component)], cells)
    whole = None if comparison.infrastructure_permille is None else 1000
    grid.add(["total"], [money(comparison.full), share(whole)], style="bold")
    return grid


def share(permille: int | None) -> str:
    """`36.0 %`; a dash without a share."""
    return "-" if permille is None else f"{permille / 10:.1f} %"


def bar(permille: int | None, *, full: str, empty: str) -> str:
    """A bar of the share; empty for a share below zero."""
    filled = max(0, min(_BAR, round((permille or 0) * _BAR / 1000)))
    return full * filled + empty * (_BAR - filled)


def comparison_body(costs: ClusterReport, comparison: Comparison) -> Json:
    """Both tables as plain values, with the keys of `InfrastructureReport`."""
    known = costs.status is not Status.NO_DATA
    body = InfrastructureReport.of(
        costs,
        infrastructure_cost=to_number(comparison.infrastructure) if known else None,
        total_cost=to_number(comparison.full) if known else None,
        left_out_cost=to_number(comparison.improvement) if known else None,
        shares=[_share_body(part, costs) for part in comparison.shares] if known else [],
    )
    plain: Json = to_builtins(body)
    return plain


def _share_body(part: Share, costs: ClusterReport) -> _Share:
    if part.component in costs.not_measured:
        return _Share(part.component.value, None, None)
    return _Share(part.component.value, to_number(part.cost), None if part.permille is None else part.permille / 10)
