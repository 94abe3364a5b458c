"""A made-up fleet, for benchmarks, demos and tests of scale: days of clusters as they would have been booked.

Pods come and go with their controllers' releases, weekends are quieter, some namespaces waste what they ask for. All of
it follows from a seed: the same fleet, day by day, on every machine.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import NamedTuple

from kubetally.domain.allocation import Kind, LoadBalancerCost, VolumeCost
from kubetally.domain.asset import Asset, AssetDetails, AssetType
from kubetally.domain.booking import Booking
from kubetally.domain.cluster_costs import SourceIdentity
from kubetally.domain.collection import SETTLES_AFTER, CollectedDay, collected, window_of
from kubetally.domain.component import NO_CLASSES, ZERO, Component, Costs, NetworkClasses
from kubetally.domain.efficiency import Hours
from kubetally.domain.money import to_decimal, to_micros
from kubetally.domain.row import Cause, Row, RowDetails
from kubetally.domain.savings import (
    HOURS_PER_MONTH,
    CollectedSavings,
    SavingsCategory,
    SavingsItem,
    SavingsItems,
    SavingsSubject,
    rows_of_category,
)
from kubetally.domain.window import Window

KUBECOST, OPENCOST = "Kubecost", "OpenCost"
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
_WITH_SIDECAR, _WITH_ANNOTATIONS, _WITH_VOLUME = 1 / 4, 1 / 3, 1 / 10  # of pods
_DAYS_OF_A_RELEASE = 9
_PAGE = 4096  # of memory, in bytes


class _Pod(NamedTuple):
    """What does not change from day to day but the pod's name. Amounts are of an hour, and of the main container."""

    namespace: str
    kind: str
    controller: str
    replica: int
    node: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    namespace_labels: Mapping[str, str]
    namespace_annotations: Mapping[str, str]
    services: tuple[str, ...]
    has_sidecar: bool
    cores: float
    gib: float
    used: float
    pv_gib: float
    sent_gib: float


@dataclass(frozen=True, slots=True)
class SampleCluster:
    """One cluster of the fleet: every second is a Kubecost's, the others an OpenCost's, which has no savings."""

    number: int
    pods: int
    seed: int = 0

    @property
    def name(self) -> str:
        """`sample-007`."""
        return f"sample-{self.number:03}"

    @property
    def product(self) -> str:
        """What its source is."""
        return KUBECOST if self.number % 2 else OPENCOST

    def days(self, account_id: str, first: date, count: int) -> Iterator[CollectedDay]:
        """Its days, as they were collected once they had settled."""
        pods = self._made()
        for day in (first + timedelta(days=number) for number in range(count)):
            yield self._day(account_id, day, pods)

    def savings(self, account_id: str, day: date) -> CollectedSavings | None:
        """What its source would have recommended on a day: smaller requests and volumes. None of an OpenCost."""
        if self.product != KUBECOST:
            return None
        pods = self._made()
        sized = [_smaller_requests(pod) for pod in pods if not pod.replica]
        volumes = [_smaller_volume(pod) for pod in pods if pod.pv_gib and not pod.replica]
        rows = [
            row
            for name, items in (("containerRequestSizing", sized), ("persistentVolumeSizing", volumes))
            for row in rows_of_category(_summed(name, items), SavingsItems(tuple(items), {"Count": str(len(items))}))
        ]
        identity = hashlib.blake2b(f"{account_id}/{day}/savings".encode(), digest_size=16).hexdigest()
        at = datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=2)
        source = f"sample://{self.name}"
        return CollectedSavings(identity, account_id, day, at, source, self.name, "production", "USD", rows)

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
                "app_kubernetes_io_managed_by": chance.choice(("Helm", "argocd", "flux")),
            }
            is_public, has_sidecar = chance.random() < 0.08, chance.random() < _WITH_SIDECAR
            annotations = _annotations(controller, chance) if chance.random() < _WITH_ANNOTATIONS else {}
            pv_gib = float(chance.choice((8, 20, 50, 100))) if chance.random() < _WITH_VOLUME else 0.0
            for replica in range(min(chance.choice((1, 2, 3, 4, 6, 10)), self.pods - len(pods))):
                pods.append(
                    _Pod(
                        namespace,
                        kind,
                        controller,
                        replica,
                        f"{self.name}-node-{len(pods) // _PODS_A_NODE:03}",
                        labels,
                        annotations,
                        {"team": team, "kubernetes_io_metadata_name": namespace},
                        {"owner": f"{team}@example.com"},
                        (controller,) if is_public else (),
                        has_sidecar,
                        cores,
                        gib,
                        used,
                        pv_gib,
                        chance.expovariate(20),
                    )
                )
        return pods

    def _day(self, account_id: str, day: date, pods: list[_Pod]) -> CollectedDay:
        chance = Random(f"{self.seed}/{self.number}/{day}")  # noqa: S311
        busy = (0.6 if day.weekday() >= 5 else 1.0) * (1 + 0.1 * chance.random())
        rows = [row for pod in pods for row in self._rows(pod, day, busy, chance)]
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
        told = SourceIdentity(head.source, self.product, "sample", self.name, self.name)
        at = datetime.combine(day, datetime.min.time(), UTC) + timedelta(days=1) + SETTLES_AFTER
        identity = hashlib.blake2b(f"{account_id}/{day}".encode(), digest_size=16).hexdigest()
        return collected(identity, account_id, day, at, told, head, self._assets(bill, nodes, day))

    def _rows(self, pod: _Pod, day: date, busy: float, chance: Random) -> Iterator[Row]:
        """The containers of a pod on a day; one that was released on it lived for a part of it only."""
        release = (day.toordinal() + len(pod.controller)) // _DAYS_OF_A_RELEASE
        lived = chance.random() if pod.kind == "daemonset" and chance.random() < 0.02 else 1.0
        hours = 24 * lived
        used, sent = pod.used * busy * (0.9 + 0.2 * chance.random()), pod.sent_gib * hours * busy
        name = _name_of(pod, release)
        network = round(sent * GIB_SENT)
        balancer = round(BALANCER_HOUR * hours) if pod.services and not pod.replica else 0
        volume = round(pod.pv_gib * hours * PV_GIB_HOUR)
        # What a source charges a pod as a whole lies on its main container.
        whole = Costs(pv=volume, load_balancer=balancer, network=network)
        containers = [("main", pod.cores, pod.gib, used, whole)]
        if pod.has_sidecar:
            containers.append(("proxy", 0.1, 0.125, min(1.0, 0.3 * busy), ZERO))
        for container, cores, gib, share, extra in containers:
            is_main = extra is whole
            yield Row(
                Kind.WORKLOAD,
                None,
                pod.namespace,
                pod.kind,
                pod.controller,
                name,
                container,
                pod.node,
                1,
                60 * hours,
                Hours(
                    cores * hours * max(1.0, share),
                    cores * hours,
                    cores * hours * share,
                    gib * hours * GIB,
                    gib * hours * GIB,
                    gib * hours * GIB * min(0.95, share + 0.2),
                    pv_byte_hours=pod.pv_gib * hours * GIB if is_main else 0.0,
                    network_transfer_bytes=sent * GIB if is_main else 0.0,
                    network_receive_bytes=sent * GIB / 3 if is_main else 0.0,
                ),
                extra.plus(
                    Costs(cpu=round(cores * hours * CORE_HOUR * max(1.0, share)), ram=round(gib * hours * GIB_HOUR))
                ),
                NetworkClasses(internet=network - network // 4, region=network // 4) if is_main else NO_CLASSES,
                pod.services,
                pod.labels,
                pod.namespace_labels,
                RowDetails(
                    f"i-{self.number:03x}{int(pod.node[-3:]):014x}",
                    _life(day, lived),
                    pod.annotations,
                    pod.namespace_annotations,
                    cores * share * (1.2 + chance.random()),
                    _PAGE * round(gib * GIB * min(1.0, share + 0.3) / _PAGE),
                    volumes=(VolumeCost(f"pvc-{name}", volume, pod.pv_gib * hours * GIB, f"vol-{name}"),)
                    if is_main and pod.pv_gib
                    else (),
                    load_balancers=(
                        LoadBalancerCost(f"{pod.namespace}/{pod.controller}", balancer, hours, private=False),
                    )
                    if is_main and balancer
                    else (),
                ),
            )

    def _assets(self, bill: Costs, nodes: int, day: date) -> list[Asset]:
        window = window_of(day)

        def asset(kind: AssetType, name: str, costs: Costs, node_type: str | None = None) -> Asset:
            details = AssetDetails(pool="general", preemptible=False) if kind is AssetType.NODE else AssetDetails()
            return Asset(
                kind,
                name,
                frozenset({name}),
                window,
                costs,
                self.name,
                node_type=node_type,
                hours=24.0,
                life=window,
                details=details,
            )

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


def _smaller_requests(pod: _Pod) -> SavingsItem:
    """Requests of what was used and a half more; of what uses more than it asks for the amount is negative."""
    cores = round(1000 * pod.cores * pod.used * 1.5)
    micros = round((1000 * pod.cores - cores) * CORE_HOUR * HOURS_PER_MONTH / 1000)
    facts = {
        "latestKnownRequest.cpu": f"{1000 * pod.cores:.0f}m",
        "recommendedRequest.cpu": f"{cores}m",
        "currentEfficiency.cpu": f"{pod.used:.3f}",
    }
    subject = SavingsSubject(pod.namespace, pod.kind, pod.controller, container="main")
    key = f"{pod.namespace}/{pod.kind}/{pod.controller}/main"
    return SavingsItem(key, to_decimal(micros), subject, facts)


def _smaller_volume(pod: _Pod) -> SavingsItem:
    name, gib = f"pvc-{pod.controller}", max(1, round(pod.pv_gib * pod.used))
    micros = round((pod.pv_gib - gib) * PV_GIB_HOUR * HOURS_PER_MONTH)
    facts = {"currentCapacityBytes": str(round(pod.pv_gib * GIB)), "recommendedCapacityBytes": str(gib * GIB)}
    return SavingsItem(name, to_decimal(micros), SavingsSubject(pod.namespace, volume=name), facts)


def _summed(name: str, items: Sequence[SavingsItem]) -> SavingsCategory:
    micros = sum(to_micros(item.per_month) for item in items if item.per_month is not None)
    return SavingsCategory(name, to_decimal(micros), None, counted=True)


def _annotations(controller: str, chance: Random) -> dict[str, str]:
    return {
        "checksum_config": f"{chance.getrandbits(64):016x}",
        "prometheus_io_scrape": "true",
        "kubectl_kubernetes_io_default_container": controller,
    }


def _life(day: date, lived: float) -> Window:
    """The first part of a day, in whole minutes."""
    whole = window_of(day)
    return Window(whole.start, whole.start + timedelta(minutes=max(1, round(24 * 60 * lived))))


def _name_of(pod: _Pod, release: int) -> str:
    if pod.kind == "statefulset":
        return f"{pod.controller}-{pod.replica}"
    of_release = f"{hash((release * 7919 + len(pod.controller) * 104729) % 4294967291):08x}"
    return f"{pod.controller}-{of_release[-8:]}-{pod.replica:05x}"
