"""The use side of a cluster-day: charges of workloads, idle and everything else (B2)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from math import fsum
from operator import attrgetter
from typing import NamedTuple, TypeVar

from kubetally.domain.allocation import Allocation, Kind, LoadBalancerCost, VolumeCost
from kubetally.domain.component import ZERO, Costs, NetworkClasses
from kubetally.domain.efficiency import Hours, sum_of_known
from kubetally.domain.grouping import group_by
from kubetally.domain.row import Row, RowDetails
from kubetally.domain.window import Window

_Value = TypeVar("_Value")
_CONTAINER = attrgetter("namespace", "controller_kind", "controller", "pod", "node", "container")
_RESOURCE = attrgetter("resource")


class Use(NamedTuple):
    """The use side. `idle` is clamped at zero; `over_commit` and `credit` are what that left out, below zero.

    `negative`: what the source charged rows below zero without any adjustment; only `everything` has it.
    """

    containers: list[Row]
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
    containers = _containers(workloads)
    return Use(
        containers=containers,
        workload=Costs.sum(row.costs for row in containers),
        idle=idle_costs,
        over_commit=over_commit,
        credit=credit,
        negative=Costs.sum(row.costs for row in by_kind[Kind.DIFFERENCE]),
        unmounted=_unmounted(by_kind[Kind.UNMOUNTED]),
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


def _unmounted(loose: Sequence[Allocation]) -> Row:
    """All that is unmounted, as one line."""
    return Row(
        Kind.UNMOUNTED,
        minutes=max((row.minutes for row in loose), default=0.0),
        hours=Hours.sum(row.hours for row in loose),
        costs=Costs.sum(row.costs for row in loose),
        network_classes=NetworkClasses.sum(row.network_classes for row in loose),
        services=tuple(service for row in loose for service in row.services),
        details=_merged_details(loose) if loose else None,
    )


def _containers(workloads: Sequence[Allocation]) -> list[Row]:
    """A row for each container on a node: the steps of a day, and rows under one identity, are merged."""
    return [_merged(same) if len(same) > 1 else _alone(same[0]) for same in group_by(_CONTAINER, workloads)]


def _alone(row: Allocation) -> Row:
    details = RowDetails(
        row.provider_id, row.life, row.annotations, row.namespace_annotations, row.cpu_core_usage_max,
        row.ram_byte_usage_max, row.adjustments, row.volumes, row.scaled_load_balancers() if row.load_balancers else (),
    )  # fmt: skip
    return Row(
        Kind.WORKLOAD, None, row.namespace, row.controller_kind, row.controller, row.pod, row.container, row.node, 1,
        row.minutes, row.hours, row.costs, row.network_classes, row.services, row.labels, row.namespace_labels, details,
    )  # fmt: skip


def _merged(rows: Sequence[Allocation]) -> Row:
    first = rows[0]
    minutes: dict[datetime, float] = {}  # of each step, the longest-lived row's
    for row in rows:
        start = row.step.start
        minutes[start] = max(minutes.get(start, 0.0), row.minutes)
    return _alone(first)._replace(
        minutes=fsum(minutes.values()),
        hours=Hours.merged([row.hours for row in rows]),
        costs=Costs.sum([row.costs for row in rows]),
        network_classes=NetworkClasses.sum([row.network_classes for row in rows]),
        services=tuple(sorted({service for row in rows for service in row.services})),
        labels=_merged_labels(row.labels for row in rows),
        namespace_labels=_merged_labels(row.namespace_labels for row in rows),
        details=_merged_details(rows),
    )


def _merged_details(rows: Sequence[Allocation]) -> RowDetails:
    lives = [row.life for row in rows if row.life is not None]
    return RowDetails(
        _first_known(row.provider_id for row in rows),
        Window(min(life.start for life in lives), max(life.end for life in lives)) if lives else None,
        _merged_labels(row.annotations for row in rows),
        _merged_labels(row.namespace_annotations for row in rows),
        max((row.cpu_core_usage_max for row in rows if row.cpu_core_usage_max is not None), default=None),
        max((row.ram_byte_usage_max for row in rows if row.ram_byte_usage_max is not None), default=None),
        Costs.sum(row.adjustments for row in rows) if any(any(row.adjustments) for row in rows) else ZERO,
        tuple(_merged_volumes([volume for row in rows for volume in row.volumes])),
        tuple(_merged_load_balancers([balancer for row in rows for balancer in row.scaled_load_balancers()])),
    )


def _first_known(values: Iterable[_Value | None]) -> _Value | None:
    return next((value for value in values if value is not None), None)


def _merged_labels(mappings: Iterable[Mapping[str, str] | None]) -> Mapping[str, str] | None:
    """All labels, of one key the first; None if no labels are known."""
    known = [mapping for mapping in mappings if mapping is not None]
    return {key: value for mapping in reversed(known) for key, value in mapping.items()} if known else None


def _merged_volumes(volumes: Sequence[VolumeCost]) -> Iterator[VolumeCost]:
    """Each volume once, in the order in which they come."""
    for same in group_by(_RESOURCE, volumes):
        yield same[0]._replace(
            cost=sum(volume.cost for volume in same),
            byte_hours=sum_of_known([volume.byte_hours for volume in same]),
            provider_id=_first_known(volume.provider_id for volume in same),
            adjustment=sum(volume.adjustment for volume in same),
        )


def _merged_load_balancers(balancers: Sequence[LoadBalancerCost]) -> Iterator[LoadBalancerCost]:
    """Each load balancer once, in the order in which they come."""
    for same in group_by(_RESOURCE, balancers):
        yield same[0]._replace(
            cost=sum(balancer.cost for balancer in same),
            hours=sum_of_known([balancer.hours for balancer in same]),
            private=_first_known(balancer.private for balancer in same),
            ip=_first_known(balancer.ip for balancer in same),
            adjustment=sum(balancer.adjustment for balancer in same),
        )
