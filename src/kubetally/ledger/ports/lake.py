"""The lake, where the rows of collected days are stored. All calls block."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Collection as IdsOf
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Protocol

from kubetally.domain.account import ListedAccount
from kubetally.domain.asset import Asset
from kubetally.domain.collection import CollectedDay, Collection
from kubetally.domain.row import Row
from kubetally.domain.savings import CollectedSavings, SavingsDay, SavingsRow
from kubetally.ledger.ports.damage import DayDamaged, FileDamage, LakeCheck, SetAside

HISTORY_KEPT = timedelta(days=400)
"""How long what was replaced can be asked for, unless a setting says otherwise."""


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
    """What maintenance did.

    compacted: partitions (days of a table) made one file. vacuumed: files removed. checkpoint: its version.
    kept: the retention of replaced data in use; None if the lake is empty.
    held_back: expired files that would be removed if the clock were trusted.
    silence: why they were not: nothing was collected from the first of these instants to the second.
    is_all_kept: collecting took less time in all than the retention, so that nothing is removed.
    """

    compacted: int = 0
    vacuumed: int = 0
    checkpoint: int | None = None
    kept: timedelta | None = None
    held_back: int = 0
    silence: tuple[datetime, datetime] | None = None
    is_all_kept: bool = False


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
class LogFile:
    """An entry or a checkpoint in the log of a table, by its name, with the CRC-32 of its bytes."""

    table: str
    name: str
    crc: int


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

    def make(self) -> None:
        """Make the place where it is missing, and see that it is one that we can use. Raises StoreError."""

    def pack(self, days: Sequence[CollectedDay]) -> list[PackedDay]:
        """Days in the lake's form, of many small ones best together. Any thread may call."""

    def is_torn(self) -> bool:
        """Whether a power cut left something unfinished in the logs, so that `mend` has to be called."""

    def mend(self, pending: IdsOf[str] = (), confirmed: tuple[int, int] = (-1, -1)) -> list[SetAside]:
        """Set aside what a power cut left unfinished in the logs; what they name then is on the disk.

        To be called by who writes alone. pending: ids of collections that are not known to be committed; a commit of
        these is unfinished, too, where files of it are missing or cut off. confirmed: the greatest versions of the
        tables of days and of running days that are known to be committed. These lasted: where one of them can't be
        read, it is damage, which is raised, and nothing is set aside.
        """

    def newest_version(self) -> int | None:
        """The version of the table of days as it is now; None where there is no table."""

    def check_writable(self) -> None:
        """See that files can be made where it is."""

    def replace(
        self,
        days: Sequence[PackedDay],
        *,
        check_lease: Callable[[], None] = lambda: None,
        replace_damaged: bool = False,
    ) -> int:
        """Put the rows and assets of these account-days, all of one day, in place of those that are held, at once.

        Assets go first; the commit of the rows counts, and names the collections. A reader sees all of it or nothing.
        check_lease: called right before each attempt to commit, after the day was read. If it raises, nothing is
        committed and the error is passed on.
        replace_damaged: also replace a damaged file of the day by its readable rows, and set a copy aside.
        Returns the version from which on they are there, of the table of days or that of running days.
        """

    def put(self, days: Sequence[CollectedDay]) -> int:
        """`replace` of days that are packed now."""

    def rows(self, collections: Sequence[Collection], *, with_details: bool = False) -> dict[str, tuple[Row, ...]]:
        """The rows of collections by their id, each as it was written, and verified.

        Their number, and their sums by component and kind, are what the collection recorded. with_details: all that
        is stored of a row, which takes longer to read.
        Raises: CollectionGone, DayDamaged.
        """

    def verify_rows(self, collections: Sequence[Collection]) -> None:
        """See that the rows of collections come to what these recorded; much faster than `rows`, which it raises as.

        Only their kinds and costs are read, so that `check` has to tell whether files are whole.
        """

    def assets(self, collections: Sequence[Collection]) -> dict[str, tuple[Asset, ...]]:
        """The assets of collections by their id, verified as `rows` are. Raises CollectionGone, DayDamaged."""

    def versions_of(self, collections: Iterable[Collection]) -> Mapping[str, int]:
        """Which of these were committed, and with which version; what was not is not among them."""

    def stored_ids(self, *, is_running: bool) -> StoredIds:
        """The collections whose rows the table of days has now, or that of running days."""

    def named_since(self, version: int) -> set[str]:
        """The collections that commits of the table of days after this version name."""

    def recorded(self, ids: IdsOf[str]) -> dict[str, Collection]:
        """These collections as their commits describe them, with their versions, by id; others are not there."""

    def rebuilt(self, keys: Mapping[str, tuple[str, date]]) -> list[Collection]:
        """These collections, by id of an account and day, as far as their rows and assets tell.

        What was missing when they were collected is not known, so that they are provisional.
        """

    def reconcile(
        self, account_id: str, currencies: Mapping[str, str], *, check_lease: Callable[[], None] = lambda: None
    ) -> int:
        """Remove the account's rows and assets that are of none of these collections, and set the currency of others.

        Savings are removed only where there is no collection at all. currencies: by the collection's id.
        check_lease: as in `replace`. Returns how many files were rewritten.
        """

    def pack_savings(self, savings: CollectedSavings) -> PackedSavings:
        """Savings in the lake's form. Any thread may call."""

    def replace_savings(
        self, packed: Sequence[PackedSavings], *, check_lease: Callable[[], None] = lambda: None
    ) -> int:
        """Put the savings of accounts on one day in place of those that they have of it, at once.

        check_lease: as in `replace`. What is damaged of the day is replaced by what can be read of it.
        """

    def savings(self, known: Sequence[SavingsDay]) -> Mapping[str, tuple[SavingsRow, ...] | DayDamaged]:
        """The rows of stored savings by id, as they were written; or how they differ from what is known of them."""

    def damaged_savings(self, known: Sequence[SavingsDay]) -> list[tuple[SavingsDay, DayDamaged]]:
        """Those of stored savings that are damaged, and how."""

    def packed_savings(self, known: Sequence[SavingsDay]) -> list[PackedSavings]:
        """Stored savings as another lake takes them; without those that are damaged."""

    def list_accounts(self, accounts: Sequence[ListedAccount]) -> bool:
        """Write the table of accounts, unless it says the same already; whether it was written."""

    def check(self, noted: NotedLog = _NOTHING_NOTED) -> LakeCheck:
        """Read every file of all tables, logs too, and tell which are damaged.

        noted: the checksums of files of the logs, by table and name.
        """

    def check_log(self, noted: NotedLog, *, only_running: bool = False) -> tuple[FileDamage, ...]:
        """As `check`, of the logs of the tables of days alone; only_running: of running days."""

    def lost_log_files(self, noted: NotedLog) -> list[FileDamage]:
        """The entries after the newest of a log that are noted; the quick part of `check_log`."""

    def new_log_files(self, newest: Mapping[str, int]) -> list[LogFile]:
        """The files of the logs from these versions on, by table; of a table without one all that can be read."""

    def log_versions(self) -> Mapping[str, tuple[int, int]]:
        """The first and the last version that the log of each table of days has."""

    def is_dispensable(self, damage: FileDamage) -> bool:
        """Whether a file of a log is a checkpoint, and other files make up for it."""

    def checkpoints_from(self, entry: FileDamage) -> list[FileDamage]:
        """The checkpoints that an entry went into, where other files of the log make up for them."""

    def has_checkpoint_of(self, entry: FileDamage, noted: NotedLog) -> bool:
        """Whether a checkpoint that is as it was written has what an entry said."""

    def put_log_file(self, damage: FileDamage, content: bytes | None) -> None:
        """Replace a damaged file of a log by this content; a copy of it is set aside. None removes it.

        To be called by who writes alone.
        """

    def remake_accounts(self, accounts: Sequence[ListedAccount]) -> None:
        """Set the files of the table of accounts aside, and write it anew."""

    def mend_files(self, damage: Iterable[FileDamage]) -> None:
        """Take damaged files out of the newest version, keep what can be read of them in it, and set copies aside.

        To be called by who writes alone, once what is lost was written anew.
        """

    def tidy(self, *, lengthen: Lengthen = by_clock) -> int:
        """Remove what the copies of running days were before, once it is old enough; how many files that were."""

    def maintain(self, keep: timedelta, shorten: bool = False, *, lengthen: Lengthen = by_clock) -> Maintained:
        """Put small files together, write a checkpoint, and remove what was replaced longer than `keep` ago.

        Where the lake was told before to keep it longer, that holds, unless `shorten`.
        """


class LogFiles(Protocol):
    """The checksums that the files of the lake's logs had when they were written. Raises StoreError."""

    def note(self, files: Sequence[LogFile]) -> None:
        """Keep these; what is noted of a file already stays."""

    def noted(self) -> dict[tuple[str, str], int]:
        """All checksums, by table and name."""

    def newest(self) -> dict[str, int]:
        """The newest version that something is noted of, by table."""

    def keep(self, versions: Mapping[str, tuple[int, int]]) -> None:
        """Forget what is not between the first and the last version of a table, or of none of these tables."""

    def forget(self, table: str, *, name: str) -> None:
        """Forget a file that was taken out of the log."""
