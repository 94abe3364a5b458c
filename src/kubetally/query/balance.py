"""Bill and use against each other: balances as they were booked, and the causes of differences from their rows."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from kubetally.cache import Prepared
from kubetally.domain.allocation import Kind
from kubetally.domain.balance import BalanceReport, BalanceRow, StepBalance, add_balances
from kubetally.domain.booking import ComponentBalance
from kubetally.domain.component import Component
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.question.steps import Step, steps_of
from kubetally.domain.row import Cause
from kubetally.domain.window import Window
from kubetally.query.comparison import ledger_changes
from kubetally.query.issues import issues_of_snapshot, unmeasured_components
from kubetally.query.reader import LedgerReader
from kubetally.query.snapshot import Snapshot
from kubetally.query.sums_or_rows import compute_of

if TYPE_CHECKING:
    from ibis import ir

_T = TypeVar("_T")
_Causes = Mapping[date, Mapping[Component, Mapping[Cause, int]]]


class _DayBalances(NamedTuple):
    """What the days of an answer were booked with, by date, summed over accounts.

    balances: none of a component that nobody measured.
    """

    balances: Mapping[date, Mapping[Component, ComponentBalance]]
    causes: _Causes


class BalanceReports:
    """Prepares balances. Threads may share it. All calls block."""

    def __init__(self, reader: LedgerReader) -> None:
        self._reader = reader

    def balance(self, question: CostQuestion) -> Prepared[BalanceReport]:
        """Bill, use and difference of the window's days. Raises: RequestError, for several currencies; StoreError."""
        snapshot = self._reader.snapshot(replace(question, step=Step.DAY))  # causes are read by day
        digest = self._reader.digest(snapshot, question.window)
        return Prepared(digest, partial(self._balance, snapshot, question))

    def _balance(self, snapshot: Snapshot, question: CostQuestion) -> BalanceReport:
        of_days = self._read_days(snapshot, question.window)
        steps = steps_of(question.window, question.step)
        return BalanceReport(
            question=question,
            currency=snapshot.currency,
            whole=self._step(question.window, snapshot, of_days),
            rows=tuple(row for step in steps for row in _rows(of_days, step, has_start=question.step is not None)),
            steps=tuple(self._step(step, snapshot, of_days) for step in steps if question.step is not None),
            not_measured=frozenset(unmeasured_components(snapshot.facts, len(snapshot.readable))),
            issues=issues_of_snapshot(snapshot, question.asked_filter),
        )

    def _read_days(self, snapshot: Snapshot, window: Window) -> _DayBalances:
        first, end = window.start.date(), window.end.date()
        coverage, ids = self._reader.stores.coverage, list(snapshot.accounts)
        balances = coverage.balances(first, end=end, account_ids=ids)
        unknown = coverage.not_measured(first, end=end, account_ids=ids)
        measured = defaultdict[date, dict[Component, list[ComponentBalance]]](lambda: defaultdict(list))
        for day in snapshot.readable:
            id_ = day.collection_id or ""
            if id_ not in balances:
                raise ledger_changes()
            of_date, not_measured = measured[day.day], unknown.get(id_, ())
            for component, its in balances[id_].items():
                if component not in not_measured:
                    of_date[component].append(its)
        sums = {
            its_date: {component: add_balances(its) for component, its in of_date.items()}
            for its_date, of_date in measured.items()
        }
        return _DayBalances(sums, self._causes(snapshot))

    def _causes(self, snapshot: Snapshot) -> _Causes:
        """The differences of days by component and cause."""
        if not snapshot.has_rows:
            return {}
        return compute_of(self._reader, snapshot, self._causes_of)

    def _causes_of(self, rows: "ir.Table") -> _Causes:
        from kubetally.query.sums import COSTS, columns, costs_of

        lines = rows.filter(rows.kind == Kind.DIFFERENCE.value)
        sums = costs_of(lines, dict.fromkeys(Component))
        read = columns(self._reader.engine.run(lines.group_by(lines.day, lines.cause).agg(**sums)))
        causes = defaultdict[date, dict[Component, dict[Cause, int]]](lambda: defaultdict(dict))
        for at, day in enumerate(read["day"]):
            cause = Cause.UNKNOWN if read["cause"][at] is None else Cause(read["cause"][at])
            for component, name in zip(Component, COSTS, strict=True):
                if amount := read[name][at]:
                    causes[day][component][cause] = amount
        return causes

    def _step(self, step: Window, snapshot: Snapshot, of_days: _DayBalances) -> StepBalance:
        coverage = self._reader.coverage(snapshot, step)
        days = snapshot.known.readable_of(step)
        balance = add_balances(its for of_date in _of(step, of_days.balances) for its in of_date.values())
        is_complete = bool(days) and all(day.assets_complete for day in days)
        return StepBalance(step, balance if coverage.hours_covered else None, coverage, is_complete)


def _rows(of_days: _DayBalances, step: Window, *, has_start: bool) -> list[BalanceRow]:
    start, balances = step.start if has_start else None, _of(step, of_days.balances)
    causes = _of(step, of_days.causes)
    return [_row(start, component, balances, causes) for component in Component] if balances else []


def _row(
    start: datetime | None,
    component: Component,
    balances: Sequence[Mapping[Component, ComponentBalance]],
    causes: Sequence[Mapping[Component, Mapping[Cause, int]]],
) -> BalanceRow:
    measured = [of_date[component] for of_date in balances if component in of_date]
    amounts = defaultdict[Cause, int](int)
    for of_date in causes:
        for cause, amount in of_date.get(component, {}).items():
            amounts[cause] += amount
    largest_first = sorted(amounts.items(), key=lambda part: (-abs(part[1]), part[0]))
    return BalanceRow(start, component, add_balances(measured) if measured else None, tuple(largest_first))


def _of(step: Window, by_date: Mapping[date, _T]) -> list[_T]:
    return [by_date[its_date] for its_date in step.dates() if its_date in by_date]
