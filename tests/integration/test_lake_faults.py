"""A lake that several write to, whose writer is killed, or whose disk is full: it is the old or the new, and whole."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from threading import Barrier, Thread
from typing import Any, Self

import pytest
from deltalake import DeltaTable

from kubetally.domain.errors import StoreError
from kubetally.store.lake.delta import DeltaLake
from kubetally.store.lake.place import Place
from kubetally.store.lake.schema import TableName
from kubetally.store.lake.storage import Storage
from kubetally.store.lake.tables import DayTable
from tests.cluster_days import DAY, cluster_day
from tests.errors import raises_code
from tests.integration.object_stores import ObjectStore
from tests.integration.small_disk import fill
from tests.lake_tables import allocation_table

ATTEMPTS = 12

ROOT = Path(__file__).parents[2]
ACCOUNTS = ["a", "b", "c"]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return str(tmp_path / "lake")


@contextmanager
def writing(url: str, accounts: list[str], first: int = 0, times: int = 10**6) -> Iterator[subprocess.Popen[str]]:
    """A process that replaces the accounts' day again and again, from when it gets a line on."""
    command = [sys.executable, "-m", "tests.integration.lake_writer", url, ",".join(accounts), str(first), str(times)]
    writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert said(writer) == "ready"
        yield writer
    finally:
        writer.kill()
        writer.communicate()


def go(writer: subprocess.Popen[str]) -> None:
    assert writer.stdin is not None
    writer.stdin.write("go\n")
    writer.stdin.flush()


def said(writer: subprocess.Popen[str]) -> str:
    assert writer.stdout is not None
    return writer.stdout.readline().strip()


def generations(url: str, name: str = "allocations") -> Counter[str]:
    """Rows of each collection, as any other program would read the table now."""
    return Counter(DeltaTable(f"{url}/{name}").to_pyarrow_table(columns=["collection_id"])["collection_id"].to_pylist())


def held_generation(url: str, accounts: list[str]) -> int:
    """The one generation that all accounts have, each with all of its rows."""
    rows = generations(url)
    assert set(rows.values()) == {41}
    assert sorted(id_.rsplit("-", 1)[0] for id_ in rows) == [f"{account}-{DAY}" for account in accounts]
    (generation,) = {int(id_.rsplit("-", 1)[1]) for id_ in rows}
    return generation


def assert_reads(url: str, accounts: list[str], generation: int) -> None:
    """Rows and assets of all accounts are those of the generation."""
    days = [cluster_day(account, generation, pods=40) for account in accounts]
    lake = DeltaLake(url)
    versions = lake.versions_of([day.collection for day in days])
    collections = [replace(day.collection, version=versions[day.collection.id]) for day in days]
    assert lake.rows(collections) == {day.collection.id: tuple(day.rows) for day in days}
    assert lake.assets(collections) == {day.collection.id: tuple(day.assets) for day in days}


def test_two_writers_of_a_new_lake_lose_no_row(url: str) -> None:
    times = 8
    with writing(url, ["a", "b"], times=times) as one, writing(url, ["c", "d"], times=times) as other:
        go(one)
        go(other)
        for number in range(times):
            assert (said(one), said(other)) == (str(number), str(number))
    assert held_generation(url, ["a", "b", "c", "d"]) == times - 1
    assert_reads(url, ["a", "b", "c", "d"], times - 1)
    table = DeltaTable(f"{url}/allocations")
    assert (table.version(), len(table.file_uris())) == (2 * times, 1)


def test_two_writers_of_an_account_leave_one_whole_day(url: str) -> None:
    times = 6
    with writing(url, ["a"], times=times) as one, writing(url, ["a"], first=100, times=times) as other:
        go(one)
        go(other)
        for number in range(times):
            assert (said(one), said(other)) == (str(number), str(100 + number))
    assert_reads(url, ["a"], held_generation(url, ["a"]))


def test_threads_that_share_a_lake_lose_nothing(url: str) -> None:
    lake, names, begin = DeltaLake(url), [f"account-{number}" for number in range(6)], Barrier(6)

    def write(name: str) -> None:
        begin.wait(20)
        lake.put([cluster_day(name, pods=40)])

    threads = [Thread(target=write, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert held_generation(url, names) == 0
    assert_reads(url, names, 0)


@pytest.mark.parametrize("bytes_written", [1, 20_000, 60_000, 100_000, 140_000, 180_000, 220_000, 260_000])
def test_killed_writer_leaves_the_old_or_the_new_day(url: str, bytes_written: int) -> None:
    with writing(url, ACCOUNTS) as writer:
        go(writer)
        assert said(writer) == "0"
        wait_for_bytes(url, bytes_beneath(url) + bytes_written)
        writer.kill()
        rest = writer.communicate()[0].split()
    last_told = int(rest[-1]) if rest else 0
    held = held_generation(url, ACCOUNTS)
    assert held in {last_told, last_told + 1}
    assert_reads(url, ACCOUNTS, held)
    lake = DeltaLake(url)
    lake.put([cluster_day(account, 10**6, pods=40) for account in ACCOUNTS])
    assert_reads(url, ACCOUNTS, 10**6)
    lake.maintain(timedelta(0), shorten=True)
    assert len(list(Path(url).glob("*/day=*/*"))) == 2
    assert_reads(url, ACCOUNTS, 10**6)


def test_a_reader_sees_all_accounts_of_a_commit_or_none(url: str) -> None:
    times, seen = 25, set()
    with writing(url, ACCOUNTS, times=times) as writer:
        go(writer)
        assert said(writer) == "0"
        reader = DeltaLake(url)
        while max(seen, default=0) < times - 1:
            held = held_generation(url, ACCOUNTS)
            seen.add(held)
            days = [cluster_day(account, held, pods=40) for account in ACCOUNTS]
            found = reader.versions_of([day.collection for day in days])
            assert len(set(found.values())) == 1
            rows = reader.rows([replace(day.collection, version=found[day.collection.id]) for day in days])
            assert rows == {day.collection.id: tuple(day.rows) for day in days}
    assert len(seen) > 2


def test_assets_stay_until_their_rows_are_replaced(url: str) -> None:
    lake = DeltaLake(url)
    lake.put([cluster_day("a", pods=40)])
    in_the_way = Path(url) / "allocations" / "_delta_log" / f"{2:020}.json"
    in_the_way.mkdir()
    with pytest.raises(StoreError):
        lake.put([cluster_day("a", 1, pods=40)])
    assert DeltaTable(f"{url}/assets").version() == 2
    in_the_way.rmdir()
    assert lake.versions_of([cluster_day("a", 1).collection]) == {}
    lake.maintain(timedelta(0), shorten=True)
    assert_reads(url, ["a"], 0)


class Intruded(Place):
    """A place where somebody else commits each time that we have read the day and not committed it."""

    times = 10**6

    def storage(self, name: str) -> Storage:
        return IntrudedStorage(self.url, super().storage(name), self.times)


class IntrudedOnce(Intruded):
    """The same, the first time only."""

    times = 1


class IntrudedStorage:
    """The files of a table; what is not `write` is as it was."""

    def __init__(self, url: str, storage: Storage, times: int) -> None:
        self._other, self._storage = DeltaLake(url), storage
        self._generations = iter(range(1, times + 1))

    def write(self, path: str, content: Any) -> None:
        for generation in islice(self._generations, 1):
            self._other.put([cluster_day("other", generation, pods=40)])
        self._storage.write(path, content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)


def test_first_commit_of_a_day_is_read_by_the_second(url: str) -> None:
    DeltaLake(url).put([cluster_day("a", day=DAY + timedelta(days=1))])
    table = DayTable(IntrudedOnce.parse(url), TableName.ALLOCATIONS, timedelta(days=400))
    both = {account: allocation_table(cluster_day(account, 7)) for account in ("b", "other")}
    table.put(DAY, both, {})
    rows = generations(url)
    assert {id_ for id_ in rows if f"{DAY}" in id_} == {f"b-{DAY}-7", f"other-{DAY}-7"}
    assert len(DeltaTable(f"{url}/allocations").file_uris()) == 2


def test_writer_gives_up_after_repeated_conflicts(url: str) -> None:
    waits: list[float] = []
    DeltaLake(url).put([cluster_day("a", pods=40)])
    table = DayTable(Intruded.parse(url), TableName.ALLOCATIONS, timedelta(days=400), sleep=waits.append)
    with raises_code("lake_busy", match="retry") as caught:
        table.put(DAY, {"b": allocation_table(cluster_day("b"))}, {})
    assert caught.value.retryable
    assert len(waits) == ATTEMPTS - 1
    assert all(0 < seconds <= 1 for seconds in waits)
    assert set(generations(url)) == {f"a-{DAY}-0", f"other-{DAY}-{ATTEMPTS}"}
    files = list((Path(url) / "allocations" / f"day={DAY}").iterdir())
    assert len(files) == ATTEMPTS + 1, "what was not committed is removed at once"


class Proxy:
    """Before an object store: the first request that makes `entry` is given to `meet`, and then not answered."""

    def __init__(self, endpoint: str, entry: str) -> None:
        self.meet: Callable[[Callable[[], object]], object] = lambda forward: None
        self._target, self._entry, self._met = endpoint.removeprefix("http://"), entry, False
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = (self.command, self.path, body, dict(self.headers))
                if self.command == "PUT" and proxy._entry in self.path and not proxy._met:
                    proxy._met = True
                    proxy.meet(lambda: proxy._forward(request))
                    self.close_connection = True
                    return
                status, headers, answer = proxy._forward(request)
                self.send_response_only(status)
                for name, value in headers:
                    if name.lower() not in {"transfer-encoding", "connection"}:
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815

            def log_message(self, *args: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(20)
        self._server.server_close()

    def _forward(self, request: tuple[str, str, bytes, dict[str, str]]) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = HTTPConnection(self._target, timeout=20)
        try:
            connection.request(*request)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()


def test_late_commit_of_the_store_finds_its_file(object_store: ObjectStore) -> None:
    url = f"{object_store.bucket()}/lake"
    direct = DeltaLake(url, storage_options=object_store.options)
    direct.put([cluster_day("a", pods=40)])
    later: list[Callable[[], object]] = []
    with Proxy(object_store.options["aws_endpoint_url"], f"allocations/_delta_log/{2:020}.json") as proxy:
        proxy.meet = later.append
        with raises_code("lake_unavailable"):
            through(proxy, url, object_store).put([cluster_day("b", pods=40)])
        assert direct.newest_version() == 1
        [make] = later
        make()
    both = [cluster_day("a", pods=40), cluster_day("b", pods=40)]
    assert direct.versions_of([day.collection for day in both]) == {f"a-{DAY}-0": 1, f"b-{DAY}-0": 2}
    assert direct.rows([day.collection for day in both]) == {day.collection.id: tuple(day.rows) for day in both}


def test_commit_with_a_lost_answer_is_found_by_its_version(
    object_store: ObjectStore,
) -> None:
    url = f"{object_store.bucket()}/lake"
    direct = DeltaLake(url, storage_options=object_store.options)
    direct.put([cluster_day("a", pods=40)])

    def commit_and_replace(make: Callable[[], object]) -> None:
        make()
        direct.put([cluster_day("b", 1, pods=40)])

    with Proxy(object_store.options["aws_endpoint_url"], f"allocations/_delta_log/{2:020}.json") as proxy:
        proxy.meet = commit_and_replace
        assert through(proxy, url, object_store).put([cluster_day("b", pods=40)]) == 2
    assert direct.newest_version() == 3
    old, new = cluster_day("b", pods=40), cluster_day("b", 1, pods=40)
    held = [replace(old.collection, version=2, last_version=2), replace(new.collection, version=3)]
    assert direct.rows(held) == {day.collection.id: tuple(day.rows) for day in (old, new)}


def through(proxy: Proxy, url: str, store: ObjectStore) -> DeltaLake:
    return DeltaLake(url, storage_options={**store.options, "aws_endpoint_url": proxy.endpoint, "max_retries": "0"})


def bytes_beneath(url: str) -> int:
    found = 0
    for folder, _, names in os.walk(url):
        for name in names:
            try:
                found += (Path(folder) / name).stat().st_size
            except FileNotFoundError:
                continue
    return found


def wait_for_bytes(url: str, size: int) -> None:
    while bytes_beneath(url) < size:
        pass


@pytest.mark.parametrize("free_pages", range(0, 24, 2))
def test_full_disk_changes_nothing_and_writing_resumes(small_disk: Path, free_pages: int) -> None:
    url, pad = str(small_disk / "lake"), small_disk / "pad"
    lake = DeltaLake(url)
    lake.put([cluster_day(account, pods=40) for account in ACCOUNTS])
    fill(pad, leaving=free_pages * 4096)
    generation = until_full(lake)
    for _ in range(2):
        assert held_generation(url, ACCOUNTS) == generation - 1
        assert_reads(url, ACCOUNTS, generation - 1)
        with raises_code("lake_full"):
            lake.put([cluster_day(account, 99, pods=400) for account in ACCOUNTS])
    pad.unlink()
    lake.put([cluster_day(account, 100, pods=40) for account in ACCOUNTS])
    assert_reads(url, ACCOUNTS, 100)


def until_full(lake: DeltaLake) -> int:
    """Replace until there is no space left; the generation that had none."""
    for generation in range(1, 10):
        try:
            lake.put([cluster_day(account, generation, pods=40) for account in ACCOUNTS])
        except StoreError as error:
            if error.code != "lake_full":
                raise
            return generation
    pytest.fail("the disk never was full")


def test_new_lake_on_a_full_disk_is_an_error(small_disk: Path) -> None:
    fill(small_disk / "pad", leaving=0)
    with raises_code("lake_full"):
        DeltaLake(str(small_disk / "lake")).put([cluster_day("a")])
    (small_disk / "pad").unlink()
    DeltaLake(str(small_disk / "lake")).put([cluster_day("a", pods=40)])
    assert_reads(str(small_disk / "lake"), ["a"], 0)


def test_maintenance_removes_uncommitted_files_only_once_old(url: str) -> None:
    lake = DeltaLake(url)
    lake.put([cluster_day("a", pods=40)])
    day = Path(url) / "allocations" / f"day={DAY}"
    fresh, orphan = day / "part-fresh.zstd.parquet", day / "part-orphan.zstd.parquet"
    for file in (fresh, orphan):
        file.write_bytes(b"PAR1")
    then = fresh.stat().st_mtime - timedelta(days=401).total_seconds()
    os.utime(orphan, (then, then))
    assert lake.maintain(timedelta(days=400)).vacuumed == 1
    assert (fresh.exists(), orphan.exists()) == (True, False)
    assert_reads(url, ["a"], 0)
