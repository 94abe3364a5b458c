"""Files that are sent piece by piece while they are made."""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import Executor, ThreadPoolExecutor
from threading import BoundedSemaphore, Lock
from typing import Final, Self
from weakref import finalize

from kubetally.ledger.costs.service import Overloaded

Pieces = Generator[bytes, None, None]
"""The pieces of a file. Each takes a while to make, and what makes them is freed by `close`."""

MAX_FILES: Final = 8
"""At the same time: each takes memory until its client has read all of it, however slowly."""
_THREADS: Final = 2


class FileStreams:
    """Sends files, at most `max_files` at a time, on threads of their own: they keep no other question waiting."""

    def __init__(self, max_files: int = MAX_FILES) -> None:
        self._max_files, self._free = max_files, BoundedSemaphore(max_files)
        self._threads = ThreadPoolExecutor(_THREADS, "export")

    async def open(self, pieces: Pieces) -> "FileStream":
        """The stream of these pieces, once the first is made. Raises Overloaded; what making it raises."""
        if not self._free.acquire(blocking=False):
            raise Overloaded(self._max_files)
        stream = FileStream(_ClosingPieces(pieces, self._free.release), self._threads)
        try:
            await stream.wait()
        except BaseException:
            stream.close()
            raise
        return stream


class FileStream(AsyncIterator[bytes]):
    """The pieces, made one ahead of the client.

    What makes them is freed at the end, after a failure, by `close`, and when this is dropped: the server tells a
    stream nothing when its client goes away.
    """

    def __init__(self, pieces: "_ClosingPieces", threads: Executor) -> None:
        self._pieces, self._threads = pieces, threads
        self._close = finalize(self, threads.submit, pieces.close)
        self._close.atexit = False
        self._upcoming = self._make()

    async def wait(self) -> None:
        """Wait for the next piece, without taking it. Raises what making it raises."""
        await asyncio.shield(self._upcoming)

    def close(self) -> None:
        """Free what makes the pieces, once the piece that is being made is done."""
        self._close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await asyncio.shield(self._upcoming)
        except BaseException:
            self.close()
            raise
        if piece is None:
            self.close()
            raise StopAsyncIteration
        self._upcoming = self._make()
        return piece

    def _make(self) -> "asyncio.Future[bytes | None]":
        made = asyncio.get_running_loop().run_in_executor(self._threads, self._pieces.next)
        made.add_done_callback(_note_failure)
        return made


class _ClosingPieces:
    """Pieces that threads ask for in turn, and close once."""

    def __init__(self, pieces: Pieces, closed: Callable[[], None]) -> None:
        self._pieces, self._closed, self._lock, self._is_closed = pieces, closed, Lock(), False

    def next(self) -> bytes | None:
        """The next piece; None at the end, and once they are closed."""
        with self._lock:
            return None if self._is_closed else next(self._pieces, None)

    def close(self) -> None:
        """Close them after the piece that is being made."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            try:
                self._pieces.close()
            finally:
                self._closed()


def _note_failure(made: "asyncio.Future[bytes | None]") -> None:
    """A failure of a piece that nobody waits for any more is no news."""
    if not made.cancelled():
        made.exception()
