"""Makes the files of scans readable on this machine: those of an object store are copied to a cache."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kubetally.domain.damage import DayDamaged
from kubetally.domain.errors import StoreError
from kubetally.ledger.ports.lake import LocalScans, Scan
from kubetally.store.lake.copying import LakeFiles
from kubetally.store.lake.faults import LakeDamaged
from kubetally.store.lake.files import DamagedFile
from kubetally.store.lake.place import Place
from kubetally.store.lake.schema import DAY

if TYPE_CHECKING:
    from kubetally.store.lake.file_cache import FileCache

_DAY = re.compile(rf"{DAY}=([\d-]+)/")


class CacheFolder(NamedTuple):
    """Where copies are, and how many bytes at most; lakes may share it."""

    folder: Path
    limit: int


class LocalCopies:
    """The files of a lake on this machine. Threads may share it. Raises StoreError."""

    def __init__(self, place: Place, cache: CacheFolder | None) -> None:
        self._place, self._folder = place, cache
        self._lake = hashlib.blake2b(place.url.encode(), digest_size=8).hexdigest()

    def of(self, scans: Sequence[Scan]) -> LocalScans:
        """See the port `LakeFiles`."""
        if self._place.folder is not None or not scans:
            return LocalScans(scans)
        paths = [path.replace(self._place.url, self._lake, 1) for scan in scans for path in scan.paths]
        try:
            hold = self._cache.hold(paths)
        except DamagedFile as error:
            raise self._damaged(error) from error
        copies = iter(hold.paths)
        local = [replace(scan, paths=tuple(next(copies) for _ in scan.paths)) for scan in scans]
        return LocalScans(local, hold.release)

    @cached_property
    def _cache(self) -> "FileCache":
        from kubetally.store.lake.file_cache import FileCache  # locks files, which Windows does otherwise

        if self._folder is None:
            raise StoreError("queries need a folder for copies of files of an object store", code="no_query_cache")
        files = LakeFiles(self._place.target, self._place.options)
        return FileCache(*self._folder, lambda path: files.pieces(path.removeprefix(f"{self._lake}/")))

    def _damaged(self, error: DamagedFile) -> StoreError:
        _, table, path = error.path.split("/", 2)
        day = _DAY.match(path)
        if day is None:
            return LakeDamaged(self._place.url, f"{table}/{path}: {error.why}")
        return DayDamaged(self._place.shown_table(table), date.fromisoformat(day[1]), why=error.why)
