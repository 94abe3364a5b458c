"""A lake inside a tar file, read where it is: what it has, and whether every file that its logs name is whole."""

import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from io import RawIOBase
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kubetally.domain.errors import StoreError
from kubetally.store.lake import files
from kubetally.store.lake.faults import LakeDamaged
from kubetally.store.lake.files import DamagedFile
from kubetally.store.lake.place import Place
from kubetally.store.lake.schema import TableName
from kubetally.store.lake.storage import MissingFile
from kubetally.store.lake.tables import DayTable

_ROWS = {False: TableName.ALLOCATIONS, True: TableName.RUNNING}
_DAYS = (TableName.ALLOCATIONS, TableName.ASSETS, TableName.RUNNING, TableName.RUNNING_ASSETS)


@dataclass(frozen=True, slots=True)
class Member:
    """Where in the archive a file's bytes are."""

    begin: int
    size: int


@dataclass(frozen=True, slots=True)
class ArchivedLake:
    """What an archived lake has, and what is wrong with it.

    rows: how many each collection has, by its id; by whether they are of running days.
    """

    rows: Mapping[bool, Mapping[str, int]]
    problems: tuple[str, ...]


def read_archived_lake(archive: Path, members: Mapping[str, Member]) -> ArchivedLake:
    """Look at every file that the logs name; the logs are unpacked into a temporary folder.

    members: the lake's files, by their path in it, none of which leads out of it.
    """
    with tempfile.TemporaryDirectory(prefix="kubetally-") as logs:
        _unpack_logs(archive, members, Path(logs))
        return _read(archive, members, Path(logs))


def _unpack_logs(archive: Path, members: Mapping[str, Member], folder: Path) -> None:
    with archive.open("rb") as opened:
        for path, member in members.items():
            if "_delta_log/" in path:
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(os.pread(opened.fileno(), member.size, member.begin))


def _read(archive: Path, members: Mapping[str, Member], logs: Path) -> ArchivedLake:
    rows: dict[bool, Mapping[str, int]] = {True: {}, False: {}}
    problems: list[str] = []
    with archive.open("rb") as opened:
        for name in _DAYS:
            if not (logs / name / "_delta_log").is_dir():
                continue
            place = _ArchivePlace(str(logs), str(logs), logs, handle=opened.fileno(), members=members)
            found, wrong = _look(DayTable(place, name, timedelta(days=1)), place.storage(name))
            problems += [f"{name}: {one}".replace(f"{logs}/", "") for one in wrong]
            for is_running, table in _ROWS.items():
                if name is table:
                    rows[is_running] = found
    return ArchivedLake(rows, tuple(problems))


def _look(table: DayTable, storage: Any) -> tuple[Mapping[str, int], list[str]]:
    rows: Counter[str] = Counter()
    problems: list[str] = []
    try:
        snapshot = table.newest()
    except StoreError as error:
        return rows, [error.why if isinstance(error, LakeDamaged) else str(error)]
    for day in sorted(snapshot.files):
        for file in snapshot.of(day):
            try:
                files.verify(storage, file)
                ids = files.read(storage, file, table.schema, columns=["collection_id"])["collection_id"]
            except MissingFile:
                problems.append(f"the file {file.path} is missing")
            except (DamagedFile, OSError, pa.ArrowException) as error:
                problems.append(f"the file {file.path} is damaged: {error}")
            else:
                counts = pc.value_counts(ids).to_pylist()
                rows.update({count["values"]: count["counts"] for count in counts})
    return rows, problems


@dataclass(frozen=True)
class _ArchivePlace(Place):
    handle: int = -1
    members: Mapping[str, Member] = field(default_factory=dict, repr=False)

    def storage(self, name: str) -> Any:
        return _ArchiveStorage(self.handle, name, self.members)


class _ArchiveStorage:
    """The files of a table in the archive, to be read only."""

    log = None

    def __init__(self, handle: int, table: str, members: Mapping[str, Member]) -> None:
        self._handle, self._table, self._members = handle, table, members

    def opened(self, path: str, size: int) -> Any:
        member = self._member(path)
        if member.size != size:
            raise DamagedFile(f"it has {member.size} bytes, not {size}")
        return pa.PythonFile(_Part(self._handle, member), mode="r")

    def body(self, path: str) -> bytes:
        member = self._member(path)
        return os.pread(self._handle, member.size, member.begin)

    def sync(self, paths: Iterable[str]) -> None:
        """Nothing is written."""

    def _member(self, path: str) -> Member:
        try:
            return self._members[f"{self._table}/{path}"]
        except KeyError:
            raise MissingFile(path) from None


class _Part(RawIOBase):
    """A part of a file, as a file."""

    def __init__(self, handle: int, member: Member) -> None:
        self._handle, self._member, self._at = handle, member, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def size(self) -> int:
        return self._member.size

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._member.size}[whence]
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self._member.size - self._at)
        wanted = left if size is None or size < 0 else min(size, left)
        content = os.pread(self._handle, wanted, self._member.begin + self._at)
        self._at += len(content)
        return content
