"""Files that are sent piece by piece while they are made."""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import Executor, ThreadPoolExecutor
from threading import BoundedSemaphore, Lock
from typing import Final, Self
from weakref import finalize

from kubetally.domain.errors import RequestError
from kubetally.ledger.costs.service import Overloaded

Pieces = Generator[bytes, None, None]
"""The pieces of a file. Each takes a while to make, and what makes them is freed by `close`."""

MAX_FILES: Final = 8
"""At the same time: each takes memory until its client has read all of it, however slowly."""
STALLED_SECONDS: Final = 60.0
"""For which a client may take nothing; then its file is cut off, and another client has its place."""

_THREADS: Final = 2
_SENT_BYTES: Final = 256 * 1024
"""At once at most: pieces are larger, and a slow client takes none of them whole for a long time."""

CallLater = Callable[[float, Callable[[], object]], asyncio.TimerHandle]
"""Calls a function after so many seconds, unless the handle is cancelled."""


def _call_later(seconds: float, call: Callable[[], object]) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(seconds, call)


class FileStreams:
    """Sends files, at most `max_files` at a time, on threads of their own: they keep no other question waiting."""

    def __init__(self, max_files: int = MAX_FILES, call_later: CallLater = _call_later) -> None:
        self._max_files, self._free, self._call_later = max_files, BoundedSemaphore(max_files), call_later
        self._threads = ThreadPoolExecutor(_THREADS, "export")

    async def open(self, pieces: Pieces) -> "FileStream":
        """The stream of these pieces, once the first is made. Raises Overloaded; what making it raises."""
        if not self._free.acquire(blocking=False):
            raise Overloaded(self._max_files)
        stream = FileStream(_ClosingPieces(pieces, self._free.release), self._threads, self._call_later)
        try:
            await stream.wait()
        except BaseException:
            stream.close()
            raise
        return stream


class FileStream(AsyncIterator[bytes]):
    """The pieces, made one ahead of the client.

    What makes them is freed at the end, after a failure, by `close`, when this is dropped (the server tells a stream
    nothing when its client goes away), and when the client takes nothing for `STALLED_SECONDS`.
    """

    def __init__(self, pieces: "_ClosingPieces", threads: Executor, call_later: CallLater) -> None:
        self._pieces, self._threads, self._call_later = pieces, threads, call_later
        self._close = finalize(self, threads.submit, pieces.close)
        self._close.atexit = False
        self._left = b""
        self._timer: asyncio.TimerHandle | None = None
        self._upcoming = self._make()

    async def wait(self) -> None:
        """Wait for the next piece, without taking it. Raises what making it raises."""
        await asyncio.shield(self._upcoming)
        self._wait_for_client()

    def close(self) -> None:
        """Free what makes the pieces, once the piece that is being made is done."""
        self._stop_waiting()
        self._close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next bytes. Raises what making them raises; RequestError, after the client took nothing for long."""
        self._stop_waiting()
        try:
            self._left = self._left or await self._next_piece()
        except BaseException:
            self.close()
            raise
        sent, self._left = self._left[:_SENT_BYTES], self._left[_SENT_BYTES:]
        self._wait_for_client()
        return sent

    async def _next_piece(self) -> bytes:
        """The next piece that is not empty. Raises StopAsyncIteration, at the end."""
        while True:
            piece = await asyncio.shield(self._upcoming)
            if piece is None:
                raise StopAsyncIteration
            self._upcoming = self._make()
            if piece:
                return piece

    def _wait_for_client(self) -> None:
        # The timer holds the finalizer only, so that a stream which nobody has any more is dropped at once.
        self._timer = self._call_later(STALLED_SECONDS, self._close)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _make(self) -> "asyncio.Future[bytes | None]":
        piece = asyncio.get_running_loop().run_in_executor(self._threads, self._pieces.next)
        piece.add_done_callback(_note_failure)
        return piece


class _ClosingPieces:
    """Pieces that threads ask for in turn, and close once."""

    def __init__(self, pieces: Pieces, closed: Callable[[], None]) -> None:
        self._pieces, self._closed, self._lock, self._is_closed = pieces, closed, Lock(), False

    def next(self) -> bytes | None:
        """The next piece; None at the end. Raises RequestError, once they are closed."""
        with self._lock:
            if self._is_closed:  # an end would look like that of a whole file
                raise RequestError(
                    f"the file was cut off, as its client took nothing for {STALLED_SECONDS:.0f} s: ask again",
                    code="stalled_client",
                )
            return next(self._pieces, None)

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


def _note_failure(piece: "asyncio.Future[bytes | None]") -> None:
    """A failure of a piece that nobody waits for any more is no news."""
    if not piece.cancelled():
        piece.exception()
