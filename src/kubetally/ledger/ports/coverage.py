"""Which days are stored, which attempts failed, and the progress of collecting. All calls block."""

from collections.abc import Collection as IdsOf
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple, Protocol

from kubetally.domain.account import StoredDays
from kubetally.domain.booking import ComponentBalance
from kubetally.domain.collection import Collection, CoveredDay, DayStatus
from kubetally.domain.collection_facts import FactSum
from kubetally.domain.component import Component
from kubetally.domain.damage import lake_behind
from kubetally.domain.errors import Gone
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.savings import SavingsDay
from kubetally.domain.window import rfc3339
from kubetally.ledger.ports.lake import Lake


class HistoryGone(Gone):
    """The history of an instant has expired."""

    code = "history_gone"

    def __init__(self, as_of: datetime, *, earliest: datetime) -> None:
        self.as_of, self.earliest = as_of, earliest
        super().__init__(
            f"history before {rfc3339(earliest)} has expired, and the instant asked for is {rfc3339(as_of)}. Use a "
            "later one; KUBETALLY_HISTORY_DAYS sets the retention"
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of collecting some accounts.

    days_held: stored days. days_failing: days without a stored collection whose last attempt failed; an empty answer
    is no failure. accounts_held: accounts whose requested day is stored in full. last_collected: when the latest stored
    collection began; None without one.
    """

    days_held: int = 0
    days_failing: int = 0
    accounts_held: int = 0
    last_collected: datetime | None = None


class PastDay(NamedTuple):
    """A day as it was stored at an instant.

    version, last_version: of its collection. facts: its unmeasured components and kinds of issues.
    """

    day: CoveredDay
    version: int | None
    last_version: int | None
    facts: frozenset[str]


class SavingsDays(Protocol):
    """The savings collected, by account and day. Raises StoreError."""

    def of_day(self, day: date) -> Mapping[str, SavingsDay]:
        """The outcomes of a day, by account."""

    def stored(self) -> Sequence[SavingsDay]:
        """Those that are in the lake, by day and account."""

    def note(self, days: Sequence[SavingsDay]) -> None:
        """Store these, replacing those of the same accounts and days."""


class Coverage(Protocol):
    """The collections of days, and the attempts that failed. Raises StoreError.

    The stored collection of an (account, day) is the confirmed one that no later one replaced.
    """

    def revision(self) -> Hashable | None:
        """Equal to an earlier one only if no account and no known day has changed since; None if it can't be told."""

    def intend(self, collections: Sequence[Collection]) -> None:
        """Note collections that are about to be committed, all or none; noted ones stay as they are.

        They are not read until they are confirmed. Raises StoreError with the code `total_too_large`.
        """

    def confirm(self, collection_ids: Sequence[str], version: int) -> None:
        """Note that they are in the lake from this version on; they become the stored ones of their (account, day).

        A stored collection of a later version stays. Confirmed and unknown ids are ignored. What is replaced stays for
        `as_of`, unless its day was running. Where the source states no currency, that of the account applies.
        """

    def last_version(self, *, is_running: bool = False) -> int | None:
        """The greatest version of a stored collection in the table of days, or of running days; None without one."""

    def collecting_times(self) -> list[tuple[datetime, datetime]]:
        """First and last collection of each UTC day on which anything was collected, newest first."""

    def drop(self, collection_ids: Sequence[str]) -> None:
        """Delete collections that were not committed; confirmed ones stay."""

    def known_ids(self, collection_ids: IdsOf[str]) -> set[str]:
        """Which of these are noted, stored or replaced."""

    def lost(self) -> list[Collection]:
        """The last stored collection of each (account, day) that has none now, because the lake lost its rows."""

    def mark_missing(self, known: CoveredDay, at: datetime, why: str) -> bool:
        """Note that the lake lacks the rows of this stored day, so that it is collected again.

        Returns False and changes nothing if another collection is stored by now. Until the day is stored again,
        `collections_on` with `or_lost` and `collections` with `as_of` return the lost one.
        """

    def restore(self, collections: Sequence[Collection], again: IdsOf[str]) -> set[str]:
        """Make collections of the lake the stored ones again. Returns the ids of those that are.

        collections: unknown ones, with the versions of their commits; those of unknown accounts, or of accounts whose
        rows are still to be relabelled or purged, are ignored. again: ids of known ones that are not stored. For
        `as_of` they count from their first confirmation, unknown ones from their collection.
        """

    def pending(self) -> list[Collection]:
        """Collections that are neither confirmed nor dropped, because their writer was killed; the oldest first."""

    def collections(
        self, account_id: str, first: date, *, end: date, as_of: datetime | None = None
    ) -> list[Collection]:
        """The stored collections of the days from `first` to before `end`, in order.

        as_of: those that were stored at that instant; running days have no history.
        """

    def days_as_of(self, as_of: datetime, first: date, *, end: date, account_ids: Iterable[str]) -> Sequence[PastDay]:
        """What was stored of each (account, day) at an instant, by account and day, as `collections` has it."""

    def collections_on(
        self, day: date, account_ids: Iterable[str] | None = None, *, or_lost: bool = False
    ) -> dict[str, Collection]:
        """The stored collections of a day, by account. account_ids: all if None.

        or_lost: also those whose rows the lake lost, if there is no other.
        """

    def days_to_examine(self, version: int) -> list[date]:
        """The days, without running ones, of stored collections not yet examined by this version, in order."""

    def note_examined(self, collections: Sequence[Collection]) -> None:
        """Store the heads, hours and state of examined collections that are still the stored ones."""

    def days(self, first: date, *, end: date, account_ids: Iterable[str] | None = None) -> list[CoveredDay]:
        """Each known (account, day) from `first` to before `end`, by account and day. account_ids: all if None."""

    def statuses(
        self, first: date, *, end: date, account_ids: Iterable[str] | None = None
    ) -> Mapping[str, Sequence[DayStatus]]:
        """The status of each known day, by account, in order."""

    def issues(
        self, first: date, *, end: date, kinds: Iterable[IssueKind], account_ids: Iterable[str] | None = None
    ) -> Mapping[str, Sequence[Issue]]:
        """The issues of these kinds of stored days, by id of the collection; days without any are left out."""

    def fact_sums(self, first: date, *, end: date, account_ids: Iterable[str] | None = None) -> Sequence[FactSum]:
        """The unmeasured components and issues of stored days, counted by account and kind."""

    def stored_days(self, account_ids: Iterable[str]) -> StoredDays:
        """How many days of these accounts are stored, together, and which is the first and which the last."""

    def days_of_earlier_lakes(self, lake_version: int) -> Mapping[str, StoredDays]:
        """The stored days with columns of an earlier version of the lake, by account."""

    def balances(
        self, first: date, *, end: date, account_ids: Iterable[str]
    ) -> dict[str, Mapping[Component, ComponentBalance]]:
        """The balances of the stored collections of these days, by id of the collection."""

    def not_measured(self, first: date, *, end: date, account_ids: Iterable[str]) -> Mapping[str, frozenset[Component]]:
        """The unmeasured components of stored days, by id of the collection; days without any are left out."""

    def progress(self, account_ids: Sequence[str], day: date) -> Progress:
        """The progress of collecting these accounts, and of this day."""

    def damaged(self) -> list[tuple[str, date]]:
        """The account name and date of each day noted as damaged, in order, without removed accounts."""

    def failed(self, account_id: str, day: date, at: datetime, *, code: str, message: str) -> None:
        """Note a failed attempt to collect a day; a stored collection stays. Long messages are cut off.

        Damage stays noted until the day is collected, whatever later attempts return.
        """

    def clear_damage(self, collections: Sequence[Collection]) -> None:
        """Note that these stored days are no longer damaged."""

    def history_begins(self, account_id: str) -> date | None:
        """The first day that the account's source has, if known."""

    def note_history(self, account_id: str, day: date, at: datetime) -> None:
        """Note that the account's source has nothing before this day; replaces an earlier note."""

    def forget(self, before: datetime) -> int:
        """Delete collections that were replaced before this instant. Returns their number."""


def check_version(lake: Lake, known: int | None) -> None:
    """Check that the lake has this version of its table of days. Raises: StoreError, StoreError."""
    found = lake.newest_version()
    if known is not None and (found is None or found < known):
        raise lake_behind(lake.url, found=found, known=known)
