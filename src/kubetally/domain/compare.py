"""What changed between two periods, and why: more was used, its price rose, it is new, or it is gone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import isfinite
from typing import Any, Final, Literal, NamedTuple

from kubetally.domain.allocation import Kind
from kubetally.domain.component import Component
from kubetally.domain.issues import Issue
from kubetally.domain.money import unlike_currencies
from kubetally.domain.quantity import quantity
from kubetally.domain.question.arrange import Figures, Order, arrange, split_lines
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.question.group import Dimension
from kubetally.domain.report import REST, CostReport, CostRow
from kubetally.domain.window import Window

_MAX_USAGE: Final = 2**53
"""Micros; a greater change says that almost nothing was used before, at a price that means nothing."""


@dataclass(frozen=True, slots=True)
class CompareQuestion:
    """Which costs are compared, and with which period. costs: of now; it has no step."""

    costs: CostQuestion
    before: Window

    def of_now(self) -> CostQuestion:
        """The question to the ledger for the costs of now, with the quantities that were used."""
        return replace(self.costs, has_quantities=True)

    def of_before(self) -> CostQuestion:
        """The same for the period before."""
        return replace(self.of_now(), window=self.before)


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

    before, now: None where no hour of the period is covered. change: None where either is.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What changed. before, now: the answers for both periods, without their rows.

    total: all rows and lines added up. rows, lines: in no order.
    """

    question: CompareQuestion
    currency: str | None
    before: CostReport
    now: CostReport
    total: ComparedRow
    rows: tuple[ComparedRow, ...]
    lines: tuple[ComparedRow, ...]

    @property
    def issues(self) -> tuple[Issue, ...]:
        """Those of both periods, each once."""
        return (*self.now.issues, *(issue for issue in self.before.issues if issue not in self.now.issues))


def compare(question: CompareQuestion, before: CostReport, now: CostReport) -> Comparison:
    """What changed from one answer to the other; both are of the same question but for the window.

    Raises: RequestError, for unlike currencies.
    """
    if before.currency and now.currency and before.currency != now.currency:
        raise unlike_currencies(before.currency, now.currency)
    was, then = ({_identity(row): row for row in (*one.rows, *one.lines)} for one in (before, now))
    is_known = [one.coverage.hours_covered > 0 for one in (before, now)]
    rows = [_compared(was.get(key), then.get(key), *is_known) for key in {**then, **was}]
    lines, others = split_lines(rows)
    return Comparison(
        question=question,
        currency=now.currency or before.currency,
        before=replace(before, rows=(), lines=()),
        now=replace(now, rows=(), lines=()),
        total=_total(rows, before.bill.total if is_known[0] else None, now.bill.total if is_known[1] else None),
        rows=tuple(others),
        lines=tuple(lines),
    )


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


def _compared(before: CostRow | None, now: CostRow | None, is_before_known: bool, is_now_known: bool) -> ComparedRow:
    row = now or before
    assert row is not None  # noqa: S101  # each is in one of the periods
    return ComparedRow(
        row.key,
        row.kind,
        row.account_id,
        (before.costs.total if before else 0) if is_before_known else None,
        (now.costs.total if now else 0) if is_now_known else None,
        change_of(before, now) if is_before_known and is_now_known else None,
    )


def _total(rows: Iterable[ComparedRow], before: int | None, now: int | None) -> ComparedRow:
    change = None if before is None or now is None else _sum(row.change for row in rows)
    return ComparedRow((), None, None, before, now, change)


def _rest(rows: Sequence[ComparedRow], group: Sequence[Dimension]) -> ComparedRow:
    first, nothing = rows[0], (None,) * len(group)
    before, now = (
        None if amount is None else sum(getattr(row, name) for row in rows)
        for name, amount in (("before", first.before), ("now", first.now))
    )
    change = None if first.change is None else _sum(row.change for row in rows)
    return ComparedRow(nothing, REST, None, before, now, change, count=len(rows))


def _sum(changes: Iterable[Change | None]) -> Change:
    known = [change for change in changes if change is not None]
    return Change(*map(sum, zip(*known, strict=True))) if known else Change()


def _rounded(numerator: int, denominator: int) -> int:
    """A fraction to the nearest whole number, half to even; the denominator is above zero."""
    whole, rest = divmod(numerator, denominator)
    return whole + (2 * rest > denominator or (2 * rest == denominator and whole % 2))
