"""What an answer is read from: stored days of a window, at one moment of the database and one version of the lake."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from kubetally.domain.account import ListedAccount
from kubetally.domain.collection import Collection, CoveredDay
from kubetally.domain.collection_facts import FactSum, facts_of
from kubetally.domain.component import Component
from kubetally.domain.damage import CollectionGone
from kubetally.domain.issues import Issue
from kubetally.domain.money import unlike_currencies
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.question.filter import Condition, Field, Filter
from kubetally.domain.question.matching import compare
from kubetally.domain.question.partial import NO_ROW, decide
from kubetally.domain.status import DayState
from kubetally.domain.window import Window
from kubetally.ledger.ports.coverage import HistoryGone
from kubetally.ledger.ports.lake import HISTORY_KEPT, LakeFiles, Scan, StoredRows
from kubetally.query.accounts import Accounts, by_account

if TYPE_CHECKING:
    import pyarrow as pa

_ATTEMPTS = 3
KnownDay = tuple[CoveredDay, StoredRows | None]
"""A known day, and its rows in the lake if there are any to be read."""


class KnownDays(Protocol):
    """What is known of stored days: the part of `ledger.ports.coverage` that queries read. Raises StoreError."""

    def days(self, first: date, *, end: date, account_ids: Iterable[str] | None = None) -> Sequence[CoveredDay]:
        """See `Coverage.days`."""

    def collections(
        self, account_id: str, first: date, *, end: date, as_of: datetime | None = None
    ) -> Sequence[Collection]:
        """See `Coverage.collections`."""

    def fact_sums(self, first: date, *, end: date, account_ids: Iterable[str] | None = None) -> Sequence[FactSum]:
        """See `Coverage.fact_sums`."""

    def not_measured(self, first: date, *, end: date, account_ids: Iterable[str]) -> Mapping[str, frozenset[Component]]:
        """See `Coverage.not_measured`."""


@dataclass(frozen=True)
class Snapshot:
    """The stored days of a window, and the files that hold their rows.

    accounts: by id, those that may have rows that pass the filter, removed ones too.
    days:     the known days of these accounts, stored or not. facts: of the stored ones.
    currency: of all of them; None where nothing is stored.
    tables:   rows beside those of the files. issues: of the window, beside what `facts` count.
    """

    accounts: Mapping[str, ListedAccount]
    days: Sequence[CoveredDay]
    facts: Sequence[FactSum]
    scans: Sequence[Scan]
    currency: str | None
    tables: Sequence["pa.Table"] = ()
    issues: Sequence[Issue] = ()

    @property
    def has_rows(self) -> bool:
        """Whether there may be any row."""
        return bool(self.scans or self.tables)

    @cached_property
    def readable(self) -> list[CoveredDay]:
        """The days whose costs are in an answer."""
        return [day for day in self.days if day.has_costs]

    @cached_property
    def state(self) -> DayState | None:
        """That of the least certain day; None where nothing is stored."""
        states = {day.state for day in self.readable}
        if not states:
            return None
        return DayState.SETTLED if states == {DayState.SETTLED} else DayState.PROVISIONAL

    def days_of(self, window: Window) -> list[CoveredDay]:
        """The known days in a part of the window."""
        first, last = window.start.date(), (window.end - timedelta(microseconds=1)).date()
        dates = (first + timedelta(days=number) for number in range((last - first).days + 1))
        return [day for its_date in dates for day in self._by_date.get(its_date, ())]

    def hours_covered(self, window: Window) -> float:
        """Hours of a part of the window with data, summed over accounts."""
        return sum(day.hours_covered for day in self.days_of(window) if day.has_costs)

    @cached_property
    def _by_date(self) -> Mapping[date, Sequence[CoveredDay]]:
        days = defaultdict[date, list[CoveredDay]](list)
        for day in self.days:
            days[day.day].append(day)
        return days


class SnapshotReader:
    """Reads snapshots. All calls block. Raises StoreError.

    retention: how long replaced days stay readable.
    """

    def __init__(self, coverage: KnownDays, lake: Callable[[], LakeFiles], retention: timedelta = HISTORY_KEPT) -> None:
        self._coverage, self._lake, self._retention = coverage, lake, retention

    def read(
        self,
        question: CostQuestion,
        accounts: Accounts,
        now: datetime,
        adjust: Callable[[list[KnownDay]], list[KnownDay]] = lambda days: days,
    ) -> Snapshot:
        """The snapshot for a question: of now, or of what was stored at its instant.

        adjust: what is made of the known days before their rows are looked up.
        Raises: RequestError, for rows in several currencies; HistoryGone.
        """
        possible = possible_accounts(question.filter, accounts)
        if question.as_of is not None and question.as_of < now - self._retention:
            raise HistoryGone(question.as_of, earliest=now - self._retention)
        for attempt in range(_ATTEMPTS):
            days = adjust(self.days(question, possible))
            currency = _currency_of(question.filter, [day for day, _ in days])
            readable = [rows for day, rows in days if rows is not None and day.currency == currency]
            try:
                scans = self._lake().scans(readable, frozenset(possible)) if readable else []
            except CollectionGone:
                # A collection was replaced between the two readings: the next pair agrees.
                if attempt == _ATTEMPTS - 1:
                    raise
                continue
            return Snapshot(possible, [day for day, _ in days], self._facts(question, possible), scans, currency)
        raise AssertionError("unreachable")

    def days(self, question: CostQuestion, accounts: Accounts) -> list[KnownDay]:
        """The known days, and their rows in the lake if there are any to be read."""
        if question.as_of is not None:
            return [(_covered(one), StoredRows.of(one) if one.rows else None) for one in self._past(question, accounts)]
        first, end = question.window.start.date(), question.window.end.date()
        days = self._coverage.days(first, end=end, account_ids=accounts) if accounts else []
        return [(day, _rows_of(day)) for day in days]

    def _past(self, question: CostQuestion, accounts: Accounts) -> Iterator[Collection]:
        """The collections that were stored at the question's instant; running days have no history."""
        first, end = question.window.start.date(), question.window.end.date()
        for account_id in accounts:
            yield from self._coverage.collections(account_id, first=first, end=end, as_of=question.as_of)

    def _facts(self, question: CostQuestion, accounts: Accounts) -> Sequence[FactSum]:
        if question.as_of is None:
            first, end = question.window.start.date(), question.window.end.date()
            return self._coverage.fact_sums(first, end=end, account_ids=accounts) if accounts else ()
        facts = [(one, fact) for one in self._past(question, accounts) for fact in facts_of(one.head)]
        return [FactSum(one.account_id, fact.what, 1, fact.hours, one.day, one.day) for one, fact in facts]


def _rows_of(day: CoveredDay) -> StoredRows | None:
    if not (day.has_costs and day.rows and day.collection_id is not None):
        return None
    return StoredRows(day.collection_id, day.account_id, day.day, day.is_running)


def _covered(collection: Collection) -> CoveredDay:
    """A collection of the past as a stored day."""
    head = collection.head
    return CoveredDay(
        collection.account_id,
        collection.day,
        collection_id=collection.id,
        state=collection.state,
        assets_complete=head.assets_complete,
        source=head.source,
        rows=collection.rows,
        hours_covered=collection.hours_covered,
        total=head.bill.total,
        currency=head.currency,
        collected_at=collection.collected_at,
        currency_origin=head.currency_origin,
    )


def possible_accounts(condition: Filter, accounts: Accounts) -> dict[str, ListedAccount]:
    """The accounts that some row passing the filter may be of."""
    return {
        id_: accounts[id_] for rest, ids in by_account(condition, accounts).items() if rest != NO_ROW for id_ in ids
    }


def _currency_of(condition: Filter, days: Sequence[CoveredDay]) -> str | None:
    """The one currency of the days whose rows may pass. Raises RequestError, if there are several."""

    def may_pass(currency: str) -> bool:
        def known(part: Condition) -> bool | None:
            return compare(part, currency) if part.field is Field.CURRENCY else None

        return decide(condition, known) != NO_ROW

    currencies = {day.currency for day in days if day.has_costs and day.currency is not None}
    passing = sorted(currency for currency in currencies if may_pass(currency))
    if len(passing) > 1:
        raise unlike_currencies(passing[0], passing[1])
    return passing[0] if passing else None
