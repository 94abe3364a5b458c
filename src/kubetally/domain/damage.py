"""Damage of the stored days, their savings and the files of the lake, and the result of a check."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import ClassVar

from kubetally.domain.collection import ASSETS_DAMAGED, DAMAGED, Collection
from kubetally.domain.errors import StoreError
from kubetally.domain.savings import SavingsDay


class CollectionGone(StoreError):
    """The rows of a collection are missing in the lake, or in the version that should have them."""

    code = "collection_gone"

    def __init__(self, url: str, *, collection_id: str, was_replaced: bool = False) -> None:
        """was_replaced: by a later collection, so that it may have expired."""
        self.url, self.collection_id, self.was_replaced = url, collection_id, was_replaced
        expired = "have expired, " if was_replaced else ""
        super().__init__(
            f"{url} lacks the rows of collection {collection_id}: they {expired}were lost to damage, or lake and "
            "database are not from one backup. `kubetally maintain --check` lists missing days"
        )


class DayDamaged(StoreError):
    """A stored day is not as it was committed: bytes, rows or sums differ, or a file is missing."""

    code = DAMAGED
    effect: ClassVar[str] = "its stored costs are not used"

    def __init__(self, url: str, day: date, *, why: str, account_id: str | None = None) -> None:
        """url: of the table. account_id: None if it is not of a single account, or of an unknown one."""
        self.url, self.day, self.why, self.account_id = url, day, why, account_id
        whose = "" if account_id is None else f" of account {account_id}"
        command = f"kubetally backfill {account_id or 'ACCOUNT'} --from {day} --to {day + timedelta(days=1)}"
        super().__init__(
            f"{day}{whose} is damaged in {url} ({why}); {self.effect}. `{command}` collects it again, "
            "`kubetally maintain --check` lists all damage"
        )

    @property
    def table(self) -> str:
        """The name of the table."""
        return self.url.rpartition("/")[2]

    def of(self, account_id: str) -> "DayDamaged":
        """The same error for one account."""
        return type(self)(self.url, self.day, why=self.why, account_id=account_id)


class AssetsDamaged(DayDamaged):
    """The assets of a stored day are damaged; its costs are in its rows."""

    code = ASSETS_DAMAGED
    effect = "its assets are lost, and its costs are read from its rows"


class SavingsDamaged(DayDamaged):
    """The savings of a stored day are damaged; its costs are not affected."""

    code = "savings_damaged"
    effect = "its savings are lost, and its costs are not affected"


class LogDamaged(StoreError):
    """Files of the lake's logs are not as they were written."""

    code = "log_damaged"

    def __init__(self, url: str, damage: Sequence["FileDamage"]) -> None:
        self.url, self.damage = url, tuple(damage)
        first = f"{damage[0].table}/{damage[0].path}: {damage[0].why}"
        more = f" and {len(damage) - 1} more" if len(damage) > 1 else ""
        super().__init__(
            f"the log of the lake {url} is damaged ({first}{more}). Nothing was compacted or removed. `kubetally "
            "maintain --repair --from-backup FILE` restores these files; without a backup, `--repair` removes those "
            "that other files make up for. Else restore a backup with `kubetally restore` into an empty folder and "
            "database"
        )


def lake_behind(url: str, *, found: int | None, known: int) -> StoreError:
    """The lake is older than the database, or another lake than the database's.

    found: its version; None if there is no table. known: the version that the database knows.
    """
    is_at = "is empty" if found is None else f"is at version {found}"
    return StoreError(
        f"the lake {url} {is_at}, but the database knows version {known}; check KUBETALLY_LAKE_URL, restore lake "
        "and database from one backup, or start with a new database as well",
        code="lake_behind",
    )


@dataclass(frozen=True, slots=True)
class SetAside:
    """A file of a log that a power cut left unfinished, and that was moved.

    kept: where it is now. why: what is wrong with it.
    """

    table: str
    file: str
    why: str
    kept: str


@dataclass(frozen=True, slots=True)
class FileDamage:
    """A file of the lake that is damaged or missing, by its path in a table.

    day, written_at: of a data file, if the log has them. is_current: the newest version needs it, not only older ones.
    """

    table: str
    path: str
    why: str
    day: date | None = None
    written_at: datetime | None = None
    is_current: bool = True


@dataclass(frozen=True, slots=True)
class LakeCheck:
    """The result of a check of all files. without_checksum: data files that have none."""

    files: int = 0
    without_checksum: int = 0
    damage: tuple[FileDamage, ...] = ()


DamagedCollection = tuple[Collection, StoreError]
"""A stored collection, and why it can't be read as it was committed."""


@dataclass(frozen=True, slots=True)
class DamagedDay:
    """A stored day that can't be read. noticed_at: when that was last noticed before; None if it is new."""

    collection: Collection
    error: StoreError
    noticed_at: datetime | None = None
    is_set_aside: bool = False

    @property
    def pair(self) -> DamagedCollection:
        """The collection, and why it can't be read."""
        return self.collection, self.error


@dataclass(frozen=True, slots=True)
class CheckedDays:
    """How many stored days were read, which are damaged, and which are no longer damaged.

    missing: collections whose rows the lake lost, of days that have no other.
    """

    count: int = 0
    damaged: Sequence[DamagedDay] = ()
    well_again: Sequence[Collection] = ()
    missing: Sequence[Collection] = ()


@dataclass(frozen=True, slots=True)
class DamageReport:
    """The result of a check of the stores.

    names: of accounts, by id. unreadable: why the tables can't be opened at all. unknown: days of the lake that the
    database does not know, and what to do. savings: those that are damaged, and how.
    """

    files: LakeCheck
    days: CheckedDays
    names: dict[str, str]
    unreadable: StoreError | None = None
    unknown: Sequence[str] = ()
    savings: Sequence[tuple[SavingsDay, DayDamaged]] = ()

    @property
    def is_well(self) -> bool:
        """Whether nothing is damaged, set aside or missing, and the database knows all days of the lake."""
        return not (self.is_damaged or self.unknown)

    @property
    def is_damaged(self) -> bool:
        """Whether something is damaged, set aside or missing."""
        return bool(self.files.damage or self.unreadable or self.days.damaged or self.days.missing or self.savings)

    def name(self, account_id: str) -> str:
        """The name of an account; its id, if it is not known."""
        return self.names.get(account_id, account_id)
