"""Copies of files of an object store on this machine, for engines that read files.

A file of the lake never changes under its name, so that a copy is valid for as long as it is needed. Each copy is
verified by the checksums of its row groups before anybody sees it. The folder has:

    files/PATH              verified copies, each by its path in the lake; its time is that of its last use
    holds/ID/names          the copies that a question reads, locked while it does (`flock`)
    holds/ID/drafts/PATH    copies that the question downloads
    lock                    held for a moment, by who takes a hold or removes copies

A process that dies loses its locks with its files, so that the next one that needs space removes its holds.
"""

import fcntl
import io
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from kubetally.domain.errors import RequestError, StoreError
from kubetally.store.lake.files import DataFile, verify
from kubetally.store.lake.log_folder import sync_file
from kubetally.store.lake.storage import DiskStorage

_DOWNLOADS = 8
_PRIVATE = 0o700

Download = Callable[[str], Iterator[bytes]]
"""The pieces of a file of the lake by its path. Raises StoreError."""


class QueryCacheTooSmall(RequestError):
    """The files of the running questions take more space than the cache may."""

    code = "query_cache_too_small"

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(
            f"running questions read more of the lake than the {limit:,} bytes that may be copied: ask for fewer days, "
            "or raise KUBETALLY_QUERY_CACHE"
        )


class QueryCacheUnusable(StoreError):
    """The folder of the cache can't be written, or its disk is full."""

    code = "query_cache_unusable"

    def __init__(self, folder: str, why: str) -> None:
        self.folder, self.why = folder, why
        super().__init__(
            f"files of the lake can't be copied to {folder} ({why}): free space there or make it writable, ask for a "
            "shorter window, or set another KUBETALLY_HOME; a lower KUBETALLY_QUERY_CACHE leaves more space"
        )


@dataclass(frozen=True, slots=True)
class Hold:
    """Copies that stay until `release`, in the order of the paths asked for."""

    paths: tuple[str, ...]
    release: Callable[[], None]


class FileCache:
    """Copies of files, `limit` bytes at most. Threads and processes may share the folder."""

    def __init__(self, folder: Path, limit: int, download: Download) -> None:
        self._folder, self._files, self._holds = folder, folder / "files", folder / "holds"
        self._limit, self._download = limit, download
        self._lock = Lock()
        self._flights: dict[str, Future[None]] = {}

    def hold(self, paths: Sequence[str]) -> Hold:
        """Copies of files by their paths in the lake; missing ones are downloaded, each once for all threads.

        Raises: QueryCacheTooSmall, QueryCacheUnusable; DamagedFile.
        """
        with self._translated():
            holding = self._hold(paths)
        try:
            with self._translated():
                self._fetch(dict.fromkeys(paths), holding)
        except BaseException:
            holding.release()
            raise
        return Hold(tuple(str(self._files / path) for path in paths), holding.release)

    def _hold(self, paths: Sequence[str]) -> "_Holding":
        for folder in (self._folder, self._files):
            folder.mkdir(_PRIVATE, parents=True, exist_ok=True)
        with self._locked():
            return _Holding(self._holds / uuid.uuid4().hex, paths)

    def _is_used(self, path: str) -> bool:
        """Note that a copy is used now; False if there is none."""
        try:
            os.utime(self._files / path)
        except FileNotFoundError:
            return False
        return True

    def _fetch(self, paths: Iterable[str], holding: "_Holding") -> None:
        """Download what is missing, and wait for what other threads download; if they fail, download that too."""
        room = _Room(self._make_room)
        while missing := [path for path in paths if not self._is_used(path)]:
            mine, others = self._claim(missing)
            with ThreadPoolExecutor(_DOWNLOADS) as downloads:
                done = [downloads.submit(self._copy_for_all, path, holding, room) for path in mine]
            for copied in done:
                copied.result()
            wait(others)

    def _claim(self, missing: Sequence[str]) -> tuple[list[str], list[Future[None]]]:
        """What this thread has to download, and what others download already."""
        mine, others = list[str](), list[Future[None]]()
        with self._lock:
            for path in missing:
                if path in self._flights:
                    others.append(self._flights[path])
                else:
                    self._flights[path] = Future()
                    mine.append(path)
        return mine, others

    def _copy_for_all(self, path: str, holding: "_Holding", room: "_Room") -> None:
        """Download a file, and tell the threads that wait for it."""
        try:
            room.check()
            if not self._is_used(path):  # it came since it was missed
                self._copy(path, holding, room)
        except BaseException as error:
            room.failure = error
            raise
        finally:
            with self._lock:
                self._flights.pop(path).set_result(None)

    def _copy(self, path: str, holding: "_Holding", room: "_Room") -> None:
        draft, place = holding.drafts / path, self._files / path
        draft.parent.mkdir(_PRIVATE, parents=True, exist_ok=True)
        size = 0
        with draft.open("xb", buffering=0) as file:
            for piece in self._download(path):
                size += room.write(file, piece)
        verify(DiskStorage(holding.drafts), DataFile(path, size))
        sync_file(draft)
        place.parent.mkdir(_PRIVATE, parents=True, exist_ok=True)
        draft.replace(place)

    def _make_room(self, size: int) -> int:
        """Remove what was not used for longest, and the rest of dead processes; returns what is left after `size`.

        It is a few bytes only, so that several questions see soon what each has written.
        Raises: QueryCacheTooSmall, if the copies in use leave no room for it.
        """
        with self._locked():
            used = self._used_paths()
            copies = sorted(_sizes(self._files), key=lambda copy: copy[0])
            total = size + sum(copy[1] for copy in copies) + sum(copy[1] for copy in _sizes(self._holds))
            spare = self._limit // 10  # so that not every piece has to look again
            for _, its_size, place in copies:
                if total <= self._limit - spare:
                    break
                if place not in used:
                    place.unlink(missing_ok=True)
                    total -= its_size
        if total > self._limit:
            raise QueryCacheTooSmall(self._limit)
        return min(self._limit - total, self._limit // 20)

    def _used_paths(self) -> set[Path]:
        """The copies that living questions hold; holds of dead processes are removed."""
        used = set[Path]()
        for folder in self._holds.iterdir():
            names = _names_in_use(folder)
            if names is None:
                shutil.rmtree(folder, ignore_errors=True)
            else:
                used.update(self._files / name for name in names)
        return used

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise QueryCacheUnusable(str(self._folder), error.strerror or type(error).__name__) from error


class _Holding:
    """The names of the copies that a question reads, in a file that is locked until `release`; and its drafts."""

    def __init__(self, folder: Path, paths: Iterable[str]) -> None:
        self._folder, self.drafts = folder, folder / "drafts"
        self.drafts.mkdir(_PRIVATE, parents=True)
        self._names = (folder / "names").open("w", encoding="utf-8")
        fcntl.flock(self._names, fcntl.LOCK_SH)
        json.dump(list(paths), self._names)
        self._names.flush()

    def release(self) -> None:
        """Let the copies be removed when their space is needed."""
        self._names.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class _Room:
    """The bytes that the downloads of a question may still write. failure: of one of them; the rest is in vain then."""

    def __init__(self, make_room: Callable[[int], int]) -> None:
        self._make_room, self._left, self._lock = make_room, 0, Lock()
        self.failure: BaseException | None = None

    def check(self) -> None:
        """Raise the failure, if there is one."""
        if self.failure is not None:
            raise self.failure

    def write(self, file: io.FileIO, piece: bytes) -> int:
        """Write a piece, one at a time, so that what was counted is written. Raises QueryCacheTooSmall, OSError."""
        with self._lock:
            if len(piece) > self._left:
                self._left = self._make_room(len(piece))
            else:
                self._left -= len(piece)
            written = 0
            while written < len(piece):  # a disk that is nearly full takes a part, and fails then
                written += file.write(piece[written:])
            return written


def _names_in_use(hold: Path) -> list[str] | None:
    """The names in a hold; None if the process that took it is dead."""
    try:
        with (hold / "names").open(encoding="utf-8") as names:
            try:
                fcntl.flock(names, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                paths: list[str] = json.load(names)
                return paths
    except FileNotFoundError:
        pass
    return None


def _sizes(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """The files below a folder: time of change, bytes and place."""
    for parent, _, names in os.walk(folder):
        for name in names:
            place = Path(parent, name)
            with suppress(FileNotFoundError):
                status = place.stat()
                yield status.st_mtime, status.st_size, place
