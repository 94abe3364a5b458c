"""Converts a row of an allocation answer to rows of the ledger.

It decides nothing about money: costs are copied, with adjustments added to their component.
"""

from kubetally.domain.allocation import Allocation, Kind, LoadBalancerCost, VolumeCost
from kubetally.domain.component import NO_CLASSES, ZERO, Costs, NetworkClasses
from kubetally.domain.efficiency import Hours
from kubetally.domain.external import assign_rest
from kubetally.domain.money import MICROS, to_micros
from kubetally.domain.window import Window
from kubetally.sources.opencost.figures import (
    EXACT_BELOW,
    MAX_COST_MICROS,
    MAX_HOURS,
    adjustment_of,
    known_hours,
    without_huge,
)
from kubetally.sources.opencost.notes import Notes
from kubetally.sources.opencost.spans import life_of
from kubetally.sources.opencost.wire import ABSENT, Balancer, BookedRow, Properties, Volume

COST_KEYS = {
    "cpu_cost": "cpuCost",
    "ram_cost": "ramCost",
    "gpu_cost": "gpuCost",
    "pv_cost": "pvCost",
    "load_balancer_cost": "loadBalancerCost",
    "network_cost": "networkCost",
    "shared_cost": "sharedCost",
    "external_cost": "externalCost",
}
"""The costs of a row by the name of their field, with their key in the answer."""

_SPECIAL = {
    "__idle__": Kind.IDLE,
    "__unmounted__": Kind.UNMOUNTED,
    "__external__": Kind.OVERHEAD,
    "__shared__": Kind.OVERHEAD,
}
_WORKLOAD = Kind.WORKLOAD
_NAMELESS = frozenset({None, "", "__unallocated__"})
_NOT_A_CONTAINER = "__unmounted__"  # in the row of a namespace's unmounted volumes
_NO_PROPERTIES = Properties()
_ADJUSTED = ("cpuCost", "ramCost", "gpuCost", "pvCost", "loadBalancerCost", "networkCost")
_AVERAGES = ("cpuCoreRequestAverage", "cpuCoreUsageAverage", "ramByteRequestAverage", "ramByteUsageAverage")
_NOT_ADJUSTED = (0.0,) * len(_ADJUSTED)
_NOT_RATED = Hours(
    cpu_core_request_hours=None,
    cpu_core_usage_hours=None,
    ram_byte_request_hours=None,
    ram_byte_usage_hours=None,
    gpu_request_hours=None,
    gpu_usage_hours=None,
)


def read_row(name: str, row: BookedRow, step: Window, step_hours: float, notes: Notes) -> tuple[Allocation, ...]:
    """The row; a second one has the part of a workload's cost that is negative before adjustment.

    name: the key of the row in the answer. step_hours: the length of `step`.
    """
    about = row.properties or _NO_PROPERTIES
    namespace, controller = about.namespace, about.controller
    # The pseudo-pods of a source belong to their namespace.
    kind = _SPECIAL.get(namespace or name.rpartition("/")[2], _WORKLOAD)
    is_workload, life, below_zero = kind is _WORKLOAD, None, ZERO
    row, base, adjustments, costs, total = _read_costs(name, row, notes)
    if is_workload:
        life = life_of(step, start=row.start, end=row.end, minutes=row.minutes)
        minutes, hours = _minutes_and_hours(row, about, step_hours, life, notes)
        if hours is None or min(base) < 0:
            below_zero = Costs(*(min(amount, 0) for amount in base))
            notes.negative[name] = notes.negative.get(name, 0) + below_zero.total
            costs, total = costs.minus(below_zero), total - below_zero.total
            minutes, hours = min(max(minutes, 0.0), step_hours * 60), _NOT_RATED
    else:
        minutes, hours = row.minutes or 0.0, Hours(pv_byte_hours=row.pv_byte_hours or 0.0)
    peaks = row.raw_allocation_only
    # By position, in the order of `Allocation`: keywords would take a tenth longer.
    allocation = Allocation(
        kind,
        step,
        namespace if is_workload and namespace not in _NAMELESS else None,
        about.controller_kind or None,
        None if controller in _NAMELESS else controller,
        about.pod or None if is_workload else None,
        about.node or None,
        about.container or None if is_workload and about.container != _NOT_A_CONTAINER else None,
        about.cluster or (name.partition("/")[0] if "/" in name else None) or None,
        tuple(about.services) if about.services else (),
        about.labels,
        about.namespace_labels,
        minutes,
        hours,
        costs,
        _network_classes(row),
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
        None if peaks is None else peaks.cpu_core_usage_max,
        None if peaks is None else peaks.ram_byte_usage_max,
    )
    if below_zero is ZERO or not any(below_zero):
        return (allocation,)
    return allocation, _difference(allocation, below_zero, about.cluster)


def _read_costs(name: str, row: BookedRow, notes: Notes) -> tuple[BookedRow, Costs, Costs, Costs, int]:
    """The row without figures that are too large, and its costs: before adjustment, adjustments, both, total."""
    base, adjustments = _plain_costs(row), ZERO
    has_unknown_part = False
    if base is None:
        row, base, adjustments = _any_costs(name, row, notes)
        has_unknown_part = any(getattr(row, key) is None for key in COST_KEYS)
    costs = base if adjustments is ZERO else base.plus(adjustments)
    total = costs.total if row.total_cost is None else to_micros(row.total_cost)
    costs, rest = assign_rest(costs, total, has_unknown_part=has_unknown_part)
    if rest:
        (notes.beyond_parts if rest > 0 else notes.below_parts)[name] = rest
    return row, base, adjustments, costs, total


def _difference(allocation: Allocation, costs: Costs, cluster_id: str | None) -> Allocation:
    name = f"{allocation.name} below zero"
    return Allocation(
        Kind.DIFFERENCE, allocation.step, cluster_id=cluster_id, costs=costs, total=costs.total, name=name
    )


def _minutes_and_hours(
    row: BookedRow, about: Properties, step_hours: float, life: Window | None, notes: Notes
) -> tuple[float, Hours | None]:
    """The minutes of a workload, and its hours; None if one is negative or too large."""
    is_coarse, is_unknown = not about.pod or not about.container, False
    if is_coarse:
        notes.coarse[_grain(about)] += 1
    minutes = row.minutes
    if minutes is None:
        minutes = 0.0 if life is None else life.hours * 60
        is_unknown = life is None and not is_coarse
        if is_unknown:
            notes.null_figures.add("minutes")
    hours = _hours(row, step_hours, minutes / 60, notes, is_coarse=is_coarse)
    if not 0 <= minutes <= step_hours * 61:  # a whole step, and a sample beyond it
        return minutes, None
    return minutes or 0.0, _NOT_RATED if is_unknown and hours is not None else hours


def _network_classes(row: BookedRow) -> NetworkClasses:
    internet, region, zone = row.network_internet_cost, row.network_cross_region_cost, row.network_cross_zone_cost
    if not (internet or region or zone):
        return NO_CLASSES
    return NetworkClasses(*(to_micros(cost) if cost else 0 for cost in (internet, region, zone)))


def _grain(about: Properties) -> str:
    """The grouping of a row without a container: `by cluster, namespace`, or `in one row`."""
    named = [name for name in ("cluster", "node", "namespace", "pod", "container") if getattr(about, name)]
    return f"by {', '.join(named)}" if named else "in one row"


def _plain_costs(row: BookedRow) -> Costs | None:
    """The costs of a usual row; None if a cost is unknown, negative, too large or adjusted."""
    cpu, ram, gpu, pv = row.cpu_cost, row.ram_cost, row.gpu_cost, row.pv_cost
    balancer, network, shared, external = row.load_balancer_cost, row.network_cost, row.shared_cost, row.external_cost
    figures = (cpu, ram, gpu, pv, balancer, network, shared, external, row.total_cost)
    try:
        is_plain = min(figures) >= 0 and sum(figures) < EXACT_BELOW  # type: ignore[type-var, operator, arg-type]
    except TypeError:  # a cost is null
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
    """The row without figures that are too large, its costs before adjustment, and the adjustments."""
    figures = [getattr(row, key) for key in COST_KEYS]
    corrections = (*_adjustments(row), row.total_cost)  # may be negative
    if not (
        all(0.0 <= (figure or 0.0) < EXACT_BELOW for figure in figures)
        and all(abs(figure or 0.0) < EXACT_BELOW for figure in corrections)
    ):
        row = without_huge(name, row, notes, unknown=0.0)
        figures = [getattr(row, key) for key in COST_KEYS]
    keys = COST_KEYS.values()
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

    None if one is negative or too large.
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
        averages = (cpu_request, cpu_usage, ram_request, ram_usage)
        notes.null_figures.update(key for key, figure in zip(_AVERAGES, averages, strict=True) if figure is None)
    read = Hours(
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
        is_odd = min(read) < 0 or max(read) > MAX_HOURS  # type: ignore[type-var, operator]
    except TypeError:
        known = [amount for amount in read if amount is not None]
        is_odd = min(known) < 0 or max(known) > MAX_HOURS
    return None if is_odd else read


def _unless_absent(figure: float | None, has_resource: bool) -> float | None:
    """An average; unknown if its key is absent although the row has the resource."""
    return None if figure is ABSENT and has_resource else figure


def _volume(key: str, volume: Volume, notes: Notes) -> VolumeCost:
    return VolumeCost(
        key.rpartition(":name=")[2],
        _cost_of_piece(volume, "pvs.cost", key, notes),
        known_hours(volume.byte_hours),
        volume.provider_id or None,
        adjustment_of(volume),
    )


def _balancer(key: str, balancer: Balancer, notes: Notes) -> LoadBalancerCost:
    return LoadBalancerCost(
        balancer.service or key.partition("/")[2],
        _cost_of_piece(balancer, "lbAllocations.cost", key, notes),
        known_hours(balancer.hours),
        balancer.private,
        balancer.ip or None,
        adjustment_of(balancer),
    )


def _cost_of_piece(piece: Volume | Balancer, key: str, name: str, notes: Notes) -> int:
    """Its cost with adjustment; 0, with a note, if it is unknown or too large; 0 if negative."""
    if piece.cost is None:
        notes.null_figures.add(key)
        return 0
    if abs(piece.cost) * 1e6 >= MAX_COST_MICROS:
        notes.huge[name] = key
        notes.huge_keys.add(key)
        return 0
    return max(to_micros(piece.cost), 0) + adjustment_of(piece)
