"""Database and lake in one file, and back, as of one instant; what is not whole is neither written nor restored."""

import hashlib
import io
import os
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO

import msgspec

from kubetally.domain.errors import RequestError, StoreError
from kubetally.domain.window import rfc3339
from kubetally.ledger.collect.lease import hold_lease
from kubetally.ledger.collect.reconcile import reconcile_after_change
from kubetally.ledger.ports.leases import MAINTAINER
from kubetally.ledger.stores import Ledger
from kubetally.settings import Settings
from kubetally.store.lake.copying import LakeFile, LakeFiles
from kubetally.store.meta.backup import dump, load
from kubetally.store.temporary import temporary_file
from kubetally.wiring.backup_file import (
    DUMP,
    END,
    LAKE,
    BackupUnusable,
    Contents,
    Source,
    dumped_days,
    lost_days,
    newer_than_known,
    opened_backup,
    read_manifest,
    spool,
    verify_backup,
)
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.lake import open_lake_files, shown_lake
from kubetally.wiring.ledger import open_ledger
from kubetally.wiring.store import database_url
from kubetally.wiring.unknown_days import told_unknown_days

_MOST_IN_MEMORY = 64 << 20
_NAMED_AT_MOST = 8
_MEND = (
    "The present file was left as it is. Check KUBETALLY_LAKE_URL; `kubetally maintain` notes what lake and database "
    "differ in, `kubetally maintain --repair --from-backup FILE` mends what is damaged, `kubetally backfill` collects "
    "days again, `--partial` writes a backup without them to a new file"
)
_KEEP_NEWER = "The present file was left as it is. Make backups with the newer Kubetally, or name another file"
_KEEP = "The present file was left as it is. Name another file, and keep this one"


class BackupNotWritten(RequestError):
    """The file of a backup can't be written."""

    code = "backup_not_written"

    def __init__(self, file: str, why: str) -> None:
        self.file, self.why = file, why
        super().__init__(f"the backup {file} can't be written ({why}): name another place")


class BackupRefused(StoreError):
    """What would be written is not whole, or holds less than the backup in its place; that one was left alone."""

    code = "backup_refused"

    def __init__(self, file: str, problems: Sequence[str], remedy: str) -> None:
        self.file, self.problems = file, tuple(problems)
        shown = "; ".join(problems[:_NAMED_AT_MOST])
        more = len(problems) - _NAMED_AT_MOST
        super().__init__(f"no backup was written to {file}: {shown}{f' and {more} more' if more > 0 else ''}. {remedy}")


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

    contents: what was found in it, with its problems where it was wanted all the same.
    locked: names of accounts whose credentials no key at hand decrypts.
    """

    rows: int
    files: int
    bytes: int
    contents: Contents
    locked: tuple[str, ...] = ()


def backup(settings: Settings, file: Path, *, partial: bool = False) -> Copied:
    """Write the backup; the file is there once it is whole, and was read again.

    Database and logs are of one instant, at which nobody writes. The files that these logs name are copied while others
    go on writing: they never change, and whoever would remove one waits.
    partial: also where days are missing or damaged, but never over another backup that has them.
    Raises: BackupNotWritten, BackupRefused, AnotherWriter, TemporaryFolderUnusable, StoreError.
    """
    clock, named = SystemClock(), file
    if named.exists() and not named.is_file():
        raise BackupNotWritten(
            str(named), "it is a folder" if named.is_dir() else "it is no file, but a device or pipe"
        )
    file = Path(os.path.realpath(named))  # of a link, what it leads to is written
    if (newer := newer_than_known(file)) is not None:
        raise BackupRefused(str(named), [f"a newer Kubetally wrote the backup there ({newer})"], _KEEP_NEWER)
    manifest: dict[str, str] = {}
    with open_ledger(settings, clock) as ledger:
        lake_writer = ledger.writer()
        try:
            with hold_lease(ledger.leases, MAINTAINER, ledger.lake.url), _put_in_place(file) as part:
                unknown = [*_unknown(ledger), *_lost(ledger)]
                with tarfile.open(fileobj=part, mode="w") as tar:
                    lake = open_lake_files(settings)
                    with lake_writer.hold_lease():
                        writer = _Writer(tar, clock.now(), manifest)
                        rows, found = writer.add_dump(settings), lake.all()
                        writer.add_files(lake, (one for one in found if one.is_log))
                    writer.add_files(lake, (one for one in found if not one.is_log))
                    writer.add(END, io.BytesIO(msgspec.json.encode(manifest)))
                part.flush()
                contents = _checked(Path(part.name), file, str(named), unknown, partial=partial)
        except OSError as error:
            raise BackupNotWritten(str(named), error.strerror or str(error)) from error
    return Copied(rows, len(found), file.stat().st_size, contents)


def _unknown(ledger: Ledger) -> list[str]:
    """What days of the lake the database does not know; none of a lake that can't be read, which is found later."""
    if not ledger.has_lake:
        return []
    try:
        return told_unknown_days(ledger, ledger.lake)
    except StoreError as error:
        if error.retryable:
            raise
        return []


def _lost(ledger: Ledger) -> list[str]:
    """Entries that logs of the lake lack at their ends, which nobody tells any more once somebody writes."""
    lost = ledger.lake.lost_log_files(ledger.log_files.noted()) if ledger.has_lake else []
    return [f"{file.table}: the file {file.path}: {file.why}" for file in lost]


def _checked(part: Path, file: Path, named: str, unknown: Sequence[str], *, partial: bool) -> Contents:
    """What a backup that was just written holds. Raises: BackupRefused, where it may not take the place of `file`.

    unknown: problems that the backup alone does not show.
    """
    contents, written, present = verify_backup(part), dumped_days(part), dumped_days(file)
    contents = replace(contents, problems=(*unknown, *contents.problems))
    if contents.problems and not partial:
        raise BackupRefused(named, contents.problems, _MEND)
    if present is not None and written is not None and (lost := lost_days(present[0], written[0])):
        of = f" of {rfc3339(present[1])}" if present[1] else ""
        raise BackupRefused(
            named, [f"the backup{of} there has days that are no longer stored ({'; '.join(lost)})"], _KEEP
        )
    if present is not None and contents.problems:
        raise BackupRefused(named, contents.problems, _KEEP)
    return contents


def restore(settings: Settings, file: Path, *, partial: bool = False) -> Copied:
    """Restore a backup into an empty database and an empty lake; of one that is refused nothing stays.

    It is read to its end and verified before anything is written. partial: also where days are missing or damaged, in
    the lake that was backed up or since in the file: the restored lake names these days as damaged.

    Logs come after the files that they name, and the database last, so that one who is killed leaves no lake that looks
    whole.
    Raises: BackupUnusable, LakeNotEmpty, DatabaseNotEmpty, DumpDamaged, TemporaryFolderUnusable, StoreError.
    """
    lake = open_lake_files(settings)
    with opened_backup(file) as tar, _undone(lake) as written:
        if lake.all():
            raise LakeNotEmpty(shown_lake(settings))
        manifest, contents = read_manifest(tar, file), verify_backup(file)
        if contents.problems and not partial:
            raise BackupUnusable(str(file), "; ".join(contents.problems[:_NAMED_AT_MOST]))
        first, *members, _ = tar.getmembers()
        source = Source(tar, file, manifest)
        with source.copy(first) as dumped:
            for member in sorted(members, key=_is_log):
                may_be_changed = partial and not _is_log(member)
                with source.copy(member, _MOST_IN_MEMORY, or_changed=may_be_changed) as content:
                    written.append(member.name.removeprefix(LAKE))
                    lake.write(written[-1], content)
            size = file.stat().st_size
            counts = load(database_url(settings), dumped)
        done = Copied(sum(counts.values()), len(written), size, contents)
        written.clear()  # it stays
    with open_ledger(settings, may_lock=True) as ledger:
        reconcile_after_change(ledger)
        return replace(done, locked=tuple(one.name for one in ledger.accounts.all() if one.locked is not None))


def _is_log(member: tarfile.TarInfo) -> bool:
    return LakeFile(member.name.removeprefix(LAKE), member.size).is_log


@dataclass(frozen=True, slots=True)
class _Writer:
    """Members of a backup, on their way into it, and their hashes. at: the instant that the backup is of."""

    tar: tarfile.TarFile
    at: datetime
    manifest: dict[str, str]

    def add_dump(self, settings: Settings) -> int:
        """Add the database; how many rows it has."""
        dumped, counts = temporary_file(partial(dump, database_url(settings)))
        with dumped:
            digest = hashlib.sha256()
            for piece in iter(partial(dumped.read, 8 << 20), b""):
                digest.update(piece)
            self.manifest[DUMP] = digest.hexdigest()
            self.add(DUMP, dumped)
        return sum(counts.values())

    def add_files(self, lake: LakeFiles, files: Iterable[LakeFile]) -> None:
        """Add files of the lake."""
        for file in files:
            content, digest = temporary_file(partial(spool, lake.pieces(file.path)), _MOST_IN_MEMORY)
            with content:
                self.manifest[LAKE + file.path] = digest
                self.add(LAKE + file.path, content)

    def add(self, name: str, content: IO[bytes]) -> None:
        """Add all of a file that can be sought in."""
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = content.seek(0, os.SEEK_END), 0o600, int(self.at.timestamp())
        content.seek(0)
        self.tar.addfile(member, content)


@contextmanager
def _put_in_place(file: Path) -> Iterator[IO[bytes]]:
    """A draft that only we may read, and that takes the place of `file` once it is whole and on disk."""
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
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _undone(lake: LakeFiles) -> Iterator[list[str]]:
    """A list of files that are removed again unless it is empty at the end."""
    written: list[str] = []
    try:
        yield written
    finally:
        for path in written:  # one by one: the last may not be there, and would keep others from being removed
            lake.remove([path])
