"""What clusters cost: the one answer of every face, as plain values.

Every view of a report is a grouping of its rows, so all views have the same total.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from math import fsum
from typing import Final

from kubetally.domain.allocation import Kind
from kubetally.domain.booking import ComponentBalance
from kubetally.domain.component import Component, Costs, NetworkClasses
from kubetally.domain.efficiency import Efficiency, Hours, RatedHours, efficiency
from kubetally.domain.grouping import group_by
from kubetally.domain.issues import WITHOUT_EVIDENCE, Issue, any_missing
from kubetally.domain.row import Cause
from kubetally.domain.savings import Savings
from kubetally.domain.series import LegacySums
from kubetally.domain.source_identity import SourceIdentity
from kubetally.domain.status import Coverage, Status
from kubetally.domain.window import Window

Dimensions = tuple[str, ...]
NAMESPACE: Final[Dimensions] = ("namespace",)
WORKLOAD: Final[Dimensions] = ("namespace", "controller_kind", "controller")
POD: Final[Dimensions] = (*WORKLOAD, "pod")


class DetailLevel(StrEnum):
    """How finely an answer is broken down; the total is the same at each."""

    SUMMARY = "summary"
    NAMESPACE = "namespace"
    WORKLOAD = "workload"


GROUPS: Final[Mapping[DetailLevel, Dimensions]] = {
    DetailLevel.SUMMARY: (),
    DetailLevel.NAMESPACE: NAMESPACE,
    DetailLevel.WORKLOAD: WORKLOAD,
}
"""The dimensions of the rows of each level."""


@dataclass(frozen=True, slots=True)
class CostQuestion:
    """What a report answers.

    group:        dimensions of its rows. as_of: the instant at which its figures were stored, None for now.
    detail_level: how finely renderers break it down unless they are given a level.
    """

    window: Window
    group: Dimensions = POD
    as_of: datetime | None = None
    detail_level: DetailLevel = DetailLevel.SUMMARY


@dataclass(frozen=True, slots=True)
class Sums:
    """Rows added up. Costs in micros; network classes are parts of the network cost.

    hours: of what is known. rated: of the rows that have request and usage.
    """

    costs: Costs
    network_classes: NetworkClasses
    hours: Hours
    rated: RatedHours

    @property
    def efficiency(self) -> Efficiency:
        """What of the requests was used."""
        return efficiency(self.rated, cpu_cost=self.costs.cpu, ram_cost=self.costs.ram)


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

    key:     a value for each dimension of the group, None where the workloads have none; empty for a line.
    nodes:   where it ran, sorted. minutes: how long, summed over nodes. count: rows of the finest grouping in it.
    causes:  parts of the difference line, which add up to it.
    """

    kind: Kind
    key: tuple[str | None, ...] = ()
    nodes: tuple[str, ...] = ()
    minutes: float = 0.0
    count: int = 1
    causes: tuple[tuple[Cause, Costs], ...] = ()


@dataclass(frozen=True, slots=True)
class CostReport:
    """What a cluster cost over a window.

    bill:           the total of every view, by component, in micros; what nobody measured is zero in it.
    not_measured:   components that no source measured.
    source_total:   micros that the source itself shows for the covered part: the totals of its rows, with idle.
    balance:        bill and use by component.
    rows:           workloads by the question's group, highest cost first. lines: one for each other kind, zero or not.
    workloads:      all workload rows added up: without idle and the other lines.
    has_data:       whether any part of the window was answered.
    assets_complete: whether every part was compared with assets that list all it charges for.
    savings:        None where they were not fetched or the source has none. legacy: the old sums, where asked for.
    """

    question: CostQuestion
    source: SourceIdentity
    currency: str
    currency_assumed: bool
    coverage: Coverage
    has_data: bool
    assets_complete: bool
    bill: Costs
    network_classes: NetworkClasses
    not_measured: frozenset[Component]
    source_total: int
    balance: Mapping[Component, ComponentBalance]
    rows: tuple[CostRow, ...]
    lines: tuple[CostRow, ...]
    workloads: Sums
    issues: tuple[Issue, ...] = ()
    savings: Savings | None = None
    legacy: LegacySums | None = None

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

    def line(self, kind: Kind) -> CostRow:
        """The line of a kind."""
        return next(line for line in self.lines if line.kind is kind)

    def by(self, *dimensions: str) -> list[CostRow]:
        """The workloads grouped more coarsely, highest cost first; they and `lines` add up to `bill`.

        dimensions: some of the question's group.
        """
        if dimensions == self.question.group:
            return list(self.rows)
        places = [self.question.group.index(name) for name in dimensions]

        def key(row: CostRow) -> tuple[str | None, ...]:
            return tuple([row.key[place] for place in places])

        return highest_first(_merged(key(rows[0]), rows) for rows in group_by(key, self.rows))


def _merged(key: tuple[str | None, ...], rows: Sequence[CostRow]) -> CostRow:
    return CostRow(
        *add(rows),
        kind=Kind.WORKLOAD,
        key=key,
        nodes=tuple(sorted({node for row in rows for node in row.nodes})),
        minutes=fsum(row.minutes for row in rows),
        count=sum(row.count for row in rows),
    )


def highest_first(rows: Iterable[CostRow]) -> list[CostRow]:
    """By cost, then by key, so that the order of equal rows never depends on the source's."""
    return sorted(rows, key=lambda row: (-row.costs.total, [value or "" for value in row.key]))
