"""The report of a question to the ledger as a body: what the native API sends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Self, TypeVar

from msgspec import UNSET, Struct, UnsetType

from kubetally.domain import component as components
from kubetally.domain import issues, report
from kubetally.domain.component import Component
from kubetally.domain.money import to_number
from kubetally.domain.question.arrange import Arranged, Order
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.question.facts import question_facts
from kubetally.domain.report import CostReport, CostRow
from kubetally.domain.window import rfc3339
from kubetally.present.bodies import Costs, Coverage, Efficiency, cost_names, ratios

MAX_ISSUES = 100
_Row = TypeVar("_Row")


@dataclass
class Usage:
    """Hours allocated, requested and used, traffic and waste; null where unknown or of some components only."""

    cpu_core_hours: float | None
    cpu_core_request_hours: float | None
    cpu_core_usage_hours: float | None
    ram_byte_hours: float | None
    ram_byte_request_hours: float | None
    ram_byte_usage_hours: float | None
    gpu_hours: float | None
    gpu_request_hours: float | None
    gpu_usage_hours: float | None
    pv_byte_hours: float | None
    network_transfer_bytes: float | None
    network_receive_bytes: float | None
    waste: float | None


@dataclass
class Total(Efficiency, Usage, Costs):
    """All rows together."""


@dataclass
class RowKey:
    """What a row is of."""

    kind: str | None
    key: dict[str, str | None]
    cloud_account_id: str | None


@dataclass
class Row(Total, RowKey):
    """One row."""

    share: float | None
    window_start: str | UnsetType = field(default_factory=lambda: UNSET)
    count: int | UnsetType = field(default_factory=lambda: UNSET)


class Step(Struct, forbid_unknown_fields=True):
    """A step of the window; its total is null where no hour of it is covered."""

    window_start: str
    window_end: str
    total_cost: float | None
    coverage: Coverage


class LedgerIssue(Struct, forbid_unknown_fields=True):
    """What is wrong with the data, or worth knowing: on how many days of which accounts."""

    kind: str
    message: str
    is_missing_data: bool
    accounts: list[str]
    days: int
    start: str | None
    end: str | None
    subject: str | None
    code: str | None

    @classmethod
    def of(cls, issue: issues.Issue) -> Self:
        """The body of an issue of many days."""
        facts: Mapping[str, Any] = issue.facts
        window = issue.window
        return cls(
            issue.kind.value,
            issue.message,
            issue.is_missing_data,
            list(facts.get("accounts", ())),
            facts.get("days", 0),
            None if window is None else rfc3339(window.start),
            None if window is None else rfc3339(window.end),
            issue.subject,
            facts.get("code"),
        )


def issue_bodies(found: Sequence[issues.Issue]) -> list[LedgerIssue]:
    """The first `MAX_ISSUES` issues."""
    return [LedgerIssue.of(issue) for issue in found[:MAX_ISSUES]]


class Question(Struct, forbid_unknown_fields=True):
    """The question as understood, with its defaults; `filter` is a tree, with positions in its text."""

    start: str
    end: str
    group: list[str]
    step: str | None
    filter: dict[str, Any] | None
    idle: str
    share_namespaces: list[str]
    share_labels: list[str]
    share_split: str | None
    order: list[str]
    limit: int
    top: int | None
    as_of: str | None


class Report(Struct, forbid_unknown_fields=True):
    """What accounts cost."""

    question: Question
    currency: str | None
    currency_assumed: bool
    total: Total
    rows: list[Row]
    count: int
    steps: list[Step]
    next: str | None
    coverage: Coverage
    assets_complete: bool
    not_measured: list[str]
    issues: list[LedgerIssue]


class Shown(NamedTuple, Generic[_Row]):
    """Which rows a body has. rows_in_all: without lines. next: the cursor of the next page, None for the last."""

    rows: Sequence[_Row]
    lines: Sequence[_Row]
    rows_in_all: int
    order: Sequence[Order]
    limit: int
    top: int | None = None
    next: str | None = None


def report_body(costs: CostReport, shown: Shown[CostRow]) -> Report:
    """The body: amounts have at most six decimals; null is not measured, or not covered by any hour."""
    is_known = costs.coverage.hours_covered > 0
    has_hours = is_known and not costs.question.splits_components
    figures = (
        *known_amounts(costs.bill, costs, is_known=is_known),
        *[amount if has_hours else None for amount in costs.workloads.hours],
        to_number(costs.waste) if has_hours else None,
        *ratios(costs.efficiency),
    )
    return Report(
        question=question_body(costs.question, shown),
        currency=costs.currency,
        currency_assumed=costs.currency_assumed,
        total=Total(*figures),
        rows=[_row(row, costs) for row in (*shown.lines, *shown.rows)],
        count=shown.rows_in_all,
        steps=[_step(step) for step in costs.steps],
        next=shown.next,
        coverage=Coverage.of(costs.coverage),
        assets_complete=costs.assets_complete,
        not_measured=cost_names(costs.not_measured),
        issues=issue_bodies(costs.issues),
    )


def known_amounts(costs: components.Costs, report: CostReport, *, is_known: bool = True) -> list[float | None]:
    """The total and each component; null what no day measured."""
    if not is_known:
        return [None] * (1 + len(Component))
    parts = zip(Component, costs, strict=True)
    return [
        to_number(costs.total),
        *[None if component in report.not_measured else to_number(amount) for component, amount in parts],
    ]


def _row(row: CostRow, costs: CostReport) -> Row:
    has_hours = not costs.question.splits_components
    figures = (
        *known_amounts(row.costs, costs),
        *[amount if has_hours else None for amount in row.hours],
        to_number(row.waste) if has_hours else None,
        *ratios(row.efficiency),
    )
    share = round(row.costs.total / costs.bill.total, 6) if costs.bill.total else None
    body = Row(*row_key(row, costs.question), *figures, share=share)  # type: ignore[arg-type, misc]
    if row.start is not None:
        body.window_start = rfc3339(row.start)
    if row.kind == report.REST:
        body.count = row.count
    return body


def row_key(row: Arranged, question: CostQuestion) -> tuple[str | None, dict[str, str | None], str | None]:
    """The fields of `RowKey`."""
    names = [dimension.asked for dimension in question.group]
    key = dict(zip(names, row.key or [None] * len(names), strict=True))
    return None if row.kind is None else str(row.kind), key, row.account_id


def _step(step: report.StepSum) -> Step:
    total = None if step.total is None else to_number(step.total)
    return Step(rfc3339(step.window.start), rfc3339(step.window.end), total, Coverage.of(step.coverage))


def question_body(question: CostQuestion, shown: Shown[Any]) -> Question:
    """The question as understood."""
    order = [f"{'-' if order.is_descending else ''}{order.field}" for order in shown.order]
    return Question(**question_facts(question), order=order, limit=shown.limit, top=shown.top)


def question_fields(body: type[Struct], question: CostQuestion) -> dict[str, Any]:
    """The parts of a question that its body has."""
    return {name: fact for name, fact in question_facts(question).items() if name in body.__struct_fields__}


class Label(Struct, forbid_unknown_fields=True):
    """A key of labels: of pods (`label`) or of their namespaces (`namespace_label`)."""

    key: str
    dimension: str
    rows: int
    total_cost: float


class LabelQuestion(Struct, forbid_unknown_fields=True):
    """The question as understood, with its defaults; `filter` is a tree, with positions in its text."""

    start: str
    end: str
    filter: dict[str, Any] | None
    limit: int
    as_of: str | None


class Labels(Struct, forbid_unknown_fields=True):
    """The keys of labels, highest cost first. Rows of the total may have several of the keys, or none."""

    question: LabelQuestion
    currency: str | None
    currency_assumed: bool
    total: Costs
    labels: list[Label]
    count: int
    next: str | None
    coverage: Coverage
    assets_complete: bool
    not_measured: list[str]
    issues: list[LedgerIssue]


def labels_body(labels: report.LabelReport, shown: Shown[report.LabelCost]) -> Labels:
    """The body of keys of labels."""
    rows = [Label(row.key, row.dimension, row.rows, to_number(row.cost)) for row in shown.rows]
    costs = labels.report
    return Labels(
        question=LabelQuestion(**question_fields(LabelQuestion, costs.question), limit=shown.limit),
        currency=costs.currency,
        currency_assumed=costs.currency_assumed,
        total=Costs(*known_amounts(costs.bill, costs, is_known=costs.coverage.hours_covered > 0)),
        labels=rows,
        count=shown.rows_in_all,
        next=shown.next,
        coverage=Coverage.of(costs.coverage),
        assets_complete=costs.assets_complete,
        not_measured=cost_names(costs.not_measured),
        issues=issue_bodies(costs.issues),
    )
