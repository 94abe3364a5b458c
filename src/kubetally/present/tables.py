"""Costs as tables."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console

from kubetally.domain.allocation import Kind
from kubetally.domain.component import Component
from kubetally.domain.efficiency import Efficiency
from kubetally.domain.fleet import FleetSum, fleet_sums
from kubetally.domain.issues import IssueKind
from kubetally.domain.question.cost_question import GROUPS, DetailLevel
from kubetally.domain.report import ClusterReport, CostRow
from kubetally.domain.series import LegacySums
from kubetally.domain.status import Status
from kubetally.domain.words import component_word, hours_words, window_words
from kubetally.present.grid import Grid
from kubetally.present.rounding import round_parts, round_table
from kubetally.present.screen import console, name_of, print_grid, say
from kubetally.present.text import (
    BALANCE,
    NOT_MEASURED,
    UNKNOWN,
    BalanceTable,
    balance_table,
    causes_in_words,
    currency_words,
    efficiency_in_words,
    hours_of,
    money,
    notes_of,
    percent,
    rounding_words,
    savings_in_words,
    status_words,
    zero_words,
)
from kubetally.present.verification import Verification, verify

if TYPE_CHECKING:
    from kubetally.domain.fleet import Failed

_TOTAL, _LINE = "bold", "dim"


def print_costs(answers: "Sequence[ClusterReport | Failed]", by: DetailLevel, *, quiet: bool = False) -> None:
    """The costs of each cluster at the level of detail `by`; an overview first if there are several.

    quiet: without the note on rounding.
    """
    out = console()
    if len(answers) > 1:
        _print_overview(out, answers)
    read = [answer for answer in answers if isinstance(answer, ClusterReport)]
    for costs in read:
        print_heading(out, costs)
        if costs.status is not Status.NO_DATA:
            if by is DetailLevel.SUMMARY:
                print_balance(out, costs)
            else:
                _print_breakdown(out, costs, by)
        print_notes(out, costs)
    if not quiet:
        # Totals of groups are true: they are the same in every view, and need not add up.
        print_rounding(out, read, "--format json and csv have", adds_up=by is DetailLevel.SUMMARY)


def print_rounding(out: Console, read: Sequence[ClusterReport], where: str, *, adds_up: bool = True) -> None:
    """The note on rounding, if any answer has figures, as `rounding_words`."""
    if any(costs.status is not Status.NO_DATA for costs in read):
        say(out, rounding_words(where, adds_up=adds_up), style="dim")


def print_heading(out: Console, costs: ClusterReport) -> None:
    """Cluster, source, window, coverage, status and currency."""
    source = costs.source
    product = " ".join(filter(None, (source.product, source.version)))
    cluster = " ".join(filter(None, (name_of(source), source.url if name_of(source) != source.url else "")))
    say(out, cluster + (f", {product}" if product else ""), indent=2, style="bold")
    say(
        out,
        f"{window_words(costs.window)}, {hours_of(costs)} h, {status_words(costs)}, {currency_words(costs)}",
        indent=2,
    )


def print_balance(out: Console, costs: ClusterReport) -> None:
    """The balance: each component's cost, and the columns that add up to it."""
    checked, grid = verify(costs, 0), Grid(["component"], BALANCE)
    table = balance_table(checked)
    for component in Component:
        if component in costs.not_measured:
            grid.add([component_word(component)], instead=NOT_MEASURED)
        elif component in table.rows:
            grid.add([component_word(component)], [*map(money, table.rows[component])])
    grid.add(["total"], [*map(money, table.total)], style=_TOTAL)
    print_grid(out, grid)
    _print_causes(out, checked, table.differences)
    if costs.legacy is not None and costs.legacy.total is not None:
        say(out, _old_sums(costs, costs.legacy), indent=2)
    say(out, efficiency_in_words(costs))
    if (savings := savings_in_words(costs)) is not None:
        say(out, savings)


def _old_sums(costs: ClusterReport, sums: LegacySums) -> str:
    whole = (
        None
        if sums.total is None or costs.status is Status.NO_DATA
        else costs.bill.cpu + costs.bill.ram + costs.bill.pv + sums.total
    )
    return (
        f"Old sums of metrics, no costs: management {money(sums.management)}, load balancers "
        f"{money(sums.load_balancer)}, network {money(sums.network)}; with CPU, RAM and volumes {money(whole)}"
    )


def print_notes(out: Console, costs: ClusterReport) -> None:
    """The notes of an answer, missing data first, and an empty line."""
    for note in notes_of(costs):
        say(out, f"  {note.mark}: {note.words}", indent=4)
    out.print()


def _print_overview(out: Console, answers: "Sequence[ClusterReport | Failed]") -> None:
    """A row for each cluster, and a sum for each currency."""
    grid = Grid(
        ["cluster", "status"],
        ["total", "source shows", "idle", "difference", "CPU eff.", "RAM eff.", "eff.", "hours"],
    )
    read = [answer for answer in answers if isinstance(answer, ClusterReport)]
    if not read:  # why is on standard error
        return
    shown = [costs for costs in read if costs.status is not Status.NO_DATA]
    amounts = _overview_amounts(shown)
    for costs in read:
        if costs.status is Status.NO_DATA:
            grid.add([name_of(costs.source), "no data"], [*[UNKNOWN] * 7, hours_of(costs)])
        else:
            grid.add(
                [name_of(costs.source), status_words(costs)], _overview_figures(costs, amounts[costs.currency].pop(0))
            )
    grid.rule()
    sums, has_failed = fleet_sums(read), len(read) < len(answers)
    for fleet in sums:
        state = "hours missing" if fleet.incomplete else "clusters missing" if has_failed else ""
        grid.add([f"sum in {fleet.currency}", state], _sum_figures(fleet), style=_TOTAL)
    print_grid(out, grid)
    if assumed := [costs for costs in shown if costs.currency_assumed]:
        say(out, _assumed_words(assumed), indent=2)
    for fleet in sums:
        hours_missing = [f"{name_of(costs.source)} {hours_words(hours)}" for costs, hours in fleet.incomplete]
        if hours_missing:
            say(out, f"missing in the sum in {fleet.currency}: {', '.join(hours_missing)}", indent=2)
    if _has_duplicate_in_a_sum(shown):
        say(out, "A cluster is in the sum more than once: see the notes below.", indent=2, style="bold")
    for answer in answers:
        if not isinstance(answer, ClusterReport):
            say(out, f"failed, and not in the sum: {name_of(answer.source)}", indent=2)
    out.print()


def _assumed_words(assumed: Sequence[ClusterReport]) -> str:
    """Why these currencies are assumed, and what states them: an option, the account, or both."""
    has_account = {costs.source.account_id is not None for costs in assumed}
    update = "`kubetally accounts update NAME --currency CODE` sets it"
    if has_account == {True}:
        return f"* assumed: neither source nor account states the currency, so it is the organization's; {update}."
    if has_account == {False}:
        return "* assumed: the source does not state the currency; `--currency CODE` sets it."
    return (
        f"* assumed: neither source nor account states the currency, so it is the organization's; {update}, "
        "and `--currency CODE` for clusters without an account."
    )


def _has_duplicate_in_a_sum(shown: Sequence[ClusterReport]) -> bool:
    """Whether two clusters of one currency seem to be the same."""
    duplicates = Counter(
        (costs.currency, issue.subject)
        for costs in shown
        for issue in costs.issues
        if issue.kind is IssueKind.SAME_CLUSTER_TWICE
    )
    return any(count > 1 for count in duplicates.values())


def _sum_figures(fleet: FleetSum) -> list[str]:
    return [
        f"{money(fleet.total)} {fleet.currency}{_mark(fleet.currency_assumed)}",
        *map(money, (fleet.source_total, fleet.idle, fleet.difference)),
        *map(percent, fleet.efficiency),
        f"{fleet.hours_covered:g} of {fleet.hours_asked:g}",
    ]


def _mark(is_assumed: bool) -> str:
    return "*" if is_assumed else ""


def _overview_amounts(shown: Sequence[ClusterReport]) -> dict[str, list[tuple[int, ...]]]:
    """The figures of clusters in whole cents, in order, by currency; each column adds up to its rounded sum."""
    exact = defaultdict[str, list[tuple[int, ...]]](list)
    for costs in shown:
        idle, difference = (costs.line(kind).costs.total for kind in (Kind.IDLE, Kind.DIFFERENCE))
        exact[costs.currency].append((costs.bill.total, costs.source_total, idle, difference))
    return {
        currency: list(zip(*map(round_parts, zip(*rows, strict=True)), strict=True)) for currency, rows in exact.items()
    }


def _overview_figures(costs: ClusterReport, amounts: Sequence[int]) -> list[str]:
    total, *others = map(money, amounts)
    return [
        f"{total} {costs.currency}{_mark(costs.currency_assumed)}",
        *others,
        *map(percent, costs.efficiency),
        hours_of(costs),
    ]


def _print_causes(out: Console, checked: Verification, differences: Mapping[Component, int]) -> None:
    for words in causes_in_words(checked, differences):
        say(out, f"  {words}", indent=4)


def _print_breakdown(out: Console, costs: ClusterReport, by: DetailLevel) -> None:
    """Groups and lines by component; lines and totals have the figures of the balance, and groups add up to them.

    Components without a cost are named below.
    """
    groups, checked = costs.by(*GROUPS[by]), verify(costs, 0)
    whole = balance_table(checked)
    shown = [part for part in whole.rows if any(row.costs.of(part) for row in (*groups, *costs.lines))]
    balance = replace(whole, rows={part: whole.rows[part] for part in shown})
    cells = rounded_groups(groups, balance)
    names = ["namespace"] if by is DetailLevel.NAMESPACE else ["namespace", "controller", "pods"]
    grid = Grid(names, ["total", *map(component_word, balance.rows), "CPU eff.", "RAM eff."])
    for row, amounts in zip(groups, cells, strict=True):
        grid.add(_names(row), [*map(money, [row.costs.total, *amounts]), *_ratios(row.efficiency)])
    grid.rule()
    for line in costs.lines:
        place = BALANCE.index(str(line.kind))
        amounts = [balance.total[place], *(row[place] for row in balance.rows.values())]
        grid.add([str(line.kind)], [*map(money, amounts)], style=_LINE)
    total = [balance.total[0], *(row[0] for row in balance.rows.values())]
    grid.add(["total"], [*map(money, total), *_ratios(costs.efficiency)], style=_TOTAL)
    print_grid(out, grid)
    zero = [part for part in Component if part not in shown and part not in costs.not_measured]
    if shown and (words := zero_words(map(component_word, zero))) is not None:
        say(out, f"  {words}", indent=4)
    _print_causes(out, checked, balance.differences)
    if costs.legacy is not None and costs.legacy.total is not None:
        say(out, _old_sums(costs, costs.legacy), indent=2)


def rounded_groups(groups: Sequence[CostRow], balance: BalanceTable) -> list[list[int]]:
    """The cells of each group, one a component of the balance; they add up to its column of workloads."""
    workloads = [row[BALANCE.index("workloads")] for row in balance.rows.values()]
    return round_table([[group.costs.of(component) for component in balance.rows] for group in groups], workloads)


def _names(row: CostRow) -> list[str]:
    namespace, *controller = row.key
    names = [namespace or "(no namespace)"]
    if controller:
        kind, name = controller
        names += [f"{kind or 'controller'} {name}" if name else "(no controller)", str(row.count)]
    return names


def _ratios(efficiency: Efficiency) -> list[str]:
    return [percent(efficiency.cpu), percent(efficiency.ram)]
