"""Asking several things at once, and calculating elsewhere than on the loop."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

T = TypeVar("T")
P = ParamSpec("P")
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


class Calculate(Protocol):
    """Runs a pure function for one who waits on a loop. `size_bytes`, of what it decodes, tells how long it takes."""

    async def __call__(self, size_bytes: int, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns. Raises what it raises."""
        ...


async def calculate_here(size_bytes: int, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """On the loop itself: where nobody else waits for it."""
    return function(*args, **kwargs)


async def calculate_on_thread(size_bytes: int, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """On a thread of the loop, which goes on meanwhile."""
    return await asyncio.to_thread(function, *args, **kwargs)


def run(work: Coroutine[Any, Any, T], loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None) -> T:
    """As `asyncio.run`, whose task has no result here.

    In Python 3.11 the end of `asyncio.run` makes a repr of its task, and so of all that it returns: of the rows of a
    year that took longer than everything else.
    """
    found: list[T] = []

    async def keep() -> None:
        found.append(await work)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(keep())
    return found[0]


def run_on_uvloop(work: Coroutine[Any, Any, T]) -> T:
    """As `run`, on uvloop where it is installed: a round of collecting is mostly many small requests."""
    try:
        import uvloop
    except ImportError:  # there is none for Windows
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
    doing, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        doing.cancel()
        await asyncio.wait({doing})
        failure = None if doing.cancelled() else doing.exception()  # seen, also where this is cancelled itself
    if failure is not None:
        raise failure


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """An `asyncio.TaskGroup` whose first failure is raised as itself, not in a group of one."""
    failed: ExceptionGroup[Exception] | None = None
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except ExceptionGroup as of_one:
        failed = of_one
    if failed is not None:
        raise failed.exceptions[0]  # out here it keeps its own cause
