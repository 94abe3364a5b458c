"""Reports of the ledger: what accounts cost, grouped as asked, from stored days alone. All calls block."""

from collections import defaultdict
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from kubetally.domain.compare import CompareQuestion, Comparison, compare
from kubetally.domain.compared_periods import PeriodCosts
from kubetally.domain.component import NO_CLASSES, Costs
from kubetally.domain.efficiency import NO_HOURS, Hours, RatedHours
from kubetally.domain.issues import Issue, OnIssues
from kubetally.domain.question.arrange import Order, rows_of_file, split_lines
from kubetally.domain.question.cost_question import CostQuestion, ExportFormat
from kubetally.domain.question.mention import Mention, Similar
from kubetally.domain.question.partial import EVERY_ROW
from kubetally.domain.question.steps import steps_of
from kubetally.domain.question.top import with_top
from kubetally.domain.report import CostReport, CostRow, LabelCost, LabelReport, StepSum, Sums, add_weights
from kubetally.query.accounts import by_account
from kubetally.query.comparison import snapshots_of_one_moment
from kubetally.query.issues import issues_of_snapshot, unmeasured_components
from kubetally.query.no_match import issues_of_no_match
from kubetally.query.reader import AnswerReader
from kubetally.query.rollup_choice import by_rows
from kubetally.query.snapshot import Snapshot
from kubetally.query.sums_or_rows import compute_of

if TYPE_CHECKING:
    from ibis import ir

    from kubetally.query.engine import Run

_T = TypeVar("_T")


class LedgerReports:
    """Answers questions about the ledger. Threads may share it."""

    def __init__(self, reader: AnswerReader) -> None:
        self._reader = reader

    def costs(self, question: CostQuestion) -> CostReport:
        """What the accounts cost; rows in no order.

        Raises: RequestError, for rows in several currencies; StoreError.
        """
        return self.costs_of(self._reader.snapshot(question), question)

    def compare(self, question: CompareQuestion) -> Comparison:
        """What changed between two periods; rows in no order. Raises as `costs`."""
        was, then = snapshots_of_one_moment(self._reader, question.of_before(), question.of_now())
        return self.compare_of(was, then, question)

    def compare_of(self, was: Snapshot, then: Snapshot, question: CompareQuestion) -> Comparison:
        """As `compare`, of the snapshots of the two periods."""
        before, now = self.costs_of(was, question.of_before()), self.costs_of(then, question.of_now())
        return compare(question, PeriodCosts(before, _covered_hours(was)), PeriodCosts(now, _covered_hours(then)))

    def costs_of(self, snapshot: Snapshot, question: CostQuestion) -> CostReport:
        """As `costs`, of a snapshot."""
        facts = snapshot.facts
        readable = len(snapshot.readable)
        not_measured = frozenset(unmeasured_components(facts, readable))
        found, hours = self._rows(snapshot, question)
        lines, rows = split_lines(row for row in found if row.component is None or row.component not in not_measured)
        both = [*rows, *lines]
        bill = Costs.sum(row.costs for row in both)
        return CostReport(
            question=question,
            currency=snapshot.currency,
            currency_assumed=snapshot.known.is_currency_assumed,
            coverage=self._reader.coverage(snapshot, question.window),
            has_data=readable > 0,
            assets_complete=snapshot.known.assets_complete,
            bill=bill,
            not_measured=not_measured,
            rows=tuple(rows),
            lines=tuple(lines),
            workloads=Sums(bill, NO_CLASSES, *hours, weights=add_weights(both)),
            waste=sum(row.waste for row in both),
            issues=(
                *self._no_match(snapshot, question, found),
                *self._unknown_shared(snapshot, question),
                *issues_of_snapshot(snapshot, question.asked_filter),
            ),
            steps=tuple(self._steps(snapshot, question, both)),
            accounts=frozenset(snapshot.accounts),
        )

    def labels_of(self, snapshot: Snapshot, question: CostQuestion) -> LabelReport:
        """The keys of labels with the rows that have them and their cost. Raises as `costs`."""
        report = self.costs_of(snapshot, replace(question, group=(), step=None))
        if not snapshot.has_rows:
            return LabelReport(report, ())
        from kubetally.query.stored_rows import label_costs

        rows = self._reader.rows(snapshot)
        found = label_costs(self._reader.engine.run, rows, question, snapshot.accounts, snapshot.currency)
        return LabelReport(report, tuple(LabelCost(*row) for row in found))

    def export(
        self,
        question: CostQuestion,
        order: Sequence[Order],
        top: int | None,
        format_: ExportFormat,
        on_issues: OnIssues = lambda _: None,
    ) -> Generator[bytes, None, None]:
        """The rows of an answer as a file, piece by piece; without group the stored rows. Raises as `costs`.

        It has an engine of its own, so that a slow reader holds no other question.
        on_issues: called before the first piece. Without group, rows are not looked for before they are sent: what the
        filter names and no row has is not among the issues.
        """
        from kubetally.query.export import export_table, report_table, write_batches

        if question.group:
            report = self.costs(with_top(question, order, top))
            on_issues(report.issues)
            yield from export_table(report_table(report, rows_of_file(report, order, top)), format_)
            return
        from kubetally.query.row_files import can_read, read_rows
        from kubetally.store.lake.schema import ALLOCATIONS

        snapshot = self._reader.snapshot(by_rows(question))
        on_issues(issues_of_snapshot(snapshot, question.asked_filter))
        if not snapshot.has_rows:
            yield from export_table(ALLOCATIONS.empty_table(), format_)
            return
        if set(by_account(question.filter, snapshot.accounts)) == {EVERY_ROW} and can_read(snapshot):
            yield from write_batches(read_rows(snapshot), ALLOCATIONS, format_)
            return
        from kubetally.query.stored_rows import stored_rows

        engine = self._reader.open_engine()
        try:
            rows = self._reader.rows(snapshot, engine)
            stored = stored_rows(rows, question, snapshot.accounts, snapshot.currency)
            yield from write_batches(engine.batches(stored), ALLOCATIONS, format_)
        finally:
            engine.close()

    def _rows(self, snapshot: Snapshot, question: CostQuestion) -> tuple[list[CostRow], tuple[Hours, RatedHours]]:
        """The rows, and the hours of all of them together."""
        if not snapshot.has_rows:
            return [], (NO_HOURS, RatedHours())
        from kubetally.query.answer_rows import HourTotals
        from kubetally.query.costs import cost_rows

        engine, about = self._reader.engine, (question, snapshot.accounts, snapshot.currency)

        def compute(rows: "ir.Table") -> tuple[list[CostRow], tuple[Hours, RatedHours]]:
            totals = HourTotals()
            found = cost_rows(engine.run, rows, *about, run_prepared=engine.run_prepared, totals=totals)
            return found, totals.rounded()

        return compute_of(self._reader, snapshot, compute)

    def _no_match(self, snapshot: Snapshot, question: CostQuestion, rows: Sequence[CostRow]) -> Iterable[Issue]:
        """Issues that name what filter and group ask for and no row has, where there are readable days."""
        if not snapshot.readable:
            return ()

        def ask(read: "Callable[[Run, ir.Table], _T]", otherwise: _T) -> _T:
            """What is read of the rows that whoever asks may see."""
            from kubetally.query.conditions import visible_rows

            if not snapshot.has_rows:
                return otherwise
            run, about = self._reader.engine.run, (question, snapshot.accounts, snapshot.currency)
            return compute_of(self._reader, snapshot, lambda rows: read(run, visible_rows(rows, *about)))

        def ask_similar(mentions: Sequence[Mention]) -> Similar:
            from kubetally.query.similar_names import similar_names

            return ask(partial(similar_names, mentions=mentions), dict.fromkeys(mentions, ()))

        def ask_known(namespaces: Sequence[str]) -> Collection[str]:
            from kubetally.query.similar_names import known_namespaces

            return ask(partial(known_namespaces, names=namespaces), frozenset())

        return issues_of_no_match(question, rows, ask_similar, ask_known)

    def _unknown_shared(self, snapshot: Snapshot, question: CostQuestion) -> Sequence[Issue]:
        """Issues that name what is shared and no workload has, for who may see all workloads."""
        sharing, scope = question.sharing, question.scope
        if sharing.is_nothing or not snapshot.has_rows or not (scope is None or scope.is_of_accounts):
            return ()
        from kubetally.query.unknown_shared import unknown_shared

        return compute_of(self._reader, snapshot, lambda rows: unknown_shared(self._reader.engine.run, rows, sharing))

    def _steps(self, snapshot: Snapshot, question: CostQuestion, rows: Sequence[CostRow]) -> Iterator[StepSum]:
        if question.step is None:
            return
        totals = defaultdict[object, int](int)
        for row in rows:
            totals[row.start] += row.costs.total
        for step in steps_of(question.window, question.step):
            coverage = self._reader.coverage(snapshot, step)
            yield StepSum(step, totals[step.start] if coverage.hours_covered else None, coverage)


def _covered_hours(snapshot: Snapshot) -> dict[str, float]:
    """The covered hours of each account that has any."""
    hours = defaultdict[str, float](float)
    for day in snapshot.readable:
        if day.hours_covered > 0:
            hours[day.account_id] += day.hours_covered
    return dict(hours)
