"""Pure functions run beside the loop of the service: on threads, and in processes where one call takes long.

A call into C, such as the decoding of a large body, holds every thread until it is over. Functions of Python let the
loop go on after each switch interval.
"""

import asyncio
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from threading import Lock, Thread, Timer
from typing import ParamSpec, TypeVar

import structlog

from kubetally.domain.errors import SourceError
from kubetally.domain.garbage import no_garbage

T = TypeVar("T")
P = ParamSpec("P")
LARGE_BYTES = 1024 * 1024
"""From this size on a body is decoded in a process: smaller ones take a few milliseconds."""
_SWITCH_SECONDS = 0.0005
_THREADS = 2
_IDLE_SECONDS = 60.0
_NICENESS = 10  # whoever asks the service for an answer comes first
_log = structlog.get_logger(__name__)


class WorkerDied(SourceError):
    """The process that interpreted an answer ended before it was done."""

    code = "worker_died"
    retryable = True

    def __init__(self) -> None:
        super().__init__(
            "the process that read an answer of the source ended early, perhaps for lack of memory; retry in a few "
            "seconds, and check the log of the system"
        )


class Calculations:
    """Runs functions `on_thread`, or `in_process` where what they decode is large; both are a `Calculate`.

    processes: how many there are at most. They are started when the first is needed, and end after `idle_seconds`
    without work, or with this process. large_bytes: size from which a process is worth it.
    """

    def __init__(self, processes: int, *, large_bytes: int = LARGE_BYTES, idle_seconds: float = _IDLE_SECONDS) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, "calculate")
        self._waiting = ThreadPoolExecutor(processes, "interpret")  # each waits for a process
        self._pool = _Pool(processes, idle_seconds)
        self._large_bytes = large_bytes

    async def on_thread(self, _: int, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns, or raises."""
        return await _run(self._threads, partial(_without_collector, function, *args, **kwargs))

    async def in_process(self, size_bytes: int, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The same, from a process where `size_bytes` is large. Raises also WorkerDied."""
        if size_bytes < self._large_bytes:
            return await self.on_thread(size_bytes, function, *args, **kwargs)
        return await _run(self._waiting, partial(self._pool.result, partial(function, *args, **kwargs)))

    def close(self) -> None:
        """End the processes, whatever they do."""
        self._pool.close()
        self._waiting.shutdown(wait=False, cancel_futures=True)
        self._threads.shutdown(wait=False, cancel_futures=True)


@contextmanager
def calculations(processes: int) -> Iterator[Calculations]:
    """Calculations until the end; meanwhile a thread that calculates gives way to the loop every millisecond."""
    before, made = sys.getswitchinterval(), Calculations(processes)
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        yield made
    finally:
        sys.setswitchinterval(before)
        made.close()


async def _run(executor: Executor, call: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(executor, call)


def _without_collector(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """A full round of the garbage collector would hold the loop for as long as there are rows."""
    with no_garbage():
        return function(*args, **kwargs)


class _Pool:
    """Processes that are there as long as there is work for them; asked from threads."""

    def __init__(self, processes: int, idle_seconds: float) -> None:
        self._count, self._idle_seconds = processes, idle_seconds
        self._lock, self._busy = Lock(), 0
        self._executor: ProcessPoolExecutor | None = None
        self._idle: Timer | None = None

    def result(self, call: Callable[[], T]) -> T:
        """What the call returns in a process. Raises WorkerDied."""
        executor = self._taken()
        try:
            returned = executor.submit(_pickled, call).result()
        except BrokenProcessPool as error:
            _log.warning("worker_died", error=str(error))
            self._drop(executor)
            raise WorkerDied from error
        finally:
            self._given_back()
        with no_garbage():
            return pickle.loads(returned)  # type: ignore[no-any-return]  # noqa: S301  (our own process wrote it)

    def close(self) -> None:
        """Kill them."""
        with self._lock:
            executor, self._executor = self._executor, None
            if self._idle is not None:
                self._idle.cancel()
        if executor is not None:
            running = list((executor._processes or {}).values())
            executor.shutdown(wait=False, cancel_futures=True)
            for process in running:
                process.kill()

    def _taken(self) -> ProcessPoolExecutor:
        with self._lock:
            self._busy += 1
            if self._idle is not None:
                self._idle.cancel()
                self._idle = None
            if self._executor is None:
                self._executor = ProcessPoolExecutor(self._count, get_context("spawn"), _start_worker)
            return self._executor

    def _given_back(self) -> None:
        with self._lock:
            self._busy -= 1
            if not self._busy and self._executor is not None:
                self._idle = Timer(self._idle_seconds, self._end_if_idle)
                self._idle.daemon = True
                self._idle.start()

    def _end_if_idle(self) -> None:
        with self._lock:
            if self._busy:
                return
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)

    def _drop(self, executor: ProcessPoolExecutor) -> None:
        with self._lock:
            if self._executor is executor:
                self._executor = None


def _start_worker() -> None:
    os.nice(_NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which ends this one
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker waits for work on a pipe that it holds both ends of: it would not see that the service was killed."""
    parent = parent_process()
    assert parent is not None  # noqa: S101
    wait([parent.sentinel])
    os._exit(1)


def _pickled(call: Callable[[], object]) -> bytes:
    """The result as bytes: the service makes objects of them on a thread of its own choice."""
    with no_garbage():
        return pickle.dumps(call(), pickle.HIGHEST_PROTOCOL)
