"""Runs coroutines and the calculations that they wait for."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Executor
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

T = TypeVar("T")
P = ParamSpec("P")
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


class Calculate(Protocol):
    """Runs a pure function for a coroutine. size_bytes: of what it decodes, a measure of how long it takes."""

    async def __call__(self, size_bytes: int, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns. Raises what it raises."""
        ...


async def calculate_here(size_bytes: int, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run it on the loop itself, if nothing else runs there."""
    return function(*args, **kwargs)


async def calculate_on_thread(size_bytes: int, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run it on a thread, while the loop goes on."""
    return await asyncio.to_thread(function, *args, **kwargs)


def calculate_on(executor: Executor) -> Calculate:
    """Runs functions on an executor's threads."""

    async def calculate(size_bytes: int, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await run_blocking(executor, partial(function, *args, **kwargs))

    return calculate


async def run_blocking(executor: Executor | None, call: Callable[[], T]) -> T:
    """What a blocking call returns, run by `executor`, by default on the loop's threads. Raises what it raises."""
    return await asyncio.get_running_loop().run_in_executor(executor, call)


def run(work: Coroutine[Any, Any, T], loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None) -> T:
    """As `asyncio.run`, but with a task that has no result.

    At its end `asyncio.run` of Python 3.11 makes a repr of its task and so of the result, which takes longer than
    anything else for the rows of a year.
    """
    results: list[T] = []

    async def keep_result() -> None:
        results.append(await work)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(keep_result())
    return results[0]


def run_on_uvloop(work: Coroutine[Any, Any, T]) -> T:
    """As `run`, on uvloop if it is installed: a round of collecting is mostly many small requests."""
    try:
        import uvloop
    except ImportError:  # not available on Windows
        return run(work)
    return run(work, uvloop.new_event_loop)


def usable_cores(quota_file: Path = _CPU_QUOTA) -> int:
    """Cores that this process may use; a container may have fewer than the machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # no cgroup v2, or no quota
        quota, period = quota_file.read_text().split()
        cores = min(cores, -(-int(quota) // int(period)))
    return max(1, cores)


async def until_set(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Run `work` until it finishes or `stop` is set; cancel and await it otherwise."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        working.cancel()
        await asyncio.wait({working})
        failure = None if working.cancelled() else working.exception()  # retrieved, even if this is cancelled itself
    if failure is not None:
        raise failure


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """An `asyncio.TaskGroup` that raises its first failure itself, not in a group."""
    failed: ExceptionGroup[Exception] | None = None
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except ExceptionGroup as failures:
        failed = failures
    if failed is not None:
        raise failed.exceptions[0]  # raised outside of `except`, it keeps its own cause
