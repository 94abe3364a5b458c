"""Processes that read for the one that collects: the same days come out, whatever becomes of a process."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import structlog
from structlog.testing import capture_logs

from kubetally.domain.account import Account
from kubetally.domain.collection import CollectedDay, Collection
from kubetally.ledger.accounts.snapshot import AccountSnapshot
from kubetally.ledger.collect.collector import Collector
from kubetally.ledger.collect.committer import Committer
from kubetally.ledger.collect.reader import Reader, Unread
from kubetally.ledger.collect.schedule import Due, Reason
from kubetally.ledger.collect.workers.pool import ReaderPool
from kubetally.ledger.ports.lake import PackedDay
from kubetally.ledger.writing.writer import LakeWriter
from kubetally.settings import Settings
from kubetally.sources.opener import AccountOpener
from kubetally.store.lake.decode import assets_of, rows_of
from kubetally.store.lake.delta import DeltaLake
from kubetally.tasks import run_on_uvloop as run
from kubetally.wiring.collect import SettingsReaderBuilder
from kubetally.wiring.sources import source_opener
from tests.integration.upstream import Upstream
from tests.kept import CoverageInMemory, LeasesInMemory
from tests.served import FixedClock, Served
from tests.service import AccountsInMemory, account

NOT_TRIED = "not_tried"

READER_DIED = "reader_died"

DAYS = [date(2026, 11, day) for day in (20, 21, 22)]
AFTER = FixedClock(datetime(2027, 3, 1, tzinfo=UTC))
Found = PackedDay | CollectedDay | Unread


class Reading:
    """A pool on recorded clusters, whose process is there before anything is asked of it."""

    def __init__(self, server: Served, folder: Path, **more: Any) -> None:
        settings = replace(Settings(), home=str(folder), attempts=1)
        self.account = account(1, f"{server.url}/aurora")
        self.others = account(2, f"{server.url}/draco")
        opener = AccountOpener(self._snapshot, source_opener(settings))
        self.here = Reader(opener.source, opener.metrics, AFTER)
        builder = SettingsReaderBuilder.of(settings, AFTER)
        options = {"processes": 2, "start_at_rows": 1, "deadline_seconds": settings.deadline_seconds, **more}
        self.pool = ReaderPool(self.here, self._snapshot, builder, **options)
        self.lake = DeltaLake(str(folder / "lake"))

    async def _snapshot(self) -> AccountSnapshot:
        return (self.account, self.others)

    async def all(self, account: Account | None = None, **more: Any) -> list[Found]:
        return [day async for day in self.pool.days(account or self.account, DAYS, **more)]

    async def in_processes(self) -> list[int]:
        """Until they are there. Their ids."""
        await self.all()
        await until(lambda: self.pool._least_busy() is not None)
        return readers_of(os.getpid())


def readers_of(parent: int) -> list[int]:
    found = []
    with suppress(psutil.NoSuchProcess):
        for item in psutil.Process(parent).children():
            with suppress(psutil.NoSuchProcess):
                if "workers.process" in " ".join(item.cmdline()):
                    found.append(item.pid)
    return found


@asynccontextmanager
async def reading(server: Served, folder: Path, **more: Any) -> AsyncIterator[Reading]:
    one = Reading(server, folder, **more)
    try:
        yield one
    finally:
        await one.pool.aclose()


def contents(found: list[Found], lake: DeltaLake) -> list[tuple[Collection, Any, Any]]:
    """All that was read, but for the ids that each reading gives anew."""
    loose = [item for item in found if isinstance(item, CollectedDay)]
    days = [*lake.pack(loose), *(item for item in found if isinstance(item, PackedDay))]
    assert len(days) == len(found), [item for item in found if isinstance(item, Unread)]
    return [
        (replace(item.collection, id=""), rows_of(item.content.rows), assets_of(item.content.assets))  # type: ignore[attr-defined]
        for item in sorted(days, key=lambda day: day.collection.day)
    ]


def test_process_reads_the_same_days(upstream: tuple[Upstream, Served], tmp_path: Path) -> None:
    async def compare() -> None:
        async with reading(upstream[1], tmp_path) as one:
            here = [day async for day in one.here.days(one.account, DAYS)]
            assert all(isinstance(day, CollectedDay) for day in here)
            assert len(await one.in_processes()) == 2
            there = await one.all()
            assert all(isinstance(day, PackedDay) for day in there)
            assert contents(there, one.lake) == contents(list(here), one.lake)
            assert sum(len(rows) for _, rows, _ in contents(there, one.lake)) > 100

    run(compare())


def test_reading_moves_to_a_process_without_reading_a_day_twice(
    upstream: tuple[Upstream, Served], tmp_path: Path
) -> None:
    source, server = upstream

    async def move() -> None:
        async with reading(server, tmp_path) as one:
            found: list[Found] = []
            async for day in one.pool.days(one.account, DAYS):
                found.append(day)
                await until(lambda: one.pool._least_busy() is not None)  # after the first day, which was read here
            assert [type(day) for day in found] == [CollectedDay, CollectedDay, PackedDay]
            assert len(contents(found, one.lake)) == 3
        assert source.asked == 3 * 3  # rows, assets, and rows by the hour, as these days settle

    run(move())


def test_no_day_is_begun_after_a_stop(upstream: tuple[Upstream, Served], tmp_path: Path) -> None:
    async def stop() -> None:
        async with reading(upstream[1], tmp_path) as one:
            assert await one.all(should_continue=lambda: False) == []
            await one.in_processes()
            days = [DAYS[0] + timedelta(days=number) for number in range(40)]
            answers = iter([True])
            found = [day async for day in one.pool.days(one.account, days, lambda: next(answers, False))]
            assert 0 < len(found) < 10

    run(stop())


def test_crash_loses_only_the_days_being_read(upstream: tuple[Upstream, Served], tmp_path: Path) -> None:
    source, server = upstream

    async def die() -> None:
        async with reading(server, tmp_path, idle_seconds=0.5) as one:
            ids = await one.in_processes()
            source.mode = "slow"
            before = source.asked
            turn = asyncio.create_task(one.all())
            await until(lambda: source.asked > before)
            for id_ in ids:
                os.kill(id_, signal.SIGKILL)
            found = await turn
            await until(lambda: one.pool._least_busy() is None)
            unread = [day for day in found if isinstance(day, Unread)]
            assert [(day.code, day.was_tried) for day in unread] == [
                (READER_DIED, True),
                (READER_DIED, True),
                (NOT_TRIED, False),
            ]
            assert "signal 9" in unread[0].why
            assert "KUBETALLY_COLLECT_PROCESSES" in unread[0].why
            assert len(found) == len(DAYS)
            died = {day.day for day in unread if day.code == READER_DIED}
            again = await one.all()
            assert not died & {day.collection.day for day in again if isinstance(day, CollectedDay)}, "never here"
            assert not one.pool._clusters
            await until(lambda: one.pool._running is None)
            source.mode = "sound"
            assert len(contents(await one.all(), one.lake)) == 3, "in a process that was started for it"
            assert not one.pool._crashed_days

    with capture_logs() as logs:
        run(die())
    assert [line["code"] for line in logs if line["event"] == "reader_died"] == [-9, -9]


def saying(what: str) -> str:
    """A reader in which `send(self, message)` first does something else."""
    lines = [
        "import os, sys",
        "sys.path[:] = {path!r}",
        "from kubetally.ledger.collect.workers import messages, process",
        "real = process.ResultPipe.send",
        "def send(self, message):",
        f"    {what}",
        "    real(self, message)",
        "process.ResultPipe.send = send",
        "process.main()  # workers.process",
    ]
    return "\n".join(lines)


DIE = "os.kill(os.getpid(), 9)"


def test_crash_after_the_last_day_loses_nothing(upstream: tuple[Upstream, Served], tmp_path: Path) -> None:
    program = saying(f"isinstance(message, messages.Result) and message.day is None and {DIE}")

    async def die() -> None:
        async with reading(upstream[1], tmp_path, program=program) as one:
            await one.in_processes()
            found = await one.all()
            assert [type(day) for day in found] == [PackedDay] * 3

    run(die())


def test_failed_process_is_reported_and_replaced(upstream: tuple[Upstream, Served], tmp_path: Path) -> None:
    program = saying("isinstance(message, messages.Result) and 1 / 0")

    async def fail() -> None:
        async with reading(upstream[1], tmp_path, program=program, processes=2, idle_seconds=0.5) as one:
            first = await one.in_processes()
            turn = one.pool.days(one.account, DAYS)
            unread = await anext(turn)
            assert isinstance(unread, Unread)
            assert unread.code == READER_DIED
            assert "ended with code 1; please report this with the log" in unread.why
            await until(lambda: bool(set(readers_of(os.getpid())) - set(first)))
            await turn.aclose()  # type: ignore[attr-defined]

    with capture_logs() as logs:
        run(fail())
    line = next(line for line in logs if line["event"] == "reader_failed")
    assert "ZeroDivisionError" in line["exception"]


def test_process_that_is_never_ready_is_not_used(upstream: tuple[Upstream, Served], tmp_path: Path) -> None:
    async def wait() -> None:
        more = {"program": "import sys; sys.stdin.read()", "start_seconds": 0.2, "idle_seconds": 0.5}
        async with reading(upstream[1], tmp_path, **more) as one:
            await one.all()
            await until(lambda: any(line["event"] == "reader_died" for line in logs))
            assert len(contents(await one.all(), one.lake)) == 3

    with capture_logs() as logs:
        run(wait())
    assert "was not ready after 0.2 s" in {line.get("how") for line in logs}


def test_days_are_read_locally_if_no_process_starts(upstream: tuple[Upstream, Served], tmp_path: Path) -> None:
    async def ask() -> None:
        async with reading(upstream[1], tmp_path, program="#" * 300_000) as one:
            await one.all()
            await until(lambda: any(line["event"] == "reader_not_started" for line in logs))
            assert len(contents(await one.all(), one.lake)) == 3

    with capture_logs() as logs:
        run(ask())


def test_few_rows_start_no_process(upstream: tuple[Upstream, Served], tmp_path: Path) -> None:
    async def ask() -> None:
        async with reading(upstream[1], tmp_path, start_at_rows=300) as one:
            for _ in range(5):
                found = await one.all()
                assert 150 < sum(day.collection.rows for day in found if not isinstance(day, Unread)) < 300
            assert one.pool._running is None

    run(ask())


def test_hanging_process_is_killed(upstream: tuple[Upstream, Served], tmp_path: Path) -> None:
    async def hang() -> None:
        async with reading(upstream[1], tmp_path, answer_seconds=0.5) as one:
            for id_ in await one.in_processes():
                os.kill(id_, signal.SIGSTOP)
            unread = [day for day in await one.all() if isinstance(day, Unread)]
            assert [day.code for day in unread] == [READER_DIED, READER_DIED, NOT_TRIED]
            assert "returned nothing for 0.5 s" in unread[0].why
            assert "memory" not in unread[0].why

    run(hang())


def test_process_that_sends_rubbish_is_not_used(upstream: tuple[Upstream, Served], tmp_path: Path) -> None:
    program = "import sys; sys.stdout.buffer.write(bytes(7) + b'\\x03abc'); sys.stdout.flush(); sys.stdin.read()"

    async def ask() -> None:
        async with reading(upstream[1], tmp_path, program=program, idle_seconds=0.1) as one:
            await one.all()
            await until(lambda: any(line["event"] == "reader_not_understood" for line in logs))
            assert len(contents(await one.all(), one.lake)) == 3

    with capture_logs() as logs:
        run(ask())


def test_process_reports_failures_as_a_local_reader_does(upstream: tuple[Upstream, Served], tmp_path: Path) -> None:
    source, server = upstream

    async def ask() -> None:
        async with reading(server, tmp_path) as one:
            await one.in_processes()
            source.mode = "down"
            here = [day async for day in one.here.days(one.account, DAYS)]
            assert [day for day in await one.all() if isinstance(day, Unread)] == here

    run(ask())


def test_log_lines_of_a_process_reach_the_log(upstream: tuple[Upstream, Served], tmp_path: Path) -> None:
    async def ask() -> None:
        async with reading(upstream[1], tmp_path) as one:
            await one.in_processes()
            await one.all()

    structlog.reset_defaults()
    with capture_logs() as logs:
        run(ask())
    found = [line for line in logs if line["event"] == "source_found"]
    assert len(found) == 2, "of the turn here and the one there"
    assert found[0] == found[1]


def test_idle_processes_end_and_start_again(upstream: tuple[Upstream, Served], tmp_path: Path) -> None:
    async def wait() -> None:
        async with reading(upstream[1], tmp_path, idle_seconds=0.2) as one:
            await one.in_processes()
            await until(lambda: not readers_of(os.getpid()))
            assert len(await one.in_processes()) == 2

    with capture_logs() as logs:
        run(wait())
    assert not [line for line in logs if line["event"] == "reader_died"]


def test_collector_commits_days_packed_by_processes(upstream: tuple[Upstream, Served], tmp_path: Path) -> None:
    async def collect() -> None:
        async with reading(upstream[1], tmp_path) as one:
            await one.in_processes()
            coverage = CoverageInMemory()
            committer = Committer(LakeWriter(one.lake, coverage, LeasesInMemory(), AFTER))
            accounts = AccountsInMemory([one.account, one.others])
            collector = Collector(accounts, coverage, one.pool, committer, AFTER)
            dues = [Due(Reason.MISSING, day, its.id) for day in DAYS for its in (one.account, one.others)]
            report = await collector.collect(dues)
            assert len(report.collected) == len(dues)
            for its in (one.account, one.others):
                held = coverage.collections(its.id, DAYS[0], end=DAYS[-1] + timedelta(days=1))
                rows = one.lake.rows(held)
                here = [day async for day in one.here.days(its, DAYS) if isinstance(day, CollectedDay)]
                assert [rows[day.id] for day in held] == [
                    tuple(row._replace(details=None) for row in day.rows) for day in here
                ]

    run(collect())


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
def test_processes_end_with_the_collector(
    kill: signal.Signals, upstream: tuple[Upstream, Served], tmp_path: Path
) -> None:
    _, server = upstream
    folder = Path(__file__).parents[2]
    call = f"from {__name__} import read_forever; read_forever({server.url!r}, {str(tmp_path)!r})"
    with subprocess.Popen([sys.executable, "-c", call], cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        ids = [int(word) for word in process.stdout.readline().split()]
        process.send_signal(kill)
    assert len(ids) == 2
    waited_for(lambda: not any(map(is_alive, ids)))


def read_forever(url: str, folder: str) -> None:
    """What the test above kills: it tells of its processes, and reads."""

    class Server:
        def __init__(self) -> None:
            self.url = url

    async def read() -> None:
        async with reading(Server(), Path(folder)) as one:  # type: ignore[arg-type]
            print(*await one.in_processes(), flush=True)
            while True:
                await one.all()

    run(read())


def is_alive(id_: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(id_).status() != psutil.STATUS_ZOMBIE
    return False


async def until(is_so: Callable[[], bool]) -> None:
    await asyncio.to_thread(waited_for, is_so)


def waited_for(is_so: Callable[[], bool], seconds: float = 30) -> None:
    ends = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.02)
