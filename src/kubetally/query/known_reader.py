"""Reads what the database knows of the days of a window, without those in currencies that a filter leaves out."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import partial
from typing import Protocol

from kubetally.domain.collection import Collection, CoveredDay
from kubetally.domain.collection_facts import FactSum
from kubetally.domain.component import Component
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.question.filter import Condition, Field, Filter
from kubetally.domain.question.matching import compare
from kubetally.domain.question.partial import NO_ROW, decide
from kubetally.ledger.ports.coverage import PastDay
from kubetally.ledger.ports.lake import StoredRows
from kubetally.query.known_days import WindowDays, WindowDaysCache

Adjust = Callable[[WindowDays], WindowDays]
"""What is made of known days before their rows are looked up."""


class KnownDays(Protocol):
    """What is known of stored days: the part of `ledger.ports.coverage` that queries read. Raises StoreError."""

    def revision(self) -> Hashable | None:
        """See `Coverage.revision`."""

    def days(self, first: date, *, end: date, account_ids: Iterable[str] | None = None) -> Sequence[CoveredDay]:
        """See `Coverage.days`."""

    def days_as_of(self, as_of: datetime, first: date, *, end: date, account_ids: Iterable[str]) -> Sequence[PastDay]:
        """See `Coverage.days_as_of`."""

    def collections_on(self, day: date, account_ids: Iterable[str] | None = None) -> Mapping[str, Collection]:
        """See `Coverage.collections_on`."""

    def fact_sums(self, first: date, *, end: date, account_ids: Iterable[str] | None = None) -> Sequence[FactSum]:
        """See `Coverage.fact_sums`."""

    def issues(
        self, first: date, *, end: date, kinds: Iterable[IssueKind], account_ids: Iterable[str] | None = None
    ) -> Mapping[str, Sequence[Issue]]:
        """See `Coverage.issues`."""

    def not_measured(self, first: date, *, end: date, account_ids: Iterable[str]) -> Mapping[str, frozenset[Component]]:
        """See `Coverage.not_measured`."""


class KnownDaysReader:
    """Reads known days. Threads may share it. All calls block. Raises StoreError."""

    def __init__(self, coverage: KnownDays) -> None:
        self._coverage = coverage
        self._kept = WindowDaysCache(coverage.revision)

    def read(self, question: CostQuestion, account_ids: frozenset[str], now: datetime) -> WindowDays:
        """The known days of these accounts, in whatever currency."""
        window, as_of = question.window, question.as_of
        read = self._read if as_of is None else partial(self._past, as_of)
        of_window = partial(read, window.start.date(), window.end.date(), account_ids)
        return self._kept.get((window.start, window.end, account_ids, as_of), now, of_window)

    def read_passing(
        self, question: CostQuestion, account_ids: frozenset[str], now: datetime, adjust: Adjust
    ) -> WindowDays:
        """The known days whose currency passes the filter, and those without data."""
        known = adjust(self.read(question, account_ids, now))
        passing = known.without(_left_out(question.filter, known.all_currencies))
        if not passing.others or question.as_of is not None:
            return passing
        # The facts of accounts with days of both are counted anew: sums do not tell which days they are of.
        known = adjust(
            self._read_by_day(question, account_ids, frozenset(day.account_id for day in passing.others), now)
        )
        return known.without(_left_out(question.filter, known.all_currencies))

    def _read(self, first: date, end: date, account_ids: frozenset[str]) -> WindowDays:
        if not account_ids:
            return WindowDays((), ())
        days = self._coverage.days(first, end=end, account_ids=account_ids)
        return WindowDays(days, self._coverage.fact_sums(first, end=end, account_ids=account_ids))

    def _read_by_day(
        self, question: CostQuestion, account_ids: frozenset[str], by_day: frozenset[str], now: datetime
    ) -> WindowDays:
        """As `read`, with facts of each day of the accounts `by_day`."""
        first, end = question.window.start.date(), question.window.end.date()

        def read() -> WindowDays:
            days = self._coverage.days(first, end=end, account_ids=account_ids)
            sums = self._coverage.fact_sums(first, end=end, account_ids=account_ids - by_day)
            return WindowDays(days, [*sums, *self._facts(days, first, end, by_day)])

        return self._kept.get((question.window.start, question.window.end, account_ids, None, by_day), now, read)

    def _facts(
        self, days: Iterable[CoveredDay], first: date, end: date, account_ids: frozenset[str]
    ) -> Iterator[FactSum]:
        """The facts of each stored day of these accounts."""
        unknown = self._coverage.not_measured(first, end=end, account_ids=account_ids)
        issues = self._coverage.issues(first, end=end, kinds=IssueKind, account_ids=account_ids)
        for day in days:
            if day.account_id in account_ids and (id_ := day.collection_id) is not None:
                kinds = {issue.kind.value for issue in issues.get(id_, ())}
                for what in sorted(kinds.union(component.value for component in unknown.get(id_, ()))):
                    yield FactSum(day.account_id, what, 1, None, day.day, day.day)

    def _past(self, as_of: datetime, first: date, end: date, account_ids: frozenset[str]) -> WindowDays:
        """What was stored at an instant; running days have no history."""
        days = self._coverage.days_as_of(as_of, first, end=end, account_ids=account_ids) if account_ids else ()
        facts = [
            FactSum(day.account_id, what, 1, None, day.day, day.day)
            for day, _, _, whats in days
            for what in sorted(whats)
        ]
        stored = [
            StoredRows(day.collection_id, day.account_id, day.day, False, version, last_version)
            for day, version, last_version, _ in days
            if day.rows and day.collection_id is not None
        ]
        return WindowDays([past.day for past in days], facts, stored)


def _left_out(condition: Filter, currencies: Sequence[str]) -> frozenset[str]:
    """The currencies whose rows can't pass."""

    def known(currency: str, part: Condition) -> bool | None:
        return compare(part, currency) if part.field is Field.CURRENCY else None

    return frozenset(currency for currency in currencies if decide(condition, partial(known, currency)) == NO_ROW)
