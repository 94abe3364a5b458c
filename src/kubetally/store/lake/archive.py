"""A lake inside a tar file, read in place as if it were restored."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from kubetally.store.lake.delta import DeltaLake
from kubetally.store.lake.faults import LakeDamaged
from kubetally.store.lake.files import DamagedFile
from kubetally.store.lake.log_names import log_names
from kubetally.store.lake.place import Place
from kubetally.store.lake.ranged_file import RangedFile
from kubetally.store.lake.storage import MissingFile
from kubetally.store.temporary import temporary_folder, writing_temporarily


@dataclass(frozen=True, slots=True)
class Member:
    """Where in the archive a file's bytes are."""

    begin: int
    size: int


@contextmanager
def archived_lake(archive: Path, members: Mapping[str, Member]) -> Iterator[DeltaLake]:
    """The lake in an archive, read-only; its logs are unpacked into a temporary folder meanwhile.

    members: the lake's files, by their path in it. Raises: LakeDamaged, for a path that leads out of the lake;
    TemporaryFolderUnusable.
    """
    with temporary_folder() as logs, archive.open("rb") as opened:
        for path in members:
            if not _is_inside(path):
                raise LakeDamaged(str(archive), f"the path {path!r} leads out of it")
        for path, member in members.items():
            if "_delta_log/" in path:
                target, content = logs / path, os.pread(opened.fileno(), member.size, member.begin)
                with writing_temporarily():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content)
        place = _ArchivePlace(str(archive), str(logs), logs, handle=opened.fileno(), members=members)
        yield DeltaLake(str(archive), place=lambda *_: place)


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path)
    return not parts.is_absolute() and ".." not in parts.parts


@dataclass(frozen=True)
class _ArchivePlace(Place):
    handle: int = -1
    members: Mapping[str, Member] = field(default_factory=dict, repr=False)

    def storage(self, name: str) -> Any:
        return _ArchiveStorage(self.handle, name, self.members)


class _ArchiveStorage:
    """The files of a table in the archive, read-only."""

    log = None

    def __init__(self, handle: int, table: str, members: Mapping[str, Member]) -> None:
        self._handle, self._table, self._members = handle, table, members

    def opened(self, path: str, size: int) -> Any:
        member = self._member(path)
        if member.size != size:
            raise DamagedFile(path, f"it has {member.size} bytes, not {size}")
        return pa.PythonFile(_ArchivedFile(self._handle, member), mode="r")

    def body(self, path: str) -> bytes:
        member = self._member(path)
        return os.pread(self._handle, member.size, member.begin)

    def sizes(self) -> dict[str, int]:
        prefix = f"{self._table}/"
        of_table = (path for path in self._members if path.startswith(prefix))
        return {path.removeprefix(prefix): self._members[path].size for path in of_table}

    def log_names(self, since: int) -> list[str]:
        return log_names((path.rpartition("/")[2] for path in self.sizes() if path.startswith("_delta_log/")), since)

    def sync(self, paths: Iterable[str]) -> None:
        """Nothing is written."""

    def _member(self, path: str) -> Member:
        try:
            return self._members[f"{self._table}/{path}"]
        except KeyError:
            raise MissingFile(path) from None


class _ArchivedFile(RangedFile):
    """A file inside the archive."""

    def __init__(self, handle: int, member: Member) -> None:
        super().__init__(member.size)
        self._handle, self._begin = handle, member.begin

    def fetch(self, begin: int, end: int) -> bytes:
        return os.pread(self._handle, end - begin, self._begin + begin)
