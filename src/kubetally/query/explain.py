"""Explains a figure: its rows in the ledger, and what the sources were asked for them. All calls block."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from kubetally.domain.collection import Collection, window_of
from kubetally.domain.component import ZERO, Costs
from kubetally.domain.day_request import DayRequests
from kubetally.domain.explanation import (
    MAX_LINES,
    MAX_SOURCES,
    AccountLines,
    ExplainedSource,
    Explanation,
    LedgerLine,
    check_sum,
    largest_first,
)
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.question.steps import Step
from kubetally.query.reader import LedgerReader
from kubetally.query.reports import LedgerReports
from kubetally.query.rollup_choice import by_rows
from kubetally.query.snapshot import Snapshot

_ONE_DAY = timedelta(days=1)


class Explainer:
    """Explains figures of the ledger. requests: what sources are asked for a day."""

    def __init__(self, reader: LedgerReader, requests: DayRequests) -> None:
        self._reader, self._reports, self._requests = reader, LedgerReports(reader), requests

    def explain(self, question: CostQuestion) -> Explanation:
        """How all that passes the filter of a question came about; it has no group and no step.

        Raises: RequestError, for rows in several currencies; StoreError; BalanceError.
        """
        return self.explain_of(self._reader.snapshot(by_rows(question)), question)

    def explain_of(self, snapshot: Snapshot, question: CostQuestion) -> Explanation:
        """As `explain`, of the snapshot of `by_rows`."""
        report = self._reports.costs_of(snapshot, replace(question, group=(), step=Step.DAY))
        lines, sums = self._lines(snapshot, question)
        check_sum(report.bill, Costs.sum(account.costs for account in sums))
        return Explanation(
            report=report,
            lines=tuple(largest_first(lines)[:MAX_LINES]),
            count=sum(account.rows for account in sums),
            sources=tuple(self._sources(snapshot, question, sums)),
        )

    def stated_clusters(self) -> dict[str, str | None]:
        """Which cluster of its source each account in use is said to be."""
        return {place.id: place.cluster_id for place in self._reader.stores.accounts.places()}

    def _lines(self, snapshot: Snapshot, question: CostQuestion) -> tuple[list[LedgerLine], list[AccountLines]]:
        if not snapshot.has_rows:
            return [], []
        from kubetally.query.ledger_lines import ledger_lines

        rows, run = self._reader.rows(snapshot), self._reader.engine.run
        return ledger_lines(run, rows, question, snapshot.accounts, snapshot.currency, limit=MAX_LINES)

    def _sources(
        self, snapshot: Snapshot, question: CostQuestion, sums: Sequence[AccountLines]
    ) -> Iterator[ExplainedSource]:
        """Those of the accounts with rows; where there is none, of all with stored days."""
        last = _last_days(sums) or _last_days(
            [AccountLines(day.account_id, 0, ZERO, day.day) for day in snapshot.readable]
        )
        newest = dict(list(last.items())[:MAX_SOURCES])
        stated = self.stated_clusters()
        collections = self._collections(newest, question.as_of)
        for account_id, day in newest.items():
            if (collection := collections.get(account_id)) is not None:
                requests = tuple(self._requests(window_of(day), stated.get(account_id)))
                name = snapshot.accounts[account_id].name
                yield ExplainedSource(account_id, name, day, collection.source, requests)

    def _collections(self, days: Mapping[str, date], as_of: datetime | None) -> dict[str, Collection]:
        """The collection of a day of each account, by account."""
        coverage = self._reader.stores.coverage
        if as_of is not None:
            stored = (
                collection
                for account_id, day in days.items()
                for collection in coverage.collections(account_id, day, end=day + _ONE_DAY, as_of=as_of)
            )
            return {collection.account_id: collection for collection in stored}
        accounts = defaultdict[date, list[str]](list)
        for account_id, day in days.items():
            accounts[day].append(account_id)
        return {id_: its for day, ids in accounts.items() for id_, its in coverage.collections_on(day, ids).items()}


def _last_days(sums: Sequence[AccountLines]) -> dict[str, date]:
    """The last day of each account, the account that costs most first."""
    last, costs = dict[str, date](), defaultdict[str, int](int)
    for account in sums:
        last[account.account_id] = max(account.last, last.get(account.account_id, account.last))
        costs[account.account_id] += account.costs.total
    return dict(sorted(last.items(), key=lambda item: (-abs(costs[item[0]]), item[0])))
