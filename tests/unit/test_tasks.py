"""Several questions at once: the first failure comes out as itself, and the others are given up."""

import asyncio
import gc
from pathlib import Path

import pytest

from kubetally.domain.errors import SourceError
from kubetally.tasks import run, task_group, until_set, usable_cores


async def test_answers_of_all_are_there_in_the_end() -> None:
    async def give(value: int) -> int:
        return value

    async with task_group() as group:
        tasks = [group.create_task(give(value)) for value in (1, 2)]
    assert [task.result() for task in tasks] == [1, 2]


async def test_a_failure_is_raised_as_itself_with_its_own_cause() -> None:
    given_up = asyncio.Event()

    async def fail() -> None:
        raise SourceError("broke") from KeyError("why")

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    async def ask() -> None:
        async with task_group() as group:
            group.create_task(wait())
            group.create_task(fail())

    with pytest.raises(SourceError, match="broke") as caught:
        await ask()
    assert isinstance(caught.value.__cause__, KeyError)
    assert given_up.is_set()


async def test_being_cancelled_stays_being_cancelled() -> None:
    async def ask() -> None:
        async with task_group() as group:
            group.create_task(asyncio.Event().wait())

    task = asyncio.create_task(ask())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class Shy:
    """Nobody may look at it."""

    def __repr__(self) -> str:
        raise AssertionError("a repr of a year of rows takes longer than reading them")


def test_what_is_returned_is_not_looked_at() -> None:
    shy = Shy()

    async def give() -> Shy:
        return shy

    assert run(give()) is shy


def test_what_is_raised_is_raised() -> None:
    async def fail() -> None:
        raise SourceError("broke")

    with pytest.raises(SourceError, match="broke"):
        run(fail())


async def test_work_runs_until_done_or_stopped_and_never_outlives_it() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    stop = asyncio.Event()
    stopped = asyncio.create_task(until_set(stop, work()))
    await started.wait()
    stop.set()
    await stopped
    assert ended.is_set()
    for event in (started, ended, stop):
        event.clear()
    cancelled = asyncio.create_task(until_set(stop, work()))
    await started.wait()
    cancelled.cancel()
    await asyncio.wait([cancelled])
    assert cancelled.cancelled()
    assert ended.is_set(), "who gives up waiting for it ends it"


async def test_what_work_raises_before_it_is_stopped_is_raised() -> None:
    async def fail() -> None:
        raise SourceError("broke")

    with pytest.raises(SourceError, match="broke"):
        await until_set(asyncio.Event(), fail())


async def test_what_work_raises_while_its_waiter_gives_up_is_seen() -> None:
    started = asyncio.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise SourceError("broke")

    waiting = asyncio.create_task(until_set(asyncio.Event(), work()))
    await started.wait()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled() or waiting.exception() is not None
    gc.collect()  # a warning is a failure: "Task exception was never retrieved"


def test_cores_are_limited_by_the_container_quota(tmp_path: Path) -> None:
    quota = tmp_path / "cpu.max"
    all_cores = usable_cores(quota)
    assert all_cores >= 1
    for text, cores in {
        "100000 100000": 1,
        "50000 100000": 1,
        "max 100000": all_cores,
        "9900000 100000": all_cores,
    }.items():
        quota.write_text(text)
        assert usable_cores(quota) == cores
