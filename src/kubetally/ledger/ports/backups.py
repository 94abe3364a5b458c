"""Backups: database and lake in one file, as of one instant. All calls block."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, BinaryIO, Protocol

from kubetally.domain.collection import Collection
from kubetally.domain.damage import FileDamage
from kubetally.domain.errors import RequestError
from kubetally.domain.savings import SavingsDay
from kubetally.ledger.ports.lake import Lake, NotedLog

_LOG = "_delta_log/"


class BackupUnusable(RequestError):
    """A file that is not a complete backup."""

    code = "backup_unusable"

    def __init__(self, file: str, why: str) -> None:
        self.file, self.why = file, why
        super().__init__(f"{file} is not a complete backup ({why}). Nothing was restored; use another copy")


class DumpUnusable(RequestError):
    """A dump of the database that is damaged, or not a dump (code `not_a_dump`)."""

    code = "dump_damaged"

    def __init__(self, why: str, *, code: str | None = None) -> None:
        message = f"the dump of the database can't be used ({why}). Nothing was restored; use another copy"
        super().__init__(message, code=code)


@dataclass(frozen=True, slots=True)
class LakeFile:
    """A file by its path from the lake's URL."""

    path: str
    size: int

    @property
    def is_log(self) -> bool:
        """Whether it is of a table's log, which names the files of the table."""
        return _LOG in self.path


@dataclass(frozen=True, slots=True)
class DumpSummary:
    """Accounts and their stored days in a dump of the database.

    accounts: names by id. removed: ids of those that were removed. days: the stored collections, without issues and
    completeness. savings: those in the lake. log_files: checksums of the lake's logs. confirmed_at: when the newest
    day was stored.
    """

    accounts: Mapping[str, str]
    removed: frozenset[str]
    days: Sequence[Collection]
    savings: Sequence[SavingsDay]
    log_files: NotedLog
    confirmed_at: datetime | None


class Backup(Protocol):
    """An open backup. Raises BackupUnusable, TemporaryFolderUnusable."""

    @property
    def file(self) -> Path:
        """Its file."""

    @property
    def instant(self) -> datetime | None:
        """The instant of its data; None in a file of an earlier version."""

    @property
    def lake_files(self) -> Sequence[LakeFile]:
        """The files of the lake in it."""

    def changed_members(self) -> list[str]:
        """Names of its members that differ from their checksums."""

    def summarize(self) -> DumpSummary:
        """Read its dump to the end, and verify it. Raises KubetallyError, DumpUnusable where it is damaged."""

    def open_lake(self) -> AbstractContextManager[Lake]:
        """The lake in it, to be read only."""

    def copy_dump(self) -> BinaryIO:
        """A temporary copy of its dump, at its start."""

    def copy_file(self, path: str, *, or_changed: bool = False) -> BinaryIO:
        """A temporary copy of a file of the lake. or_changed: also where it differs from its checksum."""


class BackupDraft(Protocol):
    """A backup that is written beside the file that it finally replaces. Raises StoreError."""

    @property
    def file(self) -> Path:
        """The draft, a backup once `add_data` returned."""

    def add_database_and_logs(self, at: datetime) -> int:
        """Add the dump and the lake's logs, which nobody may write meanwhile; returns the rows of the database."""

    def add_data(self) -> int:
        """Add the other files of the lake, which nobody may remove meanwhile; returns the number of all its files."""


class RestoreTarget(Protocol):
    """The database and the lake that a backup is restored into. Raises StoreError."""

    @property
    def lake(self) -> str:
        """Where the lake is, without credentials."""

    def has_lake_files(self) -> bool:
        """Whether there is any file in the lake."""

    def write_file(self, path: str, content: IO[bytes]) -> None:
        """Write a file of the lake."""

    def remove_file(self, path: str) -> None:
        """Remove a file of the lake if it is there and can be removed."""

    def load_database(self, dump: BinaryIO) -> int:
        """Restore the database, all or nothing; returns its rows. Raises DumpUnusable, RequestError."""


class BackupFiles(Protocol):
    """Reads and writes backups of one database and lake."""

    def open(self, file: Path) -> AbstractContextManager[Backup]:
        """An existing backup. Raises BackupUnusable."""

    def check_place(self, file: Path) -> None:
        """Raises RequestError, where a backup can't be written to `file`."""

    def newer_version(self, file: Path) -> str | None:
        """Why only a newer Kubetally can read this backup; None if this one can, or it is not a backup.

        Raises: TemporaryFolderUnusable.
        """

    def draft(self, file: Path) -> AbstractContextManager[BackupDraft]:
        """A draft that takes the place of `file`, unless an error leaves the context. Raises RequestError."""

    def restore_target(self) -> RestoreTarget:
        """The stores that a backup is restored into. Raises StoreError."""


class UnpackedBackup(Protocol):
    """The lake of a backup, unpacked."""

    @property
    def lake(self) -> Lake:
        """The lake, to be read."""

    def log_file(self, damage: FileDamage, noted: NotedLog) -> bytes | None:
        """The undamaged content of a damaged file of a log; None if the backup lacks it."""
