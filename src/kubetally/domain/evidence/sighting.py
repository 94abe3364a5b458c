"""When a source saw nodes and pods, on a day and on the days around it."""

from collections.abc import Sequence
from dataclasses import dataclass

from kubetally.domain.allocation import Allocation, Kind, stands_for_volumes
from kubetally.domain.asset import AssetType
from kubetally.domain.evidence.missing import TOLERANCE
from kubetally.domain.reading import Reading
from kubetally.domain.window import Window, hull


@dataclass(frozen=True, slots=True)
class Sighting:
    """When a source saw nodes and pods in `window`, each from the first to the last; None where it saw none.

    machines: of all nodes it saw, by provider id or else by name. last_machines, first_machines: those that it saw at
    the very end and beginning.
    """

    window: Window
    nodes: Window | None
    pods: Window | None
    machines: frozenset[str]
    first_machines: frozenset[str]
    last_machines: frozenset[str]

    @property
    def either(self) -> Window | None:
        """From when to when it saw anything."""
        return hull(span for span in (self.nodes, self.pods) if span is not None)


@dataclass(frozen=True, slots=True)
class Around:
    """The days before and after a day, as their source saw them; None if unknown."""

    before: Sighting | None = None
    after: Sighting | None = None


NOTHING_AROUND = Around()


def is_pod(row: Allocation) -> bool:
    """Whether a row is a pod that ran; rows of unmounted volumes are not."""
    return row.kind is Kind.WORKLOAD and row.pod is not None and not stands_for_volumes(row.namespace, pod=row.pod)


def pods_of(reading: Reading) -> list[Allocation]:
    """The rows of pods that ran."""
    return [row for row in reading.allocations if is_pod(row)]


def sighting_of(reading: Reading, pods: Sequence[Allocation] | None = None) -> Sighting | None:
    """When nodes and pods were seen; None if the answer has no spans.

    pods: the rows of pods, if already selected.
    """
    pods = pods_of(reading) if pods is None else pods
    nodes = [asset for asset in reading.assets or () if asset.type is AssetType.NODE]
    seen = [
        (asset.provider_id or asset.name, asset.life)
        for asset in nodes
        if asset.life is not None and asset.cpu_cores != 0
    ]
    lives = [row.life for row in pods if row.life is not None]
    if (pods and not lives) or (nodes and not any(asset.life for asset in nodes)):
        return None
    listed = hull(life for _, life in seen)
    return Sighting(
        reading.window,
        listed,
        hull(lives),
        frozenset(name for name, _ in seen),
        frozenset(name for name, life in seen if listed is not None and life.start - listed.start <= TOLERANCE),
        frozenset(name for name, life in seen if listed is not None and listed.end - life.end <= TOLERANCE),
    )
