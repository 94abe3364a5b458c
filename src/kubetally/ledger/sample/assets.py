"""Volumes and load balancers of the sample fleet, and the assets of its days."""

from collections.abc import Iterable, Sequence
from random import Random
from typing import NamedTuple

from kubetally.domain.asset import Asset, AssetDetails, AssetType, Breakdown
from kubetally.domain.component import ZERO, Costs
from kubetally.domain.row import Row
from kubetally.domain.window import Window
from kubetally.ledger.sample.machines import GIB, SampleNode, adjust

BALANCER_HOUR, MANAGEMENT_HOUR, NODE_DISK_HOUR = 25_000, 100_000, 5_500  # micros
_GIB_HOURS = {"gp3": 110, "io2": 171, "st1": 62}  # micros by storage class
_CLASSES = ("gp3", "gp3", "io2", "st1")
_NODE_DISK_GIB = 100
_HOURS = 24
_SYSTEM, _OTHER = 0.02, 0.01  # of a node's CPU and memory


class SampleVolume(NamedTuple):
    """A volume. `claim` is None where no claim holds it, `used` the part of it that holds data, None where unknown."""

    name: str
    provider_id: str
    storage_class: str
    gib: float
    zone: str
    claim: str | None = None
    claim_namespace: str | None = None
    used: float | None = None
    adjustment: float = 0.0

    @property
    def gib_hour(self) -> int:
        """List price of a GiB and hour, in micros."""
        return _GIB_HOURS[self.storage_class]

    def cost(self, hours: float) -> tuple[int, int]:
        """What it costs, adjustment inside, and the adjustment, in micros."""
        return _adjusted(round(self.gib * hours * self.gib_hour), self.adjustment)


class SampleBalancer(NamedTuple):
    """A load balancer; `name` is `namespace/service`."""

    name: str
    ip: str
    private: bool
    adjustment: float = 0.0

    def cost(self, hours: float) -> tuple[int, int]:
        """What it costs, adjustment inside, and the adjustment, in micros."""
        return _adjusted(round(BALANCER_HOUR * hours), self.adjustment)


def new_volume(
    chance: Random, gib: float, *, zone: str, claim: str | None, namespace: str | None, is_mounted: bool, rate: float
) -> SampleVolume:
    """A volume of some storage class. rate: the adjustment of a volume with provisioned throughput."""
    storage_class = chance.choice(_CLASSES)
    return SampleVolume(
        f"pvc-{chance.getrandbits(64):016x}",
        f"vol-{chance.getrandbits(68):017x}",
        storage_class,
        gib,
        zone,
        claim,
        namespace,
        round(0.1 + 0.8 * chance.random(), 2) if is_mounted else None,
        rate if storage_class == "io2" else 0.0,
    )


def new_balancer(number: int, name: str, rate: float) -> SampleBalancer:
    """The load balancer of a service; every third is private. rate: the adjustment of others."""
    is_private = number % 3 == 2
    block = "10.200" if is_private else "198.18"  # the second is reserved for benchmarks: nobody's address
    ip = f"{block}.{number // 256 % 256}.{number % 256}"
    return SampleBalancer(name, ip, is_private, 0.0 if is_private else rate)


class AssetsOfDay:
    """Makes the assets of a cluster and day."""

    def __init__(self, cluster_id: str, window: Window) -> None:
        self._cluster_id, self._window = cluster_id, window

    def nodes(self, nodes: Sequence[SampleNode], rows: Iterable[Row]) -> list[Asset]:
        """The nodes, each with its local disk; `rows` say what of a node was used."""
        used: dict[str | None, tuple[float, float]] = {node.name: (0.0, 0.0) for node in nodes}
        for row in rows:
            if row.node is not None:
                cores, memory = used[row.node]
                hours = row.hours
                used[row.node] = (
                    cores + (hours.cpu_core_usage_hours or 0.0),
                    memory + (hours.ram_byte_usage_hours or 0.0),
                )
        return [asset for node in nodes for asset in (self._node(node, *used[node.name]), self._node_disk(node))]

    def _node(self, node: SampleNode, core_hours_used: float, byte_hours_used: float) -> Asset:
        machine, price = node.pool.machine, node.list_costs(_HOURS)
        adjustment = adjust(price, node.adjustment)
        core_hours, byte_hours = float(machine.cores * _HOURS), float(machine.gib * GIB * _HOURS)
        return self._asset(
            AssetType.NODE,
            node.name,
            price.plus(adjustment),
            AssetDetails(
                pool=node.pool.name,
                preemptible=node.pool.is_spot,
                region=node.region,
                zone=node.zone,
                cpu_core_hours=core_hours,
                ram_byte_hours=byte_hours,
                gpu_hours=float(machine.gpus * _HOURS),
                cpu_breakdown=_breakdown(core_hours_used / core_hours, _SYSTEM, _OTHER),
                ram_breakdown=_breakdown(byte_hours_used / byte_hours, _SYSTEM, _OTHER),
            ),
            provider_id=node.provider_id,
            adjustment=adjustment.total,
        )._replace(node_type=machine.name, labels=node.labels, cpu_cores=float(machine.cores))

    def _node_disk(self, node: SampleNode) -> Asset:
        used = (20 + sum(node.name.encode()) % 40) / 100
        byte_hours = float(_NODE_DISK_GIB * GIB * _HOURS)
        details = AssetDetails(
            storage_class="__local__",
            byte_hours=byte_hours,
            byte_hours_used=used * byte_hours,
            byte_usage_max=round(used + 0.05, 2) * _NODE_DISK_GIB * GIB,
            breakdown=_breakdown(0.0, used, 0.0),
        )
        costs = Costs(node_disk=_HOURS * NODE_DISK_HOUR)
        return self._asset(AssetType.DISK, node.name, costs, details, provider_id=node.name)

    def volumes(self, volumes: Iterable[SampleVolume]) -> list[Asset]:
        """The disks of volumes, mounted or not."""
        return [self._volume(volume) for volume in volumes]

    def _volume(self, volume: SampleVolume) -> Asset:
        cost, adjustment = volume.cost(_HOURS)
        byte_hours, used, region = volume.gib * GIB * _HOURS, volume.used, volume.zone[:-1]
        details = AssetDetails(
            region=region,
            zone=volume.zone,
            storage_class=volume.storage_class,
            volume_name=volume.name,
            claim_name=volume.claim,
            claim_namespace=volume.claim_namespace,
            byte_hours=byte_hours,
            byte_hours_used=None if used is None else used * byte_hours,
            byte_usage_max=None if used is None else round(used + 0.05, 2) * volume.gib * GIB,
            breakdown=_breakdown(used or 0.0, 0.0, 0.0),
        )
        labels = {"topology_kubernetes_io_region": region, "topology_kubernetes_io_zone": volume.zone}
        return self._asset(
            *(AssetType.DISK, volume.name, Costs(pv=cost), details),
            provider_id=volume.provider_id,
            adjustment=adjustment,
        )._replace(labels=labels)

    def balancers(self, balancers: Iterable[SampleBalancer]) -> list[Asset]:
        """The load balancers."""
        return [
            self._asset(
                *(AssetType.LOAD_BALANCER, balancer.name, Costs(load_balancer=cost)),
                AssetDetails(private=balancer.private, ip=balancer.ip),
                provider_id=balancer.ip,
                adjustment=adjustment,
            )
            for balancer in balancers
            for cost, adjustment in (balancer.cost(_HOURS),)
        ]

    def network(self, cost: int) -> Asset:
        """The network of the cluster."""
        return self._asset(AssetType.NETWORK, f"{self._cluster_id}-network", ZERO._replace(network=cost))

    def management(self) -> Asset:
        """The management fee."""
        costs = Costs(management=_HOURS * MANAGEMENT_HOUR)
        return self._asset(AssetType.MANAGEMENT, f"{self._cluster_id}-management", costs)

    def _asset(
        self,
        kind: AssetType,
        name: str,
        costs: Costs,
        details: AssetDetails | None = None,
        provider_id: str | None = None,
        adjustment: int = 0,
    ) -> Asset:
        return Asset(
            kind,
            name,
            frozenset({name}),
            self._window,
            costs,
            self._cluster_id,
            provider_id,
            labels={},
            hours=float(_HOURS),
            adjustment=adjustment,
            life=self._window,
            details=details or AssetDetails(),
        )


def _adjusted(price: int, rate: float) -> tuple[int, int]:
    adjustment = round(price * rate)
    return price + adjustment, adjustment


def _breakdown(user: float, system: float, other: float) -> Breakdown:
    user = round(user, 4)
    return Breakdown(round(1 - user - system - other, 4), user, system, other)
