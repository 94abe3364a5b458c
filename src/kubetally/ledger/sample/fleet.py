"""A made-up fleet, for benchmarks, demos and tests of scale: days of clusters as they would have been booked.

Pods come and go with their controllers' releases, weekends are quieter, some namespaces waste what they ask for. All of
it follows from a seed: the same fleet, day by day, on every machine.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import NamedTuple

from kubetally.domain.allocation import Kind
from kubetally.domain.asset import Asset
from kubetally.domain.booking import Booking
from kubetally.domain.collection import SETTLES_AFTER, CollectedDay, new_collected_day, window_of
from kubetally.domain.component import Component, Costs, NetworkClasses
from kubetally.domain.row import Cause, Row
from kubetally.domain.savings import CollectedSavings
from kubetally.domain.source_identity import KUBECOST, OPENCOST, SourceIdentity
from kubetally.domain.window import Window
from kubetally.ledger.sample.assets import AssetsOfDay, SampleBalancer, SampleVolume, new_balancer, new_volume
from kubetally.ledger.sample.machines import NodePlacement, SampleNode
from kubetally.ledger.sample.rows import (
    SIDECAR_CORES,
    SIDECAR_GIB,
    SamplePod,
    loose_row,
    pod_rows,
    unused_row,
)
from kubetally.ledger.sample.savings import SampleWorkload, savings_rows

FIGURES_VERSION = 2
"""Of the figures that a seed gives: raise it with any change of them."""

_NAMES = (
    "checkout", "catalog", "search", "payments", "identity", "billing", "orders", "inventory", "shipping", "mail",
    "reports", "ingest", "events", "media", "chat", "admin", "edge", "gateway", "ml-train", "ml-serve", "batch", "cron",
    "ci", "logging", "tracing", "monitoring", "kube-system", "ingress", "vault", "data-lake",
)  # fmt: skip
_TEAMS = ("commerce", "platform", "data", "growth", "security", "core")
_KINDS = ("deployment", "deployment", "deployment", "statefulset", "daemonset")
_WITH_SIDECAR, _WITH_ANNOTATIONS, _WITH_VOLUME = 1 / 4, 1 / 3, 1 / 10  # of pods
_ON_GPU = ("ml-serve", "ml-train")
_CORES_BESIDE_GPU, _GIB_BESIDE_GPU = 8.0, 32.0
_MAX_BUSY = 1.1 * 1.1  # what a pod uses on its busiest day, beside what it uses as a rule
_NODE_ADJUSTMENT, _VOLUME_ADJUSTMENT, _BALANCER_ADJUSTMENT = -0.12, 0.02, -0.05  # of list prices


class _Contents(NamedTuple):
    """What a cluster consists of. `unused`: volumes with a claim that no pod mounts; `loose`: those without a claim."""

    pods: Sequence[SamplePod]
    nodes: Sequence[SampleNode]
    unused: Sequence[SampleVolume]
    loose: Sequence[SampleVolume]

    @property
    def volumes(self) -> list[SampleVolume]:
        return [*(pod.volume for pod in self.pods if pod.volume), *self.unused, *self.loose]

    @property
    def balancers(self) -> list[SampleBalancer]:
        return [pod.balancer for pod in self.pods if pod.balancer and not pod.replica]


@dataclass(frozen=True, slots=True)
class SampleCluster:
    """One cluster of the fleet: every second is a Kubecost's, the others an OpenCost's, and every fifth has GPUs.

    A Kubecost's has savings, a network asset, adjustments to the cloud's bill and volumes without a claim.
    """

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

    @property
    def has_gpus(self) -> bool:
        """Whether it has a pool of nodes with GPUs."""
        return self.number % 5 == 1

    def days(self, account_id: str, first: date, count: int) -> Iterator[CollectedDay]:
        """Its days, as they were collected once they had settled."""
        contents = self._made()
        for day in (first + timedelta(days=number) for number in range(count)):
            yield self._day(account_id, day, contents)

    def savings(self, account_id: str, day: date) -> CollectedSavings | None:
        """What its source would have recommended on a day; None of an OpenCost, which recommends nothing."""
        if self.product != KUBECOST:
            return None
        contents = self._made()
        workloads = [
            SampleWorkload(pod.namespace, pod.kind, pod.controller, pod.cores, pod.used)
            for pod in contents.pods
            if not pod.replica
        ]
        rows = savings_rows(workloads, contents.volumes)
        identity = hashlib.blake2b(f"{account_id}/{day}/savings".encode(), digest_size=16).hexdigest()
        at = datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=2)
        source = f"sample://{self.name}"
        return CollectedSavings(identity, account_id, day, at, source, self.name, "production", "USD", rows)

    def _rate(self, adjustment: float) -> float:
        return adjustment if self.product == KUBECOST else 0.0

    def _made(self) -> _Contents:
        chance = Random(f"{self.seed}/{self.number}")  # noqa: S311  (nothing is kept secret by it)
        placement = NodePlacement(self.number, self.name, pods=self.pods, adjustment=self._rate(_NODE_ADJUSTMENT))
        pods: list[SamplePod] = []
        while len(pods) < self.pods:
            pods += self._controller(chance, placement, len(pods))
        volume_rate, namespace, zone = self._rate(_VOLUME_ADJUSTMENT), pods[0].namespace, pods[0].node.zone
        unused = new_volume(
            chance, 50.0, zone=zone, claim="old-backup", namespace=namespace, is_mounted=False, rate=volume_rate
        )
        loose = [
            new_volume(chance, gib, zone=zone, claim=None, namespace=None, is_mounted=False, rate=volume_rate)
            for gib in ((20.0, 100.0) if self.product == KUBECOST else ())
        ]
        return _Contents(pods, placement.nodes, [unused], loose)

    def _controller(self, chance: Random, placement: NodePlacement, number: int) -> Iterator[SamplePod]:
        """The pods of the next controller. `number`: how many pods there are before it."""
        namespace = _NAMES[int(len(_NAMES) * chance.random() ** 1.4)]
        if self.has_gpus and not number:
            namespace = _ON_GPU[0]
        team, kind = _TEAMS[len(namespace) % len(_TEAMS)], chance.choice(_KINDS)
        tier = chance.choice(("api", "web", "worker", "db", "cache", "job"))
        controller = f"{namespace}-{tier}-{number}"
        cores, gib = chance.choice((0.1, 0.25, 0.5, 1.0, 2.0)), chance.choice((0.25, 0.5, 1.0, 2.0, 4.0))
        gpus = int(self.has_gpus and namespace in _ON_GPU)
        if gpus:
            cores, gib = _CORES_BESIDE_GPU, _GIB_BESIDE_GPU
        used = min(1.4, max(0.02, chance.gauss(0.35, 0.2)))
        labels = self._labels(chance, controller, namespace=namespace, team=team, tier=tier)
        is_public, has_sidecar = chance.random() < 0.08, chance.random() < _WITH_SIDECAR
        annotations = _annotations(controller, chance) if chance.random() < _WITH_ANNOTATIONS else {}
        pv_gib = float(chance.choice((8, 20, 50, 100))) if chance.random() < _WITH_VOLUME else 0.0
        gpu_used = 0.2 + 0.6 * chance.random()
        balancer_name = f"{namespace}/{controller}"
        balancer = new_balancer(number, balancer_name, self._rate(_BALANCER_ADJUSTMENT)) if is_public else None
        most_cores = cores * max(1.0, used * _MAX_BUSY) + has_sidecar * SIDECAR_CORES
        for replica in range(min(chance.choice((1, 2, 3, 4, 6, 10)), self.pods - number)):
            node = placement.place(tier, cores=most_cores, gib=gib + has_sidecar * SIDECAR_GIB, gpus=gpus)
            claim, rate = f"data-{controller}-{replica}", self._rate(_VOLUME_ADJUSTMENT)
            yield SamplePod(
                namespace,
                kind,
                controller,
                replica,
                node,
                labels,
                annotations,
                {"team": team, "kubernetes_io_metadata_name": namespace},
                {"owner": f"{team}@example.com"},
                balancer,
                has_sidecar,
                cores,
                gib,
                used,
                gpus,
                gpu_used,
                new_volume(chance, pv_gib, zone=node.zone, claim=claim, namespace=namespace, is_mounted=True, rate=rate)
                if pv_gib
                else None,
                chance.expovariate(20),
            )

    def _labels(self, chance: Random, controller: str, *, namespace: str, team: str, tier: str) -> dict[str, str]:
        return {
            "app": controller,
            "team": team,
            "env": "prod" if self.number % 3 else "staging",
            "tier": tier,
            "version": f"v{chance.randrange(1, 30)}",
            "cost_center": f"cc-{1000 + len(namespace) * 7 % 90}",
            "app_kubernetes_io_managed_by": chance.choice(("Helm", "argocd", "flux")),
        }

    def _day(self, account_id: str, day: date, contents: _Contents) -> CollectedDay:
        chance = Random(f"{self.seed}/{self.number}/{day}")  # noqa: S311
        busy = (0.6 if day.weekday() >= 5 else 1.0) * (1 + 0.1 * chance.random())
        window = window_of(day)
        rows = [row for pod in contents.pods for row in pod_rows(pod, day, busy, chance)]
        rows += [unused_row(volume, window) for volume in contents.unused]
        used = Costs.sum(row.costs for row in rows)
        assets = self._assets(contents, rows, used.network, window)
        bill = Costs.sum(asset.costs for asset in assets)._replace(network=used.network)
        # Nodes are paid whether or not somebody asks for all of them.
        idle = Costs(cpu=bill.cpu - used.cpu, ram=bill.ram - used.ram, gpu=bill.gpu - used.gpu)
        rows.append(Row(Kind.IDLE, costs=idle))
        unmounted = [loose_row(contents.loose, window)] if contents.loose else []
        rows += unmounted
        rows.append(Row(Kind.OVERHEAD, costs=Costs(node_disk=bill.node_disk, management=bill.management)))
        rows += _differences(bill, rows)
        head = Booking(
            window=window,
            covered=(window,),
            rows=tuple(rows),
            bill=bill,
            bill_network_classes=NetworkClasses.sum(row.network_classes for row in rows),
            not_measured=frozenset[Component](),
            assets_complete=True,
            currency="USD",
            source=f"sample://{self.name}",
            source_total=Costs.sum([used, idle, *(row.costs for row in unmounted)]).total,
            issues=(),
        )
        source = SourceIdentity(head.source, self.product, "sample", self.name, self.name)
        at = datetime.combine(day, datetime.min.time(), UTC) + timedelta(days=1) + SETTLES_AFTER
        identity = hashlib.blake2b(f"{account_id}/{day}".encode(), digest_size=16).hexdigest()
        return new_collected_day(
            identity, account_id=account_id, day=day, collected_at=at, source=source, booking=head, assets=assets
        )

    def _assets(self, contents: _Contents, rows: Sequence[Row], network: int, window: Window) -> list[Asset]:
        """The bill of a day. An OpenCost lists no network: its traffic is charged to rows alone."""
        of_day = AssetsOfDay(self.name, window)
        return [
            *of_day.nodes(contents.nodes, rows),
            *of_day.volumes(contents.volumes),
            *of_day.balancers(contents.balancers),
            *([of_day.network(network)] if self.product == KUBECOST else []),
            of_day.management(),
        ]


def _differences(bill: Costs, rows: Sequence[Row]) -> list[Row]:
    """What the bill has beyond the rows: volumes and load balancers that lived shorter than the day, and rounding."""
    booked = Costs.sum(row.costs for row in rows)
    on_volumes = sum(volume.cost for row in rows if row.details for volume in row.details.volumes)
    in_part = {
        Cause.BALANCER_BOOKED_IN_PART: Costs(load_balancer=bill.load_balancer - booked.load_balancer),
        Cause.VOLUME_BOOKED_IN_PART: Costs(pv=bill.pv - on_volumes),
    }
    rounding = bill.minus(booked).minus(Costs.sum(in_part.values()))
    causes = {**in_part, Cause.ROUNDING: rounding}
    return [Row(Kind.DIFFERENCE, cause, costs=costs) for cause, costs in causes.items() if any(costs)]


def _annotations(controller: str, chance: Random) -> dict[str, str]:
    return {
        "checksum_config": f"{chance.getrandbits(64):016x}",
        "prometheus_io_scrape": "true",
        "kubectl_kubernetes_io_default_container": controller,
    }
