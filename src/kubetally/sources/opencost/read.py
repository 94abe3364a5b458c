"""From the shapes of an OpenCost or Kubecost answer to the ledger's terms: kinds for special names, hours for averages.

Nothing is decided here about money: what a row cost is carried over, adjustments added to their component.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import UnsetType

from kubetally.domain.allocation import Allocation, Kind, LoadBalancerCost, VolumeCost
from kubetally.domain.asset import Asset, AssetDetails, AssetType, Breakdown, node_costs
from kubetally.domain.component import NO_CLASSES, ZERO, Component, Costs, NetworkClasses
from kubetally.domain.efficiency import Hours
from kubetally.domain.errors import SourceError
from kubetally.domain.garbage import no_garbage
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.money import MICROS, to_micros
from kubetally.domain.window import InvalidWindow, Window, covered_hours, parse_instant
from kubetally.sources.faults import AnswerNotUnderstood
from kubetally.sources.opencost.wire import (
    ABSENT,
    AllocationAnswer,
    AssetAnswer,
    AssetRow,
    Balancer,
    BookedAnswer,
    BookedRow,
    Fractions,
    Properties,
    Span,
    Volume,
)

R = TypeVar("R")

_SPECIAL = {
    "__idle__": Kind.IDLE,
    "__unmounted__": Kind.UNMOUNTED,
    "__external__": Kind.OVERHEAD,
    "__shared__": Kind.OVERHEAD,
}
_WORKLOAD = Kind.WORKLOAD
_NO_PROPERTIES = Properties()
_ENDS_DIFFER_MINUTES = 1.0  # by which a source's rounding may part them from minutes
_NAMELESS = frozenset({None, "", "__unallocated__"})
_NOT_A_CONTAINER = "__unmounted__"
_LOCAL_DISK = "__local__"
_TOTAL_TOLERANCE = 100  # micros: a total is rounded once, its parts one by one
_ASSET_TYPES = {
    "Node": AssetType.NODE,
    "Disk": AssetType.DISK,
    "LoadBalancer": AssetType.LOAD_BALANCER,
    "Network": AssetType.NETWORK,
    "ClusterManagement": AssetType.MANAGEMENT,
}
_NOT_OF_A_KEY = re.compile(r"[^A-Za-z0-9_]")
_REGION_LABELS = ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region")
_ZONE_LABELS = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
_POOL_LABELS = (
    "cloud.google.com/gke-nodepool", "eks.amazonaws.com/nodegroup", "alpha.eksctl.io/nodegroup-name",
    "kubernetes.azure.com/agentpool", "agentpool", "karpenter.sh/nodepool",
)  # fmt: skip


_OUTSIDE = frozenset({"Cloud", "Shared"})  # of the cluster, and of what its workloads are charged
_ADJUSTED = ("cpuCost", "ramCost", "gpuCost", "pvCost", "loadBalancerCost", "networkCost")
_NOT_ADJUSTED = (0.0,) * len(_ADJUSTED)
_NOT_RATED = Hours(
    cpu_core_request_hours=None,
    cpu_core_usage_hours=None,
    ram_byte_request_hours=None,
    ram_byte_usage_hours=None,
    gpu_request_hours=None,
    gpu_usage_hours=None,
)
_PLAIN_BELOW = 2.0**32
_MOST = 10**18  # micros: what a ledger of six decimals holds; a figure from here on is no cost
_MOST_HOURS = 1e24  # no cluster has as many byte-hours
_NAMED_AT_MOST = 5


_COMPONENT_OF = {
    "cpuCost": Component.CPU,
    "ramCost": Component.RAM,
    "gpuCost": Component.GPU,
    "pvCost": Component.PV,
    "pvs.cost": Component.PV,
    "loadBalancerCost": Component.LOAD_BALANCER,
    "lbAllocations.cost": Component.LOAD_BALANCER,
    "networkCost": Component.NETWORK,
    "totalCost of Disk assets": Component.PV,
    "totalCost of LoadBalancer assets": Component.LOAD_BALANCER,
    "totalCost of Network assets": Component.NETWORK,
    "totalCost of ClusterManagement assets": Component.MANAGEMENT,
}


_COST_KEYS = {
    "cpu_cost": "cpuCost",
    "ram_cost": "ramCost",
    "gpu_cost": "gpuCost",
    "pv_cost": "pvCost",
    "load_balancer_cost": "loadBalancerCost",
    "network_cost": "networkCost",
    "shared_cost": "sharedCost",
    "external_cost": "externalCost",
}


class WrongWindow(SourceError):
    """The source answered for another span than it was asked for."""

    code = "wrong_window"

    def __init__(self, url: str, asked: Window, answered: Window) -> None:
        self.url, self.asked, self.answered = url, asked, answered
        super().__init__(
            f"{url} was asked for {asked} and answered for {answered}: a cache or proxy before it may repeat an older "
            "answer, or its clock or time zone is set otherwise (see `kubetally doctor`)"
        )


@dataclass
class Notes:
    """What is seen while rows are read, counted, so that a thousand rows make one issue."""

    source: str
    window: Window
    null_figures: set[str] = field(default_factory=set)
    absent_figures: set[str] = field(default_factory=set)
    merged: int = 0
    coarse: Counter[str] = field(default_factory=Counter)
    negative: dict[str, int] = field(default_factory=dict)
    huge: dict[str, str] = field(default_factory=dict)
    huge_keys: set[str] = field(default_factory=set)
    other_assets: list[Asset] = field(default_factory=list)
    set_aside: list[Allocation] = field(default_factory=list)
    prorated: int = 0
    beyond_parts: dict[str, int] = field(default_factory=dict)
    below_parts: dict[str, int] = field(default_factory=dict)

    @property
    def missing(self) -> frozenset[Component]:
        """Components of which a figure is missing."""
        figures = self.null_figures | self.absent_figures | self.huge_keys
        keys = (key.removesuffix("Adjustment") for key in figures)
        return frozenset(_COMPONENT_OF[key] for key in keys if key in _COMPONENT_OF)

    def issues(self, unknown_keys: Iterable[str] = ()) -> Iterator[Issue]:
        """One issue for each kind of thing seen."""
        if self.null_figures:
            yield self._issue(
                IssueKind.FIGURE_MISSING,
                f"the source could not compute {', '.join(sorted(self.null_figures))} of some rows (null): what they "
                "would show is not in the figures",
                figures=tuple(sorted(self.null_figures)),
            )
        if self.absent_figures:
            names = ", ".join(sorted(self.absent_figures))
            yield self._issue(
                IssueKind.FIGURE_MISSING,
                f"the source's rows have no {names}: what workloads cost in it is unknown, and not in the figures",
                figures=tuple(sorted(self.absent_figures)),
            )
        if self.merged:
            yield self._issue(
                IssueKind.ROWS_MERGED_BY_SOURCE,
                f"{self.merged} rows were merged by the source from shorter steps: CPU usage of pods that came and "
                "went is not exact",
                rows=self.merged,
            )
        if self.huge:
            figures = tuple(f"{figure} of {name}" for name, figure in self.huge.items())
            yield self._issue(
                IssueKind.FIGURE_MISSING,
                f"the source answered figures too large to be true, which count as unknown: {_some_of(figures)}",
                figures=figures,
            )
        if self.negative:
            amount = sum(self.negative.values())
            yield self._issue(
                IssueKind.NEGATIVE_FIGURE,
                f"{len(self.negative)} rows or assets have minutes, hours or costs below zero or beyond all measure: "
                f"{_some_of(tuple(self.negative))}. They count in no efficiency"
                + (f"; {amount / 1e6:.2f} of cost is part of the difference" if amount else ""),
                rows=tuple(self.negative),
            )
        if self.coarse:
            rows, grains = self.coarse.total(), " and ".join(sorted(self.coarse))
            yield self._issue(
                IssueKind.ROWS_TOO_COARSE,
                f"the source answered {grains} where it was asked for a row of each container ({rows} rows). Totals "
                "are right; pods, workloads and CPU usage of these rows are not known exactly, nor is idle cost that "
                "has no row of its own",
                rows=rows,
            )
        if self.prorated:
            yield self._issue(
                IssueKind.SET_PRORATED,
                f"the source answered in longer steps than it was asked for; {self.prorated} rows were prorated by "
                "time",
                rows=self.prorated,
            )
        if self.beyond_parts:
            keys = ", ".join(sorted(unknown_keys)) or "no key that ends in Cost"
            yield self._issue(
                IssueKind.UNKNOWN_COST,
                f"the totals of {len(self.beyond_parts)} rows exceed their known parts, by "
                f"{sum(self.beyond_parts.values()) / 1e6:.6f} together; it is booked as external. Unknown in these "
                f"rows: {keys}",
                rows=len(self.beyond_parts),
                keys=tuple(sorted(unknown_keys)),
            )
        if self.below_parts:
            yield self._issue(
                IssueKind.TOTAL_BELOW_PARTS,
                f"the totals of {len(self.below_parts)} rows are below the sum of their parts, by "
                f"{-sum(self.below_parts.values()) / 1e6:.6f} together; the parts are booked",
                rows=len(self.below_parts),
            )

    def _issue(self, kind: IssueKind, message: str, **facts: object) -> Issue:
        return Issue(kind, message, source=self.source, window=self.window, facts=facts)


class Rows(NamedTuple):
    """Rows read from an allocation answer, and the spans they stand for."""

    allocations: list[Allocation]
    covered: tuple[Window, ...]


@no_garbage()
def read_allocations(answer: BookedAnswer | AllocationAnswer, asked: Window, notes: Notes, url: str) -> Rows:
    """The rows of an answer, and which spans of `asked` it covers.

    Sets without rows carry no time and cover nothing. Of a set that reaches beyond `asked`, rows are prorated over
    the time they lived: a day's set of today ends at midnight, what it holds arose until now.

    Raises: WrongWindow, when the answer has rows and none of its sets lies in `asked`; AnswerNotUnderstood, also when
            the rows of a set have no window, or none has any cost.
    """
    rows: list[Allocation] = []
    steps: dict[Window, None] = {}
    outside: Window | None = None
    looked_at: Span | None = None  # nearly all rows of a set have the window of the row before
    window, step_hours, is_inside = asked, 0.0, True
    for step in _sets(answer.data):
        filled = {name: row for name, row in step.items() if row is not None}
        usual = next((row.window for row in filled.values() if row.window and row.window.start), None)
        if usual is None and filled:
            raise AnswerNotUnderstood(url, "answered with rows that have no window")
        for name, row in filled.items():
            span = row.window if row.window and row.window.start else usual
            if span is not None and (looked_at is None or span.start != looked_at.start or span.end != looked_at.end):
                looked_at, window = span, _window(span, url) or asked
                step_hours, is_inside = window.hours, asked.contains(window)
                if asked.overlap(window) is None:
                    outside = window
                else:
                    steps[window] = None
            if window is outside:
                continue
            allocation = _allocation(name, row, window, step_hours, notes)
            if is_inside:
                rows.append(allocation)
            elif (part := _part(allocation, row, asked)) is not None:
                rows.append(part)
                notes.prorated += 1
            if notes.set_aside:
                rows += filter(None, [_part(notes.set_aside.pop(), row, asked)])
    if outside and not steps:
        raise WrongWindow(url, asked, outside)
    _note_absent_costs([row for step in _sets(answer.data) for row in step.values() if row is not None], notes, url)
    covered = (step.overlap(asked) for step in steps)
    return Rows(rows, tuple(span for span in covered if span is not None))


@no_garbage()
def read_assets(answer: AssetAnswer, asked: Window, notes: Notes) -> list[Asset] | None:
    """The assets of an answer, but sets of other days beside it; None where one reaches beyond `asked`: no bill for it.

    Raises: AnswerNotUnderstood.
    """
    assets: list[Asset] = []
    is_beyond = False
    for step in _sets(answer.data):
        for row in step.values():
            if row is None or row.type in _OUTSIDE:
                continue
            window = _window(row.window, notes.source) or asked
            if asked.overlap(window) is None and not asked.contains(window):
                continue
            if row.type not in _ASSET_TYPES:
                notes.other_assets += filter(None, [_other_asset(row, window).within(asked)])
            elif not asked.contains(window):
                is_beyond = True
            else:
                assets.append(_asset(row, window, notes))
    return None if is_beyond else assets


def are_of_one_span(assets: Iterable[Asset], covered: Sequence[Window]) -> bool:
    """Whether assets stand for the same time as rows, so that one can be held against the other."""
    spans = {asset.window for asset in assets}
    return not spans or covered_hours(spans) == covered_hours(covered) == covered_hours([*spans, *covered])


def kind_of(name: str, namespace: str | None) -> Kind:
    """What a row stands for, from the source's special names (sources' pseudo-pods belong to their namespace)."""
    return _SPECIAL.get(namespace or name.rpartition("/")[2], _WORKLOAD)


def _sets(data: Sequence[Mapping[str, R] | None] | Mapping[str, R] | UnsetType | None) -> list[Mapping[str, R]]:
    if data is None or isinstance(data, UnsetType):
        return []
    return [step for step in ([data] if isinstance(data, Mapping) else data) if step]


def _note_absent_costs(rows: Sequence[BookedRow], notes: Notes, url: str) -> None:
    """Note costs that no row has a key of. All versions have those of CPU, RAM and volumes, and the others since they
    have such resources: without a trace of one, it cost nothing.

    Raises: AnswerNotUnderstood, when no row has any cost.
    """

    def is_absent(key: str) -> bool:
        return all(getattr(row, key) is ABSENT for row in rows)

    absent = [key for key in _COST_KEYS if is_absent(key)] if rows else []
    if not absent:
        return
    if len(absent) == len(_COST_KEYS) and all(row.total_cost is None for row in rows):
        raise AnswerNotUnderstood(url, f"answered with rows that have none of {', '.join(_COST_KEYS.values())}")
    traces = {
        "cpu_cost": True,
        "ram_cost": True,
        "pv_cost": True,
        "gpu_cost": any(row.gpu_hours for row in rows),
        "load_balancer_cost": any(row.lb_allocations for row in rows),
        "network_cost": any(
            row.network_internet_cost or row.network_cross_region_cost or row.network_cross_zone_cost for row in rows
        ),
    }
    notes.absent_figures.update(_COST_KEYS[key] for key in absent if traces.get(key))


def _part(allocation: Allocation, row: BookedRow, asked: Window) -> Allocation | None:
    """What of a row arose within `asked`."""
    step = allocation.step
    if asked.contains(step):
        return allocation
    lived = _life(row, step)
    part = allocation._replace(step=lived or step).within(asked)
    common = step.overlap(asked)
    return part._replace(step=common) if part is not None and common is not None else None


def _window(span: Span | None, url: str) -> Window | None:
    if span is None or not span.start or not span.end or "null" in (span.start, span.end):
        return None
    try:
        return _parsed(span.start, span.end)
    except InvalidWindow as error:
        raise AnswerNotUnderstood(url, f"answered with a window that is none: {error.text!r} {error.why}") from error


@lru_cache(maxsize=1024)
def _parsed(start: str, end: str) -> Window:
    return Window(parse_instant(start), parse_instant(end))


@lru_cache(maxsize=1024)
def _parsed_life(start: str, end: str) -> tuple[Window, float]:
    """A span, and its minutes."""
    life = _parsed(start, end)
    return life, life.hours * 60


def _allocation(name: str, row: BookedRow, step: Window, step_hours: float, notes: Notes) -> Allocation:
    about = row.properties or _NO_PROPERTIES
    namespace = about.namespace
    kind = kind_of(name, namespace)
    is_workload, is_coarse, has_negative = kind is _WORKLOAD, False, False
    costs, adjustments = _plain_costs(row), ZERO
    if costs is None:
        row, costs, adjustments = _any_costs(name, row, notes)
        has_negative = min(costs) < 0
    base = costs
    if adjustments is not ZERO:
        costs = base.plus(adjustments)
    of_parts = sum(costs)
    total = of_parts if row.total_cost is None else to_micros(row.total_cost)
    beyond = total - of_parts
    if beyond > _TOTAL_TOLERANCE and not _lacks_a_cost(row):
        notes.beyond_parts[name] = beyond
        costs = costs._replace(external=costs.external + beyond)
    elif beyond < -_TOTAL_TOLERANCE:
        notes.below_parts[name] = beyond
    minutes, life, hours = row.minutes or 0.0, None, None
    if is_workload:
        if not about.pod or not about.container:
            notes.coarse[_grain(about)] += 1
            is_coarse = True
        life = _life(row, step)
        if row.minutes is None:
            if life is not None:
                minutes = life.hours * 60
            elif not is_coarse:
                notes.null_figures.add("minutes")
        hours = _hours(row, step_hours, minutes / 60, notes, is_coarse=is_coarse)
        if has_negative or hours is None or not 0 <= minutes <= step_hours * 61:  # a whole step, and a sample beyond it
            below_zero = Costs(*(min(amount, 0) for amount in base))
            notes.negative[name] = notes.negative.get(name, 0) + below_zero.total
            if any(below_zero):
                costs, total = costs.minus(below_zero), total - below_zero.total
                notes.set_aside.append(
                    Allocation(
                        Kind.UNEXPLAINED,
                        step,
                        cluster_id=about.cluster,
                        costs=below_zero,
                        total=below_zero.total,
                        name=f"{row.name or name} below zero",
                    )
                )
            minutes, hours = min(max(minutes, 0.0), step_hours * 60), _NOT_RATED
        elif row.minutes is None and life is None and not is_coarse:
            hours = _NOT_RATED
    internet, region, zone = row.network_internet_cost, row.network_cross_region_cost, row.network_cross_zone_cost
    return Allocation(
        kind,
        step,
        namespace if is_workload and namespace not in _NAMELESS else None,
        about.controller_kind or None,
        None if about.controller in _NAMELESS else about.controller,
        about.pod or None if is_workload else None,
        about.node or None,
        _container(about) if is_workload else None,
        about.cluster or (name.partition("/")[0] if "/" in name else None) or None,
        tuple(about.services) if about.services else (),
        about.labels,
        about.namespace_labels,
        minutes,
        _volume_hours(row) if hours is None else hours,
        costs,
        NetworkClasses(
            to_micros(internet) if internet else 0, to_micros(region) if region else 0, to_micros(zone) if zone else 0
        )
        if internet or region or zone
        else NO_CLASSES,
        tuple([_volume(key, volume, notes) for key, volume in row.pvs.items()]) if row.pvs else (),
        tuple([_balancer(key, balancer, notes) for key, balancer in row.lb_allocations.items()])
        if row.lb_allocations
        else (),
        total,
        row.name or name,
        life,
        about.provider_id or None,
        adjustments,
        about.annotations,
        about.namespace_annotations,
        None if row.raw_allocation_only is None else row.raw_allocation_only.cpu_core_usage_max,
        None if row.raw_allocation_only is None else row.raw_allocation_only.ram_byte_usage_max,
    )


def _container(about: Properties) -> str | None:
    """The container; None of a row that stands for the unmounted volumes of a namespace."""
    return None if about.container == _NOT_A_CONTAINER else about.container or None


def _grain(about: Properties) -> str:
    """How fine a row is that names no container: `by cluster, namespace`, or `in one row`."""
    named = [name for name in ("cluster", "node", "namespace", "pod", "container") if getattr(about, name)]
    return f"by {', '.join(named)}" if named else "in one row"


def _life(row: BookedRow | AssetRow, step: Window) -> Window | None:
    """The span of the step in which the source saw the row; None where it tells neither ends nor a whole step.

    Ends that can't be read are no reason to refuse figures: they only say nothing of when the row ran.
    """
    if row.start and row.end:
        try:
            inside, minutes = _parsed_life(row.start, row.end)
        except InvalidWindow:
            return None
        if not (step.start <= inside.start and inside.end <= step.end):
            within = inside.overlap(step)
            if within is None:
                return None
            inside, minutes = within, within.hours * 60
    elif row.minutes:
        inside, minutes = step, step.hours * 60
    else:
        return None
    # Ends that are those of the step, or absent, say less than minutes, which bound how long it can have been seen.
    if row.minutes is not None and 0 < row.minutes < minutes - _ENDS_DIFFER_MINUTES:
        return Window(inside.start, inside.start + timedelta(minutes=row.minutes))
    return inside


def _lacks_a_cost(row: BookedRow) -> bool:
    """Whether a part of its total is unknown: then what the known parts lack need not be of an unknown key."""
    return (
        row.cpu_cost is None
        or row.ram_cost is None
        or row.gpu_cost is None
        or row.pv_cost is None
        or row.load_balancer_cost is None
        or row.network_cost is None
        or row.shared_cost is None
        or row.external_cost is None
    )


def _plain_costs(row: BookedRow) -> Costs | None:
    """Costs of nearly every row: each known, none below zero, too large or adjusted. None of any other row."""
    cpu, ram, gpu, pv = row.cpu_cost, row.ram_cost, row.gpu_cost, row.pv_cost
    balancer, network, shared, external = row.load_balancer_cost, row.network_cost, row.shared_cost, row.external_cost
    figures = (cpu, ram, gpu, pv, balancer, network, shared, external, row.total_cost)
    try:
        is_plain = min(figures) >= 0 and sum(figures) < _PLAIN_BELOW  # type: ignore[type-var, operator, arg-type]
    except TypeError:  # one is null
        return None
    if not is_plain or _adjustments(row) != _NOT_ADJUSTED:
        return None
    return Costs(
        round(cpu * MICROS) if cpu else 0,
        round(ram * MICROS) if ram else 0,
        round(gpu * MICROS) if gpu else 0,
        round(pv * MICROS) if pv else 0,
        0,
        round(balancer * MICROS) if balancer else 0,
        round(network * MICROS) if network else 0,
        0,
        round(shared * MICROS) if shared else 0,
        round(external * MICROS) if external else 0,
    )


def _any_costs(name: str, row: BookedRow, notes: Notes) -> tuple[BookedRow, Costs, Costs]:
    """The row without figures that are too large, its costs before adjustment, and the adjustments, `ZERO` if none."""
    figures = [getattr(row, key) for key in _COST_KEYS]
    corrections = (*_adjustments(row), row.total_cost)  # of which any may be below zero
    if not (
        all(0.0 <= (figure or 0.0) < _PLAIN_BELOW for figure in figures)
        and all(abs(figure or 0.0) < _PLAIN_BELOW for figure in corrections)
    ):
        row = _without_huge(name, row, notes, unknown=0.0)
        figures = [getattr(row, key) for key in _COST_KEYS]
    keys = _COST_KEYS.values()
    notes.null_figures.update(key for key, figure in zip(keys, figures, strict=True) if figure is None)
    cpu, ram, gpu, pv, balancer, network, shared, external = (to_micros(figure or 0) for figure in figures)
    costs = Costs(cpu, ram, gpu, pv, 0, balancer, network, 0, shared, external)
    adjustments = _adjustments(row)
    if adjustments == _NOT_ADJUSTED:
        return row, costs, ZERO
    notes.null_figures.update(
        f"{key}Adjustment" for key, figure in zip(_ADJUSTED, adjustments, strict=True) if figure is None
    )
    cpu, ram, gpu, pv, balancer, network = (to_micros(figure or 0) for figure in adjustments)
    return row, costs, Costs(cpu=cpu, ram=ram, gpu=gpu, pv=pv, load_balancer=balancer, network=network)


def _adjustments(row: BookedRow) -> tuple[float | None, ...]:
    """In the order of `_ADJUSTED`."""
    return (
        row.cpu_cost_adjustment,
        row.ram_cost_adjustment,
        row.gpu_cost_adjustment,
        row.pv_cost_adjustment,
        row.load_balancer_cost_adjustment,
        row.network_cost_adjustment,
    )


def _hours(row: BookedRow, step_hours: float, hours: float, notes: Notes, *, is_coarse: bool) -> Hours | None:
    """Resource-hours from averages (B8): the source divides CPU usage by its whole step, everything else by minutes.

    None where one is below zero or beyond all measure.
    """
    cpu_request, cpu_usage = row.cpu_core_request_average, row.cpu_core_usage_average
    ram_request, ram_usage = row.ram_byte_request_average, row.ram_byte_usage_average
    if cpu_request is ABSENT or cpu_usage is ABSENT or ram_request is ABSENT or ram_usage is ABSENT:
        has_cpu, has_ram = bool(row.cpu_core_hours or row.cpu_cost), bool(row.ram_byte_hours or row.ram_cost)
        cpu_request, cpu_usage = _unless_absent(cpu_request, has_cpu), _unless_absent(cpu_usage, has_cpu)
        ram_request, ram_usage = _unless_absent(ram_request, has_ram), _unless_absent(ram_usage, has_ram)
    gpu_request, gpu_usage, gpu_hours = row.gpu_request_average, row.gpu_usage_average, row.gpu_hours or 0.0
    if gpu_request is ABSENT or gpu_usage is ABSENT:
        gpu_request, gpu_usage = _unless_absent(gpu_request, gpu_hours > 0), _unless_absent(gpu_usage, gpu_hours > 0)
    usage_hours = step_hours if row.raw_allocation_only is not None else hours
    if cpu_usage and row.raw_allocation_only is None and not is_coarse:
        notes.merged += 1
    if cpu_request is None or cpu_usage is None or ram_request is None or ram_usage is None:
        notes.null_figures.update(
            key
            for key, figure in (
                ("cpuCoreRequestAverage", cpu_request), ("cpuCoreUsageAverage", cpu_usage),
                ("ramByteRequestAverage", ram_request), ("ramByteUsageAverage", ram_usage),
            )
            if figure is None
        )  # fmt: skip
    found = Hours(
        row.cpu_core_hours or 0.0,
        None if cpu_request is None else cpu_request * hours,
        None if cpu_usage is None else cpu_usage * usage_hours,
        row.ram_byte_hours or 0.0,
        None if ram_request is None else ram_request * hours,
        None if ram_usage is None else ram_usage * hours,
        gpu_hours,
        None if gpu_request is None else gpu_request * hours,
        None if gpu_usage is None else gpu_usage * gpu_hours,  # a part of the GPUs that the row has
        row.pv_byte_hours or 0.0,
        row.network_transfer_bytes or 0.0,
        row.network_receive_bytes or 0.0,
    )
    try:
        is_odd = min(found) < 0 or max(found) > _MOST_HOURS  # type: ignore[type-var, operator]
    except TypeError:
        known = [amount for amount in found if amount is not None]
        is_odd = min(known) < 0 or max(known) > _MOST_HOURS
    return None if is_odd else found


def _other_asset(row: AssetRow, window: Window) -> Asset:
    """An asset of a type that we do not know; it has an amount and no costs."""
    about, cost = row.properties, row.total_cost
    details = _asset_details(row)._replace(
        source_type=row.type or "no type",
        amount=None if cost is None or abs(cost) * 1e6 >= _MOST else to_micros(cost),
    )
    name = (about.name if about else None) or ""
    return Asset(
        type=AssetType.OTHER,
        name=name,
        names=frozenset(filter(None, (name,))),
        window=window,
        cluster_id=(about.cluster if about else None) or None,
        provider_id=about.provider_id if about else None,
        labels=row.labels,
        hours=min(max(row.minutes or 0.0, 0.0) / 60, window.hours),
        life=_life(row, window),
        details=details,
    )


def _asset_details(row: AssetRow) -> AssetDetails:
    labels = row.labels or {}
    return AssetDetails(
        pool=row.pool or _first_of(labels, _POOL_LABELS),
        preemptible=None if row.preemptible is None else row.preemptible > 0,
        region=_first_of(labels, _REGION_LABELS),
        zone=_first_of(labels, _ZONE_LABELS),
        storage_class=row.storage_class or None,
        volume_name=row.volume_name or None,
        claim_name=row.claim_name or None,
        claim_namespace=row.claim_namespace or None,
        private=row.private,
        ip=row.ip or None,
        cpu_core_hours=_known(row.cpu_core_hours),
        ram_byte_hours=_known(row.ram_byte_hours),
        gpu_hours=_known(row.gpu_hours),
        byte_hours=_known(row.byte_hours),
        byte_hours_used=_known(row.byte_hours_used),
        byte_usage_max=_known(row.byte_usage_max),
        cpu_breakdown=_breakdown(row.cpu_breakdown),
        ram_breakdown=_breakdown(row.ram_breakdown),
        breakdown=_breakdown(row.breakdown),
    )


def _known(hours: float | None) -> float | None:
    return None if hours is None or not 0 <= hours <= _MOST_HOURS else hours


def _breakdown(fractions: Fractions | None) -> Breakdown | None:
    if fractions is None:
        return None
    return Breakdown(fractions.idle, fractions.user, fractions.system, fractions.other)


def _first_of(labels: Mapping[str, str], keys: Sequence[str]) -> str | None:
    """The first label there is, whether its source spells keys as Kubernetes does or with underscores."""
    for key in keys:
        if value := labels.get(key) or labels.get(_NOT_OF_A_KEY.sub("_", key)):
            return value
    return None


def _some_of(names: Sequence[str]) -> str:
    more = len(names) - _NAMED_AT_MOST
    return ", ".join(names[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")


R_ = TypeVar("R_", BookedRow, AssetRow)


def _without_huge(name: str, row: R_, notes: Notes, *, unknown: float | None) -> R_:
    """The row with `unknown` for figures that are too large; its total is the sum of what is left."""
    huge = [
        field.name
        for field in msgspec.structs.fields(type(row))
        if isinstance(figure := getattr(row, field.name), float)
        and abs(figure) >= (_MOST / 1e6 if "cost" in field.name or "adjustment" in field.name else _MOST_HOURS)
    ]
    if huge:
        keys = {field.name: field.encode_name for field in msgspec.structs.fields(type(row))}
        notes.huge[name] = ", ".join(keys[key] for key in huge)
        notes.huge_keys.update(keys[key] for key in huge)
    return msgspec.structs.replace(row, **(dict.fromkeys(huge, unknown) | {"total_cost": None} if huge else {}))


def _unless_absent(figure: float | None, has_resource: bool) -> float | None:
    """An average; unknown where its key is not there though the row has of the resource, as volumes alone have not."""
    return None if figure is ABSENT and has_resource else figure


def _volume_hours(row: BookedRow) -> Hours:
    return Hours(pv_byte_hours=row.pv_byte_hours or 0.0)


def _volume(key: str, volume: Volume, notes: Notes) -> VolumeCost:
    return VolumeCost(
        key.rpartition(":name=")[2],
        _cost_of_piece(volume, "pvs.cost", key, notes),
        _known(volume.byte_hours),
        volume.provider_id or None,
        _adjustment_of(volume),
    )


def _balancer(key: str, balancer: Balancer, notes: Notes) -> LoadBalancerCost:
    return LoadBalancerCost(
        balancer.service or key.partition("/")[2],
        _cost_of_piece(balancer, "lbAllocations.cost", key, notes),
        _known(balancer.hours),
        balancer.private,
        balancer.ip or None,
        _adjustment_of(balancer),
    )


def _adjustment_of(piece: Volume | Balancer) -> int:
    """Micros; 0 where there is none, or one that is too large."""
    return to_micros(piece.adjustment) if piece.adjustment and abs(piece.adjustment) * 1e6 < _MOST else 0


def _cost_of_piece(piece: Volume | Balancer, key: str, name: str, notes: Notes) -> int:
    """Its cost with adjustment; 0, with a note, where it is unknown or too large, and where it is below zero."""
    if piece.cost is None:
        notes.null_figures.add(key)
        return 0
    if abs(piece.cost) * 1e6 >= _MOST:
        notes.huge[name] = key
        notes.huge_keys.add(key)
        return 0
    return max(to_micros(piece.cost), 0) + _adjustment_of(piece)


def _asset(row: AssetRow, window: Window, notes: Notes) -> Asset:
    about, kind = row.properties, _ASSET_TYPES[row.type]
    name = (about.name if about else None) or ""
    figures = (row.total_cost or 0.0, row.cpu_cost or 0.0, row.ram_cost or 0.0, row.gpu_cost or 0.0)
    if max(map(abs, figures)) * 1e6 >= _MOST:
        row = _without_huge(name, row, notes, unknown=None)
    if (row.total_cost or 0.0) < min(row.adjustment or 0.0, 0.0) or (row.minutes or 0.0) < 0:
        notes.negative[name] = 0
    total = 0 if row.total_cost is None else to_micros(row.total_cost)
    if row.total_cost is None:
        notes.null_figures.add(f"totalCost of {row.type} assets")
    match kind:
        case AssetType.NODE:
            cpu, ram, gpu = _node_parts(row, notes)
            costs = node_costs(cpu, ram, gpu, discount=row.discount or 0.0, total=row.total_cost)
        case AssetType.DISK:
            costs = Costs(node_disk=total) if row.storage_class == _LOCAL_DISK else Costs(pv=total)
        case AssetType.LOAD_BALANCER:
            costs = Costs(load_balancer=total)
        case AssetType.NETWORK:
            costs = Costs(network=total)
        case AssetType.MANAGEMENT:
            costs = Costs(management=total)
    return Asset(
        type=kind,
        name=name,
        names=frozenset(filter(None, (name, row.volume_name if kind is AssetType.DISK else None))),
        window=window,
        costs=costs,
        cluster_id=about.cluster if about else None,
        provider_id=about.provider_id if about else None,
        node_type=row.node_type,
        labels=row.labels,
        hours=(row.minutes or 0.0) / 60,
        discount=row.discount or 0.0,
        adjustment=to_micros(row.adjustment) if row.adjustment else 0,
        life=_life(row, window),
        cpu_cores=row.cpu_cores if kind is AssetType.NODE else None,
        details=_asset_details(row),
    )


def _node_parts(row: AssetRow, notes: Notes) -> tuple[float, float, float]:
    """List costs of CPU, RAM and GPU. One that is null is what the total leaves for it; of several it can't be told."""
    parts = {"cpuCost": row.cpu_cost, "ramCost": row.ram_cost, "gpuCost": row.gpu_cost}
    unknown = [key for key, cost in parts.items() if cost is None]
    if len(unknown) == 1 and row.total_cost is not None:
        keep = {"cpuCost": 1 - (row.discount or 0.0), "ramCost": 1 - (row.discount or 0.0), "gpuCost": 1.0}
        known = sum(cost * keep[key] for key, cost in parts.items() if cost is not None)
        rest = max(0.0, row.total_cost - (row.adjustment or 0.0) - known)
        parts[unknown[0]] = rest / keep[unknown[0]] if keep[unknown[0]] else 0.0
    elif unknown:
        notes.null_figures.update(f"{key} of Node assets" for key in unknown)
    return (parts["cpuCost"] or 0.0, parts["ramCost"] or 0.0, parts["gpuCost"] or 0.0)
