"""Events reach structlog only from the level that is logged."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog
from structlog.testing import capture_logs

from kubetally import logs


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    logs.configure_later(None)
    structlog.reset_defaults()


def test_event_below_the_level_is_dropped() -> None:
    configured = list[str]()
    with capture_logs() as logged:
        logs.configure_later(lambda: configured.append("done"), "warning")
        logs.debug("below")
        assert (configured, logged) == ([], [])
        logs.warning("above")
    assert configured == ["done"]
    assert [event["event"] for event in logged] == ["above"]


async def test_bound_fields_are_those_of_a_task_and_what_begins_in_it() -> None:
    async def log(name: str, ready: asyncio.Barrier) -> None:
        with logs.bound(account=name):
            await ready.wait()  # both have bound theirs
            logs.warning("in_task")
            await asyncio.gather(asyncio.to_thread(logs.warning, "on_thread"), asyncio.create_task(nested()))

    async def nested() -> None:
        with logs.bound(day="20"):
            logs.warning("nested", account="own")

    with capture_logs() as logged:
        ready = asyncio.Barrier(2)
        await asyncio.gather(log("a", ready), log("b", ready))
        logs.warning("outside")
    facts = {"log_level": "warning"}
    for name in ("a", "b"):
        assert logged.count({"event": "in_task", "account": name, **facts}) == 1
        assert logged.count({"event": "on_thread", "account": name, **facts}) == 1
    assert logged.count({"event": "nested", "account": "own", "day": "20", **facts}) == 2
    assert logged[-1] == {"event": "outside", **facts}


def test_events_of_a_bound_logger_have_its_fields() -> None:
    log = logs.get_logger("clients").bind(source="http://a")
    with capture_logs() as logged, logs.bound(account="a", source="http://b"):
        log.warning("failed", code="x")
        log.bind(code="y").warning("failed", source="http://c")
    facts = {"event": "failed", "log_level": "warning", "account": "a"}
    assert logged == [{"source": "http://a", "code": "x", **facts}, {"source": "http://c", "code": "y", **facts}]


async def test_bound_fields_end_where_a_generator_is_closed() -> None:
    async def days() -> AsyncIterator[int]:
        with logs.bound(account="a"):
            yield 1
            yield 2

    generator = days()
    await anext(generator)
    await asyncio.create_task(generator.aclose())  # as the loop does with one that nobody closes


_EVENTS_OF_THREADS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from kubetally import logs
from kubetally.cli.logs import set_up_logs

sys.setswitchinterval(1e-6)
ready = Barrier(16)

def log(number):
    ready.wait()
    logs.warning("on_thread", number=number)

set_up_logs("warning")
with ThreadPoolExecutor(16) as threads:
    list(threads.map(log, range(16)))
"""


def test_concurrent_first_events_of_threads_are_all_logged() -> None:
    """In a fresh process, as structlog is loaded once."""
    done = subprocess.run([sys.executable, "-c", _EVENTS_OF_THREADS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("on_thread") == 16, done.stderr
