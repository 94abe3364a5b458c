"""What can be wrong with the lake, and what a check of it returns."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import ClassVar

from kubetally.domain.collection import ASSETS_DAMAGED, DAMAGED
from kubetally.domain.errors import StoreError


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

    code = DAMAGED
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
class SetAside:
    """A file that a power cut left unfinished in a table's log, and that was taken out of it.

    kept: where its bytes are now. why: what is wrong with it.
    """

    table: str
    file: str
    why: str
    kept: str


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
class LakeCheck:
    """What a check of all files found: how many were read, and how many data files of them have no checksums."""

    files: int = 0
    without_checksum: int = 0
    damage: tuple[FileDamage, ...] = ()
