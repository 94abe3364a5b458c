"""How much of a day a collection holds, in hours that can be compared with those of another answer for that day (B11).

A source that lost samples returns lesser figures and says nothing. The hours of its nodes and containers show the loss.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from kubetally.domain.allocation import Kind, stands_for_volumes
from kubetally.domain.asset import Asset, AssetType
from kubetally.domain.efficiency import Hours
from kubetally.domain.pods import group_pods
from kubetally.domain.row import Row

TOLERANCE = 0.005
"""A figure is lower where it lacks more than this part of the other one."""

_WORDS = {
    "hours_covered": "hours covered",
    "node_hours": "node-hours",
    "container_hours": "container-hours",
    "request_hours": "container-hours with a request",
    "usage_hours": "container-hours with usage",
}


@dataclass(frozen=True, slots=True)
class Completeness:
    """What a collection holds of its day, in hours.

    node_hours:      of node assets with a price and a capacity; None where the source returned no assets.
    container_hours: of pods; rows of unmounted volumes claim the whole day whatever was lost, and do not count.
    request_hours, usage_hours: of the containers with a known CPU or RAM request, or usage, above 0.
    """

    hours_covered: float
    node_hours: float | None
    container_hours: float
    request_hours: float
    usage_hours: float

    def maximum(self, other: "Completeness") -> "Completeness":
        """The greater of each figure."""
        mine, its = self.node_hours, other.node_hours
        return Completeness(
            hours_covered=max(self.hours_covered, other.hours_covered),
            node_hours=its if mine is None else mine if its is None else max(mine, its),
            container_hours=max(self.container_hours, other.container_hours),
            request_hours=max(self.request_hours, other.request_hours),
            usage_hours=max(self.usage_hours, other.usage_hours),
        )


NOTHING_TWICE = Completeness(0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A figure that is lower in an answer than in the stored day."""

    name: str
    found: float
    stored: float

    def __str__(self) -> str:
        return f"{_shown(self.found)} {_WORDS[self.name]} where {_shown(self.stored)} are stored"


def measure_completeness(
    hours_covered: float, rows: Iterable[Row], assets: Sequence[Asset], *, has_assets: bool
) -> Completeness:
    """The hours of booked rows and of the assets beside them; the same for a live answer as for a stored day.

    has_assets: whether the source returned assets at all, so that an empty list means no node.
    """
    containers = requests = usage = 0.0
    for pod in group_pods(rows):
        first = pod[0]
        if not is_pod(first):
            continue
        if len(pod) == 1:
            minutes, count, known = first.minutes, max(first.containers, 1), first.hours
        else:
            minutes, count = max(row.minutes for row in pod), sum(max(row.containers, 1) for row in pod)
            known = Hours.merged([row.hours for row in pod])
        hours = minutes / 60 * count
        if not hours > 0:  # a source may state less than nothing
            continue
        containers += hours
        requests += hours * ((known.cpu_core_request_hours or 0) > 0 or (known.ram_byte_request_hours or 0) > 0)
        usage += hours * ((known.cpu_core_usage_hours or 0) > 0 or (known.ram_byte_usage_hours or 0) > 0)
    nodes = sum(asset.hours for asset in assets if is_priced_node(asset))
    return Completeness(hours_covered, nodes if has_assets else None, containers, requests, usage)


def find_shortfalls(
    found: Completeness, *, stored: Completeness, counted_twice: Completeness = NOTHING_TWICE
) -> list[Shortfall]:
    """The figures of `found` that are lower than those of `stored` by more than the tolerance.

    counted_twice: by how much each stored figure may be too high, as the stored day had something twice.
    """
    lower = []
    for field in fields(Completeness):
        mine, its, twice = (getattr(day, field.name) for day in (found, stored, counted_twice))
        if mine is not None and its is not None and mine < (its - (twice or 0.0)) * (1 - TOLERANCE):
            lower.append(Shortfall(field.name, mine, its))
    return lower


def is_pod(row: Row) -> bool:
    """Whether a row is of a pod that ran, and does not stand for the unmounted volumes of a namespace."""
    return row.kind is Kind.WORKLOAD and not stands_for_volumes(row.namespace, pod=row.pod)


def is_priced_node(asset: Asset) -> bool:
    """Whether it is a node that costs something: without a price or without a capacity it costs nothing."""
    costs = asset.costs
    return asset.type is AssetType.NODE and costs.cpu + costs.ram + costs.gpu > 0


def _shown(hours: float) -> str:
    return f"{hours:.2f}".rstrip("0").rstrip(".")
