"""Database and lake in one file, and back: a tar of the database's dump and of the lake's files, as of one instant.

Its last member is the manifest: the SHA-256 of each member before it, in their order.
"""

import hashlib
import io
import os
import tarfile
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import msgspec

from kubetally.domain.errors import RequestError
from kubetally.ledger.alone import alone
from kubetally.ledger.stored import MAINTAINER
from kubetally.settings import Settings
from kubetally.store.lake.copying import LakeFile, LakeFiles
from kubetally.store.meta.backup import dump, load
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.lake import open_lake_files, shown_lake
from kubetally.wiring.ledger import open_ledger
from kubetally.wiring.reconcile import committer_of, follow
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
    clock, named = SystemClock(), file
    if named.exists() and not named.is_file():
        raise BackupNotWritten(
            str(named), "it is a folder" if named.is_dir() else "it is no file, but a device or pipe"
        )
    file = Path(os.path.realpath(named))  # of a link, what it leads to is written
    manifest: dict[str, str] = {}
    with open_ledger(settings, clock) as ledger:
        committer = committer_of(ledger, clock)
        try:
            with (
                alone(ledger.leases, MAINTAINER, ledger.lake.url),
                _put_in_place(file) as part,
                tarfile.open(fileobj=part, mode="w") as tar,
            ):
                lake = open_lake_files(settings)
                with committer.alone():
                    rows, found = _add_dump(tar, settings, manifest), lake.all()
                    _add_files(tar, lake, (one for one in found if one.is_log), manifest)
                _add_files(tar, lake, (one for one in found if not one.is_log), manifest)
                _add(tar, _END, io.BytesIO(msgspec.json.encode(manifest)))
        except OSError as error:
            raise BackupNotWritten(str(named), error.strerror or str(error)) from error
    return Copied(rows, len(found), file.stat().st_size)


def restore(settings: Settings, file: Path) -> Copied:
    """Restore a backup into an empty database and an empty lake; of one that is refused nothing stays.

    Logs come after the files that they name, and the database last, so that one who is killed leaves no lake that looks
    whole.
    Raises: BackupUnusable, LakeNotEmpty, DatabaseNotEmpty, DumpDamaged, StoreError.
    """
    lake = open_lake_files(settings)
    with _opened(file) as tar, tempfile.TemporaryFile() as dumped, _undone(lake) as written:
        if lake.all():
            raise LakeNotEmpty(shown_lake(settings))
        manifest = _see_that_it_is_whole(tar, file)
        first, *members, _ = tar.getmembers()
        source = _Source(tar, file, manifest)
        source.read(first, dumped)
        for member in sorted(members, key=_is_log):
            with tempfile.SpooledTemporaryFile(_MOST_IN_MEMORY) as content:
                source.read(member, content)
                written.append(member.name.removeprefix(_LAKE))
                lake.write(written[-1], content)
        size = file.stat().st_size
        counts = load(database_url(settings), dumped)
        done = Copied(sum(counts.values()), len(written), size)
        written.clear()  # it stays
    with open_ledger(settings) as ledger:
        follow(ledger)
        return replace(done, locked=tuple(one.name for one in ledger.accounts.all() if one.locked is not None))


@dataclass(frozen=True, slots=True)
class _Source:
    """A backup that is read, and the hashes that its members have to have."""

    tar: tarfile.TarFile
    file: Path
    manifest: Mapping[str, str]

    def read(self, member: tarfile.TarInfo, into: IO[bytes]) -> None:
        """Copy a member, and go back to the start of the copy. Raises BackupUnusable."""
        if _spool(_pieces(self.tar, member, self.file), into) != self.manifest[member.name]:
            raise BackupUnusable(str(self.file), f"{member.name} is not as it was written")


def _is_log(member: tarfile.TarInfo) -> bool:
    return LakeFile(member.name.removeprefix(_LAKE), member.size).is_log


def _pieces(tar: tarfile.TarFile, member: tarfile.TarInfo, file: Path) -> Iterator[bytes]:
    """What is in a member, piece by piece. Raises BackupUnusable."""
    with _understood(file, f"{member.name} can't be read"):
        content = tar.extractfile(member)
    while content is not None:
        with _understood(file, f"{member.name} can't be read"):
            piece = content.read(_PIECE_BYTES)
        if not piece:
            return
        yield piece


def _spool(pieces: Iterable[bytes], into: IO[bytes]) -> str:
    """Write all pieces and go back to the start; their SHA-256."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
        into.write(piece)
    into.seek(0)
    return digest.hexdigest()


def _add_dump(tar: tarfile.TarFile, settings: Settings, manifest: dict[str, str]) -> int:
    with tempfile.TemporaryFile() as dumped:
        counts = dump(database_url(settings), dumped)
        dumped.seek(0)
        manifest[_DUMP] = hashlib.file_digest(dumped, "sha256").hexdigest()
        _add(tar, _DUMP, dumped)
    return sum(counts.values())


def _add_files(tar: tarfile.TarFile, lake: LakeFiles, files: Iterable[LakeFile], manifest: dict[str, str]) -> None:
    for file in files:
        with tempfile.SpooledTemporaryFile(_MOST_IN_MEMORY) as content:
            manifest[_LAKE + file.path] = _spool(lake.pieces(file.path), content)
            _add(tar, _LAKE + file.path, content)


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes]) -> None:
    """Add all of a file that can be sought in."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = content.seek(0, os.SEEK_END), 0o600
    content.seek(0)
    tar.addfile(member, content)


@contextmanager
def _put_in_place(file: Path) -> Iterator[IO[bytes]]:
    """A draft that only we may read, and that takes the place of `file` once it is whole and on disk."""
    part = file.with_name(f"{file.name}.part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as opened:
            yield opened
            opened.flush()
            os.fsync(handle)
        os.replace(part, file)  # noqa: PTH105
    finally:
        part.unlink(missing_ok=True)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _opened(file: Path) -> Iterator[tarfile.TarFile]:
    """Raises BackupUnusable."""
    if not file.exists():
        raise BackupUnusable(str(file), "there is no such file")
    with ExitStack() as stack:
        with _understood(file):
            tar = stack.enter_context(tarfile.open(file, "r:"))
        yield tar


def _see_that_it_is_whole(tar: tarfile.TarFile, file: Path) -> dict[str, str]:
    """The manifest, once the members are those that it names and none would be written elsewhere.

    Raises: BackupUnusable.
    """
    with _understood(file):
        members = tar.getmembers()
    names = [member.name for member in members]
    if not names or names[0] != _DUMP or names[-1] != _END:
        raise BackupUnusable(str(file), "it is cut off, or none of Kubetally's")
    for member in members:
        if not member.isreg() or member.issparse():
            raise BackupUnusable(str(file), f"{member.name!r} is no regular file")
    for name in names[1:-1]:
        if not _is_of_lake(name):
            raise BackupUnusable(str(file), f"{name!r} is no name of a file of the lake")
    with _understood(file, "its list of files can't be read"):
        manifest = msgspec.json.decode(b"".join(_pieces(tar, members[-1], file)), type=dict[str, str])
    if names[:-1] != list(manifest):
        raise BackupUnusable(str(file), "its files are not those of its list")
    return manifest


def _is_of_lake(name: str) -> bool:
    """Whether a member is a file below the lake, under a name that a lake can have."""
    if not name.startswith(_LAKE) or any(unicodedata.category(one) in {"Cc", "Cs"} for one in name):
        return False
    return "\\" not in name and not {"", ".", ".."} & set(name.split("/"))


@contextmanager
def _understood(file: Path, why: str = "") -> Iterator[None]:
    """What fails in reading a tar or its manifest, as ours. Raises BackupUnusable."""
    try:
        yield
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise BackupUnusable(str(file), f"{why}: {error}" if why else str(error)) from error


@contextmanager
def _undone(lake: LakeFiles) -> Iterator[list[str]]:
    """A list of files that are removed again unless it is empty at the end."""
    written: list[str] = []
    try:
        yield written
    finally:
        for path in written:  # one by one: the last may not be there, and would keep others from being removed
            lake.remove([path])
