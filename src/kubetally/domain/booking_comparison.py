"""Compares two bookings of one window: the stored one, and one made again from the same answers.

What a Prometheus measured beside them, and what the source answered by the hour or for the days around, may not have
been kept. Differences that these can make stand apart then, as `elsewhere`.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import isclose
from typing import Any, NamedTuple

from kubetally.domain.allocation import Kind
from kubetally.domain.asset import Asset
from kubetally.domain.booking import Booking
from kubetally.domain.component import Component, Costs
from kubetally.domain.efficiency import Hours
from kubetally.domain.issues import IssueKind
from kubetally.domain.money import CurrencyOrigin
from kubetally.domain.row import Row, RowDetails
from kubetally.domain.window import covered_hours

HOURS_TOLERANCE = 1e-9
"""Hours that differ by no more than this part of them are the same: they are sums of floats."""


class Figure(StrEnum):
    """What is compared, in the order of the report. Costs are micros, the others numbers of hours or rows, or text."""

    CURRENCY = "currency"
    ROWS = "rows"
    HOURS_COVERED = "hours_covered"
    ISSUE = "issue"
    COMPONENT_COST = "component_cost"
    KIND_COST = "kind_cost"
    NAMESPACE_COST = "namespace_cost"
    POD_COST = "pod_cost"
    CPU_REQUEST = "cpu_core_request_hours"
    CPU_USAGE = "cpu_core_usage_hours"
    RAM_REQUEST = "ram_byte_request_hours"
    RAM_USAGE = "ram_byte_usage_hours"
    GPU_REQUEST = "gpu_request_hours"
    GPU_USAGE = "gpu_usage_hours"
    ROW_FIELD = "row_field"
    ASSET_COST = "asset_cost"


class Beside(StrEnum):
    """Answers beside those of the day itself that a booking may depend on."""

    METRICS = "metrics"
    HOURS = "hours"
    DAYS_AROUND = "days_around"


COST_FIGURES = frozenset(
    {Figure.COMPONENT_COST, Figure.KIND_COST, Figure.NAMESPACE_COST, Figure.POD_COST, Figure.ASSET_COST}
)
_REQUESTS = (Figure.CPU_REQUEST, Figure.RAM_REQUEST, Figure.GPU_REQUEST)
_USAGE = (Figure.CPU_USAGE, Figure.RAM_USAGE, Figure.GPU_USAGE)

_EVIDENCE = frozenset(
    {
        IssueKind.SAMPLES_MISSING,
        IssueKind.NODE_INCOMPLETE,
        IssueKind.USAGE_MISSING,
        IssueKind.REQUESTS_MISSING,
        IssueKind.NO_REQUESTS,
        IssueKind.WINDOW_WITHOUT_DATA,
    }
)
"""Issues that hourly answers, the days around or a Prometheus may add to those of the day's own answer."""

_NOT_OF_ANSWERS = frozenset(
    {
        IssueKind.NOT_MEASURED,
        IssueKind.BALANCER_CORRECTED,
        IssueKind.USAGE_CORRECTED,
        IssueKind.HOURS_NOT_CHECKED,
        IssueKind.TOTAL_FELL,
        IssueKind.NOT_REPLACED,
        IssueKind.REPLACED_BY_FORCE,
        IssueKind.SAME_CLUSTER_TWICE,
    }
)
"""Issues of a day for other reasons than its own answers."""


_ROW_FIELDS = ("controller_kind", "controller", "minutes", "services", "labels", "namespace_labels")
_SHOWN_CHARACTERS = 80
_NOT_KEPT = frozenset({Beside.METRICS, Beside.HOURS})


class Difference(NamedTuple):
    """A figure that differs. name: the component, kind, namespace or `namespace/pod`; None of the whole window.

    replayed, stored: None where that booking does not have it. Of an issue its kind, where a booking has it.
    component: the one that the costs are of, where they differ and their totals do not.
    """

    figure: Figure
    name: str | None
    replayed: str | float | None
    stored: str | float | None
    component: Component | None = None


@dataclass(frozen=True, slots=True)
class BookingComparison:
    """How two bookings differ.

    elsewhere: differences that answers which are not kept account for; they are no defect.
    """

    differences: tuple[Difference, ...] = ()
    elsewhere: tuple[Difference, ...] = ()


def compare_bookings(replayed: Booking, *, stored: Booking, lacks: frozenset[Beside] = _NOT_KEPT) -> BookingComparison:
    """How a booking of the kept answers differs from the stored one.

    lacks: what the booking may depend on and was not kept. Days around are in it only where the answers alone leave
    open whether hours are missing, so that those days decided it.
    """
    is_in_doubt = Beside.DAYS_AROUND in lacks
    left = _left_to_metrics(replayed, stored) if Beside.METRICS in lacks else frozenset[Component]()
    of_others = _figures_of_others(replayed, stored, lacks)

    def is_of_others(difference: Difference) -> bool:
        if difference.figure is Figure.ISSUE:
            # Others add evidence of missing hours, and take away doubt.
            is_added = difference.replayed is None or difference.name == IssueKind.NO_REQUESTS
            return difference.name in _EVIDENCE and (is_in_doubt or (is_added and Figure.HOURS_COVERED in of_others))
        return difference.figure in of_others or (
            difference.figure is Figure.COMPONENT_COST and difference.name in left
        )

    differences, elsewhere = list[Difference](), list[Difference]()
    for difference in _find(replayed, stored, left):
        (elsewhere if is_of_others(difference) else differences).append(difference)
    return BookingComparison(tuple(differences), tuple(elsewhere))


def _find(replayed: Booking, stored: Booking, left: frozenset[Component]) -> Iterator[Difference]:
    if replayed.currency != stored.currency and _is_currency_of_source(replayed, stored):
        yield Difference(Figure.CURRENCY, None, replayed.currency, stored.currency)
    numbers = [_number_of_rows(booking.rows, left) for booking in (replayed, stored)]
    if numbers[0] != numbers[1]:
        yield Difference(Figure.ROWS, None, numbers[0], numbers[1])
    hours = [covered_hours(booking.covered) for booking in (replayed, stored)]
    if not isclose(*hours, rel_tol=HOURS_TOLERANCE):
        yield Difference(Figure.HOURS_COVERED, None, hours[0], hours[1])
    uncertain = _uncertain_kinds(stored, left)
    mine, its = (_kinds_of_source(booking) - uncertain for booking in (replayed, stored))
    for kind in sorted(mine ^ its):
        yield Difference(Figure.ISSUE, kind, kind if kind in mine else None, kind if kind in its else None)
    for component in Component:
        amounts = [booking.bill.of(component) for booking in (replayed, stored)]
        if amounts[0] != amounts[1]:
            yield Difference(Figure.COMPONENT_COST, component, amounts[0], amounts[1])
    for figure, costs_by in _COSTS.items():
        yield from _unlike_costs(figure, costs_by(replayed.rows, left), costs_by(stored.rows, left))
    yield from _unlike_hours(_hours_by_pod(replayed.rows), _hours_by_pod(stored.rows))
    yield from _unlike_fields(replayed.rows, stored.rows)


def compare_assets(replayed: Iterable[Asset], *, stored: Iterable[Asset]) -> Iterator[Difference]:
    """The assets whose cost differs, or that one side lacks; its type and name."""
    mine, its = _amounts_by_asset(replayed), _amounts_by_asset(stored)
    for name in sorted(mine.keys() | its.keys()):
        if mine.get(name) != its.get(name):
            yield Difference(Figure.ASSET_COST, name, mine.get(name), its.get(name))


def _amounts_by_asset(assets: Iterable[Asset]) -> dict[str, int]:
    amounts = Counter[str]()
    for asset in assets:
        amount = asset.details.amount if asset.details is not None and asset.details.amount is not None else 0
        amounts[f"{asset.type} {asset.name}"] += asset.costs.total + amount
    return dict(amounts)


def _is_currency_of_source(*bookings: Booking) -> bool:
    """Whether the source states the currency; else the account does, and changing it relabels stored days."""
    return any(booking.currency_origin is CurrencyOrigin.SOURCE for booking in bookings)


def _left_to_metrics(replayed: Booking, stored: Booking) -> frozenset[Component]:
    """The components whose stored amount only a Prometheus can have measured.

    An earlier version did not note them; the management fee was one of them nearly always.
    """
    noted = stored.left_to_metrics or {Component.MANAGEMENT}
    corrected = {Component.LOAD_BALANCER} if IssueKind.BALANCER_CORRECTED in _kinds(stored) else set[Component]()
    return frozenset((replayed.left_to_metrics & noted) | corrected)


def _figures_of_others(replayed: Booking, stored: Booking, lacks: frozenset[Beside]) -> frozenset[Figure]:
    """The figures that not only the kept answers decided."""
    kinds, figures = _kinds(stored), set[Figure]()
    new = kinds - _kinds(replayed)
    if Beside.DAYS_AROUND in lacks or (lacks and _evidence(stored) - _evidence(replayed)):
        figures.add(Figure.HOURS_COVERED)
    if Beside.METRICS not in lacks:
        return frozenset(figures)
    if IssueKind.USAGE_CORRECTED in kinds or IssueKind.USAGE_MISSING in new:
        figures.update(_USAGE)
    if IssueKind.REQUESTS_MISSING in new:
        figures.update(_REQUESTS)
    return frozenset(figures)


def _kinds(booking: Booking) -> frozenset[IssueKind]:
    return frozenset(issue.kind for issue in booking.issues)


def _kinds_of_source(booking: Booking) -> frozenset[IssueKind]:
    """The kinds of issues of the cost source; those of a Prometheus name that one as their source."""
    return frozenset(issue.kind for issue in booking.issues if issue.source in (None, booking.source))


def _uncertain_kinds(stored: Booking, left: frozenset[Component]) -> frozenset[IssueKind]:
    """Kinds that say nothing here: a Prometheus decides about them, or they are of no answer."""
    kinds, uncertain = _kinds(stored), set(_NOT_OF_ANSWERS)
    if IssueKind.USAGE_CORRECTED in kinds:
        uncertain.add(IssueKind.USAGE_UNDERSTATED)
    if IssueKind.BALANCER_CORRECTED in kinds:
        uncertain.add(IssueKind.BALANCER_DIFFERS)
    if Component.NETWORK in left:
        uncertain.add(IssueKind.NETWORK_UNPRICED)
    return frozenset(uncertain)


def _evidence(booking: Booking) -> set[tuple[object, ...]]:
    return {(issue.kind, issue.window, issue.subject) for issue in booking.issues if issue.kind in _EVIDENCE}


def _number_of_rows(rows: Iterable[Row], left: frozenset[Component]) -> int:
    """Containers and lines; a line of nothing but what is left out may be missing on one side."""
    return sum(
        max(row.containers, 1) if row.kind is Kind.WORKLOAD else any(_without(row.costs, left)) or any(row.hours)
        for row in rows
    )


def _without(costs: Costs, left: frozenset[Component]) -> Costs:
    return costs._replace(**{component.value: 0 for component in left}) if left else costs


def _costs_by_kind(rows: Iterable[Row], left: frozenset[Component]) -> dict[str, Costs]:
    sums = _sums_by(rows, lambda row: row.kind.value, left)
    return {kind: costs for kind, costs in sums.items() if any(costs)}


def _costs_by_namespace(rows: Iterable[Row], left: frozenset[Component]) -> dict[str, Costs]:
    return _sums_by(_workloads(rows), lambda row: row.namespace or "", left)


def _costs_by_pod(rows: Iterable[Row], left: frozenset[Component]) -> dict[str, Costs]:
    return _sums_by(_workloads(rows), _pod, left)


_COSTS = {
    Figure.KIND_COST: _costs_by_kind,
    Figure.NAMESPACE_COST: _costs_by_namespace,
    Figure.POD_COST: _costs_by_pod,
}


def _workloads(rows: Iterable[Row]) -> Iterator[Row]:
    return (row for row in rows if row.kind is Kind.WORKLOAD)


def _pod(row: Row) -> str:
    return f"{row.namespace or ''}/{row.pod or ''}"


def _sums_by(rows: Iterable[Row], key: Callable[[Row], str], left: frozenset[Component]) -> dict[str, Costs]:
    """What rows cost by their key, without the components that are left out."""
    by_key = defaultdict[str, list[Costs]](list)
    for row in rows:
        by_key[key(row)].append(row.costs)
    return {name: _without(Costs.sum(costs), left) for name, costs in by_key.items()}


def _unlike_costs(figure: Figure, replayed: Mapping[str, Costs], stored: Mapping[str, Costs]) -> Iterator[Difference]:
    for name in sorted(replayed.keys() | stored.keys()):
        mine, its = replayed.get(name), stored.get(name)
        if mine is None or its is None:
            yield Difference(figure, name, None if mine is None else mine.total, None if its is None else its.total)
        elif mine.total != its.total:
            yield Difference(figure, name, mine.total, its.total)
        elif mine != its:
            component = next(component for component in Component if mine.of(component) != its.of(component))
            yield Difference(figure, name, mine.of(component), its.of(component), component)


def _hours_by_pod(rows: Iterable[Row]) -> dict[str, Hours]:
    by_pod = defaultdict[str, list[Hours]](list)
    for row in _workloads(rows):
        by_pod[_pod(row)].append(row.hours)
    return {name: Hours.merged(hours) for name, hours in by_pod.items()}


def _unlike_fields(replayed: Iterable[Row], stored: Iterable[Row]) -> Iterator[Difference]:
    """What else differs of containers that both bookings have once; details only where both have them."""
    mine, its = _by_container(replayed), _by_container(stored)
    for name in sorted(mine.keys() & its.keys()):
        for field, now, before in _fields_of(mine[name], its[name]):
            if not _is_same(now, before):
                yield Difference(Figure.ROW_FIELD, f"{name} {field}", _shown(now), _shown(before))


def _by_container(rows: Iterable[Row]) -> dict[str, Row]:
    """Workload rows by namespace, pod, container and node; of several alike none."""
    by_name = defaultdict[str, list[Row]](list)
    for row in _workloads(rows):
        by_name[f"{_pod(row)}/{row.container or ''} on {row.node or 'no node'}"].append(row)
    return {name: alike[0] for name, alike in by_name.items() if len(alike) == 1}


def _fields_of(mine: Row, its: Row) -> Iterator[tuple[str, Any, Any]]:
    yield from ((field, getattr(mine, field), getattr(its, field)) for field in _ROW_FIELDS)
    if mine.details is not None and its.details is not None:
        yield from zip(RowDetails._fields, mine.details, its.details, strict=True)


def _is_same(mine: Any, its: Any) -> bool:
    if isinstance(mine, float) and isinstance(its, float):
        return isclose(mine, its, rel_tol=HOURS_TOLERANCE)
    return bool((mine or None) == (its or None))


def _shown(value: Any) -> str | None:
    return None if value is None else str(value)[:_SHOWN_CHARACTERS]


def _unlike_hours(replayed: Mapping[str, Hours], stored: Mapping[str, Hours]) -> Iterator[Difference]:
    """Requests and usage of the pods that both bookings have; a missing pod shows in the costs."""
    names = sorted(replayed.keys() & stored.keys())
    for figure in (*_REQUESTS, *_USAGE):
        for name in names:
            mine, its = getattr(replayed[name], figure), getattr(stored[name], figure)
            is_same = mine is its if None in (mine, its) else isclose(mine, its, rel_tol=HOURS_TOLERANCE)
            if not is_same:
                yield Difference(figure, name, mine, its)
