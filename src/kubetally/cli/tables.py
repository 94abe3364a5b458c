"""Costs as tables for people: on a terminal with rules, in a pipe as plain text. Money is rounded on screen only."""

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kubetally.domain.allocation import Kind
from kubetally.domain.cluster_costs import (
    ClusterCosts,
    DetailLevel,
    Group,
    NamespaceCosts,
    SourceIdentity,
    Status,
    WorkloadCosts,
)
from kubetally.domain.component import Component, Costs
from kubetally.domain.money import to_decimal
from kubetally.domain.row import CAUSE_IN_WORDS
from kubetally.domain.window import Window
from kubetally.ledger.verification import Verification, verify

if TYPE_CHECKING:
    from kubetally.ledger.diagnosis import Finding

UNKNOWN = "-"
_KIND_WORDS = {
    Kind.IDLE: "idle",
    Kind.UNMOUNTED: "unmounted",
    Kind.OVERHEAD: "overhead",
    Kind.UNEXPLAINED: "unexplained",
}
_COMPONENT_WORDS = {
    Component.CPU: "CPU",
    Component.RAM: "RAM",
    Component.GPU: "GPU",
    Component.PV: "volumes",
    Component.NODE_DISK: "node disks",
    Component.LOAD_BALANCER: "balancers",
    Component.NETWORK: "network",
    Component.MANAGEMENT: "management",
    Component.SHARED: "shared",
    Component.EXTERNAL: "external",
}
_PIPE_WIDTH = 400  # wide enough that no row of a pipe is ever folded


def console() -> Console:
    """Standard output: rules and colours on a terminal, neither in a pipe, where lines are never cut."""
    terminal = sys.stdout.isatty()
    return Console(width=None if terminal else _PIPE_WIDTH, highlight=False, soft_wrap=not terminal)


def money(micros: int | None) -> str:
    """`1,234.57`: two decimals, for the eye; unknown is a dash, never a zero."""
    return UNKNOWN if micros is None else f"{to_decimal(micros):,.2f}".replace("-0.00", "0.00")


def percent(ratio: float | None) -> str:
    """`76 %`; a dash where there is none."""
    return UNKNOWN if ratio is None else f"{ratio * 100:.0f} %"


def component_word(component: Component) -> str:
    """A component's name on screen."""
    return _COMPONENT_WORDS[component]


def new_table(first: Sequence[str], figures: Sequence[str], *, out: Console) -> Table:
    """A table whose leading columns are words, and the rest figures."""
    table = Table(box=SIMPLE_HEAD if out.is_terminal else None, pad_edge=False, show_edge=False, header_style="bold")
    for name in first:
        table.add_column(name, overflow="fold")
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def print_costs(answers: Sequence[ClusterCosts], by: DetailLevel) -> None:
    """Each cluster's costs as finely as asked; several clusters begin with an overview."""
    out = console()
    if len(answers) > 1:
        print_overview(out, answers)
    for costs in answers:
        print_heading(out, costs)
        if costs.status is Status.NO_DATA:
            continue
        if by is DetailLevel.SUMMARY:
            print_balance(out, costs)
        else:
            _print_breakdown(out, costs, by)
        print_notes(out, costs)
    if any(costs.status is not Status.NO_DATA for costs in answers):
        out.print("Figures are rounded on screen; --format json and csv have all six decimals.", style="dim")


def print_overview(out: Console, answers: Sequence[ClusterCosts]) -> None:
    """One row a cluster, and a total for each currency: unlike ones are never added."""
    figures = ["total", "source shows", "idle", "unexplained", "CPU eff.", "RAM eff.", "eff.", "hours"]
    table = new_table(["cluster", "status"], figures, out=out)
    for costs in answers:
        if costs.status is Status.NO_DATA:
            table.add_row(name_of(costs.source), "no data", *[UNKNOWN] * 7, hours_of(costs))
            continue
        lines = {line.kind: line.costs.total for line in costs.lines()}
        table.add_row(
            name_of(costs.source),
            status_words(costs),
            f"{money(costs.bill.total)} {costs.currency}",
            money(costs.source_total),
            money(lines[Kind.IDLE]),
            money(lines[Kind.UNEXPLAINED]),
            *(percent(ratio) for ratio in costs.efficiency),
            hours_of(costs),
        )
    for currency in dict.fromkeys(costs.currency for costs in answers if costs.status is not Status.NO_DATA):
        total = sum(costs.bill.total for costs in answers if costs.currency == currency)
        table.add_row(f"all in {currency}", "", f"{money(total)} {currency}", *[""] * 7, style="bold")
    out.print(table)
    out.print()


def print_heading(out: Console, costs: ClusterCosts) -> None:
    """Which cluster, from where, for when, and how sure."""
    source = costs.source
    product = " ".join(filter(None, (source.product, source.version)))
    out.print(Text(name_of(source), style="bold"), f" {source.url}" + (f", {product}" if product else ""), sep="")
    state = status_words(costs)
    out.print(f"{window_words(costs.window)}, {hours_of(costs)} h, {state}, {costs.currency}")


def print_balance(out: Console, costs: ClusterCosts) -> None:
    """What was paid for each component, and where it went; the columns after `paid` add up to it."""
    checked = verify(costs, 0)
    table = new_table(
        ["component"],
        ["paid", "workloads", "idle", "unmounted", "overhead", "unexplained", "source shows"],
        out=out,
    )
    unknown = costs.not_measured
    for row in checked.components:
        figures = (row.bill, row.workload, row.idle, row.unmounted, row.overhead, row.unexplained, row.source_shows)
        if row.component in unknown:
            table.add_row(component_word(row.component), "not measured", *[""] * 6)
        elif any(figures):
            table.add_row(component_word(row.component), *map(money, figures))
    sheets = checked.components
    table.add_row(
        "total",
        money(checked.ours),
        *(
            money(sum(column))
            for column in zip(
                *((row.workload, row.idle, row.unmounted, row.overhead, row.unexplained) for row in sheets), strict=True
            )
        ),
        money(checked.source_shows),
        style="bold",
    )
    out.print(table)
    print_causes(out, checked)
    cpu, ram, total = costs.efficiency
    out.print(f"Efficiency: CPU {percent(cpu)}, RAM {percent(ram)}, both {percent(total)} of what was requested")
    if costs.savings is not None and costs.savings.per_month is not None:
        out.print(f"Potential savings: up to {costs.savings.per_month:,.2f} {costs.currency} a month")


def print_causes(out: Console, checked: Verification) -> None:
    """Why bill and use differ, where a cause is above a cent."""
    for row in checked.components:
        for cause, amount in row.causes:
            if abs(amount) >= 5_000:  # half a cent: below, the table shows nothing either
                signed = f"{to_decimal(amount):+,.2f}"
                out.print(f"  unexplained {component_word(row.component)} {signed}: {CAUSE_IN_WORDS[cause]}")


def print_notes(out: Console, costs: ClusterCosts) -> None:
    """What is wrong with the data, missing ones first."""
    for issue in sorted(costs.issues, key=lambda issue: not issue.is_missing_data):
        mark = "missing" if issue.is_missing_data else "note"
        out.print(
            f"  {mark}: {issue.message}" + (f" ({issue.window})" if issue.is_missing_data and issue.window else "")
        )
    out.print()


def _print_breakdown(out: Console, costs: ClusterCosts, by: DetailLevel) -> None:
    groups: Sequence[NamespaceCosts | WorkloadCosts]
    groups = costs.namespaces() if by is DetailLevel.NAMESPACE else costs.workloads()
    shown = [one for one in Component if costs.bill.of(one) or any(group.costs.of(one) for group in groups)]
    names = ["namespace"] if by is DetailLevel.NAMESPACE else ["namespace", "controller", "pods"]
    table = new_table(names, ["total", *map(component_word, shown), "CPU eff.", "RAM eff."], out=out)
    for group in groups:
        table.add_row(*_names(group), *_figures(group, shown))
    table.add_section()
    for line in costs.lines():
        table.add_row(
            _KIND_WORDS[line.kind], *[""] * (len(names) - 1), *_amounts(line.costs, shown), "", "", style="dim"
        )
    efficiency = costs.efficiency
    table.add_row(
        "total",
        *[""] * (len(names) - 1),
        *_amounts(costs.bill, shown),
        percent(efficiency.cpu),
        percent(efficiency.ram),
        style="bold",
    )
    out.print(table)


def _names(group: NamespaceCosts | WorkloadCosts) -> Iterable[str]:
    yield group.namespace or "(no namespace)"
    if isinstance(group, WorkloadCosts):
        kind, name = group.controller_kind, group.controller
        yield f"{kind or 'controller'} {name}" if name else "(no controller)"
        yield str(len(group.pods))


def _figures(group: Group, shown: Sequence[Component]) -> Iterable[str]:
    yield from _amounts(group.costs, shown)
    yield percent(group.efficiency.cpu)
    yield percent(group.efficiency.ram)


def _amounts(costs: Costs, shown: Sequence[Component]) -> list[str]:
    return [money(costs.total), *(money(costs.of(component)) for component in shown)]


def print_findings(out: Console, url: str, findings: "Sequence[Finding]") -> None:
    """A doctor's findings, each with what to do about it."""
    out.print(Text(url, style="bold"))
    for finding in findings:
        out.print(f"  {finding.level.value:8}{finding.subject}: {finding.seen}")
        if finding.remedy:
            out.print(f"          do: {finding.remedy}")


def name_of(source: SourceIdentity) -> str:
    """What a person calls the cluster: its id, else where it was found."""
    return source.cluster_name or source.cluster_id or source.url


def window_words(window: Window) -> str:
    """`2026-11-20 to 2026-11-23`, with times where they are not midnights; the end is exclusive."""
    instants = (window.start, window.end)
    midnights = all((instant.hour, instant.minute, instant.second) == (0, 0, 0) for instant in instants)
    words = [f"{instant:%Y-%m-%d}" if midnights else f"{instant:%Y-%m-%d %H:%M}" for instant in instants]
    return f"{words[0]} to {words[1]} UTC"


def hours_of(costs: ClusterCosts) -> str:
    """`72 of 72`: hours covered of hours asked."""
    return f"{costs.hours_covered:g} of {costs.hours_asked:g}"


def status_words(costs: ClusterCosts) -> str:
    """Whether anything is missing, and whether there was a bill to hold it against."""
    if costs.status is Status.NO_DATA:
        return "no data"
    return f"{costs.status.value}, {'audited' if costs.audited else 'unaudited'}"
