"""The file of a backup, read.

It is a tar of the database's dump and of the lake's files. Its last member is the manifest: the SHA-256 of each member
before it, in their order. The time of its members is the instant that it is of.
"""

import hashlib
import tarfile
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import IO, BinaryIO

import msgspec

from kubetally.domain.damage import FileDamage
from kubetally.domain.errors import StoreError
from kubetally.ledger.ports.backups import BackupUnusable, DumpSummary, DumpUnusable, LakeFile
from kubetally.ledger.ports.lake import Lake, NotedLog
from kubetally.store.backup.dump import DumpIsNewer, check_revision, summarize
from kubetally.store.lake.archive import Member, archived_lake
from kubetally.store.lake.checking import sound_crc
from kubetally.store.lake.delta import DeltaLake
from kubetally.store.lake.faults import LakeNewer
from kubetally.store.temporary import TemporaryFolderUnusable, temporary_file, temporary_folder, writing_temporarily

DUMP, LAKE, END = "metadata.jsonl", "lake/", "complete"
MAX_BYTES_IN_MEMORY = 64 << 20
_PIECE_BYTES = 8 << 20


@dataclass(frozen=True)
class TarBackup:
    """The port `Backup` on a tar. manifest: the checksums that its members should have, by name."""

    tar: tarfile.TarFile
    file: Path
    manifest: Mapping[str, str]

    @property
    def instant(self) -> datetime | None:
        written = self.tar.getmembers()[0].mtime
        return datetime.fromtimestamp(written, UTC) if written else None

    @cached_property
    def lake_files(self) -> list[LakeFile]:
        files = [self._members[name] for name in self.manifest if name != DUMP]
        return [LakeFile(member.name.removeprefix(LAKE), member.size) for member in files]

    @cached_property
    def _members(self) -> dict[str, tarfile.TarInfo]:
        return {member.name: member for member in self.tar.getmembers()}

    def changed_members(self) -> list[str]:
        return [name for name, digest in self.manifest.items() if self._digest(name) != digest]

    def summarize(self) -> DumpSummary:
        with reading(self.file, f"{DUMP} can't be read"):
            dump = self.tar.extractfile(DUMP)
            assert dump is not None  # noqa: S101 - it is a regular file
            return summarize(dump)

    def open_lake(self) -> AbstractContextManager[Lake]:
        return archived_lake(self.file, _lake_members(self.tar, self.file))

    def copy_dump(self) -> BinaryIO:
        return temporary_file(lambda into: self.copy_member(DUMP, into))[0]

    def copy_file(self, path: str, *, or_changed: bool = False) -> BinaryIO:
        def copy(into: IO[bytes]) -> None:
            self.copy_member(LAKE + path, into, or_changed=or_changed)

        return temporary_file(copy, MAX_BYTES_IN_MEMORY)[0]

    def copy_member(self, name: str, into: IO[bytes], *, or_changed: bool = False) -> None:
        """Copy a member, and go back to the start of the copy. Raises BackupUnusable, unless it may be changed."""
        if spool(self._pieces(name), into) != self.manifest[name] and not or_changed:
            raise BackupUnusable(str(self.file), f"{name} differs from its checksum")

    def _digest(self, name: str) -> str:
        digest = hashlib.sha256()
        for piece in self._pieces(name):
            digest.update(piece)
        return digest.hexdigest()

    def _pieces(self, name: str) -> Iterator[bytes]:
        return _pieces(self.tar, self._members[name], self.file)


@contextmanager
def open_backup(file: Path) -> Iterator[TarBackup]:
    """A backup whose members are those of its manifest. Raises BackupUnusable."""
    with _open_tar(file) as tar:
        yield TarBackup(tar, file, _read_manifest(tar, file))


def newer_version(file: Path) -> str | None:
    """Why only a newer Kubetally can read this backup; None if this one can, or it is not a backup.

    Raises: TemporaryFolderUnusable.
    """
    with suppress(BackupUnusable, DumpUnusable, OSError), _open_tar(file) as tar:
        with reading(file):
            first = tar.next()
            dump = tar.extractfile(first) if first is not None and first.name == DUMP and first.isreg() else None
        if dump is None:
            return None
        try:
            check_revision(dump)
            with archived_lake(file, _lake_members(tar, file)) as lake:
                lake.make()
        except (DumpIsNewer, LakeNewer) as error:
            return str(error)
        except TemporaryFolderUnusable:  # says nothing about the backup, which may be a newer one
            raise
        except StoreError:
            return None
    return None


@dataclass(frozen=True, slots=True)
class UnpackedLake:
    """The port `UnpackedBackup` on a folder."""

    folder: Path

    @property
    def lake(self) -> Lake:
        return DeltaLake(str(self.folder))

    def log_file(self, damage: FileDamage, noted: NotedLog) -> bytes | None:
        file = self.folder / damage.table / damage.path
        if not file.is_file():
            return None
        content = file.read_bytes()
        crc = sound_crc(file.name, content)
        return content if crc is not None and noted.get((damage.table, file.name), crc) == crc else None


@contextmanager
def unpack_lake(file: Path) -> Iterator[UnpackedLake]:
    """The lake of a backup, unpacked until the context is left. Raises BackupUnusable, TemporaryFolderUnusable."""
    with temporary_folder() as folder, open_backup(file) as backup:
        for member in backup.lake_files:
            target = folder / member.path
            with writing_temporarily():
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as into:
                    backup.copy_member(LAKE + member.path, into)
        yield UnpackedLake(folder)


def spool(pieces: Iterable[bytes], into: IO[bytes]) -> str:
    """Write all pieces and go back to the start; returns their SHA-256."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
        into.write(piece)
    into.seek(0)
    return digest.hexdigest()


@contextmanager
def reading(file: Path, why: str = "") -> Iterator[None]:
    """Errors of reading a tar or its manifest, translated. Raises BackupUnusable."""
    try:
        yield
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise BackupUnusable(str(file), f"{why}: {error}" if why else str(error)) from error


@contextmanager
def _open_tar(file: Path) -> Iterator[tarfile.TarFile]:
    """Raises BackupUnusable."""
    with reading(file):
        is_there = file.exists()
    if not is_there:
        raise BackupUnusable(str(file), "the file does not exist")
    with ExitStack() as stack:
        with reading(file):
            tar = stack.enter_context(tarfile.open(file, "r:"))
        yield tar


def _read_manifest(tar: tarfile.TarFile, file: Path) -> dict[str, str]:
    """The manifest, once the members are those that it names and none would be written elsewhere.

    Raises: BackupUnusable.
    """
    with reading(file):
        members = tar.getmembers()
    names = [member.name for member in members]
    if not names or names[0] != DUMP or names[-1] != END:
        raise BackupUnusable(str(file), "it is cut off, or not written by Kubetally")
    for member in members:
        _check_regular(member, file)
    for name in names[1:-1]:
        _check_name(name, file)
    with reading(file, "its list of files can't be read"):
        manifest = msgspec.json.decode(b"".join(_pieces(tar, members[-1], file)), type=dict[str, str])
    if names[:-1] != list(manifest):
        raise BackupUnusable(str(file), "its files are not those of its list")
    return manifest


def _pieces(tar: tarfile.TarFile, member: tarfile.TarInfo, file: Path) -> Iterator[bytes]:
    """The content of a member, piece by piece. Raises BackupUnusable."""
    with reading(file, f"{member.name} can't be read"):
        content = tar.extractfile(member)
    while content is not None:
        with reading(file, f"{member.name} can't be read"):
            piece = content.read(_PIECE_BYTES)
        if not piece:
            return
        yield piece


def _lake_members(tar: tarfile.TarFile, file: Path) -> dict[str, Member]:
    """The lake's files in a backup, by their path in the lake. Raises: BackupUnusable."""
    with reading(file):
        members = [member for member in tar.getmembers() if member.name.startswith(LAKE)]
    for member in members:
        _check_regular(member, file)
        _check_name(member.name, file)
    return {member.name.removeprefix(LAKE): Member(member.offset_data, member.size) for member in members}


def _check_regular(member: tarfile.TarInfo, file: Path) -> None:
    """Raises: BackupUnusable, for a link, folder, device or pipe."""
    if not member.isreg() or member.issparse():
        raise BackupUnusable(str(file), f"{member.name!r} is not a regular file")


def _check_name(name: str, file: Path) -> None:
    """Raises: BackupUnusable, if a member would not be a file below the lake, or has a name that a lake can't have."""
    is_control = any(unicodedata.category(character) in {"Cc", "Cs"} for character in name)
    is_below = name.startswith(LAKE) and "\\" not in name and not {"", ".", ".."} & set(name.split("/"))
    if is_control or not is_below:
        raise BackupUnusable(str(file), f"{name!r} is not the name of a file of the lake")
