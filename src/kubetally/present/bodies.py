"""Parts of JSON bodies: costs, rows, issues, sources.

Rows are dataclasses, because a Struct would put the key of a row after the costs that it inherits.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, Self

from msgspec import UNSET, Struct, UnsetType

from kubetally.domain import component, efficiency, issues, report, status
from kubetally.domain.allocation import Kind
from kubetally.domain.component import Component
from kubetally.domain.money import to_number
from kubetally.domain.row import CAUSE_IN_WORDS
from kubetally.domain.source_identity import SourceIdentity
from kubetally.domain.window import rfc3339

Unknown = frozenset[Component]
ALWAYS_NUMBERS = frozenset(
    {Component.CPU, Component.RAM, Component.PV, Component.MANAGEMENT, Component.LOAD_BALANCER, Component.NETWORK}
)


@dataclass
class Costs:
    """Amounts in the answer's currency; the parts add up to the total. Null: not measured."""

    total_cost: float | None
    cpu_cost: float | None
    ram_cost: float | None
    gpu_cost: float | None
    pv_cost: float | None
    node_disk_cost: float | None
    load_balancer_cost: float | None
    network_cost: float | None
    management_cost: float | None
    shared_cost: float | None
    external_cost: float | None

    @classmethod
    def of(cls, costs: component.Costs, unknown: Unknown) -> Self:
        """The body of costs; all null if every component is unknown."""
        return cls(*amounts(costs, unknown))


def amounts(costs: component.Costs, unknown: Unknown) -> list[float | None]:
    """The total and each component, in the order of `Costs`."""
    if len(unknown) == len(Component):
        return [None] * (1 + len(Component))
    nulls = unknown - ALWAYS_NUMBERS
    parts = zip(Component, costs, strict=True)
    return [to_number(costs.total), *[None if name in nulls else to_number(amount) for name, amount in parts]]


@dataclass
class Efficiency:
    """Usage over request, as ratios that may exceed 1; null without requests."""

    cpu_efficiency: float | None
    ram_efficiency: float | None
    total_efficiency: float | None


def ratios(ratio: efficiency.Efficiency) -> list[float | None]:
    """The ratios, in the order of `Efficiency`."""
    return [None if part is None else round(part, 6) for part in ratio]


@dataclass
class _Namespace:
    namespace: str | None


@dataclass
class Namespace(Efficiency, Costs, _Namespace):
    """A namespace's workloads."""

    @classmethod
    def of_row(cls, row: report.CostRow, unknown: Unknown) -> Self:
        """The body of a row grouped by namespace."""
        return cls(*row.key, *amounts(row.costs, unknown), *ratios(row.efficiency))  # type: ignore[arg-type]


@dataclass
class _Pod:
    pod: str | None
    nodes: list[str]
    minutes: float


@dataclass
class Pod(Efficiency, Costs, _Pod):
    """A pod of a workload."""

    @classmethod
    def of_row(cls, row: report.CostRow, unknown: Unknown) -> Self:
        """The body of a row grouped by pod."""
        figures = (*amounts(row.costs, unknown), *ratios(row.efficiency))
        return cls(row.key[-1], list(row.nodes), round(row.minutes, 6), *figures)


@dataclass
class _Controller(_Namespace):
    controller_kind: str | None
    controller: str | None


@dataclass
class Workload(Efficiency, Costs, _Controller):
    """A controller of a namespace with its pods."""

    pods: list[Pod]

    @classmethod
    def of_row(cls, row: report.CostRow, pods: Iterable[report.CostRow], unknown: Unknown) -> Self:
        """The body of a row grouped by controller."""
        figures = (*amounts(row.costs, unknown), *ratios(row.efficiency))
        return cls(*row.key, *figures, pods=[Pod.of_row(pod, unknown) for pod in pods])  # type: ignore[arg-type, misc]


@dataclass
class _Cause:
    cause: str
    message: str


@dataclass
class Cause(Costs, _Cause):
    """A part of the difference line whose cause is known."""


@dataclass
class _Kind:
    kind: str


@dataclass
class Line(Costs, _Kind):
    """A cost that no workload was allocated: idle, unmounted, overhead or difference. Only this one has `causes`."""

    causes: list[Cause] | UnsetType = field(default_factory=lambda: UNSET)

    @classmethod
    def of_row(cls, row: report.CostRow, unknown: Unknown) -> Self:
        """The body of a line."""
        causes: list[Cause] | UnsetType = UNSET
        if row.kind is Kind.DIFFERENCE:
            causes = [Cause(cause.value, CAUSE_IN_WORDS[cause], *amounts(part, unknown)) for cause, part in row.causes]
        return cls(str(row.kind), *amounts(row.costs, unknown), causes=causes)  # type: ignore[arg-type, misc]


class Source(Struct, forbid_unknown_fields=True):
    """The source of an answer; `url` shows no credentials."""

    product: str | None
    version: str | None
    url: str
    cluster_id: str | None
    cluster_name: str | None

    @classmethod
    def of(cls, source: SourceIdentity) -> Self:
        """The body of a source."""
        return cls(source.product, source.version, source.url, source.cluster_id, source.cluster_name)


class Issue(Struct, forbid_unknown_fields=True):
    """Something wrong or missing in the data, or a note. `start`, `end`, `subject`: what it is about."""

    kind: str
    message: str
    start: str | UnsetType | None = UNSET
    end: str | UnsetType | None = UNSET
    subject: str | UnsetType | None = UNSET
    code: str | UnsetType = UNSET

    @classmethod
    def of(cls, issue: issues.Issue) -> Self:
        """The body of an issue."""
        body = cls(issue.kind.value, issue.message)
        if issue.window is not None:
            body.start, body.end = rfc3339(issue.window.start), rfc3339(issue.window.end)
        if issue.subject is not None:
            body.subject = issue.subject
        if "code" in issue.facts:
            body.code = str(issue.facts["code"])
        return body


class Coverage(Struct, forbid_unknown_fields=True):
    """Elapsed hours of the window, hours with data, and the least certain state of its days."""

    hours_asked: float
    hours_covered: float
    state: Literal["provisional", "settled"] | None

    @classmethod
    def of(cls, hours: status.Coverage) -> Self:
        """The body of a coverage; its state is null without data."""
        covered = hours.hours_covered
        return cls(round(hours.hours_asked, 6), round(covered, 6), hours.state.value if covered else None)


def cost_names(parts: Iterable[Component]) -> list[str]:
    """The keys of components, such as `cpu_cost`, in order."""
    return sorted(f"{component}_cost" for component in parts)
