"""Runs pure functions outside the event loop: on threads, or in processes for large bodies.

A call into C, such as decoding a large body, blocks every thread until it ends. Python code lets the event loop run
after each switch interval.
"""

import asyncio
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import parent_process
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from threading import Thread
from typing import Any, ParamSpec, TypeVar

from kubetally import logs
from kubetally.domain.errors import SourceError
from kubetally.garbage import gc_paused
from kubetally.tasks import run_blocking

T = TypeVar("T")
P = ParamSpec("P")
LARGE_BYTES = 1024 * 1024
"""Bodies of this size or more are decoded in a process; smaller ones take a few milliseconds."""
_SWITCH_SECONDS = 0.0005
_THREADS = 2
_IDLE_SECONDS = 60.0
_NICENESS = 10  # requests come first
_log = logs.get_logger(__name__)


def worker_died() -> SourceError:
    """The error if the process that interprets an answer dies."""
    return SourceError(
        "the process that read an answer of the source ended early, perhaps for lack of memory; retry in a few "
        "seconds, and check the log of the system",
        code="worker_died",
        retryable=True,
    )


class Calculations:
    """Runs functions `on_thread`, or `in_process` if they decode a large body; both are a `Calculate`.

    processes: their maximum. They start when needed, and end after `idle_seconds` without work or with this process.
    large_bytes: size from which a process is used.
    """

    def __init__(self, processes: int, *, large_bytes: int = LARGE_BYTES, idle_seconds: float = _IDLE_SECONDS) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, "calculate")
        self._submitting = ThreadPoolExecutor(1, "interpret")
        self._workers = [_Worker() for _ in range(processes)]
        self._free = asyncio.LifoQueue[
            "_Worker"
        ]()  # last in, first out: that worker has started and loaded its modules
        for worker in self._workers:
            self._free.put_nowait(worker)
        self._large_bytes, self._idle_seconds = large_bytes, idle_seconds
        self._idle: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def on_thread(self, _: int, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns, or raises."""
        return await run_blocking(self._threads, partial(_without_gc, function, *args, **kwargs))

    async def in_process(self, size_bytes: int, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns, or raises; from a process if `size_bytes` is large.

        Raises: SourceError, if the process dies.
        """
        if size_bytes < self._large_bytes:
            return await self.on_thread(size_bytes, function, *args, **kwargs)
        worker = await self._free.get()
        if self._idle is not None:
            self._idle.cancel()
        try:
            returned = await self._result(worker, partial(function, *args, **kwargs))
        finally:
            self._free.put_nowait(worker)
            if self._free.qsize() == len(self._workers):
                self._idle = asyncio.get_running_loop().call_later(self._idle_seconds, self._end_workers)
        has_failed, result = await run_blocking(self._threads, partial(_without_gc, pickle.loads, returned))
        if has_failed:
            raise result
        return result  # type: ignore[no-any-return]

    async def _result(self, worker: "_Worker", call: Callable[[], object]) -> bytes:
        """What `_pickled` returns. A dead process is replaced once, because it may have died before this call."""
        for is_last in (False, True):
            submitting = asyncio.ensure_future(run_blocking(self._submitting, partial(worker.submit, call)))
            try:
                return await asyncio.wrap_future(await asyncio.shield(submitting))
            except asyncio.CancelledError:
                await asyncio.wait({submitting})  # a few milliseconds
                worker.kill()  # nobody waits for the result
                raise
            except BrokenProcessPool as error:
                worker.kill()
                if is_last or self._is_closed:
                    _log.warning("worker_died", error=str(error))
                    raise worker_died() from error
        raise AssertionError

    def _end_workers(self) -> None:
        for worker in self._workers:
            worker.end()

    def close(self) -> None:
        """Kill the processes and cancel all calls."""
        self._is_closed = True
        if self._idle is not None:
            self._idle.cancel()
        for worker in self._workers:
            worker.kill()
        self._submitting.shutdown(wait=False, cancel_futures=True)
        self._threads.shutdown(wait=False, cancel_futures=True)


@contextmanager
def calculations(processes: int) -> Iterator[Calculations]:
    """Calculations that are closed at the end; meanwhile threads give way to the event loop every half millisecond."""
    before, running = sys.getswitchinterval(), Calculations(processes)
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        yield running
    finally:
        sys.setswitchinterval(before)
        running.close()


def _without_gc(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function without garbage collection, which would block the event loop while there are many rows."""
    with gc_paused():
        return function(*args, **kwargs)


class _SpawnContext(SpawnContext):
    """Makes processes that start afresh, and keeps them, so that they can be killed."""

    def __init__(self) -> None:
        super().__init__()
        self._made: list[SpawnProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> SpawnProcess:  # type: ignore[override]  # noqa: N802
        """A new process, not started yet."""
        process = SpawnProcess(*args, **kwargs)
        self._made.append(process)
        return process

    def kill_processes(self) -> None:
        """Kill all that run."""
        for process in self._made:
            if process.is_alive():
                process.kill()


class _Worker:
    """A process that starts with its first call. Each is a pool of one, so that a crash fails one call only."""

    def __init__(self) -> None:
        self._running: tuple[ProcessPoolExecutor, _SpawnContext] | None = None

    def submit(self, call: Callable[[], object]) -> "Future[bytes]":
        """The result of `_pickled`. Blocks for a few milliseconds, and longer if the process has to start."""
        if self._running is None:
            context = _SpawnContext()
            self._running = ProcessPoolExecutor(1, context, _start_worker), context
        return self._running[0].submit(_pickled, call)

    def end(self) -> None:
        """End the process after its running call."""
        running, self._running = self._running, None
        if running is not None:
            running[0].shutdown(wait=False)

    def kill(self) -> None:
        """Kill the process."""
        running, self._running = self._running, None
        if running is not None:
            executor, context = running
            executor.shutdown(wait=False, cancel_futures=True)
            context.kill_processes()


def _start_worker() -> None:
    os.nice(_NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the service, which ends its workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Exit when the service dies. The worker holds both ends of its pipe, so the pipe would not show that."""
    parent = parent_process()
    assert parent is not None  # noqa: S101
    wait([parent.sentinel])
    os._exit(1)


def _pickled(call: Callable[[], object]) -> bytes:
    """Whether the call failed, and its result or error, as bytes; a thread of the service unpickles them."""
    with gc_paused():
        try:
            return pickle.dumps((False, call()), pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            return _pickled_error(error)


def _pickled_error(error: Exception) -> bytes:
    """The error as bytes; a RuntimeError with its message if it can't be pickled and restored."""
    try:
        pickle.loads(pickled := pickle.dumps((True, error)))  # noqa: S301  (our own)
    except Exception:
        return pickle.dumps((True, RuntimeError(f"{type(error).__name__}: {error}")))
    return pickled
