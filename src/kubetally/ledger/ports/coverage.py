"""Which days were collected, what was tried, and how far collecting has come. All calls block."""

from collections.abc import Collection as IdsOf
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from kubetally.domain.booking import ComponentBalance
from kubetally.domain.collection import Collection, CoveredDay, DayStatus
from kubetally.domain.collection_facts import FactSum
from kubetally.domain.component import Component
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.savings import SavingsDay
from kubetally.ledger.ports.account_days import StoredDays
from kubetally.ledger.ports.damage import LakeBehind
from kubetally.ledger.ports.lake import Lake


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the collecting of some accounts has come.

    days_held: in the lake. days_failing: not held, and the last attempt met an error; that a source has none is none.
    accounts_held: those of whom the day asked about is held, and over. last_collected: the latest instant at which the
    collection of what is held began; None where nothing is.
    """

    days_held: int = 0
    days_failing: int = 0
    accounts_held: int = 0
    last_collected: datetime | None = None


class SavingsDays(Protocol):
    """What came of asking for savings, by account and day. Raises StoreError."""

    def of_day(self, day: date) -> Mapping[str, SavingsDay]:
        """What is known of a day, by account."""
        ...

    def stored(self) -> Sequence[SavingsDay]:
        """All that is in the lake, by day and account."""
        ...

    def note(self, days: Sequence[SavingsDay]) -> None:
        """Keep these, in place of what was known of the same accounts and days."""
        ...


class Coverage(Protocol):
    """What was collected, and what was tried. Raises StoreError."""

    def intend(self, collections: Sequence[Collection]) -> None:
        """Note collections that are about to be committed; until they are confirmed, nobody reads them."""
        ...

    def confirm(self, collection_ids: Sequence[str], version: int) -> None:
        """They are in the lake from this version on, and hold for their (account, day)."""
        ...

    def last_version(self, *, is_running: bool = False) -> int | None:
        """The greatest version of the lake's table of days, or running days, that a collection which holds has."""
        ...

    def collecting_times(self) -> list[tuple[datetime, datetime]]:
        """First and last collection of each UTC day on which anything was collected, newest first."""
        ...

    def drop(self, collection_ids: Sequence[str]) -> None:
        """They were not committed."""
        ...

    def known_ids(self, collection_ids: IdsOf[str]) -> set[str]:
        """Which of these it knows, whether they hold or not."""
        ...

    def lost(self) -> list[Collection]:
        """What held until the lake lost its rows, of days of which nothing holds; one an (account, day)."""
        ...

    def mark_missing(self, known: CoveredDay, at: datetime, why: str) -> bool:
        """The lake lacks the rows of this stored day: it holds no longer, and is to be collected again.

        False, and nothing is changed, where another collection holds by now.
        """
        ...

    def restore(self, collections: Sequence[Collection], again: IdsOf[str]) -> set[str]:
        """Collections that are in the lake hold again; which of them do.

        collections: that it does not know, with the versions of their commits; of accounts that it never had, or whose
        rows are still to be relabelled or purged, none is noted. again: ids of those that it knows and that did not
        hold.
        """
        ...

    def pending(self) -> list[Collection]:
        """Those noted and neither confirmed nor dropped: somebody was killed in between."""
        ...

    def held(self, account_id: str, first: date, end: date, as_of: datetime | None = None) -> list[Collection]:
        """The collection that holds for each day from `first` to before `end`, in their order.

        as_of: those that held at that instant, by when they were confirmed; running days are not kept for it.
        """
        ...

    def held_on(
        self, day: date, account_ids: Iterable[str] | None = None, *, or_lost: bool = False
    ) -> dict[str, Collection]:
        """The collection that holds for a day of each of these accounts, by account; of all where None.

        or_lost: where none holds, the one that held until the lake lost its rows.
        """
        ...

    def days_to_examine(self, version: int) -> list[date]:
        """The days, that are over, of collections that hold and that no tests of this version examined, in order."""
        ...

    def note_examined(self, collections: Sequence[Collection]) -> None:
        """Keep what became of the heads of these by being examined, as far as they still hold."""
        ...

    def days(self, first: date, end: date, account_ids: Iterable[str] | None = None) -> list[CoveredDay]:
        """What is known of each (account, day), by account and day; days of which nothing is known are not there."""
        ...

    def statuses(
        self, first: date, end: date, account_ids: Iterable[str] | None = None
    ) -> Mapping[str, Sequence[DayStatus]]:
        """How it stands with each day of which something is known, by account, in order."""
        ...

    def issues(
        self, first: date, end: date, kinds: Iterable[IssueKind], account_ids: Iterable[str] | None = None
    ) -> Mapping[str, Sequence[Issue]]:
        """The issues of these kinds of the days that hold, by the collection's id; others are not there."""
        ...

    def fact_sums(self, first: date, end: date, account_ids: Iterable[str] | None = None) -> Sequence[FactSum]:
        """What nobody measured and which issues there are on the days that hold, by account and what it is."""
        ...

    def days_of_earlier_lakes(self, lake_version: int) -> Mapping[str, StoredDays]:
        """The days that hold whose rows were written with an earlier version of the lake's columns, by account."""
        ...

    def balances(
        self, first: date, end: date, account_ids: Iterable[str]
    ) -> dict[str, Mapping[Component, ComponentBalance]]:
        """The balances of the collections that hold for these days, by the collection's id."""
        ...

    def progress(self, account_ids: Sequence[str], day: date) -> Progress:
        """How far collecting has come; of this day, for how many."""
        ...

    def damaged(self) -> list[tuple[str, date]]:
        """The name of its account and the day of each day whose last attempt found the stored rows damaged, in order.

        Days of removed accounts are not among them.
        """
        ...

    def failed(self, account_id: str, day: date, at: datetime, code: str, message: str) -> None:
        """An attempt to collect a day that met an error; what is held stays held."""
        ...

    def clear_damage(self, collections: Sequence[Collection]) -> None:
        """These stored days can be read again: forget that they were damaged."""
        ...

    def history_begins(self, account_id: str) -> date | None:
        """The first day that the account's source holds, where that was found out."""
        ...

    def note_history(self, account_id: str, day: date, at: datetime) -> None:
        """The account's source was found to hold nothing before this day."""
        ...

    def forget(self, before: datetime) -> int:
        """Drop collections that were replaced before this instant; returns how many."""
        ...


def check_not_behind(lake: Lake, coverage: Coverage) -> None:
    """See that the lake has the newest day that the database knows of. Raises: LakeBehind, StoreError."""
    check_version(lake, coverage.last_version())


def check_version(lake: Lake, known: int | None) -> None:
    """See that the lake has this version of its table of days, and can be read. Raises: LakeBehind, StoreError."""
    found = lake.newest_version()
    if known is not None and (found is None or found < known):
        raise LakeBehind(lake.url, found, known)
