"""Assets, the bill side of a cluster-day: nodes, disks, load balancers, network and management fee."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from kubetally.domain.component import ZERO, Costs
from kubetally.domain.money import prorate, split, to_micros
from kubetally.domain.window import Window


class AssetType(StrEnum):
    """The assets that a cluster's bill is made of; `other` is of an unknown type and stays out of the bill."""

    NODE = "node"
    DISK = "disk"
    LOAD_BALANCER = "load_balancer"
    NETWORK = "network"
    MANAGEMENT = "management"
    OTHER = "other"


class Breakdown(NamedTuple):
    """The use of a capacity, as fractions of it."""

    idle: float | None = None
    user: float | None = None
    system: float | None = None
    other: float | None = None


class AssetDetails(NamedTuple):
    """Further facts about an asset, which no sum needs. None if unknown.

    source_type:   the type as the source names it, of an asset of the type `other`.
    amount:        what such an asset costs, in micros. It is in no component, because another asset may contain it.
    byte_hours_used, breakdown: of a disk. cpu_breakdown, ram_breakdown: of a node.
    private, ip:   of a load balancer.
    """

    source_type: str | None = None
    amount: int | None = None
    pool: str | None = None
    preemptible: bool | None = None
    region: str | None = None
    zone: str | None = None
    storage_class: str | None = None
    volume_name: str | None = None
    claim_name: str | None = None
    claim_namespace: str | None = None
    private: bool | None = None
    ip: str | None = None
    cpu_core_hours: float | None = None
    ram_byte_hours: float | None = None
    gpu_hours: float | None = None
    byte_hours: float | None = None
    byte_hours_used: float | None = None
    byte_usage_max: float | None = None
    cpu_breakdown: Breakdown | None = None
    ram_breakdown: Breakdown | None = None
    breakdown: Breakdown | None = None


NO_ASSET_DETAILS = AssetDetails()
_HOURS = ("cpu_core_hours", "ram_byte_hours", "gpu_hours", "byte_hours", "byte_hours_used")


class Asset(NamedTuple):
    """One thing on the bill over a window; `costs` are micros after discount and adjustment, by component.

    `names` are all names an allocation may know it by: a disk's volume name beside its own.
    `life` is the span in which the source saw it and `cpu_cores` a node's capacity, None where it gives none.
    `details`: None where they were not read, or the day was stored before there were any.
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
    details: AssetDetails | None = None

    def within(self, window: Window) -> "Asset | None":
        """The share of the asset that falls into `window`, prorated by time; None where nothing does."""
        if window.contains(self.window):
            return self
        common = window.overlap(self.window)
        if common is None:
            return None
        since, until = self.window.fractions_of(common)
        part, details = until - since, self.details
        if details is not None:
            amount = details.amount
            details = details._replace(
                amount=None if amount is None else prorate(amount, start=since, end=until),
                **{name: None if (hours := getattr(details, name)) is None else hours * part for name in _HOURS},
            )
        return self._replace(
            window=common,
            details=details,
            costs=Costs(*(prorate(amount, start=since, end=until) for amount in self.costs)),
            hours=self.hours * (until - since),
            adjustment=prorate(self.adjustment, start=since, end=until),
            life=None if self.life is None else self.life.overlap(common),
        )

    @property
    def total(self) -> int:
        """Micros of all its components."""
        return self.costs.total


def node_parts(
    *, cpu: float | None, ram: float | None, gpu: float | None, discount: float, adjustment: float, total: float | None
) -> tuple[float | None, float | None, float | None]:
    """List costs of a node's parts (B1): a single unknown one is what the total leaves for it, and else unknown."""
    parts, kept = [cpu, ram, gpu], (1 - discount, 1 - discount, 1.0)
    if parts.count(None) == 1 and total is not None:
        known = sum(cost * share for cost, share in zip(parts, kept, strict=True) if cost is not None)
        at = parts.index(None)
        parts[at] = max(0.0, total - adjustment - known) / kept[at] if kept[at] else 0.0
    return parts[0], parts[1], parts[2]


def node_costs(*, cpu: float, ram: float, gpu: float, discount: float, total: float | None) -> Costs:
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
