"""What one cluster cost over a window: its booked days added up, and looked at by namespace, workload and pod.

Every view is a grouping of the same booked rows, so all of them have the same total.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from math import fsum
from typing import TypeVar

from kubetally.domain.allocation import Kind
from kubetally.domain.booking import Booking, ComponentBalance
from kubetally.domain.component import Component, Costs, NetworkClasses
from kubetally.domain.efficiency import Efficiency, Hours, RatedHours, efficiency
from kubetally.domain.issues import WITHOUT_EVIDENCE, Issue, any_missing
from kubetally.domain.money import CurrencyOrigin, unlike_currencies
from kubetally.domain.pods import merge_pods
from kubetally.domain.row import Cause, Row
from kubetally.domain.savings import Savings
from kubetally.domain.series import LegacySums
from kubetally.domain.window import Window, covered_hours

K = TypeVar("K", bound=Hashable)


class DetailLevel(StrEnum):
    """How finely an answer is broken down; the total is the same at each."""

    SUMMARY = "summary"
    NAMESPACE = "namespace"
    WORKLOAD = "workload"


class Status(StrEnum):
    """Whether data are missing; it says nothing about how good the figures are (see `assets_complete`)."""

    OK = "ok"
    PARTIAL = "partial"
    NO_DATA = "no_data"
    ERROR = "error"


class DayState(StrEnum):
    """How sure a day is: its source may still correct it, or was asked so late that it will not."""

    PROVISIONAL = "provisional"
    SETTLED = "settled"


KUBECOST, OPENCOST = "Kubecost", "OpenCost"
"""Products, as a `SourceIdentity` has them."""


@dataclass(frozen=True, slots=True)
class SourceIdentity:
    """Which product answered, where, and for which cluster, as far as it tells; `url` is fit to be shown.

    account_id, account_name: of the account that the source is of, where it is of one.
    """

    url: str
    product: str | None = None
    version: str | None = None
    cluster_id: str | None = None
    cluster_name: str | None = None
    account_id: str | None = None
    account_name: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Rows added up. Costs in micros; network classes are parts of the network cost.

    `hours`: of what is known. `rated`: of the rows that have request and usage.
    """

    costs: Costs
    network_classes: NetworkClasses
    hours: Hours
    rated: RatedHours

    @property
    def efficiency(self) -> Efficiency:
        """What of the requests was used."""
        return efficiency(self.rated, cpu_cost=self.costs.cpu, ram_cost=self.costs.ram)


@dataclass(frozen=True, slots=True)
class NamespaceCosts(Group):
    """A namespace's workload rows; `namespace` is None for rows that have none."""

    namespace: str | None


@dataclass(frozen=True, slots=True)
class PodCosts(Group):
    """A pod's rows, one or more nodes; a StatefulSet's pod keeps its name when it moves."""

    pod: str | None
    nodes: tuple[str, ...]
    minutes: float


@dataclass(frozen=True, slots=True)
class WorkloadCosts(Group):
    """A controller's pods in one namespace; without controller: its bare pods, and the volumes nobody mounts."""

    namespace: str | None
    controller_kind: str | None
    controller: str | None
    pods: tuple[PodCosts, ...]


@dataclass(frozen=True, slots=True)
class Line(Group):
    """All rows of one kind but workload; `causes` of the difference line, which add up to it."""

    kind: Kind
    causes: tuple[tuple[Cause, Costs], ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterCosts:
    """What a cluster cost over `window`, from the booked parts of it that a source could answer.

    `hours_asked`: of the part of the window that is over. `issues`: of the answer as a whole, the bookings' among them.
    `detail_level`: how finely an answer is broken down where nobody says otherwise; every view is here all the same.
    `savings`: None where they were not fetched or the source has none. `legacy`: the old sums, where asked for.
    `state`: of the least certain of its days. `as_of`: the instant at which these figures held, None for now.
    """

    window: Window
    hours_asked: float
    bookings: tuple[Booking, ...]
    currency: str
    source: SourceIdentity
    savings: Savings | None = None
    issues: tuple[Issue, ...] = ()
    detail_level: DetailLevel = DetailLevel.SUMMARY
    legacy: LegacySums | None = None
    state: DayState = DayState.PROVISIONAL
    as_of: datetime | None = None

    def __post_init__(self) -> None:
        for booking in self.bookings:
            if booking.currency != self.currency:
                raise unlike_currencies(self.currency, booking.currency)

    @property
    def currency_assumed(self) -> bool:
        """Whether nobody states the currency of some of these amounts."""
        return any(booking.currency_origin is CurrencyOrigin.ASSUMED for booking in self.bookings)

    @property
    def hours_covered(self) -> float:
        """Hours of the window for which what the source answered gives evidence."""
        return covered_hours(span for booking in self.bookings for span in booking.covered)

    @property
    def status(self) -> Status:
        """Whether data are missing."""
        if self.window.is_empty:
            return Status.OK
        if not self.bookings:
            return Status.NO_DATA
        if any_missing(self.issues) or self.hours_covered < self.hours_asked:
            return Status.PARTIAL
        return Status.OK

    @property
    def lacks_evidence(self) -> bool:
        """Whether the source answered for any part of it without the samples that its figures need."""
        return any(issue.kind in WITHOUT_EVIDENCE for issue in self.issues)

    @property
    def assets_complete(self) -> bool:
        """Whether every booked part was held against assets that list all it charges for."""
        return bool(self.bookings) and all(booking.assets_complete for booking in self.bookings)

    @property
    def rows(self) -> Iterable[Row]:
        """The booked rows of all parts."""
        return (row for booking in self.bookings for row in booking.rows)

    @property
    def pods(self) -> Iterable[Row]:
        """The workload rows of all parts, a pod on a node each (`merge_pods`)."""
        return (pod for booking in self.bookings for pod in merge_pods(booking.rows))

    @property
    def bill(self) -> Costs:
        """The bill: the total of every view, by component, in micros; what nobody measured is zero in it."""
        return Costs.sum(booking.bill for booking in self.bookings)

    @property
    def not_measured(self) -> frozenset[Component]:
        """Components that no booked part measured."""
        return (
            frozenset.intersection(*(booking.not_measured for booking in self.bookings))
            if self.bookings
            else frozenset()
        )

    @property
    def summary(self) -> dict[Component, int | None]:
        """Micros by component, None for one that nobody measured; all None where there are no data."""
        if self.status is Status.NO_DATA:
            return dict.fromkeys(Component)
        bill, unknown = self.bill, self.not_measured
        return {component: None if component in unknown else bill.of(component) for component in Component}

    @property
    def network_classes(self) -> NetworkClasses:
        """The network cost by where the traffic went; adds up to the network component."""
        return NetworkClasses.sum(booking.bill_network_classes for booking in self.bookings)

    @property
    def source_total(self) -> int:
        """Micros that the source itself shows for the covered part: the totals of its rows, idle with them."""
        return sum(booking.source_total for booking in self.bookings)

    @property
    def efficiency(self) -> Efficiency:
        """Of all workloads; idle does not count."""
        return self.workload_total().efficiency

    def workload_total(self) -> Group:
        """All workload rows added up: without idle and the other lines."""
        return Group(*_parts(list(self.pods)))

    def balance(self) -> dict[Component, ComponentBalance]:
        """Bill and use by component, over all booked parts."""
        sheets = [booking.balance() for booking in self.bookings]
        return {
            component: ComponentBalance(
                *(sum(column) for column in zip(*(sheet[component] for sheet in sheets), strict=True))
            )
            if sheets
            else ComponentBalance(0, 0, 0, 0, 0, 0)
            for component in Component
        }

    def namespaces(self) -> list[NamespaceCosts]:
        """One row a namespace, dearest first."""
        groups = _grouped(self.pods, lambda row: row.namespace)
        return _dearest_first(
            [NamespaceCosts(*_parts(rows), namespace=namespace) for namespace, rows in groups.items()],
            lambda group: (group.namespace or "",),
        )

    def lines(self) -> list[Line]:
        """One row a kind: idle, unmounted, overhead and difference, zero or not."""
        by_kind = _grouped((row for row in self.rows if row.kind is not Kind.WORKLOAD), lambda row: row.kind)
        lines = []
        for kind in Kind:
            if kind is not Kind.WORKLOAD:
                rows = by_kind.get(kind, [])
                causes = _grouped((row for row in rows if row.cause), lambda row: row.cause)
                totals = ((cause, Costs.sum(row.costs for row in causes[cause])) for cause in Cause if cause in causes)
                lines.append(Line(*_parts(rows), kind=kind, causes=tuple(totals)))
        return lines

    def workloads(self) -> list[WorkloadCosts]:
        """One row a controller in a namespace, its pods under it; dearest first."""
        groups = _grouped(self.pods, lambda row: (row.namespace, row.controller_kind, row.controller))
        return _dearest_first(
            [
                WorkloadCosts(
                    *_parts(rows), namespace=key[0], controller_kind=key[1], controller=key[2], pods=_pods(rows)
                )
                for key, rows in groups.items()
            ],
            lambda group: (group.namespace or "", group.controller_kind or "", group.controller or ""),
        )


G = TypeVar("G", bound=Group)


def _grouped(rows: Iterable[Row], key: Callable[[Row], K]) -> dict[K, list[Row]]:
    groups: dict[K, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return dict(groups)


def _parts(rows: Sequence[Row]) -> tuple[Costs, NetworkClasses, Hours, RatedHours]:
    return (
        Costs.sum(row.costs for row in rows),
        NetworkClasses.sum(row.network_classes for row in rows),
        Hours.sum(row.hours for row in rows),
        RatedHours.of(row.hours for row in rows),
    )


def _pods(rows: Sequence[Row]) -> tuple[PodCosts, ...]:
    pods = [
        PodCosts(
            *_parts(mine),
            pod=pod,
            nodes=tuple(sorted({row.node for row in mine if row.node})),
            minutes=fsum(row.minutes for row in mine),
        )
        for pod, mine in _grouped(rows, lambda row: row.pod).items()
    ]
    return tuple(_dearest_first(pods, lambda group: (group.pod or "",)))


def _dearest_first(groups: list[G], name: Callable[[G], tuple[str, ...]]) -> list[G]:
    """By cost, then by name, so that the order of equal rows never depends on the source's."""
    return sorted(groups, key=lambda group: (-group.costs.total, name(group)))
