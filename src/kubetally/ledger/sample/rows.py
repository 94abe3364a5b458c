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


class _Container(NamedTuple):
    """A container of a pod: what it requests, and the part of its cores that it uses."""

    name: str
    cores: float
    gib: float
    used: float


class _PodDay(NamedTuple):
    """A pod on a day; `hours` that it lived, and GiB that it sent."""

    pod: SamplePod
    name: str
    life: Window
    hours: float
    busy: float
    sent_gib: float
    volumes: tuple[VolumeCost, ...]
    balancers: tuple[LoadBalancerCost, ...]

    @property
    def network(self) -> int:
        """Micros of its traffic."""
        return round(self.sent_gib * _GIB_SENT)

    @property
    def shared_costs(self) -> Costs:
        """What its source charges the pod as a whole, which is on its main container."""
        return Costs(
            gpu=round(self.pod.gpus * self.hours * GPU_HOUR),
            pv=sum(_to_five_decimals(volume.cost) for volume in self.volumes),
            load_balancer=sum(balancer.cost for balancer in self.balancers),
            network=self.network,
        )


def pod_rows(pod: SamplePod, day: date, busy: float, chance: Random) -> Iterator[Row]:
    """The containers of a pod on a day; one that was released on it lived for a part of it only."""
    release = (day.toordinal() + len(pod.controller)) // _DAYS_OF_A_RELEASE
    lived = chance.random() if pod.kind == "daemonset" and chance.random() < 0.02 else 1.0
    hours = 24 * lived
    used = pod.used * busy * (0.9 + 0.2 * chance.random())
    pod_day = _PodDay(
        pod,
        _name_of(pod, release),
        _life(day, lived),
        hours,
        busy,
        pod.sent_gib * hours * busy,
        _volume_costs(pod.volume, hours),
        _balancer_costs(pod, hours),
    )
    yield _row(pod_day, _Container("main", pod.cores, pod.gib, used), peak=1.2 + chance.random(), is_main=True)
    if pod.has_sidecar:
        sidecar = _Container("proxy", SIDECAR_CORES, SIDECAR_GIB, min(1.0, 0.3 * busy))
        yield _row(pod_day, sidecar, peak=1.2 + chance.random(), is_main=False)


def _row(pod_day: _PodDay, container: _Container, *, peak: float, is_main: bool) -> Row:
    """The row of a container. peak: its maximum usage, as a multiple of the mean."""
    pod, network = pod_day.pod, pod_day.network
    costs, adjustments = _costs(pod_day, container, is_main=is_main)
    details = RowDetails(
        pod.node.provider_id,
        pod_day.life,
        pod.annotations,
        pod.namespace_annotations,
        container.cores * container.used * peak,
        _PAGE * round(container.gib * GIB * min(1.0, container.used + 0.3) / _PAGE),
        adjustments,
        pod_day.volumes if is_main else (),
        pod_day.balancers if is_main else (),
    )
    return Row(
        *(Kind.WORKLOAD, None, pod.namespace, pod.kind, pod.controller, pod_day.name, container.name, pod.node.name, 1),
        60 * pod_day.hours,
        _hours(pod_day, container, is_main=is_main),
        costs,
        NetworkClasses(internet=network - network // 4, region=network // 4) if is_main else NO_CLASSES,
        pod.services,
        pod.labels,
        pod.namespace_labels,
        details,
    )


def _costs(pod_day: _PodDay, container: _Container, *, is_main: bool) -> tuple[Costs, Costs]:
    """What a container cost, adjustments inside, and the adjustments."""
    node, hours = pod_day.pod.node, pod_day.hours
    shared = pod_day.shared_costs if is_main else ZERO
    priced = Costs(
        cpu=round(container.cores * hours * node.core_hour * max(1.0, container.used)),
        ram=round(container.gib * hours * node.gib_hour),
        gpu=shared.gpu,
    )
    costs, adjustments = priced.plus(shared._replace(gpu=0)), ZERO
    if node.adjustment:
        adjustments = adjust(priced, node.adjustment)
        costs = costs.plus(adjustments)
    if is_main and (pod_day.volumes or pod_day.balancers):
        adjustments = adjustments._replace(
            pv=sum(volume.adjustment for volume in pod_day.volumes),
            load_balancer=sum(balancer.adjustment for balancer in pod_day.balancers),
        )
    return costs, adjustments


def _hours(pod_day: _PodDay, container: _Container, *, is_main: bool) -> Hours:
    pod, used = pod_day.pod, container.used
    core_hours, byte_hours = container.cores * pod_day.hours, container.gib * pod_day.hours * GIB
    hours = Hours(
        core_hours * max(1.0, used),
        core_hours,
        core_hours * used,
        byte_hours,
        byte_hours,
        byte_hours * min(0.95, used + 0.2),
    )
    if not is_main:
        return hours
    gpu_hours, sent = pod.gpus * pod_day.hours, pod_day.sent_gib * GIB
    return hours._replace(
        gpu_hours=gpu_hours,
        gpu_request_hours=gpu_hours,
        gpu_usage_hours=gpu_hours * min(1.0, pod.gpu_used * pod_day.busy),
        pv_byte_hours=pod.volume.gib * pod_day.hours * GIB if pod.volume else 0.0,
        network_transfer_bytes=sent,
        network_receive_bytes=sent / 3,
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
