"""The use side of a cluster-day: what the source charged workloads, idle and everything else (B2)."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from math import fsum
from operator import attrgetter
from typing import NamedTuple

from kubetally.domain.allocation import Allocation, Kind
from kubetally.domain.component import Costs, NetworkClasses
from kubetally.domain.efficiency import Hours
from kubetally.domain.row import Row

_POD = attrgetter("namespace", "controller_kind", "controller", "pod", "node")


class Use(NamedTuple):
    """The use side. `idle` is clamped at zero; `over_commit` and `credit` are what that left out, below zero.

    `negative`: what the source charged rows below zero without any adjustment; only `everything` has it.
    """

    pods: list[Row]
    workload: Costs
    idle: Costs
    over_commit: Costs
    credit: Costs
    negative: Costs
    unmounted: Row
    overhead: Costs
    everything: Costs
    everything_classes: NetworkClasses


def use_side(allocations: Sequence[Allocation]) -> Use:
    workload = Kind.WORKLOAD
    workloads = [row for row in allocations if row.kind is workload]
    by_kind = defaultdict[Kind, list[Allocation]](list)
    for row in allocations if len(workloads) < len(allocations) else ():
        if row.kind is not workload:
            by_kind[row.kind].append(row)
    idle_costs, over_commit, credit = _clamped_idle(by_kind[Kind.IDLE])
    pods = _pods(workloads)
    loose = by_kind[Kind.UNMOUNTED]
    return Use(
        pods=pods,
        workload=Costs.sum(row.costs for row in pods),
        idle=idle_costs,
        over_commit=over_commit,
        credit=credit,
        negative=Costs.sum(row.costs for row in by_kind[Kind.UNEXPLAINED]),
        unmounted=Row(
            Kind.UNMOUNTED,
            hours=Hours.sum(row.hours for row in loose),
            costs=Costs.sum(row.costs for row in loose),
            network_classes=NetworkClasses.sum(row.network_classes for row in loose),
        ),
        overhead=Costs.sum(row.costs for row in by_kind[Kind.OVERHEAD]),
        everything=Costs.sum(row.costs for row in allocations),
        everything_classes=NetworkClasses.sum(row.network_classes for row in allocations),
    )


def _clamped_idle(rows: Iterable[Allocation]) -> tuple[Costs, Costs, Costs]:
    """Idle of the day, and apart from it what was below zero (B6): per node where the source tells nodes apart.

    What an adjustment took below zero is credit; what was below zero without it is over-commit.
    """
    by_node: dict[str | None, list[Allocation]] = defaultdict(list)
    for row in rows:
        by_node[row.node].append(row)
    sums = [Costs.sum(row.costs for row in rows) for rows in by_node.values()]
    before = [Costs.sum(row.costs.minus(row.adjustments) for row in rows) for rows in by_node.values()]
    above = Costs.sum(map(_above_zero, sums))
    below = [_below_zero(costs) for costs in sums]
    credit = Costs.sum(_below_zero(whole.minus(_below_zero(own))) for whole, own in zip(below, before, strict=True))
    return above, Costs.sum(below).minus(credit), credit


def _above_zero(costs: Costs) -> Costs:
    return Costs(*(max(0, amount) for amount in costs))


def _below_zero(costs: Costs) -> Costs:
    return Costs(*(min(0, amount) for amount in costs))


def _pods(workloads: Sequence[Allocation]) -> list[Row]:
    """Containers merged into pods, and the steps of a day into the day."""
    first_rows: dict[tuple[str | None, ...], Allocation] = {}
    of_several: dict[tuple[str | None, ...], list[Allocation]] = {}  # most pods have one row: those need no list
    for key, row in zip(map(_POD, workloads), workloads, strict=True):
        first = first_rows.setdefault(key, row)
        if first is not row:
            of_several.setdefault(key, [first]).append(row)
    return [_merged(of_several[key]) if key in of_several else _alone(row) for key, row in first_rows.items()]


def _alone(row: Allocation) -> Row:
    return Row(
        Kind.WORKLOAD, None, row.namespace, row.controller_kind, row.controller, row.pod, row.node, 1, row.minutes,
        row.hours, row.costs, row.network_classes, row.services, row.labels, row.namespace_labels,
    )  # fmt: skip


def _merged(rows: list[Allocation]) -> Row:
    first = rows[0]
    minutes: dict[datetime, float] = {}  # of each step, the longest-lived container's
    for row in rows:
        start = row.step.start
        minutes[start] = max(minutes.get(start, 0.0), row.minutes)
    return Row(
        kind=Kind.WORKLOAD,
        namespace=first.namespace,
        controller_kind=first.controller_kind,
        controller=first.controller,
        pod=first.pod,
        node=first.node,
        containers=len({row.container for row in rows}),
        minutes=fsum(minutes.values()),
        hours=Hours.merged([row.hours for row in rows]),
        costs=Costs.sum([row.costs for row in rows]),
        network_classes=NetworkClasses.sum([row.network_classes for row in rows]),
        services=tuple(sorted({service for row in rows for service in row.services})),
        labels=first.labels,
        namespace_labels=first.namespace_labels,
    )
