"""The lake, where the rows of collected days are stored. All calls block."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Collection as IdsOf
from dataclasses import dataclass
from datetime import date, timedelta
from operator import attrgetter
from typing import Any, NamedTuple, Protocol, Self

from kubetally.domain.account import ListedAccount
from kubetally.domain.asset import Asset
from kubetally.domain.collection import CollectedDay, Collection
from kubetally.domain.damage import DayDamaged, FileDamage, LakeCheck, SetAside
from kubetally.domain.maintenance import Maintained
from kubetally.domain.row import Row
from kubetally.domain.savings import CollectedSavings, SavingsDay, SavingsRow
from kubetally.ledger.ports.rollups import RollUps

HISTORY_KEPT = timedelta(days=400)
"""How long replaced data stays readable, unless a setting says otherwise."""


@dataclass(frozen=True, slots=True)
class PackedDay:
    """A collected day in the lake's own form, `content`, which takes less memory."""

    collection: Collection
    content: object


@dataclass(frozen=True, slots=True)
class PackedSavings:
    """Collected savings in the lake's own form, `content`."""

    id: str
    account_id: str
    day: date
    content: Any


class StoredRows(NamedTuple):
    """Which rows of the lake are meant: those of a collection that has any.

    version, last_version: as of a `Collection`; needed only if the newest version of the table may lack the rows.
    """

    id: str
    account_id: str
    day: date
    is_running: bool = False
    version: int | None = None
    last_version: int | None = None

    @classmethod
    def of(cls, collection: Collection) -> Self:
        """The rows of a collection."""
        return cls(*attrgetter("id", "account_id", "day", "is_running", "version", "last_version")(collection))


@dataclass(frozen=True, slots=True)
class Scan:
    """Files whose rows an answer reads.

    paths:        files or URLs, each in a folder `day=2026-11-20`.
    accounts:     whose rows count; None for all. ids: the collections that count; None for all of these accounts.
    is_version_1: with the columns of version 1 of the lake.
    """

    paths: tuple[str, ...]
    accounts: frozenset[str] | None = None
    ids: frozenset[str] | None = None
    is_version_1: bool = False


@dataclass(frozen=True, slots=True)
class LocalScans:
    """The same scans with paths of this machine. What was copied for them may go once `release` is called."""

    scans: Sequence[Scan]
    release: Callable[[], None] = lambda: None


Lengthen = Callable[[timedelta], timedelta | None]
"""Returns how long to keep history by the clock for a retention; None if nothing may be removed."""


def by_clock(keep: timedelta) -> timedelta | None:
    """The retention itself: the clock is trusted."""
    return keep


@dataclass(frozen=True, slots=True)
class StoredIds:
    """The collections whose rows a table has, by day and account. unreadable: days whose files can't be read."""

    by_day: Mapping[date, Mapping[str, frozenset[str]]]
    unreadable: frozenset[date] = frozenset()

    def of(self, account_id: str, day: date) -> frozenset[str]:
        """The collections of an account's day."""
        return self.by_day.get(day, {}).get(account_id, frozenset())

    def by_key(self) -> Iterator[tuple[tuple[str, date], frozenset[str]]]:
        """The collections by account and day."""
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
"""Noted in place of the CRC-32 of a lost entry that a checkpoint replaces."""
_NOTHING_NOTED: NotedLog = {}


@dataclass(frozen=True, slots=True)
class AssetScans:
    """Files with assets. without: the collections that have no assets in them."""

    scans: Sequence[Scan]
    without: frozenset[str]


class LakeFiles(Protocol):
    """The files of a lake, for a query to read. Raises StoreError."""

    def scans(self, stored: Sequence[StoredRows], accounts: frozenset[str]) -> Sequence[Scan]:
        """The files that have these rows, each row in one of them. accounts: all whose rows were asked for.

        They are of one version of each table, but for rows that were replaced in it.
        Raises: CollectionGone, DayDamaged.
        """

    def asset_scans(self, stored: Sequence[StoredRows], accounts: frozenset[str]) -> AssetScans:
        """The files that have the assets of these collections, of the newest version of each table.

        accounts: as for `scans`. Raises: DayDamaged.
        """

    def local(self, scans: Sequence[Scan]) -> LocalScans:
        """The same scans, with copies of files that are in an object store. Raises: DayDamaged, RequestError."""

    @property
    def roll_ups(self) -> RollUps:
        """Sums of some collections."""


class Lake(LakeFiles, Protocol):
    """Where the rows of collected days are stored. Raises StoreError."""

    @property
    def url(self) -> str:
        """Where it is, without credentials."""

    def make(self) -> None:
        """Create the folder if it is missing, and check the tables in it."""

    def pack(self, days: Sequence[CollectedDay]) -> list[PackedDay]:
        """Days in the lake's form; many small ones are packed faster together. Any thread may call."""

    def is_torn(self) -> bool:
        """Whether a power cut left something unfinished in the logs, which `mend` sets aside."""

    def mend(self, pending: IdsOf[str] = (), confirmed: tuple[int, int] = (-1, -1)) -> list[SetAside]:
        """Set aside what a power cut left unfinished in the logs; what they name then is on the disk.

        Only the sole writer may call it. pending: ids of collections that are not known to be committed; a commit of
        these is unfinished, too, if files of it are missing or cut off. confirmed: the greatest versions of the tables
        of days and of running days that are known to be committed.
        Raises: LakeDamaged, for damage that no power cut does, such as in a confirmed version; nothing is set aside.
        """

    def newest_version(self) -> int | None:
        """The present version of the table of days; None without a table."""

    def check_writable(self) -> None:
        """Raise StoreError, unless files can be created in it."""

    def replace(
        self,
        days: Sequence[PackedDay],
        *,
        check_lease: Callable[[], None] = lambda: None,
        replace_damaged: bool = False,
    ) -> int:
        """Replace the stored rows and assets of these account-days, all of one day, and all running or none.

        Assets go first; the commit of the rows counts, and names the collections. A reader sees all or nothing of it.
        check_lease: called right before each attempt to commit, after the day was read. If it raises, nothing is
        committed and the error is passed on.
        replace_damaged: also replace a damaged file of the day by its readable rows, and set a copy aside.
        Returns the version from which on they are there, of the table of days or that of running days.
        """

    def put(self, days: Sequence[CollectedDay]) -> int:
        """Pack and replace days."""

    def rows(self, collections: Sequence[Collection], *, with_details: bool = False) -> dict[str, tuple[Row, ...]]:
        """The rows of collections by their id, as they were written.

        Verified: their number and sums by component and kind are those that the collection recorded. with_details:
        with all stored columns, which takes longer.
        Raises: CollectionGone, DayDamaged.
        """

    def verify_rows(self, collections: Sequence[Collection]) -> None:
        """Compare the rows of collections with what was recorded, by sums; much faster than `rows`. Raises as `rows`.

        Only kinds and costs are read: whether files are undamaged is for `check` to find.
        """

    def assets(self, collections: Sequence[Collection]) -> dict[str, tuple[Asset, ...]]:
        """The assets of collections by their id, verified as `rows` are. Raises CollectionGone, DayDamaged."""

    def versions_of(self, collections: Iterable[Collection]) -> Mapping[str, int]:
        """The version of each of these collections that was committed."""

    def stored_ids(self, *, is_running: bool) -> StoredIds:
        """The collections whose rows are in the table of days now, or in that of running days."""

    def named_since(self, version: int) -> set[str]:
        """The collections in commits of the table of days after this version."""

    def recorded(self, ids: IdsOf[str]) -> dict[str, Collection]:
        """These collections as their commits describe them, with their versions, by id; others are left out."""

    def rebuilt(self, keys: Mapping[str, tuple[str, date]]) -> list[Collection]:
        """Collections as their rows describe them. keys: account and day of each, by its id.

        They are provisional, because it is unknown what was missing when they were collected.
        """

    def reconcile(
        self, account_id: str, currencies: Mapping[str, str], *, check_lease: Callable[[], None] = lambda: None
    ) -> int:
        """Remove an account's rows and assets that belong to none of these collections; set the currency of the rest.

        Savings are removed only if there is no collection at all. currencies: by the collection's id.
        check_lease: as in `replace`. Returns how many files were rewritten.
        """

    def pack_savings(self, savings: CollectedSavings) -> PackedSavings:
        """Savings in the lake's form. Any thread may call."""

    def replace_savings(
        self, packed: Sequence[PackedSavings], *, check_lease: Callable[[], None] = lambda: None
    ) -> int:
        """Replace the stored savings of accounts on one day, all or none.

        check_lease: as in `replace`. A damaged file of the day is replaced by its readable rows.
        """

    def savings(self, known: Sequence[SavingsDay]) -> Mapping[str, tuple[SavingsRow, ...] | DayDamaged]:
        """The verified rows of stored savings by id, or how they are damaged."""

    def damaged_savings(self, known: Sequence[SavingsDay]) -> list[tuple[SavingsDay, DayDamaged]]:
        """The damaged ones of stored savings, and how they are damaged."""

    def packed_savings(self, known: Sequence[SavingsDay]) -> list[PackedSavings]:
        """Stored savings, packed for another lake; without damaged ones."""

    def list_accounts(self, accounts: Sequence[ListedAccount]) -> bool:
        """Write the table of accounts if it differs; returns whether it was written."""

    def check(self, noted: NotedLog = _NOTHING_NOTED) -> LakeCheck:
        """Read every file of all tables and logs; returns the damage.

        noted: the checksums of files of the logs, by table and name.
        """

    def check_log(self, noted: NotedLog, *, only_running: bool = False) -> tuple[FileDamage, ...]:
        """As `check`, for the logs of the tables of days only; only_running: of running days."""

    def lost_log_files(self, noted: NotedLog) -> list[FileDamage]:
        """Noted entries that come after the newest of their log; the quick part of `check_log`."""

    def new_log_files(self, newest: Mapping[str, int]) -> list[LogFile]:
        """The readable files of the logs from these versions on, by table; from 0 for a table without one."""

    def log_versions(self) -> Mapping[str, tuple[int, int]]:
        """The first and the last version that the log of each table of days has."""

    def is_dispensable(self, damage: FileDamage) -> bool:
        """Whether a file of a log is a checkpoint that other files of the log replace."""

    def checkpoints_from(self, entry: FileDamage) -> list[FileDamage]:
        """The checkpoints that contain an entry, if other files of the log replace them."""

    def has_checkpoint_of(self, entry: FileDamage, noted: NotedLog) -> bool:
        """Whether an undamaged checkpoint contains an entry."""

    def put_log_file(self, damage: FileDamage, content: bytes | None) -> None:
        """Set a copy of a damaged log file aside and replace the file; None removes it. Only for the sole writer."""

    def remake_accounts(self, accounts: Sequence[ListedAccount]) -> None:
        """Set the files of the table of accounts aside, and write the table again."""

    def mend_files(self, damage: Iterable[FileDamage]) -> None:
        """Replace damaged files in the newest version by their readable rows, and set copies aside.

        Only the sole writer may call it, once the lost days are written again.
        """

    def tidy(self, *, lengthen: Lengthen = by_clock) -> int:
        """Maintain the tables of running days only: each collection leaves a file behind. Returns the removed files."""

    def maintain(self, keep: timedelta, shorten: bool = False, *, lengthen: Lengthen = by_clock) -> Maintained:
        """Merge small files, write a checkpoint, and remove what was replaced longer than `keep` ago.

        If the tables' own retention is longer, that applies, unless `shorten`: what is removed can't be restored.
        """


class LogFiles(Protocol):
    """The checksums that the files of the lake's logs had when they were written. Raises StoreError."""

    def note(self, files: Sequence[LogFile]) -> None:
        """Note these; existing notes stay."""

    def noted(self) -> dict[tuple[str, str], int]:
        """All checksums, by table and name."""

    def newest(self) -> dict[str, int]:
        """The newest version with a note, by table."""

    def keep(self, versions: Mapping[str, tuple[int, int]]) -> None:
        """Forget versions outside the first and the last of a table, and all other tables."""

    def forget(self, table: str, *, name: str) -> None:
        """Forget a file that was removed from the log."""
