"""Calculations outside the event loop."""

import asyncio
import os
import pickle
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from kubetally.domain.account import Account
from kubetally.domain.allocation import Allocation
from kubetally.domain.asset import Asset
from kubetally.domain.booking import Booking
from kubetally.domain.errors import SourceError
from kubetally.domain.question.cost_question import DetailLevel
from kubetally.domain.reading import Reading
from kubetally.domain.window import Window, parse_instant
from kubetally.ledger.costs.calculations import Calculations
from kubetally.ledger.ports.sources import CostSource
from kubetally.samples.replay import ReplayServer
from kubetally.sources.access import Access
from kubetally.sources.faults import Answer, SourceFailed
from kubetally.sources.opencost.client import CostModelClient
from kubetally.sources.opencost.interpret import interpret
from kubetally.sources.opencost.source import CostModelSource
from kubetally.sources.prometheus.wire import QueryRefused, Result, Sampled, decode_query
from kubetally.sources.transport import Transport
from kubetally.web.metroculus.bodies import Bodies
from kubetally.web.metroculus.question import parse
from tests.recordings import DAYS
from tests.served import FixedClock
from tests.service import AccountsInMemory, account, account_id, cost_service

DAY = Window(*map(parse_instant, DAYS[0]))
LARGE, SMALL = 100, 99
R = TypeVar("R")


@pytest.fixture
def beside() -> Iterator[Calculations]:
    made = Calculations(1, large_bytes=LARGE)
    yield made
    made.close()


async def test_large_call_runs_in_another_process(beside: Calculations) -> None:
    processes = [await beside.in_process(size, os.getpid) for size in (LARGE, LARGE, SMALL)]
    assert processes[0] == processes[1]
    assert (processes[0] != os.getpid(), processes[2] == os.getpid()) == (True, True)
    assert await beside.in_process(LARGE, os.nice, 0) >= 10


async def test_error_of_another_process_keeps_its_facts(beside: Calculations) -> None:
    with pytest.raises(SourceFailed) as caught:
        await beside.in_process(LARGE, fail)
    assert (caught.value.status, caught.value.said) == (500, "boom")


async def test_dead_process_fails_only_its_own_call(tmp_path: Path) -> None:
    beside, ready = Calculations(2, large_bytes=LARGE), tmp_path / "ready"
    healthy = asyncio.ensure_future(beside.in_process(LARGE, process_once_there, tmp_path / "started", ready))
    await asyncio.to_thread(wait_until_there, tmp_path / "started")
    with pytest.raises(SourceError, match="ended early"):
        await beside.in_process(LARGE, os._exit, 3)
    ready.touch()
    assert await healthy != os.getpid()
    beside.close()


async def test_process_that_died_idle_is_replaced(beside: Calculations) -> None:
    process = await beside.in_process(LARGE, os.getpid)
    os.kill(process, signal.SIGKILL)
    await asyncio.to_thread(wait_until_gone, process)
    assert await beside.in_process(LARGE, os.getpid) not in {process, os.getpid()}


async def test_cancelled_call_frees_its_process(beside: Calculations, tmp_path: Path) -> None:
    hanging = asyncio.ensure_future(beside.in_process(LARGE, hang, tmp_path / "started"))
    await asyncio.to_thread(wait_until_there, tmp_path / "started")
    hanging.cancel()
    assert await beside.in_process(LARGE, os.getpid) != os.getpid()
    assert hanging.cancelled()


async def test_unpicklable_error_keeps_its_message(beside: Calculations) -> None:
    with pytest.raises(RuntimeError, match="Unpicklable: told twice"):
        await beside.in_process(LARGE, fail_oddly)
    assert await beside.in_process(LARGE, os.getpid) != os.getpid()


async def test_idle_processes_end() -> None:
    beside = Calculations(1, large_bytes=LARGE, idle_seconds=0.01)
    process = await beside.in_process(LARGE, os.getpid)
    await asyncio.to_thread(wait_until_gone, process)
    assert await beside.in_process(LARGE, os.getpid) != process
    beside.close()


async def test_close_ends_a_hanging_call(tmp_path: Path) -> None:
    beside = Calculations(1, large_bytes=LARGE)
    process = await beside.in_process(LARGE, os.getpid)
    hanging = asyncio.ensure_future(beside.in_process(LARGE, hang, tmp_path / "started"))
    await asyncio.to_thread(wait_until_there, tmp_path / "started")
    beside.close()
    with pytest.raises(SourceError, match="ended early"):
        await hanging
    await asyncio.to_thread(wait_until_gone, process)


async def test_event_loop_touches_no_row(replay: ReplayServer, beside: Calculations) -> None:
    """Rows and assets are decoded, booked, compared and encoded only on other threads and in processes."""
    account_here, loop_thread = account(1, replay.url_of("aurora")), threading.get_ident()
    threads = set[int]()

    class Guarded(list[R]):
        def __iter__(self) -> Iterator[R]:
            threads.add(threading.get_ident())
            return super().__iter__()

    async def interpreted(size_bytes: int, function: Callable[..., Any], /, *args: Any, **more: Any) -> Any:
        assert size_bytes >= LARGE
        found = await beside.in_process(size_bytes, function, *args, **more)
        if isinstance(found, Reading):
            rows, assets = Guarded[Allocation](found.allocations), Guarded[Asset](found.assets or ())
            return replace(found, allocations=rows, assets=assets)
        return found

    async def on_thread(size_bytes: int, function: Callable[..., Any], /, *args: Any) -> Any:
        found = await beside.on_thread(size_bytes, function, *args)
        return replace(found, rows=Guarded(found.rows)) if isinstance(found, Booking) else found

    @asynccontextmanager
    async def opened(_: Account) -> AsyncIterator[CostSource]:
        async with Transport(Access.parse(replay.url_of("aurora"))) as transport:
            yield CostModelSource(CostModelClient(transport), calculate=interpreted)

    service = cost_service(AccountsInMemory([account_here]), opened=opened, calculate=on_thread)
    answer = await service.costs(account_id(1), DAY)
    window = f"start_date={int(DAY.start.timestamp())}&end_date={int(DAY.end.timestamp())}"
    question = parse(f"cloud_account_id={account_id(1)}&{window}&detail_level=workload".encode())
    body = await Bodies(service.calculate).get(answer, question, question.requested_window(FixedClock()))
    assert b'"breakdown_by_workload":[{' in body
    assert threads
    assert loop_thread not in threads
    assert (question.detail_level, answer.costs.bill.total > 0) == (DetailLevel.WORKLOAD, True)
    await service.close()


async def test_metrics_are_decoded_in_a_process_too(beside: Calculations) -> None:
    body = b'{"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "2"]}]}}'
    decoded = await beside.in_process(LARGE, decode_query, answer_of(body), "vector")
    assert decoded.data == Result("vector", [Sampled({}, (1, "2"))])
    refusal = b'{"status": "error", "errorType": "timeout", "error": "query timed out"}'
    with pytest.raises(QueryRefused) as caught:
        await beside.in_process(LARGE, decode_query, answer_of(refusal), "vector")
    assert (caught.value.error_type, caught.value.said) == ("timeout", "query timed out")


def test_interpret_is_pickled_by_name() -> None:
    assert len(pickle.dumps(interpret)) < 100


def answer_of(body: bytes) -> Answer:
    return Answer(200, body, "application/json", None, DAY.end, 1.0, "http://metrics")


def fail() -> None:
    raise SourceFailed("http://source", 500, "boom")


class Unpicklable(Exception):
    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} {other}")


def fail_oddly() -> None:
    raise Unpicklable("told", "twice")


def process_once_there(started: Path, ready: Path) -> int:
    started.touch()
    wait_until_there(ready)
    return os.getpid()


def wait_until_there(file: Path) -> None:
    while not file.exists():
        time.sleep(0.01)


def wait_until_gone(process: int) -> None:
    while True:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)


def hang(started: Path) -> None:
    started.touch()
    signal.pause()
