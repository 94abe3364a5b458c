"""Bill and use against each other as a body of the native API."""

from dataclasses import dataclass, field

from msgspec import UNSET, Struct, UnsetType

from kubetally.domain import balance
from kubetally.domain.booking import ComponentBalance
from kubetally.domain.money import to_number
from kubetally.domain.row import CAUSE_IN_WORDS
from kubetally.domain.window import rfc3339
from kubetally.present.account_report import WindowQuestion
from kubetally.present.bodies import Coverage, cost_names
from kubetally.present.cost_report import LedgerIssue, Shown, issue_bodies


@dataclass
class BalanceFigures:
    """bill = use + difference, and use = workload + idle + unmounted + overhead, to the last digit."""

    bill: float | None
    use: float | None
    workload: float | None
    idle: float | None
    unmounted: float | None
    overhead: float | None
    difference: float | None


class CausedAmount(Struct, forbid_unknown_fields=True):
    """A part of a difference, with its cause in words."""

    cause: str
    message: str
    amount: float


@dataclass
class _Component:
    component: str


@dataclass
class BalanceRow(BalanceFigures, _Component):
    """A component of a step; null where no day measured it. `causes` add up to the difference."""

    causes: list[CausedAmount]
    window_start: str | UnsetType = field(default_factory=lambda: UNSET)


@dataclass
class _Step:
    window_start: str
    window_end: str


@dataclass
class BalanceStep(BalanceFigures, _Step):
    """All components of a step; null where no hour of it is covered."""

    coverage: Coverage
    assets_complete: bool


class Balance(Struct, forbid_unknown_fields=True):
    """The rows by step and component."""

    question: WindowQuestion
    currency: str | None
    total: BalanceFigures
    rows: list[BalanceRow]
    count: int
    steps: list[BalanceStep]
    next: str | None
    coverage: Coverage
    assets_complete: bool
    not_measured: list[str]
    issues: list[LedgerIssue]


def balance_body(report: balance.BalanceReport, shown: Shown[balance.BalanceRow]) -> Balance:
    """The body of a balance."""
    whole = report.whole
    return Balance(
        question=WindowQuestion.of(report.question, shown.limit),
        currency=report.currency,
        total=BalanceFigures(*_figures(whole.balance)),
        rows=[_row(row) for row in shown.rows],
        count=shown.rows_in_all,
        steps=[_step(step) for step in report.steps],
        next=shown.next,
        coverage=Coverage.of(whole.coverage),
        assets_complete=whole.assets_complete,
        not_measured=cost_names(report.not_measured),
        issues=issue_bodies(report.issues),
    )


def _figures(sums: ComponentBalance | None) -> list[float | None]:
    if sums is None:
        return [None] * 7
    bill, *use, difference = sums
    return [to_number(micros) for micros in (bill, sum(use), *use, difference)]


def _row(row: balance.BalanceRow) -> BalanceRow:
    causes = [CausedAmount(cause.value, CAUSE_IN_WORDS[cause], to_number(amount)) for cause, amount in row.causes]
    body = BalanceRow(row.component.value, *_figures(row.balance), causes=causes)  # type: ignore[arg-type, misc]
    if row.start is not None:
        body.window_start = rfc3339(row.start)
    return body


def _step(step: balance.StepBalance) -> BalanceStep:
    return BalanceStep(  # type: ignore[misc]
        rfc3339(step.window.start),
        rfc3339(step.window.end),
        *_figures(step.balance),  # type: ignore[arg-type]
        coverage=Coverage.of(step.coverage),
        assets_complete=step.assets_complete,
    )
