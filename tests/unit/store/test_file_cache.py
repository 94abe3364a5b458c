"""Copies of files of an object store: verified, shared, bounded."""

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubetally.store.lake.file_cache import FileCache, QueryCacheTooSmall, QueryCacheUnusable
from kubetally.store.lake.files import DamagedFile

PATHS = [f"lake/allocations/day=2026-11-{day}/part.parquet" for day in range(10, 16)]
HOLDER = """
import sys
from pathlib import Path
from kubetally.store.lake.file_cache import FileCache
hold = FileCache(Path(sys.argv[1]), 10**9, lambda path: iter(())).hold(sys.argv[2:])
print("held", flush=True)
sys.stdin.read()
"""


def parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"amount": list(range(2000))}), file, compression="none", use_dictionary=False)
    return file.getvalue()


CONTENT = parquet()
SIZE = len(CONTENT)


class Objects:
    """An object store that counts its downloads, which begin once `may_send` is set."""

    def __init__(self) -> None:
        self.downloads = list[str]()
        self.content = CONTENT
        self.asked, self.may_send = threading.Semaphore(0), threading.Event()
        self.may_send.set()

    def pieces(self, path: str) -> Iterator[bytes]:
        self.downloads.append(path)
        self.asked.release()
        assert self.may_send.wait(20)
        for begin in range(0, len(self.content), 1000):
            yield self.content[begin : begin + 1000]


@pytest.fixture
def objects() -> Objects:
    return Objects()


def held(cache: FileCache, paths: Sequence[str]) -> int:
    """How many copies a question of these files is given."""
    hold = cache.hold(paths)
    hold.release()
    return len(hold.paths)


def copies(folder: Path) -> set[str]:
    files = folder / "files"
    return {str(path.relative_to(files)) for path in files.rglob("*.parquet")}


def test_copies_are_downloaded_once_and_survive_a_restart(tmp_path: Path, objects: Objects) -> None:
    for _ in range(2):
        cache = FileCache(tmp_path, 10**9, objects.pieces)
        for _ in range(2):
            hold = cache.hold([*PATHS, PATHS[0]])
            assert [Path(path).read_bytes() for path in hold.paths] == [CONTENT] * 7
            assert [path.rpartition("/files/")[2] for path in hold.paths] == [*PATHS, PATHS[0]]
            hold.release()
    assert sorted(objects.downloads) == PATHS
    assert list((tmp_path / "holds").iterdir()) == []


def test_folder_is_private(tmp_path: Path, objects: Objects) -> None:
    FileCache(tmp_path / "cache", 10**9, objects.pieces).hold(PATHS[:1]).release()
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


def test_threads_share_a_download(tmp_path: Path, objects: Objects) -> None:
    cache = FileCache(tmp_path, 10**9, objects.pieces)
    objects.may_send.clear()
    with ThreadPoolExecutor(4) as threads:
        holds = [threads.submit(held, cache, PATHS[: number + 1]) for number in range(4)]
        for _ in range(4):
            assert objects.asked.acquire(timeout=20)
        objects.may_send.set()
        assert [hold.result() for hold in holds] == [1, 2, 3, 4]
    assert sorted(objects.downloads) == PATHS[:4]


def test_least_recently_used_copies_go_first(tmp_path: Path, objects: Objects) -> None:
    cache = FileCache(tmp_path, 4 * SIZE + SIZE // 2, objects.pieces)
    for number, path in enumerate(PATHS[:4]):
        cache.hold([path]).release()
        os.utime(tmp_path / "files" / path, (number, number))
    cache.hold(PATHS[:1]).release()
    cache.hold(PATHS[4:5]).release()
    assert copies(tmp_path) >= {PATHS[0], PATHS[4]}
    assert PATHS[1] not in copies(tmp_path)


def test_question_larger_than_the_cache_is_refused(tmp_path: Path, objects: Objects) -> None:
    cache = FileCache(tmp_path, 3 * SIZE, objects.pieces)
    with pytest.raises(QueryCacheTooSmall, match="fewer days, or raise KUBETALLY_QUERY_CACHE"):
        cache.hold(PATHS)
    assert sum(file.stat().st_size for file in tmp_path.rglob("*.parquet")) <= 3 * SIZE
    assert list((tmp_path / "holds").iterdir()) == []
    assert held(cache, PATHS[:2]) == 2


def test_copies_of_a_running_question_stay(tmp_path: Path, objects: Objects) -> None:
    cache, other = (FileCache(tmp_path, 3 * SIZE, objects.pieces) for _ in range(2))
    hold = cache.hold(PATHS[:2])
    with pytest.raises(QueryCacheTooSmall):
        other.hold(PATHS[2:4])
    assert copies(tmp_path) >= set(PATHS[:2])
    hold.release()
    assert held(other, PATHS[2:4]) == 2


def test_holds_of_a_dead_process_end(tmp_path: Path, objects: Objects) -> None:
    cache = FileCache(tmp_path, 3 * SIZE, objects.pieces)
    cache.hold(PATHS[:2]).release()
    command = [sys.executable, "-c", HOLDER, str(tmp_path), *PATHS[:2]]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(QueryCacheTooSmall):
            cache.hold(PATHS[2:4])
        process.send_signal(signal.SIGKILL)
    hold = cache.hold(PATHS[2:4])
    assert len(list((tmp_path / "holds").iterdir())) == 1
    hold.release()


def test_damaged_download_is_no_copy(tmp_path: Path, objects: Objects) -> None:
    cache = FileCache(tmp_path, 10**9, objects.pieces)
    objects.content = CONTENT[:-100]
    with pytest.raises(DamagedFile, match=PATHS[0]):
        cache.hold(PATHS[:1])
    assert list(tmp_path.rglob("*.parquet")) == []
    objects.content = CONTENT
    assert held(cache, PATHS[:1]) == 1


def test_failed_download_of_another_question_is_tried_again(tmp_path: Path, objects: Objects) -> None:
    cache = FileCache(tmp_path, 10**9, objects.pieces)
    objects.may_send.clear()
    objects.content = CONTENT[:-100]
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(cache.hold, PATHS[:1])
        assert objects.asked.acquire(timeout=20)
        second = threads.submit(cache.hold, PATHS[:1])
        objects.may_send.set()
        for hold in (first, second):
            with pytest.raises(DamagedFile):
                hold.result()
    assert len(objects.downloads) == 2


def test_folder_that_cannot_be_made_is_named(tmp_path: Path, objects: Objects) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(QueryCacheUnusable, match="Not a directory"):
        FileCache(tmp_path / "file" / "cache", 10**9, objects.pieces).hold(PATHS)
