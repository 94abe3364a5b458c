"""Reports of the ledger: what accounts cost, grouped as asked, from stored days alone. All calls block."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, Self

from kubetally.domain.collection import CoveredDay, window_of
from kubetally.domain.collection_facts import FactSum
from kubetally.domain.component import Component, Costs
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.money import CurrencyOrigin
from kubetally.domain.question.arrange import Order, arrange_report, split_lines
from kubetally.domain.question.cost_question import CostQuestion, ExportFormat
from kubetally.domain.question.steps import steps_of
from kubetally.domain.report import CostReport, CostRow, LabelCost, LabelReport, StepSum, Sums, add
from kubetally.domain.status import Coverage, DayState
from kubetally.domain.window import Clock, Window
from kubetally.domain.words import component_word
from kubetally.ledger.ports.accounts import Accounts
from kubetally.ledger.ports.coverage import Coverage as CoveragePort
from kubetally.ledger.ports.lake import LakeFiles
from kubetally.query.snapshot import Snapshot, SnapshotReader

if TYPE_CHECKING:
    from kubetally.query.engine import DuckEngine

_HOURS_PER_DAY = 24.0


class Stores(Protocol):
    """The stores that reports are read from. retention: how long replaced days stay readable."""

    @property
    def accounts(self) -> Accounts: ...
    @property
    def coverage(self) -> CoveragePort: ...
    @property
    def lake(self) -> LakeFiles: ...
    @property
    def retention(self) -> timedelta: ...
    @property
    def clock(self) -> Clock: ...


class LedgerReports:
    """Answers questions about the ledger. Threads may share it; the engine loads with the first question."""

    def __init__(self, stores: Stores) -> None:
        self._stores, self._clock = stores, stores.clock
        self._snapshots = SnapshotReader(stores.coverage, lambda: stores.lake, stores.retention)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the engine, if it was needed."""
        if "_engine" in self.__dict__:
            self._engine.close()

    @cached_property
    def _engine(self) -> "DuckEngine":
        from kubetally.query.engine import DuckEngine

        return DuckEngine()

    def costs(self, question: CostQuestion) -> CostReport:
        """What the accounts cost; rows in no order.

        Raises: RequestError, for rows in several currencies; StoreError.
        """
        snapshot = self._snapshot(question)
        facts = snapshot.facts
        readable = len(snapshot.readable)
        not_measured = frozenset(_unmeasured(facts, readable))
        lines, rows = split_lines(
            row for row in self._rows(snapshot, question) if row.component is None or row.component not in not_measured
        )
        both = [*rows, *lines]
        return CostReport(
            question=question,
            currency=snapshot.currency,
            currency_assumed=any(day.currency_origin is CurrencyOrigin.ASSUMED for day in snapshot.readable),
            coverage=self._covered(snapshot, question.window),
            has_data=readable > 0,
            assets_complete=readable > 0 and all(day.assets_complete for day in snapshot.readable),
            bill=Costs.sum(row.costs for row in both),
            not_measured=not_measured,
            rows=tuple(rows),
            lines=tuple(lines),
            workloads=Sums(*add([row for row in both if row.component is None])),
            waste=sum(row.waste for row in both),
            issues=(*_issues_of_facts(facts, readable), *_issues_of_failures(snapshot.days)),
            steps=tuple(self._steps(snapshot, question, both)),
        )

    def labels(self, question: CostQuestion) -> LabelReport:
        """The keys of labels with the rows that have them and their cost. Raises as `costs`."""
        snapshot = self._snapshot(question)
        coverage = self._covered(snapshot, question.window)
        if not snapshot.scans:
            return LabelReport(snapshot.currency, coverage, ())
        from kubetally.query.costs import label_costs

        found = label_costs(self._engine.run, self._engine.rows(snapshot.scans), question, snapshot.accounts)
        return LabelReport(snapshot.currency, coverage, tuple(LabelCost(*row) for row in found))

    def export(
        self, question: CostQuestion, order: Sequence[Order], top: int | None, format_: ExportFormat
    ) -> Iterator[bytes]:
        """The rows of an answer as a file, piece by piece; without group the stored rows. Raises as `costs`.

        It has an engine of its own, so that a slow reader holds no other question.
        """
        from kubetally.query.engine import DuckEngine
        from kubetally.query.export import report_table, write_batches

        if question.group:
            report = self.costs(question)
            lines, rows = arrange_report(report, order, top)
            table = report_table(report, [*lines, *rows])
            yield from write_batches(table.to_batches(), table.schema, format_)
            return
        from kubetally.query.costs import stored_rows
        from kubetally.store.lake.schema import ALLOCATIONS

        snapshot, engine = self._snapshot(question), DuckEngine()
        try:
            chosen = stored_rows(engine.rows(snapshot.scans), question, snapshot.accounts)
            yield from write_batches(engine.batches(chosen), ALLOCATIONS, format_)
        finally:
            engine.close()

    def _snapshot(self, question: CostQuestion) -> Snapshot:
        accounts = {account.id: account for account in self._stores.accounts.listed()}
        return self._snapshots.read(question, accounts, self._clock.now())

    def _rows(self, snapshot: Snapshot, question: CostQuestion) -> list[CostRow]:
        if not snapshot.scans:
            return []
        from kubetally.query.costs import cost_rows

        return cost_rows(self._engine.run, self._engine.rows(snapshot.scans), question, snapshot.accounts)

    def _covered(self, snapshot: Snapshot, window: Window) -> Coverage:
        """Hours of a part of the window, summed over accounts; of a removed one only those of its known days."""
        over = window.until(self._clock.now())
        living = sum(account.removed_at is None for account in snapshot.accounts.values())
        removed = sum(snapshot.accounts[day.account_id].removed_at is not None for day in snapshot.days_of(window))
        asked = living * (0.0 if over is None else over.hours) + _HOURS_PER_DAY * removed
        return Coverage(asked, snapshot.hours_covered(window), snapshot.state or DayState.PROVISIONAL)

    def _steps(self, snapshot: Snapshot, question: CostQuestion, rows: Sequence[CostRow]) -> Iterator[StepSum]:
        if question.step is None:
            return
        totals = defaultdict[object, int](int)
        for row in rows:
            totals[row.start] += row.costs.total
        for step in steps_of(question.window, question.step):
            coverage = self._covered(snapshot, step)
            yield StepSum(step, totals[step.start] if coverage.hours_covered else None, coverage)


def _unmeasured(facts: Sequence[FactSum], readable: int) -> Iterator[Component]:
    """The components that none of the readable days measured."""
    days = defaultdict[str, int](int)
    for fact in facts:
        days[fact.what] += fact.days
    return (component for component in Component if readable and days[component.value] >= readable)


def _issues_of_facts(facts: Sequence[FactSum], readable: int) -> Iterator[Issue]:
    """One issue for each kind and each component that was not measured on some day, with accounts and days."""
    by_what = defaultdict[str, list[FactSum]](list)
    for fact in facts:
        by_what[fact.what].append(fact)
    for what, same in by_what.items():
        days = sum(fact.days for fact in same)
        span = _span(min(fact.first for fact in same), max(fact.last for fact in same))
        about = {"accounts": sorted({fact.account_id for fact in same}), "days": days}
        if same[0].is_issue:
            kind = IssueKind(what)
            yield Issue(kind, f"{kind.value.replace('_', ' ')} on {_days(days)}", None, span, None, about)
        else:
            message = f"{component_word(Component(what))} was not measured on {days} of {_days(readable)}"
            yield Issue(IssueKind.NOT_MEASURED, message, None, span, what, about)


def _issues_of_failures(days: Sequence[CoveredDay]) -> Iterator[Issue]:
    """One issue for each code of days that are not in the answer because they failed or are damaged."""
    failed = defaultdict[tuple[str, str], list[CoveredDay]](list)
    for day in days:
        if not day.has_costs and day.last_error is not None:
            failed[day.last_error].append(day)
    for (code, why), its in failed.items():
        about = {"accounts": sorted({day.account_id for day in its}), "days": len(its), "code": code}
        span = _span(min(day.day for day in its), max(day.day for day in its))
        yield Issue(
            IssueKind.SOURCE_FAILED, f"{_days(len(its))} could not be collected: {why}", None, span, None, about
        )


def _span(first: date, last: date) -> Window:
    return Window(window_of(first).start, window_of(last).end)


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count:,} days"
