"""What the ledger needs of what it keeps: rows of days in a lake, coverage and leases in a database.

All calls block; who serves many asks in a thread.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Collection as IdsOf
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, ClassVar, Protocol

from kubetally.domain.account import ListedAccount
from kubetally.domain.asset import Asset
from kubetally.domain.booking import ComponentBalance
from kubetally.domain.collection import ASSETS_DAMAGED, DAMAGED, CollectedDay, Collection, CoveredDay, DayStatus
from kubetally.domain.collection_facts import FactSum
from kubetally.domain.component import Component
from kubetally.domain.errors import StoreError
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.row import Row
from kubetally.domain.savings import CollectedSavings, SavingsDay, SavingsRow
from kubetally.ledger.account_days import StoredDays

HISTORY_KEPT = timedelta(days=400)
"""How long what was replaced can be asked for, unless a setting says otherwise."""
COMMITTER = "committer"
"""The lease of who writes to the lake."""
MAINTAINER = "maintainer"
"""The lease of who removes files from the lake, or copies them and needs them to stay; others commit beside it."""
COLLECTOR = "collector"
"""The lease of who collects by itself what is due; a backfill that somebody asks for goes on beside it."""


ACCOUNT_LIST = "account_list"
"""The lease of who writes the lake's table of accounts."""


class CollectionGone(StoreError):
    """The rows of a collection are no longer in the lake, or not in the version they should be in."""

    code = "collection_gone"

    def __init__(self, url: str, collection_id: str, *, was_replaced: bool = False) -> None:
        """was_replaced: another collection holds by now, so that it is kept for a time only."""
        self.url, self.collection_id, self.was_replaced = url, collection_id, was_replaced
        age = "are older than its history is kept, " if was_replaced else ""
        super().__init__(
            f"{url} no longer has the rows of collection {collection_id}: they {age}were lost to damage, or the "
            "database and the lake are not from one backup; `kubetally maintain --check` lists what is lost"
        )


class DayDamaged(StoreError):
    """What is stored of a day is not what was committed: bytes, rows or sums differ, or a file is missing."""

    code: ClassVar[str] = DAMAGED
    effect: ClassVar[str] = "its stored costs are not used"

    def __init__(self, url: str, day: date, why: str, account_id: str | None = None) -> None:
        """url: of the table. account_id: None where it is not one account's trouble, or not known whose."""
        self.url, self.day, self.why, self.account_id = url, day, why, account_id
        whose = "" if account_id is None else f" of account {account_id}"
        command = f"kubetally backfill {account_id or 'ACCOUNT'} --from {day} --to {day + timedelta(days=1)}"
        super().__init__(
            f"{day}{whose} is damaged in {url} ({why}): {self.effect}; `{command}` collects it again, "
            "`kubetally maintain --check` lists all damage"
        )

    @property
    def table(self) -> str:
        """The name of the table."""
        return self.url.rpartition("/")[2]

    def of(self, account_id: str) -> "DayDamaged":
        """The same, told of an account."""
        return type(self)(self.url, self.day, self.why, account_id)


class AssetsDamaged(DayDamaged):
    """The same of a day's assets; its costs are in its rows."""

    code = ASSETS_DAMAGED
    effect = "its assets are lost, its costs are read from its rows"


class SavingsDamaged(DayDamaged):
    """The same of a day's savings; its costs are not concerned."""

    code = "savings_damaged"
    effect = "its savings are lost, its costs are not concerned"


class LogDamaged(StoreError):
    """Files of the lake's logs are not as they were written."""

    code = "log_damaged"

    def __init__(self, url: str, damage: Sequence["FileDamage"]) -> None:
        self.url, self.damage = url, tuple(damage)
        first = f"{damage[0].table}/{damage[0].path}: {damage[0].why}"
        more = f" and {len(damage) - 1} more" if len(damage) > 1 else ""
        super().__init__(
            f"the log of the lake {url} is damaged ({first}{more}): nothing was maintained, so that no file is removed "
            "because of it. `kubetally maintain --repair --from-backup FILE` puts these files back; without a backup "
            "`--repair` does without those that a checkpoint makes up for; else restore a backup with `kubetally "
            "restore` into an empty folder and database"
        )


class LakeBehind(StoreError):
    """The lake is not the one, or older than the one, that the database tells of."""

    code = "lake_behind"

    def __init__(self, url: str, found: int | None, known: int) -> None:
        """found: its version, None where there is no table. known: the version that the database tells of."""
        self.url, self.found, self.known = url, found, known
        is_at = "is empty" if found is None else f"is at version {found}"
        super().__init__(
            f"the lake {url} {is_at} and the database knows of version {known}: check KUBETALLY_LAKE_URL, restore lake "
            "and database from one backup, or begin anew with a new database too"
        )


@dataclass(frozen=True, slots=True)
class PackedDay:
    """A collected day in the form that a lake keeps it in, which takes less memory; `content` is the lake's own."""

    collection: Collection
    content: object


@dataclass(frozen=True, slots=True)
class PackedSavings:
    """Collected savings in the form that a lake keeps them in; `content` is the lake's own."""

    id: str
    account_id: str
    day: date
    content: Any


Lengthen = Callable[[timedelta], timedelta | None]
"""How long history is kept by the clock, of how long it is to be kept; None where nothing may be removed."""


def by_clock(keep: timedelta) -> timedelta | None:
    """As long by the clock, which is trusted."""
    return keep


@dataclass(frozen=True, slots=True)
class Maintained:
    """What maintenance did: files put together, files removed for good, and the version of the checkpoint.

    kept: how long what was replaced is kept; None where there is nothing.
    held_back: files that would be removed if the clock were trusted.
    silence: why, if any are: nothing was collected from the first of these instants to the second.
    is_all_kept: collecting vouches for less time than history is kept, so that nothing is removed.
    """

    compacted: int = 0
    vacuumed: int = 0
    checkpoint: int | None = None
    kept: timedelta | None = None
    held_back: int = 0
    silence: tuple[datetime, datetime] | None = None
    is_all_kept: bool = False


@dataclass(frozen=True, slots=True)
class SetAside:
    """A file that a power cut left unfinished in a table's log, and that was taken out of it.

    kept: where its bytes are now. why: what is wrong with it.
    """

    table: str
    file: str
    why: str
    kept: str


@dataclass(frozen=True, slots=True)
class StoredIds:
    """The collections whose rows a table has, by day and account. unreadable: days whose files can't be read."""

    by_day: Mapping[date, Mapping[str, frozenset[str]]]
    unreadable: frozenset[date] = frozenset()

    def of(self, account_id: str, day: date) -> frozenset[str]:
        """Of an account's day."""
        return self.by_day.get(day, {}).get(account_id, frozenset())

    def by_key(self) -> Iterator[tuple[tuple[str, date], frozenset[str]]]:
        """By account and day."""
        for day, accounts in self.by_day.items():
            for account_id, ids in accounts.items():
                yield (account_id, day), ids


@dataclass(frozen=True, slots=True)
class FileDamage:
    """A file of the lake that is damaged or missing, by its path in a table.

    day, written_at: of a data file, as far as the log tells. is_current: the newest version needs it, and not history
    alone.
    """

    table: str
    path: str
    why: str
    day: date | None = None
    written_at: datetime | None = None
    is_current: bool = True


@dataclass(frozen=True, slots=True)
class LogFile:
    """An entry or a checkpoint in the log of a table, by its name, with the CRC-32 of its bytes."""

    table: str
    name: str
    crc: int


@dataclass(frozen=True, slots=True)
class LakeCheck:
    """What a check of all files found: how many were read, and how many data files of them have no checksums."""

    files: int = 0
    without_checksum: int = 0
    damage: tuple[FileDamage, ...] = ()


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


NotedLog = Mapping[tuple[str, str], int]
"""The CRC-32 of files of the logs, by table and name."""
LOST = -1
"""Noted in place of the CRC-32 of an entry that is lost, and that a checkpoint makes up for."""
_NOTHING_NOTED: NotedLog = {}


class Lake(Protocol):
    """Where the rows of collected days are kept. Raises StoreError."""

    @property
    def url(self) -> str:
        """Where it is, fit to be shown."""
        ...

    def make(self) -> None:
        """Make the place where it is missing, and see that it is one that we can use. Raises StoreError."""
        ...

    def pack(self, days: Sequence[CollectedDay]) -> list[PackedDay]:
        """Days in the lake's form, of many small ones best together. Any thread may call."""
        ...

    def is_torn(self) -> bool:
        """Whether a power cut left something unfinished in the logs, so that `mend` has to be called."""
        ...

    def mend(self, pending: IdsOf[str] = (), confirmed: tuple[int, int] = (-1, -1)) -> list[SetAside]:
        """Set aside what a power cut left unfinished in the logs; what they name then is on the disk.

        To be called by who writes alone. pending: ids of collections that are not known to be committed; a commit of
        these is unfinished, too, where files of it are missing or cut off. confirmed: the greatest versions of the
        tables of days and of running days that are known to be committed. These lasted: where one of them can't be
        read, it is damage, which is raised, and nothing is set aside.
        """
        ...

    def newest_version(self) -> int | None:
        """The version of the table of days as it is now; None where there is no table."""
        ...

    def check_writable(self) -> None:
        """See that files can be made where it is."""
        ...

    def replace(
        self, days: Sequence[PackedDay], *, go_on: Callable[[], None] = lambda: None, anew: bool = False
    ) -> int:
        """Put the rows and assets of these account-days, all of one day, in place of those that are held, at once.

        Assets go first; the commit of the rows counts, and names the collections. A reader sees all of it or nothing.
        go_on: called right before each attempt to commit, once what is there was read, so that whoever commits after
        the call is noticed; where it raises, nothing is committed and the error is passed on.
        anew: a damaged file of the day is replaced too, by what can be read of it, and kept aside; else DayDamaged.
        Returns the version from which on they are there, of the table of days or that of running days.
        """
        ...

    def put(self, days: Sequence[CollectedDay]) -> int:
        """`replace` of days that are packed now."""
        ...

    def rows(self, collections: Sequence[Collection], *, with_details: bool = False) -> dict[str, tuple[Row, ...]]:
        """The rows of collections by their id, each as it was written, and verified.

        Their number, and their sums by component and kind, are what the collection recorded. with_details: all that
        is stored of a row, which takes longer to read.
        Raises: CollectionGone, DayDamaged.
        """
        ...

    def verify_rows(self, collections: Sequence[Collection]) -> None:
        """See that the rows of collections come to what these recorded; much faster than `rows`, which it raises as.

        Only their kinds and costs are read, so that `check` has to tell whether files are whole.
        """
        ...

    def assets(self, collections: Sequence[Collection]) -> dict[str, tuple[Asset, ...]]:
        """The assets of collections by their id, verified as `rows` are. Raises CollectionGone, DayDamaged."""
        ...

    def versions_of(self, collections: Iterable[Collection]) -> Mapping[str, int]:
        """Which of these were committed, and with which version; what was not is not among them."""
        ...

    def stored_ids(self, *, is_running: bool) -> StoredIds:
        """The collections whose rows the table of days has now, or that of running days."""
        ...

    def named_since(self, version: int) -> set[str]:
        """The collections that commits of the table of days after this version name."""
        ...

    def recorded(self, ids: IdsOf[str]) -> dict[str, Collection]:
        """These collections as their commits describe them, with their versions, by id; others are not there."""
        ...

    def rebuilt(self, keys: Mapping[str, tuple[str, date]]) -> list[Collection]:
        """These collections, by id of an account and day, as far as their rows and assets tell.

        What was missing when they were collected is not known, so that they are provisional.
        """
        ...

    def reconcile(
        self, account_id: str, currencies: Mapping[str, str], *, go_on: Callable[[], None] = lambda: None
    ) -> int:
        """Remove the account's rows and assets that are of none of these collections, and set the currency of others.

        Savings are removed only where there is no collection at all. currencies: by the collection's id. go_on: as
        `replace` calls it. Returns how many files were rewritten.
        """
        ...

    def pack_savings(self, savings: CollectedSavings) -> PackedSavings:
        """Savings in the lake's form. Any thread may call."""
        ...

    def replace_savings(self, packed: Sequence[PackedSavings], *, go_on: Callable[[], None] = lambda: None) -> int:
        """Put the savings of accounts on one day in place of those that they have of it, at once.

        go_on: as `replace` calls it. What is damaged of the day is replaced by what can be read of it.
        """
        ...

    def savings(self, known: Sequence[SavingsDay]) -> Mapping[str, tuple[SavingsRow, ...] | DayDamaged]:
        """The rows of stored savings by id, as they were written; or how they differ from what is known of them."""
        ...

    def damaged_savings(self, known: Sequence[SavingsDay]) -> list[tuple[SavingsDay, DayDamaged]]:
        """Those of stored savings that are damaged, and how."""
        ...

    def packed_savings(self, known: Sequence[SavingsDay]) -> list[PackedSavings]:
        """Stored savings as another lake takes them; without those that are damaged."""
        ...

    def list_accounts(self, accounts: Sequence[ListedAccount]) -> bool:
        """Write the table of accounts, unless it says the same already; whether it was written."""
        ...

    def check(self, noted: NotedLog = _NOTHING_NOTED) -> LakeCheck:
        """Read every file of all tables, logs too, and tell which are damaged.

        noted: the checksums of files of the logs, by table and name.
        """
        ...

    def check_log(self, noted: NotedLog, *, only_running: bool = False) -> tuple[FileDamage, ...]:
        """As `check`, of the logs of the tables of days alone; only_running: of running days."""
        ...

    def lost_log_files(self, noted: NotedLog) -> list[FileDamage]:
        """The entries after the newest of a log that are noted; the quick part of `check_log`."""
        ...

    def new_log_files(self, newest: Mapping[str, int]) -> list[LogFile]:
        """The files of the logs from these versions on, by table; of a table without one all that can be read."""
        ...

    def log_versions(self) -> Mapping[str, tuple[int, int]]:
        """The first and the last version that the log of each table of days has."""
        ...

    def is_dispensable(self, damage: FileDamage) -> bool:
        """Whether a file of a log is a checkpoint, and other files make up for it."""
        ...

    def checkpoints_from(self, entry: FileDamage) -> list[FileDamage]:
        """The checkpoints that an entry went into, where other files of the log make up for them."""
        ...

    def has_checkpoint_of(self, entry: FileDamage, noted: NotedLog) -> bool:
        """Whether a checkpoint that is as it was written has what an entry said."""
        ...

    def put_log_file(self, damage: FileDamage, content: bytes | None) -> None:
        """Put this content in place of a damaged file of a log, of which a copy is set aside; None takes it away.

        To be called by who writes alone.
        """
        ...

    def remake_accounts(self, accounts: Sequence[ListedAccount]) -> None:
        """Set the files of the table of accounts aside, and write it anew."""
        ...

    def mend_files(self, damage: Iterable[FileDamage]) -> None:
        """Take damaged files out of the newest version, keep what can be read of them in it, and set copies aside.

        To be called by who writes alone, once what is lost was written anew.
        """
        ...

    def tidy(self, *, lengthen: Lengthen = by_clock) -> int:
        """Remove what the copies of running days were before, once it is old enough; how many files that were."""
        ...

    def maintain(self, keep: timedelta, shorten: bool = False, *, lengthen: Lengthen = by_clock) -> Maintained:
        """Put small files together, write a checkpoint, and remove what was replaced longer than `keep` ago.

        Where the lake was told before to keep it longer, that holds, unless `shorten`.
        """
        ...


class LogFiles(Protocol):
    """The checksums that the files of the lake's logs had when they were written. Raises StoreError."""

    def note(self, files: Sequence[LogFile]) -> None:
        """Keep these; what is noted of a file already stays."""
        ...

    def noted(self) -> dict[tuple[str, str], int]:
        """All checksums, by table and name."""
        ...

    def newest(self) -> dict[str, int]:
        """The newest version that something is noted of, by table."""
        ...

    def keep(self, versions: Mapping[str, tuple[int, int]]) -> None:
        """Forget what is not between the first and the last version of a table, or of none of these tables."""
        ...

    def forget(self, table: str, name: str) -> None:
        """Forget a file that was taken out of the log."""
        ...


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


class Lease(Protocol):
    """The right to be the only one who does something, until it is given back or the holder is gone."""

    def renew(self) -> bool:
        """Hold it longer; False where somebody else has it by now, so that the work has to stop."""
        ...

    def release(self) -> None:
        """Give it back; nothing where it is held no longer."""
        ...


class Leases(Protocol):
    """Who does what alone. Raises StoreError."""

    def acquire(self, name: str) -> Lease | None:
        """The lease of that name, or None where somebody else has it.

        A holder on this machine that is no longer running loses it at once, one on another machine after 30 s without
        renewal.
        """
        ...

    def holder(self, name: str) -> str | None:
        """Who has it, in words fit to be shown; None where nobody has."""
        ...


def check_not_behind(lake: Lake, coverage: Coverage) -> None:
    """See that the lake has the newest day that the database knows of. Raises: LakeBehind, StoreError."""
    check_version(lake, coverage.last_version())


def check_version(lake: Lake, known: int | None) -> None:
    """See that the lake has this version of its table of days, and can be read. Raises: LakeBehind, StoreError."""
    found = lake.newest_version()
    if known is not None and (found is None or found < known):
        raise LakeBehind(lake.url, found, known)
