"""What changed between two periods, and why: more was used, its price rose, it is new, or it is gone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import isfinite
from typing import Any, Final, Literal, NamedTuple

from kubetally.domain.allocation import Kind
from kubetally.domain.compared_periods import PeriodCosts, unequal_coverage
from kubetally.domain.component import Component
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.money import sum_of_known, unlike_currencies
from kubetally.domain.quantity import quantity
from kubetally.domain.question.arrange import Figures, Order, arrange, split_lines
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.question.filter import Filter
from kubetally.domain.question.group import Dimension
from kubetally.domain.report import REST, CostReport, CostRow
from kubetally.domain.window import DAY, Window, midnight

_MAX_USAGE: Final = 2**53
"""Micros; a greater change says that almost nothing was used before, at a price that means nothing."""


@dataclass(frozen=True, slots=True)
class CompareQuestion:
    """Which costs are compared, and with which period. costs: of now; it has no step."""

    costs: CostQuestion
    before: Window

    def limited_to(self, rows: Filter) -> "CompareQuestion":
        """See `CostQuestion.limited_to`."""
        return replace(self, costs=self.costs.limited_to(rows))

    def of_now(self) -> CostQuestion:
        """The question to the ledger for the costs of now, with the quantities that were used."""
        return replace(self.costs, has_quantities=True)

    def of_before(self) -> CostQuestion:
        """The same for the period before."""
        return replace(self.of_now(), window=self.before)


def default_period(now: datetime) -> Window:
    """The seven days before today, which is not over: its missing hours would be a part of any change."""
    return Window(midnight(now) - 7 * DAY, midnight(now))


class Change(NamedTuple):
    """Why a cost changed, in micros; the four add up to the change.

    usage: (quantity now - quantity before) x price before. price: all else of what is in both periods.
    new, gone: of rows that are in one period only.
    """

    usage: int = 0
    price: int = 0
    new: int = 0
    gone: int = 0

    @property
    def total(self) -> int:
        """The whole change."""
        return sum(self)


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """One row of a comparison, costs in micros.

    before, now: None where no hour of the period is covered, of the row's account if it is of one. change: None where
    either is.
    kind, key, account_id: as in a `CostRow`. count: how many rows are in it.
    """

    key: tuple[str | None, ...]
    kind: Kind | Literal["rest"] | None
    account_id: str | None
    before: int | None
    now: int | None
    change: Change | None
    count: int = 1
    start: datetime | None = None

    @property
    def counted(self) -> Change:
        """The change as sums over accounts have it: what is known of one period only is new or gone in them."""
        return self.change or Change(new=self.now or 0, gone=-(self.before or 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What changed. before, now: the answers for both periods, without their rows.

    total: all rows and lines added up. rows, lines: in no order.
    unequal: what says which accounts the periods cover unequally.
    """

    question: CompareQuestion
    currency: str | None
    before: CostReport
    now: CostReport
    total: ComparedRow
    rows: tuple[ComparedRow, ...]
    lines: tuple[ComparedRow, ...]
    unequal: tuple[Issue, ...]

    @property
    def accounts(self) -> frozenset[str]:
        """Ids of the accounts that may have rows which pass the filter, in either period."""
        return self.before.accounts | self.now.accounts

    @property
    def issues(self) -> tuple[Issue, ...]:
        """Those of both periods, each once, behind those of accounts that the periods cover unequally.

        What matches no row in one of two periods with data is no issue: it is new or gone.
        """
        now, before = self.now.issues, self.before.issues
        has_both = self.now.has_data and self.before.has_data
        unmatched = [_unmatched(its) for its in before if its.kind is IssueKind.NO_MATCH]
        of_now = (
            its for its in now if its.kind is not IssueKind.NO_MATCH or not has_both or _unmatched(its) in unmatched
        )
        of_before = (its for its in before if its not in now and (its.kind is not IssueKind.NO_MATCH or not has_both))
        return (*self.unequal, *of_now, *of_before)


def compare(question: CompareQuestion, before: PeriodCosts, now: PeriodCosts) -> Comparison:
    """What changed from one answer to the other; both are of the same question but for the window.

    Raises: RequestError, for unlike currencies.
    """
    was, then = before.report, now.report
    if was.currency and then.currency and was.currency != then.currency:
        raise unlike_currencies(was.currency, then.currency)
    old, new = ({_identity(row): row for row in (*report.rows, *report.lines)} for report in (was, then))
    rows = [_compared(before, old.get(key), now, new.get(key)) for key in {**new, **old}]
    lines, others = split_lines(rows)
    return Comparison(
        question=question,
        currency=then.currency or was.currency,
        before=replace(was, rows=(), lines=()),
        now=replace(then, rows=(), lines=()),
        total=_total(rows, before.total, now.total),
        rows=tuple(others),
        lines=tuple(lines),
        unequal=tuple(unequal_coverage(before, now)),
    )


def _unmatched(issue: Issue) -> tuple[object, ...]:
    """What it is that matches nothing, whatever names are like it in a period."""
    return issue.subject, issue.facts.get("mention")


def change_of(before: CostRow | None, now: CostRow | None) -> Change:
    """Why the cost of a row changed; None where a period lacks the row."""
    if before is None:
        return Change(new=now.costs.total if now else 0)
    if now is None:
        return Change(gone=-before.costs.total)
    usage = sum(usage_change(before, now, component) for component in Component)
    return Change(usage, now.costs.total - before.costs.total - usage)


def usage_change(before: CostRow, now: CostRow, component: Component) -> int:
    """(quantity now - quantity before) x price before, of one component in micros, half to even.

    0: without a quantity of both periods, or without one above zero and a cost before, which make its price.
    """
    cost = before.costs.of(component)
    old, new = quantity(before.hours, component), quantity(now.hours, component)
    if not cost or old is None or new is None or not (isfinite(old) and isfinite(new) and old > 0):
        return 0
    # Floats are fractions of whole numbers, so that nothing is rounded but the result.
    (a, b), (c, d) = new.as_integer_ratio(), old.as_integer_ratio()
    usage = _rounded(cost * (a * d - c * b), b * c)
    return usage if abs(usage) <= _MAX_USAGE else 0


COMPARED_FIGURES: Final[Figures] = {
    "before": lambda row: row.before,
    "now": lambda row: row.now,
    "change": lambda row: None if row.change is None else row.change.total,
    "absolute_change": lambda row: None if row.change is None else abs(row.change.total),
}
"""What compared rows can be ordered by beside their dimensions."""

LARGEST_CHANGE_FIRST: Final = (Order("absolute_change", is_descending=True),)


def arrange_comparison(
    comparison: Comparison, order: Sequence[Order], top: int | None
) -> tuple[list[ComparedRow], list[ComparedRow]]:
    """The lines and the rows of a comparison in order, with what is not in the top as one row."""
    group = comparison.question.costs.group
    lines, rows = (arrange(some, group, order, COMPARED_FIGURES) for some in (comparison.lines, comparison.rows))
    if top is None or len(rows) <= top:
        return lines, rows
    return lines, [*rows[:top], _rest(rows[top:], group)]


def _identity(row: CostRow) -> tuple[Any, ...]:
    return row.key, row.account_id, row.kind


def _compared(before: PeriodCosts, old: CostRow | None, now: PeriodCosts, new: CostRow | None) -> ComparedRow:
    some = new or old
    assert some is not None  # noqa: S101  # each is in one of the periods
    costs = before.cost_of(old, some), now.cost_of(new, some)
    return ComparedRow(some.key, some.kind, some.account_id, *costs, None if None in costs else change_of(old, new))


def _total(rows: Iterable[ComparedRow], before: int | None, now: int | None) -> ComparedRow:
    change = None if before is None or now is None else _sum(row.counted for row in rows)
    return ComparedRow((), None, None, before, now, change)


def _rest(rows: Sequence[ComparedRow], group: Sequence[Dimension]) -> ComparedRow:
    nothing = (None,) * len(group)
    before, now = sum_of_known([row.before for row in rows]), sum_of_known([row.now for row in rows])
    change = None if before is None or now is None else _sum(row.counted for row in rows)
    return ComparedRow(nothing, REST, None, before, now, change, count=len(rows))


def _sum(changes: Iterable[Change]) -> Change:
    return Change(*map(sum, zip(*changes, strict=True)))


def _rounded(numerator: int, denominator: int) -> int:
    """A fraction to the nearest whole number, half to even; the denominator is above zero."""
    whole, rest = divmod(numerator, denominator)
    return whole + (2 * rest > denominator or (2 * rest == denominator and whole % 2))
