"""What a backup holds, and what was written or restored of it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class BackupContents:
    """The contents of a backup.

    instant: of its data; in a file of an earlier version, when its newest day was stored; None without a day.
    days: complete stored days of all accounts. problems: what is missing or damaged.
    """

    instant: datetime | None
    accounts: int
    days: int
    files: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WrittenBackup:
    """A backup that was written: rows of the database, files of the lake, and bytes. `contents` has its problems."""

    rows: int
    files: int
    bytes: int
    contents: BackupContents


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored: rows of the database and files of the lake.

    locked: names of accounts whose credentials can't be decrypted with the present keys.
    """

    rows: int
    files: int
    contents: BackupContents
    locked: tuple[str, ...]
