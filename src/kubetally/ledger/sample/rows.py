"""The rows of a day of the sample fleet: containers, and volumes that no pod mounts."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from random import Random
from typing import NamedTuple

from kubetally.domain.allocation import Kind, LoadBalancerCost, VolumeCost
from kubetally.domain.collection import window_of
from kubetally.domain.component import NO_CLASSES, ZERO, Costs, NetworkClasses
from kubetally.domain.efficiency import Hours
from kubetally.domain.row import Row, RowDetails
from kubetally.domain.window import Window
from kubetally.ledger.sample.assets import SampleBalancer, SampleVolume
from kubetally.ledger.sample.machines import GIB, GPU_HOUR, SampleNode, adjust

SIDECAR_CORES, SIDECAR_GIB = 0.1, 0.125
_GIB_SENT = 90_000  # micros
_DAYS_OF_A_RELEASE = 9
_PAGE = 4096  # of memory, in bytes


class SamplePod(NamedTuple):
    """What does not change from day to day but the pod's name. Amounts are of an hour, and of the main container."""

    namespace: str
    kind: str
    controller: str
    replica: int
    node: SampleNode
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    namespace_labels: Mapping[str, str]
    namespace_annotations: Mapping[str, str]
    balancer: SampleBalancer | None
    has_sidecar: bool
    cores: float
    gib: float
    used: float
    gpus: int
    gpu_used: float
    volume: SampleVolume | None
    sent_gib: float

    @property
    def services(self) -> tuple[str, ...]:
        return (self.controller,) if self.balancer else ()


def pod_rows(pod: SamplePod, day: date, busy: float, chance: Random) -> Iterator[Row]:
    """The containers of a pod on a day; one that was released on it lived for a part of it only."""
    release = (day.toordinal() + len(pod.controller)) // _DAYS_OF_A_RELEASE
    lived = chance.random() if pod.kind == "daemonset" and chance.random() < 0.02 else 1.0
    hours = 24 * lived
    used, sent = pod.used * busy * (0.9 + 0.2 * chance.random()), pod.sent_gib * hours * busy
    name, node, volume = _name_of(pod, release), pod.node, pod.volume
    network = round(sent * _GIB_SENT)
    volumes, balancers = _volume_costs(volume, hours), _balancer_costs(pod, hours)
    # What a source charges a pod as a whole lies on its main container.
    whole = Costs(
        gpu=round(pod.gpus * hours * GPU_HOUR),
        pv=sum(_to_five_decimals(piece.cost) for piece in volumes),
        load_balancer=sum(piece.cost for piece in balancers),
        network=network,
    )
    containers = [("main", pod.cores, pod.gib, used, whole)]
    if pod.has_sidecar:
        containers.append(("proxy", SIDECAR_CORES, SIDECAR_GIB, min(1.0, 0.3 * busy), ZERO))
    for container, cores, gib, share, extra in containers:
        is_main = extra is whole
        priced = Costs(
            cpu=round(cores * hours * node.core_hour * max(1.0, share)),
            ram=round(gib * hours * node.gib_hour),
            gpu=extra.gpu,
        )
        costs, adjustments = priced.plus(extra._replace(gpu=0)), ZERO
        if node.adjustment:
            adjustments = adjust(priced, node.adjustment)
            costs = costs.plus(adjustments)
        if is_main and (volumes or balancers):
            adjustments = adjustments._replace(
                pv=sum(piece.adjustment for piece in volumes),
                load_balancer=sum(piece.adjustment for piece in balancers),
            )
        gpu_hours = pod.gpus * hours if is_main else 0.0
        yield Row(
            Kind.WORKLOAD,
            None,
            pod.namespace,
            pod.kind,
            pod.controller,
            name,
            container,
            node.name,
            1,
            60 * hours,
            Hours(
                cores * hours * max(1.0, share),
                cores * hours,
                cores * hours * share,
                gib * hours * GIB,
                gib * hours * GIB,
                gib * hours * GIB * min(0.95, share + 0.2),
                gpu_hours,
                gpu_hours,
                gpu_hours * min(1.0, pod.gpu_used * busy),
                volume.gib * hours * GIB if is_main and volume else 0.0,
                sent * GIB if is_main else 0.0,
                sent * GIB / 3 if is_main else 0.0,
            ),
            costs,
            NetworkClasses(internet=network - network // 4, region=network // 4) if is_main else NO_CLASSES,
            pod.services,
            pod.labels,
            pod.namespace_labels,
            RowDetails(
                node.provider_id,
                _life(day, lived),
                pod.annotations,
                pod.namespace_annotations,
                cores * share * (1.2 + chance.random()),
                _PAGE * round(gib * GIB * min(1.0, share + 0.3) / _PAGE),
                adjustments,
                volumes if is_main else (),
                balancers if is_main else (),
            ),
        )


def _volume_costs(volume: SampleVolume | None, hours: float) -> tuple[VolumeCost, ...]:
    if volume is None:
        return ()
    cost, adjustment = volume.cost(hours)
    return (VolumeCost(volume.name, cost, volume.gib * hours * GIB, volume.provider_id, adjustment),)


def _balancer_costs(pod: SamplePod, hours: float) -> tuple[LoadBalancerCost, ...]:
    """The first pod of a service is charged for its load balancer."""
    balancer = pod.balancer
    if balancer is None or pod.replica:
        return ()
    cost, adjustment = balancer.cost(hours)
    return (LoadBalancerCost(balancer.name, cost, hours, balancer.private, balancer.ip, adjustment),)


def unused_row(volume: SampleVolume, window: Window) -> Row:
    """The row that stands for a namespace's volumes that no pod mounts: it has no controller, container and node."""
    (piece,) = _volume_costs(volume, window.hours)
    return Row(
        Kind.WORKLOAD,
        namespace=volume.claim_namespace,
        pod=f"{volume.claim_namespace}-unmounted-pvcs",
        containers=1,
        minutes=60 * window.hours,
        hours=Hours(pv_byte_hours=volume.gib * window.hours * GIB),
        costs=Costs(pv=_to_five_decimals(piece.cost)),
        details=RowDetails(life=window, adjustments=Costs(pv=piece.adjustment), volumes=(piece,)),
    )


def loose_row(volumes: Sequence[SampleVolume], window: Window) -> Row:
    """The line of volumes that no claim holds."""
    pieces = tuple(piece for volume in volumes for piece in _volume_costs(volume, window.hours))
    return Row(
        Kind.UNMOUNTED,
        minutes=60 * window.hours,
        hours=Hours(pv_byte_hours=sum(volume.gib * window.hours * GIB for volume in volumes)),
        costs=Costs(pv=_to_five_decimals(sum(piece.cost for piece in pieces))),
        details=RowDetails(adjustments=Costs(pv=sum(piece.adjustment for piece in pieces)), volumes=pieces),
    )


def _to_five_decimals(cost: int) -> int:
    """Micros of a cost that its source rounds to five decimals."""
    return round(cost, -1)


def _life(day: date, lived: float) -> Window:
    """The first part of a day, in whole minutes."""
    whole = window_of(day)
    return Window(whole.start, whole.start + timedelta(minutes=max(1, round(24 * 60 * lived))))


def _name_of(pod: SamplePod, release: int) -> str:
    if pod.kind == "statefulset":
        return f"{pod.controller}-{pod.replica}"
    of_release = f"{hash((release * 7919 + len(pod.controller) * 104729) % 4294967291):08x}"
    return f"{pod.controller}-{of_release[-8:]}-{pod.replica:05x}"
