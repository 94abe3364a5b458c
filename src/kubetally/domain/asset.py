"""What costs money: nodes, disks, balancers, network and the management fee, as the bill side of a cluster-day."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from kubetally.domain.component import ZERO, Costs
from kubetally.domain.money import prorate, split, to_micros
from kubetally.domain.window import Window


class AssetType(StrEnum):
    """The assets that a cluster's bill is made of; what is outside of the cluster is none of them."""

    NODE = "node"
    DISK = "disk"
    LOAD_BALANCER = "load_balancer"
    NETWORK = "network"
    MANAGEMENT = "management"


class Asset(NamedTuple):
    """One thing on the bill over a window; `costs` are micros after discount and adjustment, by component.

    `names` are all names an allocation may know it by: a disk's volume name beside its own.
    `life` is the span in which the source saw it and `cpu_cores` a node's capacity, None where it gives none.
    """

    type: AssetType
    name: str
    names: frozenset[str]
    window: Window
    costs: Costs = ZERO
    cluster_id: str | None = None
    provider_id: str | None = None
    node_type: str | None = None
    labels: Mapping[str, str] | None = None
    hours: float = 0.0
    discount: float = 0.0
    adjustment: int = 0
    life: Window | None = None
    cpu_cores: float | None = None

    def within(self, window: Window) -> "Asset | None":
        """The share of the asset that falls into `window`, prorated by time; None where nothing does."""
        if window.contains(self.window):
            return self
        common = window.overlap(self.window)
        if common is None:
            return None
        since, until = self.window.fractions_of(common)
        return self._replace(
            window=common,
            costs=Costs(*(prorate(amount, since, until) for amount in self.costs)),
            hours=self.hours * (until - since),
            adjustment=prorate(self.adjustment, since, until),
            life=None if self.life is None else self.life.overlap(common),
        )

    @property
    def total(self) -> int:
        """Micros of all its components."""
        return self.costs.total


def node_costs(cpu: float, ram: float, gpu: float, *, discount: float, total: float | None) -> Costs:
    """A node's price by component: list costs after discount, scaled so that they add up to its total.

    The discount holds for CPU and RAM, never for GPU. The total carries adjustments (corrections from the cloud bill),
    which belong to the node as a whole: they are spread over the parts in proportion, by largest remainder.

    Units:  amounts in the currency, `discount` a fraction; the answer in micros.
    Source: OpenCost core/pkg/opencost/asset.go, Node.TotalCost; B1 of the booking rules.
    """
    parts = [cpu * (1 - discount), ram * (1 - discount), gpu]
    if total is None:
        return Costs(cpu=to_micros(parts[0]), ram=to_micros(parts[1]), gpu=to_micros(parts[2]))
    whole = to_micros(total)
    if not any(part > 0 for part in parts):  # a total without parts: a node is first of all its CPU
        return Costs(cpu=whole)
    return Costs(*split(whole, parts))
