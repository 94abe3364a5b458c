"""What clusters cost: the one answer of every face, as plain values.

Every view of a report is a grouping of its rows, so all views have the same total.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import fsum
from typing import Final, Literal, NamedTuple

from kubetally.domain.allocation import Kind
from kubetally.domain.booking import ComponentBalance
from kubetally.domain.component import Component, Costs, NetworkClasses
from kubetally.domain.efficiency import Efficiency, Hours, RatedHours, efficiency
from kubetally.domain.grouping import group_by
from kubetally.domain.issues import WITHOUT_EVIDENCE, Issue, any_missing
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.row import Cause
from kubetally.domain.savings import Savings
from kubetally.domain.series import LegacySums
from kubetally.domain.source_identity import SourceIdentity
from kubetally.domain.status import Coverage, Status
from kubetally.domain.window import Window

REST: Final = "rest"
"""The kind of the row that stands for all that is not in the top."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Rows added up. Costs in micros; network classes are parts of the network cost.

    hours:   of what is known. rated: of the rows that have request and usage.
    weights: CPU and RAM cost of the workloads among them, without shares in idle; None if all are workloads.
    """

    costs: Costs
    network_classes: NetworkClasses
    hours: Hours
    rated: RatedHours
    weights: tuple[int, int] | None = field(default=None, kw_only=True)

    @property
    def efficiency(self) -> Efficiency:
        """What of the requests was used."""
        cpu_cost, ram_cost = self.weights or (self.costs.cpu, self.costs.ram)
        return efficiency(self.rated, cpu_cost=cpu_cost, ram_cost=ram_cost)


def add_weights(many: Sequence[Sums]) -> tuple[int, int] | None:
    """The weights of the sum of many; None if all have only workloads."""
    if all(sums.weights is None for sums in many):
        return None
    cpu, ram = zip(*(sums.weights or (sums.costs.cpu, sums.costs.ram) for sums in many), strict=True)
    return sum(cpu), sum(ram)


def add(many: Sequence[Sums]) -> tuple[Costs, NetworkClasses, Hours, RatedHours]:
    """The fields of the sum of many; zero of none."""
    return (
        Costs.sum(sums.costs for sums in many),
        NetworkClasses.sum(sums.network_classes for sums in many),
        Hours.sum(sums.hours for sums in many),
        RatedHours.sum(sums.rated for sums in many),
    )


@dataclass(frozen=True, slots=True)
class CostRow(Sums):
    """One row of a report: workloads of one key, or a line of the cluster.

    kind:       None where every kind is in it; `REST` for what is not in the top.
    key:        a value for each dimension of the group, None where the workloads have none; empty for a line.
    nodes:      where it ran, sorted. minutes: how long, summed over nodes. count: rows of the finest grouping in it.
    causes:     parts of the difference line, which add up to it.
    account_id: the account, where they are grouped by it.
    start:      when its step begins, where the window is divided.
    component:  the only one in it, where components are grouped; it has no hours then.
    waste:      micros of what was requested and not used.
    """

    kind: Kind | Literal["rest"] | None
    key: tuple[str | None, ...] = ()
    nodes: tuple[str, ...] = ()
    minutes: float = 0.0
    count: int = 1
    causes: tuple[tuple[Cause, Costs], ...] = ()
    account_id: str | None = None
    start: datetime | None = None
    component: Component | None = None
    waste: int = 0


@dataclass(frozen=True, slots=True)
class StepSum:
    """What a step of the window cost, in micros; None where no hour of it is covered."""

    window: Window
    total: int | None
    coverage: Coverage


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport:
    """What clusters cost over a window, grouped as asked.

    currency:        None where nothing is stored that would have one.
    has_data:        whether any part of the window was answered.
    assets_complete: whether every part was compared with assets that list all it charges for.
    bill:            the total of every view, by component, in micros; what nobody measured is zero in it.
    not_measured:    components that no source measured.
    rows:            workloads by the question's group. lines: what no workload was allocated, by kind.
    workloads:       all that has hours, added up.
    waste:           micros of what was requested and not used.
    steps:           every step of the window, in order; empty where it is not divided.
    accounts:        ids of the accounts that may have rows which pass the filter.
    """

    question: CostQuestion
    currency: str | None
    currency_assumed: bool
    coverage: Coverage
    has_data: bool
    assets_complete: bool
    bill: Costs
    not_measured: frozenset[Component]
    rows: tuple[CostRow, ...]
    lines: tuple[CostRow, ...]
    workloads: Sums
    waste: int = 0
    issues: tuple[Issue, ...] = ()
    steps: tuple[StepSum, ...] = ()
    accounts: frozenset[str] = frozenset()

    @property
    def window(self) -> Window:
        """The window of the question."""
        return self.question.window

    @property
    def status(self) -> Status:
        """Whether data are missing."""
        if self.window.is_empty:
            return Status.OK
        if not self.has_data:
            return Status.NO_DATA
        if any_missing(self.issues) or self.coverage.hours_covered < self.coverage.hours_asked:
            return Status.PARTIAL
        return Status.OK

    @property
    def lacks_evidence(self) -> bool:
        """Whether the source answered any part without the samples that its figures need."""
        return any(issue.kind in WITHOUT_EVIDENCE for issue in self.issues)

    @property
    def unknown(self) -> frozenset[Component]:
        """Components without a figure: those that nobody measured, all where there are no data."""
        return frozenset(Component) if self.status is Status.NO_DATA else self.not_measured

    @property
    def summary(self) -> dict[Component, int | None]:
        """Micros by component; None where unknown."""
        unknown = self.unknown
        return {component: None if component in unknown else self.bill.of(component) for component in Component}

    @property
    def efficiency(self) -> Efficiency:
        """Of all workloads; idle does not count."""
        return self.workloads.efficiency


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterReport(CostReport):
    """What one cluster cost, from booked days: a row for each pod, highest cost first, and a line of each kind.

    network_classes: parts of the network cost.
    source_total:    micros that the source itself shows for the covered part: the totals of its rows, with idle.
    balance:         bill and use by component.
    savings:         None where they were not fetched or the source has none. legacy: the old sums, where asked for.
    """

    currency: str
    source: SourceIdentity
    network_classes: NetworkClasses
    source_total: int
    balance: Mapping[Component, ComponentBalance]
    savings: Savings | None = None
    legacy: LegacySums | None = None

    def line(self, kind: Kind) -> CostRow:
        """The line of a kind."""
        return next(line for line in self.lines if line.kind is kind)

    def by(self, *dimensions: str) -> list[CostRow]:
        """The workloads grouped more coarsely, highest cost first; they and `lines` add up to `bill`.

        dimensions: some of the question's group.
        """
        group = tuple(dimension.asked for dimension in self.question.group)
        if dimensions == group:
            return list(self.rows)
        places = [group.index(name) for name in dimensions]

        def key(row: CostRow) -> tuple[str | None, ...]:
            return tuple([row.key[place] for place in places])

        return highest_first(add_rows(rows, key(rows[0]), Kind.WORKLOAD) for rows in group_by(key, self.rows))


def add_rows(rows: Sequence[CostRow], key: tuple[str | None, ...], kind: Kind | Literal["rest"] | None) -> CostRow:
    """The sum of rows as one row. Account, step and component stay where all rows have the same."""
    first = rows[0]
    if len(rows) == 1 and (first.key, first.kind) == (key, kind):
        return first
    return CostRow(
        *add(rows),
        weights=add_weights(rows),
        kind=kind,
        key=key,
        nodes=tuple(sorted({node for row in rows for node in row.nodes})),
        minutes=fsum(row.minutes for row in rows),
        count=sum(row.count for row in rows),
        account_id=first.account_id if len({row.account_id for row in rows}) == 1 else None,
        start=first.start if len({row.start for row in rows}) == 1 else None,
        component=first.component if len({row.component for row in rows}) == 1 else None,
        waste=sum(row.waste for row in rows),
    )


def highest_first(rows: Iterable[CostRow]) -> list[CostRow]:
    """By cost, then by key, so that the order of equal rows never depends on the source's."""
    return sorted(rows, key=lambda row: (-row.costs.total, [value or "" for value in row.key]))


class LabelCost(NamedTuple):
    """A key of labels: of pods (`label`) or of their namespaces (`namespace_label`); cost in micros."""

    dimension: str
    key: str
    rows: int
    cost: int


@dataclass(frozen=True, slots=True)
class LabelReport:
    """The keys of labels, highest cost first. report: of all rows that pass the filter, as one row."""

    report: CostReport
    labels: tuple[LabelCost, ...]
