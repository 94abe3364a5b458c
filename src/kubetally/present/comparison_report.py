"""What changed between two periods, as a body."""

from dataclasses import dataclass, field

import msgspec
from msgspec import UNSET, Struct, UnsetType

from kubetally.domain import compare
from kubetally.domain.compare import ComparedRow
from kubetally.domain.money import to_number
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.report import REST, CostReport
from kubetally.domain.window import rfc3339
from kubetally.present.bodies import Coverage, cost_names
from kubetally.present.cost_report import LedgerIssue, Question, RowKey, Shown, issue_bodies, question_body, row_key


class CompareQuestion(Question):
    """The question as understood."""

    before_start: str
    before_end: str


@dataclass
class Change:
    """Costs of both periods, and the change. Null where a period has no covered hour.

    The change is the sum of `usage`, (quantity now - quantity before) x price before; `price`, the rest of what is in
    both periods; `new` and `gone`, rows of one period only.
    """

    before: float | None
    now: float | None
    change: float | None
    usage: float | None
    price: float | None
    new: float | None
    gone: float | None


@dataclass
class ChangedRow(Change, RowKey):
    """One row."""

    count: int | UnsetType = field(default_factory=lambda: UNSET)


class Period(Struct, forbid_unknown_fields=True):
    """How much of the period before is known."""

    coverage: Coverage
    assets_complete: bool
    not_measured: list[str]


class ChangeReport(Struct, forbid_unknown_fields=True):
    """What changed.

    `coverage`, `assets_complete` and `not_measured` are of now, `before` has those of the period before.
    """

    question: CompareQuestion
    currency: str | None
    currency_assumed: bool
    total: Change
    rows: list[ChangedRow]
    count: int
    next: str | None
    coverage: Coverage
    assets_complete: bool
    not_measured: list[str]
    before: Period
    issues: list[LedgerIssue]


def comparison_body(comparison: compare.Comparison, shown: Shown[ComparedRow]) -> ChangeReport:
    """The body of a page; amounts have at most six decimals."""
    now, before = _period(comparison.now), _period(comparison.before)
    return ChangeReport(
        question=_question(comparison.question, shown),
        currency=comparison.currency,
        currency_assumed=comparison.now.currency_assumed or comparison.before.currency_assumed,
        total=Change(*_amounts(comparison.total)),
        rows=[_row(row, comparison.question.costs) for row in (*shown.lines, *shown.rows)],
        count=shown.rows_in_all,
        next=shown.next,
        coverage=now.coverage,
        assets_complete=now.assets_complete,
        not_measured=now.not_measured,
        before=before,
        issues=issue_bodies(comparison.issues),
    )


def _question(question: compare.CompareQuestion, shown: Shown[ComparedRow]) -> CompareQuestion:
    return CompareQuestion(
        **msgspec.structs.asdict(question_body(question.costs, shown)),
        before_start=rfc3339(question.before.start),
        before_end=rfc3339(question.before.end),
    )


def _period(costs: CostReport) -> Period:
    not_measured = cost_names(costs.not_measured)
    return Period(Coverage.of(costs.coverage), costs.assets_complete, not_measured)


def _row(row: ComparedRow, costs: CostQuestion) -> ChangedRow:
    body = ChangedRow(*row_key(row, costs), *_amounts(row))  # type: ignore[arg-type]
    if row.kind == REST:
        body.count = row.count
    return body


def _amounts(row: ComparedRow) -> list[float | None]:
    """In the order of `Change`."""
    reasons = (None,) * 5 if row.change is None else (row.change.total, *row.change)
    return [None if micros is None else to_number(micros) for micros in (row.before, row.now, *reasons)]
