"""Costs as tables for people. Money is rounded on screen only."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from kubetally.cli.grid import Grid
from kubetally.cli.screen import console, name_of, print_grid, say
from kubetally.domain.cluster_costs import ClusterCosts, DetailLevel, NamespaceCosts, Status, WorkloadCosts
from kubetally.domain.component import Component, Costs
from kubetally.domain.efficiency import Efficiency
from kubetally.domain.issues import IssueKind
from kubetally.domain.series import LegacySums
from kubetally.domain.words import component_word, hours_words, window_words
from kubetally.ledger.accounts.duplicates import FleetSum, fleet_sums
from kubetally.present.text import (
    BALANCE,
    NOT_MEASURED,
    UNKNOWN,
    balance_of,
    causes_in_words,
    currency_words,
    efficiency_in_words,
    hours_of,
    money,
    notes_of,
    percent,
    savings_in_words,
    status_words,
    total_balance,
)
from kubetally.present.verification import Verification, verify

if TYPE_CHECKING:
    from kubetally.ledger.costs.cost_reader import Failed

_TOTAL, _LINE = "bold", "dim"
ASSUMED = (
    "* assumed: neither source nor account states the currency; `kubetally accounts update NAME --currency CODE` does."
)


def print_costs(answers: "Sequence[ClusterCosts | Failed]", by: DetailLevel, *, quiet: bool = False) -> None:
    """Each cluster's costs as finely as asked; several clusters begin with an overview.

    quiet: without the note on rounding.
    """
    out = console()
    if len(answers) > 1:
        _print_overview(out, answers)
    read = [answer for answer in answers if isinstance(answer, ClusterCosts)]
    for costs in read:
        print_heading(out, costs)
        if costs.status is not Status.NO_DATA:
            if by is DetailLevel.SUMMARY:
                print_balance(out, costs)
            else:
                _print_breakdown(out, costs, by)
        print_notes(out, costs)
    if not quiet:
        print_rounding(out, read, "--format json and csv have")


def print_rounding(out: Console, read: Sequence[ClusterCosts], where: str) -> None:
    """That what is on screen is rounded, where there is anything: rounded parts need not add up to a rounded whole."""
    if any(costs.status is not Status.NO_DATA for costs in read):
        say(out, f"Figures are rounded on screen; {where} all six decimals.", style="dim")


def print_heading(out: Console, costs: ClusterCosts) -> None:
    """Which cluster, from where, for when, and how sure."""
    source = costs.source
    product = " ".join(filter(None, (source.product, source.version)))
    told = " ".join(filter(None, (name_of(source), source.url if name_of(source) != source.url else "")))
    say(out, told + (f", {product}" if product else ""), indent=2, style="bold")
    say(
        out,
        f"{window_words(costs.window)}, {hours_of(costs)} h, {status_words(costs)}, {currency_words(costs)}",
        indent=2,
    )


def print_balance(out: Console, costs: ClusterCosts) -> None:
    """What each component cost, and where it went; the columns after `cost` add up to it."""
    checked = verify(costs, 0)
    grid, unknown = Grid(["component"], BALANCE), costs.not_measured
    for row in checked.components:
        if row.component in unknown:
            grid.add([component_word(row.component)], instead=NOT_MEASURED)
        elif any(balance_of(row)):
            grid.add([component_word(row.component)], [*map(money, balance_of(row))])
    grid.add(["total"], [*map(money, total_balance(checked))], style=_TOTAL)
    print_grid(out, grid)
    _print_causes(out, checked)
    if costs.legacy is not None and costs.legacy.total is not None:
        say(out, _old_sums(costs, costs.legacy), indent=2)
    say(out, efficiency_in_words(costs))
    if (savings := savings_in_words(costs)) is not None:
        say(out, savings)


def _old_sums(costs: ClusterCosts, sums: LegacySums) -> str:
    whole = (
        None
        if sums.total is None or costs.status is Status.NO_DATA
        else costs.bill.cpu + costs.bill.ram + costs.bill.pv + sums.total
    )
    return (
        f"Old sums of metrics, no costs: management {money(sums.management)}, balancers {money(sums.load_balancer)}, "
        f"network {money(sums.network)}; with CPU, RAM and volumes {money(whole)}"
    )


def print_notes(out: Console, costs: ClusterCosts) -> None:
    """What is wrong with the data, missing ones first, and an empty line."""
    for note in notes_of(costs):
        when = f" ({'; '.join(map(window_words, note.windows))})" if note.windows else ""
        say(out, f"  {note.mark}: {note.message}{when}", indent=4)
    out.print()


def _print_overview(out: Console, answers: "Sequence[ClusterCosts | Failed]") -> None:
    """One row a cluster, and a sum for each currency: unlike ones are never added."""
    grid = Grid(
        ["cluster", "status"],
        ["total", "source shows", "idle", "difference", "CPU eff.", "RAM eff.", "eff.", "hours"],
    )
    shown = []
    for answer in answers:
        if not isinstance(answer, ClusterCosts):
            continue
        if answer.status is Status.NO_DATA:
            grid.add([name_of(answer.source), "no data"], [*[UNKNOWN] * 7, hours_of(answer)])
        else:
            shown.append(answer)
            grid.add([name_of(answer.source), status_words(answer)], _overview_figures(answer))
    grid.rule()
    read = [answer for answer in answers if isinstance(answer, ClusterCosts)]
    sums, has_failed = fleet_sums(read), len(read) < len(answers)
    for fleet in sums:
        state = "hours missing" if fleet.incomplete else "clusters missing" if has_failed else ""
        grid.add([f"sum in {fleet.currency}", state], _sum_figures(fleet), style=_TOTAL)
    print_grid(out, grid)
    if any(costs.currency_assumed for costs in shown):
        say(out, ASSUMED, indent=2)
    for fleet in sums:
        lacking = [f"{name_of(costs.source)} {hours_words(hours)}" for costs, hours in fleet.incomplete]
        if lacking:
            say(out, f"missing in the sum in {fleet.currency}: {', '.join(lacking)}", indent=2)
    if any(issue.kind is IssueKind.SAME_CLUSTER_TWICE for costs in shown for issue in costs.issues):
        say(out, "A cluster is in the sum more than once: see the notes below.", indent=2, style="bold")
    for answer in answers:
        if not isinstance(answer, ClusterCosts):
            say(out, f"failed, and not in the sum: {name_of(answer.source)}", indent=2)
    out.print()


def _sum_figures(fleet: FleetSum) -> list[str]:
    return [
        f"{money(fleet.total)} {fleet.currency}{_mark(fleet.currency_assumed)}",
        money(fleet.source_total),
        money(fleet.idle),
        money(fleet.difference),
        *map(percent, fleet.efficiency),
        f"{fleet.hours_covered:g} of {fleet.hours_asked:g}",
    ]


def _mark(is_assumed: bool) -> str:
    return "*" if is_assumed else ""


def _overview_figures(costs: ClusterCosts) -> list[str]:
    lines = {line.kind.value: line.costs.total for line in costs.lines()}
    return [
        f"{money(costs.bill.total)} {costs.currency}{_mark(costs.currency_assumed)}",
        money(costs.source_total),
        money(lines["idle"]),
        money(lines["difference"]),
        *map(percent, costs.efficiency),
        hours_of(costs),
    ]


def _print_causes(out: Console, checked: Verification) -> None:
    for words in causes_in_words(checked):
        say(out, f"  {words}", indent=4)


def _print_breakdown(out: Console, costs: ClusterCosts, by: DetailLevel) -> None:
    groups: Sequence[NamespaceCosts | WorkloadCosts]
    groups = costs.namespaces() if by is DetailLevel.NAMESPACE else costs.workloads()
    shown = [one for one in Component if costs.bill.of(one) or any(group.costs.of(one) for group in groups)]
    names = ["namespace"] if by is DetailLevel.NAMESPACE else ["namespace", "controller", "pods"]
    grid = Grid(names, ["total", *map(component_word, shown), "CPU eff.", "RAM eff."])
    for group in groups:
        grid.add(_names(group), [*_amounts(group.costs, shown), *_ratios(group.efficiency)])
    grid.rule()
    for line in costs.lines():
        grid.add([line.kind.value], _amounts(line.costs, shown), style=_LINE)
    grid.add(["total"], [*_amounts(costs.bill, shown), *_ratios(costs.efficiency)], style=_TOTAL)
    print_grid(out, grid)
    _print_causes(out, verify(costs, 0))
    if costs.legacy is not None and costs.legacy.total is not None:
        say(out, _old_sums(costs, costs.legacy), indent=2)


def _names(group: NamespaceCosts | WorkloadCosts) -> list[str]:
    names = [group.namespace or "(no namespace)"]
    if isinstance(group, WorkloadCosts):
        kind, name = group.controller_kind, group.controller
        names += [f"{kind or 'controller'} {name}" if name else "(no controller)", str(len(group.pods))]
    return names


def _amounts(costs: Costs, shown: Sequence[Component]) -> list[str]:
    return [money(costs.total), *(money(costs.of(component)) for component in shown)]


def _ratios(efficiency: Efficiency) -> list[str]:
    return [percent(efficiency.cpu), percent(efficiency.ram)]
