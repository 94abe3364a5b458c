"""Backups of one database and lake: drafts that become backups, and what a backup is restored into."""

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO

import msgspec

from kubetally.domain.errors import RequestError
from kubetally.ledger.ports.backups import Backup, BackupDraft, LakeFile
from kubetally.store.backup.dump import dump, load
from kubetally.store.backup.reading import DUMP, END, LAKE, MAX_BYTES_IN_MEMORY, newer_version, open_backup, spool
from kubetally.store.lake.copying import LakeFiles
from kubetally.store.lake.log_folder import sync_folder
from kubetally.store.temporary import temporary_file


@dataclass(frozen=True, slots=True)
class TarBackups:
    """The port `BackupFiles`. database_url: may hold a password."""

    database_url: str = field(repr=False)
    open_lake: Callable[[], LakeFiles]

    def open(self, file: Path) -> AbstractContextManager[Backup]:
        return open_backup(file)

    def check_place(self, file: Path) -> None:
        if file.is_dir():
            raise _not_written(file, "it is a folder")
        if file.exists() and not file.is_file():
            raise _not_written(file, "it is a device or pipe")

    def newer_version(self, file: Path) -> str | None:
        return newer_version(file)

    @contextmanager
    def draft(self, file: Path) -> Iterator[BackupDraft]:
        """A draft that takes the place of `file`, or of what it links to, unless an error leaves the context."""
        try:
            with _put_in_place(Path(os.path.realpath(file))) as draft, tarfile.open(fileobj=draft, mode="w") as tar:
                yield TarDraft(Path(draft.name), draft, tar, self.database_url, self.open_lake())
        except OSError as error:
            raise _not_written(file, error.strerror or str(error)) from error

    def restore_target(self) -> "StoresToFill":
        return StoresToFill(self.database_url, self.open_lake())


@dataclass
class TarDraft:
    """The port `BackupDraft`. opened: the file, which the tar is written to. Raises StoreError, OSError."""

    file: Path
    opened: IO[bytes]
    tar: tarfile.TarFile
    database_url: str = field(repr=False)
    lake: LakeFiles
    _files: list[LakeFile] = field(default_factory=list)
    _manifest: dict[str, str] = field(default_factory=dict)
    _seconds: int = 0

    def add_database_and_logs(self, at: datetime) -> int:
        self._seconds = int(at.timestamp())
        dumped, counts = temporary_file(partial(dump, self.database_url))
        with dumped:
            digest = hashlib.sha256()
            for piece in iter(partial(dumped.read, 8 << 20), b""):
                digest.update(piece)
            self._manifest[DUMP] = digest.hexdigest()
            self._add(DUMP, dumped)
        self._files = self.lake.all()
        self._add_files(is_log=True)
        return sum(counts.values())

    def add_data(self) -> int:
        self._add_files(is_log=False)
        self._add(END, io.BytesIO(msgspec.json.encode(self._manifest)))
        self.tar.close()
        self.opened.flush()
        return len(self._files)

    def _add_files(self, *, is_log: bool) -> None:
        for file in self._files:
            if file.is_log != is_log:
                continue
            content, digest = temporary_file(partial(spool, self.lake.pieces(file.path)), MAX_BYTES_IN_MEMORY)
            with content:
                self._manifest[LAKE + file.path] = digest
                self._add(LAKE + file.path, content)

    def _add(self, name: str, content: IO[bytes]) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = content.seek(0, os.SEEK_END), 0o600, self._seconds
        content.seek(0)
        self.tar.addfile(member, content)


@dataclass(frozen=True, slots=True)
class StoresToFill:
    """The port `RestoreTarget`."""

    database_url: str = field(repr=False)
    files: LakeFiles

    @property
    def lake(self) -> str:
        return self.files.url

    def has_lake_files(self) -> bool:
        return bool(self.files.all())

    def write_file(self, path: str, content: IO[bytes]) -> None:
        self.files.write(path, content)

    def remove_file(self, path: str) -> None:
        self.files.remove([path])

    def load_database(self, dump: BinaryIO) -> int:
        return sum(load(self.database_url, dump).values())


def _not_written(file: Path, why: str) -> RequestError:
    return RequestError(f"the backup {file} can't be written ({why}): name another place", code="backup_not_written")


@contextmanager
def _put_in_place(file: Path) -> Iterator[IO[bytes]]:
    """A draft that only we may read, and that takes the place of `file` once it is complete and on disk."""
    part = file.with_name(f"{file.name}.part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.close(handle)
        with part.open("r+b") as opened:
            yield opened
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(part, file)  # noqa: PTH105
    finally:
        part.unlink(missing_ok=True)
    sync_folder(file.parent)
