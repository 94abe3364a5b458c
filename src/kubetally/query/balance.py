"""Bill and use against each other: balances as they were booked, and the causes of differences from their rows."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from typing import NamedTuple

from kubetally.cache import Prepared
from kubetally.domain.allocation import Kind
from kubetally.domain.balance import BalanceReport, BalanceRow, StepBalance, add_balances
from kubetally.domain.booking import ComponentBalance
from kubetally.domain.collection import CoveredDay
from kubetally.domain.component import Component
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.question.steps import steps_of
from kubetally.domain.row import Cause
from kubetally.domain.window import Window
from kubetally.query.comparison import ledger_changes
from kubetally.query.issues import issues_of_snapshot, unmeasured
from kubetally.query.reader import LedgerReader
from kubetally.query.snapshot import Snapshot

_Causes = Mapping[date, Mapping[Component, Mapping[Cause, int]]]


class _Booked(NamedTuple):
    """What the days of an answer were booked with, by date. balances: by collection, without what nobody measured."""

    days: Mapping[date, Sequence[CoveredDay]]
    balances: Mapping[str, Mapping[Component, ComponentBalance]]
    causes: _Causes


class BalanceReports:
    """Prepares balances. Threads may share it. All calls block."""

    def __init__(self, reader: LedgerReader) -> None:
        self._reader = reader

    def balance(self, question: CostQuestion) -> Prepared[BalanceReport]:
        """Bill, use and difference of the window's days. Raises: RequestError, for several currencies; StoreError."""
        snapshot = self._reader.snapshot(question)
        digest = self._reader.digest(snapshot, question.window)
        return Prepared(digest, partial(self._balance, snapshot, question))

    def _balance(self, snapshot: Snapshot, question: CostQuestion) -> BalanceReport:
        booked = self._booked(snapshot, question.window)
        steps = steps_of(question.window, question.step)
        return BalanceReport(
            question=question,
            currency=snapshot.currency,
            whole=self._step(question.window, snapshot, booked),
            rows=tuple(row for step in steps for row in _rows(booked, step, has_start=question.step is not None)),
            steps=tuple(self._step(step, snapshot, booked) for step in steps if question.step is not None),
            not_measured=frozenset(unmeasured(snapshot.facts, len(snapshot.readable))),
            issues=issues_of_snapshot(snapshot),
        )

    def _booked(self, snapshot: Snapshot, window: Window) -> _Booked:
        first, end = window.start.date(), window.end.date()
        coverage, ids = self._reader.stores.coverage, list(snapshot.accounts)
        days = snapshot.readable
        balances = coverage.balances(first, end=end, account_ids=ids)
        if any(day.collection_id not in balances for day in days):
            raise ledger_changes()
        unknown = coverage.not_measured(first, end=end, account_ids=ids)
        measured = {
            id_: {component: its for component, its in of_day.items() if component not in unknown.get(id_, ())}
            for id_, of_day in balances.items()
        }
        by_date = defaultdict[date, list[CoveredDay]](list)
        for day in days:
            by_date[day.day].append(day)
        return _Booked(by_date, measured, self._causes(snapshot))

    def _causes(self, snapshot: Snapshot) -> _Causes:
        """The differences of days by component and cause."""
        if not snapshot.has_rows:
            return {}
        from kubetally.query.sums import COSTS, columns, costs_of

        rows = self._reader.rows(snapshot)
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

    def _step(self, step: Window, snapshot: Snapshot, booked: _Booked) -> StepBalance:
        coverage = self._reader.coverage(snapshot, step)
        days = _days_in(step, booked)
        balance = add_balances(its for day in days for its in booked.balances[day.collection_id or ""].values())
        is_complete = bool(days) and all(day.assets_complete for day in days)
        return StepBalance(step, balance if coverage.hours_covered else None, coverage, is_complete)


def _rows(booked: _Booked, step: Window, *, has_start: bool) -> list[BalanceRow]:
    days = _days_in(step, booked)
    return [_row(component, days, booked, step if has_start else None) for component in Component] if days else []


def _row(component: Component, days: Sequence[CoveredDay], booked: _Booked, step: Window | None) -> BalanceRow:
    balances = [booked.balances[day.collection_id or ""].get(component) for day in days]
    measured = [balance for balance in balances if balance is not None]
    amounts = defaultdict[Cause, int](int)
    for its_date in {day.day for day in days}:
        for cause, amount in booked.causes.get(its_date, {}).get(component, {}).items():
            amounts[cause] += amount
    causes = sorted(amounts.items(), key=lambda part: (-abs(part[1]), part[0]))
    start = None if step is None else step.start
    return BalanceRow(start, component, add_balances(measured) if measured else None, tuple(causes))


def _days_in(step: Window, booked: _Booked) -> list[CoveredDay]:
    first, end = step.start.date(), step.end.date()
    dates = (first + timedelta(days=number) for number in range((end - first).days))
    return [day for its_date in dates for day in booked.days.get(its_date, ())]
