"""Database and lake in one file, and back: a tar of the database's dump and of the lake's files, as of one instant."""

import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from kubetally.domain.errors import RequestError
from kubetally.ledger.alone import alone
from kubetally.ledger.stored import MAINTAINER
from kubetally.settings import Settings
from kubetally.store.lake.copying import LakeFile, LakeFiles
from kubetally.store.meta.backup import dump, load
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.collect import committer_of
from kubetally.wiring.lake import open_lake_files, shown_lake
from kubetally.wiring.ledger import open_ledger
from kubetally.wiring.store import database_url

_DUMP, _LAKE, _END = "metadata.jsonl", "lake/", "complete"
_PIECE_BYTES, _MOST_IN_MEMORY = 8 << 20, 64 << 20


class BackupUnusable(RequestError):
    """A file that is no whole backup."""

    code = "backup_unusable"

    def __init__(self, file: str, why: str) -> None:
        self.file, self.why = file, why
        super().__init__(f"{file} is no whole backup ({why}), and nothing of it was restored: use another copy of it")


class BackupNotWritten(RequestError):
    """The file of a backup can't be written."""

    code = "backup_not_written"

    def __init__(self, file: str, why: str) -> None:
        self.file, self.why = file, why
        super().__init__(f"the backup {file} can't be written ({why}): name another place")


class LakeNotEmpty(RequestError):
    """Something is kept where a backup was to be restored."""

    code = "lake_not_empty"

    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__(
            f"the lake {url} is not empty: name an empty place with KUBETALLY_LAKE_URL, or remove what is there"
        )


@dataclass(frozen=True, slots=True)
class Copied:
    """Rows of the database, files of the lake, and bytes of the backup.

    locked: names of accounts whose credentials no key at hand decrypts.
    """

    rows: int
    files: int
    bytes: int
    locked: tuple[str, ...] = ()


def backup(settings: Settings, file: Path) -> Copied:
    """Write the backup; the file is there once it is whole.

    Database and logs are of one instant, at which nobody writes. The files that these logs name are copied while others
    go on writing: they never change, and whoever would remove one waits.
    Raises: BackupNotWritten, AnotherWriter, StoreError.
    """
    clock = SystemClock()
    if file.is_dir():
        raise BackupNotWritten(str(file), "it is a folder")
    part = file.with_name(f"{file.name}.part")
    with open_ledger(settings, clock) as ledger:
        committer = committer_of(ledger, clock)
        try:
            with alone(ledger.leases, MAINTAINER, ledger.lake.url), tarfile.open(part, "w") as tar:
                lake = open_lake_files(settings)
                with committer.alone():
                    rows, found = _add_dump(tar, settings), lake.all()
                    _add_files(tar, lake, (one for one in found if one.is_log))
                _add_files(tar, lake, (one for one in found if not one.is_log))
                _add(tar, _END, io.BytesIO(b""), 0)
            part.chmod(0o600)
            os.replace(part, file)  # noqa: PTH105
        except OSError as error:
            raise BackupNotWritten(str(file), error.strerror or str(error)) from error
        finally:
            part.unlink(missing_ok=True)
    return Copied(rows, len(found), file.stat().st_size)


def restore(settings: Settings, file: Path) -> Copied:
    """Restore a backup into an empty database and an empty lake; of one that is refused nothing stays.

    Logs come after the files that they name, and the database last, so that one who is killed leaves no lake that looks
    whole.
    Raises: BackupUnusable, LakeNotEmpty, DatabaseNotEmpty, DumpDamaged, StoreError.
    """
    lake = open_lake_files(settings)
    if lake.all():
        raise LakeNotEmpty(shown_lake(settings))
    _see_that_it_is_whole(file)
    with tempfile.TemporaryFile() as dumped, _undone(lake) as written, tarfile.open(file, "r:") as tar:
        logs: list[tarfile.TarInfo] = []
        for member in tar.getmembers():
            if member.name == _DUMP:
                shutil.copyfileobj(_content(tar, member), dumped, _PIECE_BYTES)
            elif member.name.startswith(_LAKE):
                found = LakeFile(member.name.removeprefix(_LAKE), member.size)
                if found.is_log:
                    logs.append(member)
                else:
                    _restore_file(tar, member, lake, written)
        for member in logs:
            _restore_file(tar, member, lake, written)
        dumped.seek(0)
        counts = load(database_url(settings), dumped)
        done = Copied(sum(counts.values()), len(written), file.stat().st_size)
        written.clear()  # it stays
    with open_ledger(settings) as ledger:
        return replace(done, locked=tuple(one.name for one in ledger.accounts.all() if one.locked is not None))


def _restore_file(tar: tarfile.TarFile, member: tarfile.TarInfo, lake: LakeFiles, written: list[str]) -> None:
    written.append(member.name.removeprefix(_LAKE))
    lake.write(written[-1], _content(tar, member))


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    """Raises BackupUnusable."""
    content = tar.extractfile(member)
    if content is None:
        raise BackupUnusable(str(tar.name), f"{member.name} is no file")
    return content


def _add_dump(tar: tarfile.TarFile, settings: Settings) -> int:
    with tempfile.TemporaryFile() as dumped:
        counts = dump(database_url(settings), dumped)
        size = dumped.tell()
        dumped.seek(0)
        _add(tar, _DUMP, dumped, size)
    return sum(counts.values())


def _add_files(tar: tarfile.TarFile, lake: LakeFiles, files: Iterable[LakeFile]) -> None:
    for file in files:
        with tempfile.SpooledTemporaryFile(_MOST_IN_MEMORY) as content:
            for piece in lake.pieces(file.path):
                content.write(piece)
            content.seek(0)
            _add(tar, _LAKE + file.path, content, file.size)


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    tar.addfile(member, content)


def _see_that_it_is_whole(file: Path) -> None:
    """Raises BackupUnusable."""
    if not file.exists():
        raise BackupUnusable(str(file), "there is no such file")
    try:
        with tarfile.open(file, "r:") as tar:
            names = tar.getnames()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise BackupUnusable(str(file), str(error)) from error
    if not names or names[0] != _DUMP or names[-1] != _END:
        raise BackupUnusable(str(file), "it is cut off, or none of Kubetally's")


@contextmanager
def _undone(lake: LakeFiles) -> Iterator[list[str]]:
    """A list of files that are removed again unless it is empty at the end."""
    written: list[str] = []
    try:
        yield written
    finally:
        if written:
            lake.remove(written)
