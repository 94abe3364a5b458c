"""Pods, made from the rows of their containers."""

from collections.abc import Iterable, Sequence
from operator import attrgetter

from kubetally.domain.allocation import Kind
from kubetally.domain.component import Costs, NetworkClasses
from kubetally.domain.efficiency import Hours
from kubetally.domain.grouping import group_by
from kubetally.domain.row import Row

_POD = attrgetter("namespace", "controller_kind", "controller", "pod", "node")


def group_pods(rows: Iterable[Row]) -> list[Sequence[Row]]:
    """The workload rows of each pod on a node, in the order in which pods come; other rows are left out."""
    return group_by(_POD, [row for row in rows if row.kind is Kind.WORKLOAD])


def merge_pods(rows: Iterable[Row]) -> list[Row]:
    """The workload rows with one row for each pod on a node, in the order in which pods come; other rows are left out.

    A merged row has no details, the minutes of its longest container, and null for a request or usage that is null
    for one of its containers.
    """
    return [_merged(pod) if len(pod) > 1 else pod[0] for pod in group_pods(rows)]


def _merged(rows: Sequence[Row]) -> Row:
    return rows[0]._replace(
        container=None,
        containers=sum(max(row.containers, 1) for row in rows),
        minutes=max(row.minutes for row in rows),
        hours=Hours.merged([row.hours for row in rows]),
        costs=Costs.sum(row.costs for row in rows),
        network_classes=NetworkClasses.sum(row.network_classes for row in rows),
        services=tuple(sorted({service for row in rows for service in row.services})),
        details=None,
    )
