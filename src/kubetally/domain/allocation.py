"""What a source allocated to a workload in one step, in the ledger's terms and units."""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from kubetally.domain.component import NO_CLASSES, ZERO, Costs, NetworkClasses
from kubetally.domain.efficiency import NO_HOURS, Hours
from kubetally.domain.money import prorate, split
from kubetally.domain.window import Window


class Kind(StrEnum):
    """What a row of the ledger stands for; every kind but workload is a line without namespace."""

    WORKLOAD = "workload"
    IDLE = "idle"
    UNMOUNTED = "unmounted"
    OVERHEAD = "overhead"
    DIFFERENCE = "difference"


def stands_for_volumes(namespace: str | None, *, pod: str | None) -> bool:
    """Whether a row is not a pod: OpenCost uses such a row for the unmounted volumes of a namespace."""
    return pod == f"{namespace}-unmounted-pvcs"


class VolumeCost(NamedTuple):
    """The cost of a row on one volume, in micros with adjustment. `resource` is the volume's name.

    byte_hours: None if unknown.
    """

    resource: str
    cost: int
    byte_hours: float | None = None
    provider_id: str | None = None
    adjustment: int = 0


class LoadBalancerCost(NamedTuple):
    """The cost of a row on one load balancer, in micros with adjustment. `resource` is `namespace/service`.

    hours, private, ip: None if unknown.
    """

    resource: str
    cost: int
    hours: float | None = None
    private: bool | None = None
    ip: str | None = None
    adjustment: int = 0


class Allocation(NamedTuple):
    """One row of a source's answer: a container in one step, or one of the source's special rows.

    `costs` are micros with adjustments inside; `total` is what the source calls the row's total. `network_classes`
    are parts of the network cost before adjustment. `volumes` and `load_balancers` say on which resource a cost
    arose. `hours` are resource-hours. Labels are the pod's, merged by the source with its namespace's and node's.
    `name` is what the source calls the row; it only serves to tell rows apart. `life` is the span in which the source
    saw the row run, None where it gives none. `provider_id` is the node's.
    `adjustments` are the part of `costs` that corrects them to the cloud's bill. The maxima are cores and bytes, None
    where the source has none. Labels and annotations: None where not known.

    A workload's cost below zero before adjustment is no cost: it stands in a row of the kind `difference` instead.
    """

    kind: Kind
    step: Window
    namespace: str | None = None
    controller_kind: str | None = None
    controller: str | None = None
    pod: str | None = None
    node: str | None = None
    container: str | None = None
    cluster_id: str | None = None
    services: tuple[str, ...] = ()
    labels: Mapping[str, str] | None = None
    namespace_labels: Mapping[str, str] | None = None
    minutes: float = 0.0
    hours: Hours = NO_HOURS
    costs: Costs = ZERO
    network_classes: NetworkClasses = NO_CLASSES
    volumes: tuple[VolumeCost, ...] = ()
    load_balancers: tuple[LoadBalancerCost, ...] = ()
    total: int = 0
    name: str = ""
    life: Window | None = None
    provider_id: str | None = None
    adjustments: Costs = ZERO
    annotations: Mapping[str, str] | None = None
    namespace_annotations: Mapping[str, str] | None = None
    cpu_core_usage_max: float | None = None
    ram_byte_usage_max: float | None = None

    def scaled_load_balancers(self) -> tuple[LoadBalancerCost, ...]:
        """The load balancers, scaled down if the source's running totals exceed what it charged the row."""
        shown = sum(piece.cost for piece in self.load_balancers)
        if shown <= self.costs.load_balancer or shown <= 0:
            return self.load_balancers
        parts = split(self.costs.load_balancer, [piece.cost for piece in self.load_balancers])
        return tuple(
            piece._replace(cost=part, adjustment=round(piece.adjustment * part / piece.cost) if piece.cost else 0)
            for piece, part in zip(self.load_balancers, parts, strict=True)
        )

    def within(self, window: Window) -> "Allocation | None":
        """The share of the row that falls into `window`, prorated by time; None where nothing does.

        Shares of adjacent windows add up to the row exactly.
        """
        if window.contains(self.step):
            return self
        common = window.overlap(self.step)
        if common is None:
            return None
        since, until = self.step.fractions_of(common)
        part = until - since

        def costs(amounts: Iterable[int]) -> Iterator[int]:
            return (prorate(amount, start=since, end=until) for amount in amounts)

        def share(amount: int) -> int:
            return prorate(amount, start=since, end=until)

        def times(hours: float | None) -> float | None:
            return None if hours is None else hours * part

        return self._replace(
            step=common,
            minutes=self.minutes * part,
            hours=self.hours.times(part),
            costs=Costs(*costs(self.costs)),
            network_classes=NetworkClasses(*costs(self.network_classes)),
            adjustments=Costs(*costs(self.adjustments)) if any(self.adjustments) else ZERO,
            volumes=tuple(
                volume._replace(
                    cost=share(volume.cost), byte_hours=times(volume.byte_hours), adjustment=share(volume.adjustment)
                )
                for volume in self.volumes
            ),
            load_balancers=tuple(
                balancer._replace(
                    cost=share(balancer.cost), hours=times(balancer.hours), adjustment=share(balancer.adjustment)
                )
                for balancer in self.load_balancers
            ),
            total=prorate(self.total, start=since, end=until),
            life=None if self.life is None else self.life.overlap(common),
        )
