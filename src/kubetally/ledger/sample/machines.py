"""Nodes of the sample fleet: machine types, their prices, and which pods run on them."""

from collections.abc import Mapping
from typing import NamedTuple

from kubetally.domain.component import Costs

GIB = 2**30
CORE_HOUR, GIB_HOUR, GPU_HOUR = 31_611, 4_237, 820_000  # micros, near the list prices of a large cloud
SPOT_CORE_HOUR, SPOT_GIB_HOUR = 11_064, 1_483
MAX_FILLED = 0.85
"""The part of a node that pods may take, so that no day has rows above what their node costs."""

_REGIONS = ("us-east-1", "eu-west-1", "ap-southeast-2", "us-west-2")
_ZONES = "abc"
_MANY_PODS = 300  # of a cluster that has large machines


class Machine(NamedTuple):
    """A machine type."""

    name: str
    cores: int
    gib: int
    gpus: int = 0


class Pool(NamedTuple):
    """A group of nodes of one machine type."""

    name: str
    machine: Machine
    is_spot: bool = False


_GPU_POOL = Pool("gpu", Machine("g5.12xlarge", 48, 192, 4))


def _pools(size: int) -> Mapping[str, Pool]:
    """Pools by the tier of the pods that run in them; "" is for all other tiers. size: of their machines, from 1."""
    name = f"{2 * size}xlarge"
    memory = Pool("memory", Machine(f"m6i.{name}", 8 * size, 32 * size))
    spot = Pool("spot", Machine(f"c5.{name}", 8 * size, 16 * size), is_spot=True)
    return {
        "db": memory,
        "cache": memory,
        "job": spot,
        "": Pool("general", Machine(f"c6i.{name}", 8 * size, 16 * size)),
    }


class SampleNode(NamedTuple):
    """A node. `adjustment`: what corrects its list price to the cloud's bill, as a fraction of the price."""

    name: str
    provider_id: str
    pool: Pool
    region: str
    zone: str
    adjustment: float = 0.0

    @property
    def core_hour(self) -> int:
        """List price of a core and hour, in micros."""
        return SPOT_CORE_HOUR if self.pool.is_spot else CORE_HOUR

    @property
    def gib_hour(self) -> int:
        """List price of a GiB of memory and hour, in micros."""
        return SPOT_GIB_HOUR if self.pool.is_spot else GIB_HOUR

    def list_costs(self, hours: int) -> Costs:
        """What it costs without adjustment."""
        machine = self.pool.machine
        return Costs(
            cpu=machine.cores * hours * self.core_hour,
            ram=machine.gib * hours * self.gib_hour,
            gpu=machine.gpus * hours * GPU_HOUR,
        )

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels, spelled as sources spell them."""
        return {
            "eks_amazonaws_com_nodegroup": self.pool.name,
            "kubernetes_io_arch": "amd64",
            "kubernetes_io_hostname": self.name,
            "kubernetes_io_os": "linux",
            "node_kubernetes_io_instance_type": self.pool.machine.name,
            "topology_kubernetes_io_region": self.region,
            "topology_kubernetes_io_zone": self.zone,
        }


class NodePlacement:
    """Places the pods of a cluster, each on the newest node of its pool while there is room."""

    def __init__(self, cluster: int, cluster_name: str, *, pods: int, adjustment: float) -> None:
        """pods: how many there will be. adjustment: that of every fourth node; other nodes have none."""
        self.nodes: list[SampleNode] = []
        self._cluster, self._cluster_name, self._adjustment = cluster, cluster_name, adjustment
        self._pools = _pools(4 if pods >= _MANY_PODS else 1)
        self._newest: dict[Pool, tuple[SampleNode, float, float, int]] = {}

    def place(self, tier: str, *, cores: float, gib: float, gpus: int) -> SampleNode:
        """The node of a pod that takes at most so much."""
        pool = _GPU_POOL if gpus else self._pools.get(tier) or self._pools[""]
        machine = pool.machine
        if pool in self._newest:
            node, free_cores, free_gib, free_gpus = self._newest[pool]
        if pool not in self._newest or cores > free_cores or gib > free_gib or gpus > free_gpus:
            node = self._new_node(pool)
            free_cores, free_gib, free_gpus = MAX_FILLED * machine.cores, MAX_FILLED * machine.gib, machine.gpus
        self._newest[pool] = (node, free_cores - cores, free_gib - gib, free_gpus - gpus)
        return node

    def _new_node(self, pool: Pool) -> SampleNode:
        number = len(self.nodes)
        region = _REGIONS[self._cluster % len(_REGIONS)]
        node = SampleNode(
            f"{self._cluster_name}-node-{number:03}",
            f"i-{self._cluster:03x}{number:014x}",
            pool,
            region,
            region + _ZONES[number % len(_ZONES)],
            0.0 if number % 4 else self._adjustment,
        )
        self.nodes.append(node)
        return node


def adjust(costs: Costs, rate: float) -> Costs:
    """The adjustment of list costs, component by component."""
    return Costs(*[round(amount * rate) for amount in costs])
