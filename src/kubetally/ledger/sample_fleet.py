"""A made-up fleet, for benchmarks, demos and tests of scale: days of clusters as they would have been booked.

Pods come and go with their controllers' releases, weekends are quieter, some namespaces waste what they ask for. All of
it follows from a seed: the same fleet, day by day, on every machine.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import NamedTuple

from kubetally.domain.allocation import Kind
from kubetally.domain.asset import Asset, AssetType
from kubetally.domain.booking import Booking
from kubetally.domain.cluster_costs import SourceIdentity
from kubetally.domain.collection import SETTLES_AFTER, CollectedDay, collected, window_of
from kubetally.domain.component import ZERO, Component, Costs, NetworkClasses
from kubetally.domain.efficiency import Hours
from kubetally.domain.row import Cause, Row

GIB = 2**30
CORE_HOUR, GIB_HOUR, PV_GIB_HOUR, GIB_SENT = 31_611, 4_237, 55, 90_000  # micros, near the list prices of a large cloud
MANAGEMENT_HOUR, BALANCER_HOUR, NODE_DISK_HOUR = 100_000, 25_000, 5_500
_NAMES = (
    "checkout", "catalog", "search", "payments", "identity", "billing", "orders", "inventory", "shipping", "mail",
    "reports", "ingest", "events", "media", "chat", "admin", "edge", "gateway", "ml-train", "ml-serve", "batch", "cron",
    "ci", "logging", "tracing", "monitoring", "kube-system", "ingress", "vault", "data-lake",
)  # fmt: skip
_TEAMS = ("commerce", "platform", "data", "growth", "security", "core")
_KINDS = ("deployment", "deployment", "deployment", "statefulset", "daemonset")
_PODS_A_NODE = 25
_DAYS_OF_A_RELEASE = 9


class _Pod(NamedTuple):
    """What does not change from day to day but the pod's name. Amounts are of an hour."""

    namespace: str
    kind: str
    controller: str
    replica: int
    node: str
    labels: Mapping[str, str]
    namespace_labels: Mapping[str, str]
    services: tuple[str, ...]
    cores: float
    gib: float
    used: float
    pv_gib: float
    sent_gib: float


@dataclass(frozen=True, slots=True)
class SampleCluster:
    """One cluster of the fleet."""

    number: int
    pods: int
    seed: int = 0

    @property
    def name(self) -> str:
        """`sample-007`."""
        return f"sample-{self.number:03}"

    def days(self, account_id: str, first: date, count: int) -> Iterator[CollectedDay]:
        """Its days, as they were collected once they had settled."""
        pods = self._made()
        for day in (first + timedelta(days=number) for number in range(count)):
            yield self._day(account_id, day, pods)

    def _made(self) -> list[_Pod]:
        chance = Random(f"{self.seed}/{self.number}")  # noqa: S311  (nothing is kept secret by it)
        pods: list[_Pod] = []
        while len(pods) < self.pods:
            namespace = _NAMES[int(len(_NAMES) * chance.random() ** 1.4)]
            team, kind = _TEAMS[len(namespace) % len(_TEAMS)], chance.choice(_KINDS)
            controller = f"{namespace}-{chance.choice(('api', 'web', 'worker', 'db', 'cache', 'job'))}-{len(pods) % 97}"
            cores, gib = chance.choice((0.1, 0.25, 0.5, 1.0, 2.0)), chance.choice((0.25, 0.5, 1.0, 2.0, 4.0))
            used = min(1.4, max(0.02, chance.gauss(0.35, 0.2)))
            labels = {
                "app": controller,
                "team": team,
                "env": "prod" if self.number % 3 else "staging",
                "tier": controller.split("-")[1],
                "version": f"v{chance.randrange(1, 30)}",
                "cost_center": f"cc-{1000 + len(namespace) * 7 % 90}",
            }
            is_public = chance.random() < 0.08
            for replica in range(min(chance.choice((1, 2, 3, 4, 6, 10)), self.pods - len(pods))):
                pods.append(
                    _Pod(
                        namespace,
                        kind,
                        controller,
                        replica,
                        f"{self.name}-node-{len(pods) // _PODS_A_NODE:03}",
                        labels,
                        {"team": team},
                        (controller,) if is_public else (),
                        cores,
                        gib,
                        used,
                        20.0 if kind == "statefulset" else 0.0,
                        chance.expovariate(20),
                    )
                )
        return pods

    def _day(self, account_id: str, day: date, pods: list[_Pod]) -> CollectedDay:
        chance = Random(f"{self.seed}/{self.number}/{day}")  # noqa: S311
        busy = (0.6 if day.weekday() >= 5 else 1.0) * (1 + 0.1 * chance.random())
        rows = [_row(pod, day, busy, chance) for pod in pods]
        used, nodes = Costs.sum(row.costs for row in rows), len({pod.node for pod in pods})
        # Nodes are paid whether or not somebody asks for all of them.
        idle = Costs(cpu=used.cpu * 3 // 10, ram=used.ram * 4 // 10)
        overhead = Costs(node_disk=24 * nodes * NODE_DISK_HOUR, management=24 * MANAGEMENT_HOUR)
        rows += [
            Row(Kind.IDLE, costs=idle),
            Row(Kind.OVERHEAD, costs=overhead),
            Row(Kind.UNEXPLAINED, Cause.ROUNDING, costs=Costs(pv=chance.randrange(-9, 10))),
        ]
        bill, window = Costs.sum(row.costs for row in rows), window_of(day)
        head = Booking(
            window=window,
            covered=(window,),
            rows=tuple(rows),
            bill=bill,
            bill_network_classes=NetworkClasses.sum(row.network_classes for row in rows),
            not_measured=frozenset[Component](),
            audited=True,
            currency="USD",
            source=f"sample://{self.name}",
            source_total=used.plus(idle).total,
            issues=(),
        )
        told = SourceIdentity(head.source, "OpenCost", "sample", self.name, self.name)
        at = datetime.combine(day, datetime.min.time(), UTC) + timedelta(days=1) + SETTLES_AFTER
        identity = hashlib.blake2b(f"{account_id}/{day}".encode(), digest_size=16).hexdigest()
        return collected(identity, account_id, day, at, told, head, self._assets(bill, nodes, day))

    def _assets(self, bill: Costs, nodes: int, day: date) -> list[Asset]:
        window = window_of(day)

        def asset(kind: AssetType, name: str, costs: Costs, node_type: str | None = None) -> Asset:
            return Asset(kind, name, frozenset({name}), window, costs, self.name, node_type=node_type, hours=24.0)

        each = Costs(cpu=bill.cpu // nodes, ram=bill.ram // nodes)
        last = Costs(cpu=bill.cpu - each.cpu * (nodes - 1), ram=bill.ram - each.ram * (nodes - 1))
        found = [
            asset(AssetType.NODE, f"{self.name}-node-{number:03}", each if number else last, "m6i.2xlarge")
            for number in range(nodes)
        ]
        rest = bill.minus(Costs(cpu=bill.cpu, ram=bill.ram))
        found.append(asset(AssetType.DISK, f"{self.name}-volumes", ZERO._replace(pv=rest.pv)))
        found.append(asset(AssetType.DISK, f"{self.name}-node-disks", ZERO._replace(node_disk=rest.node_disk)))
        found.append(
            asset(AssetType.LOAD_BALANCER, f"{self.name}-balancers", ZERO._replace(load_balancer=rest.load_balancer))
        )
        found.append(asset(AssetType.NETWORK, f"{self.name}-network", ZERO._replace(network=rest.network)))
        found.append(asset(AssetType.MANAGEMENT, f"{self.name}-fee", ZERO._replace(management=rest.management)))
        return found


def _row(pod: _Pod, day: date, busy: float, chance: Random) -> Row:
    """A pod's day; one that was released on it lived for a part of it only."""
    release = (day.toordinal() + len(pod.controller)) // _DAYS_OF_A_RELEASE
    lived = chance.random() if pod.kind == "daemonset" and chance.random() < 0.02 else 1.0
    hours = 24 * lived
    cores, ram_gib = pod.cores * hours, pod.gib * hours
    used, sent = pod.used * busy * (0.9 + 0.2 * chance.random()), pod.sent_gib * hours * busy
    network = round(sent * GIB_SENT)
    costs = Costs(
        cpu=round(cores * CORE_HOUR * max(1.0, used)),
        ram=round(ram_gib * GIB_HOUR),
        pv=round(pod.pv_gib * hours * PV_GIB_HOUR),
        load_balancer=round(BALANCER_HOUR * hours) if pod.services and not pod.replica else 0,
        network=network,
    )
    return Row(
        Kind.WORKLOAD,
        None,
        pod.namespace,
        pod.kind,
        pod.controller,
        _name_of(pod, release),
        pod.node,
        1 + pod.replica % 2,
        60 * hours,
        Hours(
            cores * max(1.0, used),
            cores,
            cores * used,
            ram_gib * GIB,
            ram_gib * GIB,
            ram_gib * GIB * min(0.95, used + 0.2),
            0.0,
            pod.pv_gib * hours * GIB,
            sent * GIB,
            sent * GIB / 3,
        ),
        costs,
        NetworkClasses(internet=network - network // 4, region=network // 4),
        pod.services,
        pod.labels,
        pod.namespace_labels,
    )


def _name_of(pod: _Pod, release: int) -> str:
    if pod.kind == "statefulset":
        return f"{pod.controller}-{pod.replica}"
    of_release = f"{hash((release * 7919 + len(pod.controller) * 104729) % 4294967291):08x}"
    return f"{pod.controller}-{of_release[-8:]}-{pod.replica:05x}"
