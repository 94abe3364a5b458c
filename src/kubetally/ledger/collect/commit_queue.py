"""Booked days that wait to be committed."""

import asyncio
from math import inf

from kubetally.domain.collection import CollectedDay
from kubetally.ledger.ports.lake import PackedDay

Booked = CollectedDay | PackedDay
_MAX_QUEUED_ROWS = 40_000  # days may be read faster than they are written
_PACK_ROWS = 4_000  # packed together: many small days are packed faster that way, and packed days take less memory


class CommitQueue:
    """Booked days, and None after the last one. max_rows: of all of them; a single day may have more."""

    def __init__(self, max_rows: int = _MAX_QUEUED_ROWS) -> None:
        self._days: asyncio.Queue[Booked | None] = asyncio.Queue()
        self._max_rows, self._rows, self._has_taken = max_rows, 0, asyncio.Event()
        self._in_turn = asyncio.Lock()

    async def put(self, day: Booked | None) -> None:
        """Add a day as soon as there is room, in the order of the calls."""
        rows = 0 if day is None else day.collection.rows
        async with self._in_turn:
            while rows and self._rows and self._rows + rows > self._max_rows:
                self._has_taken.clear()
                await self._has_taken.wait()
            self._rows += rows
            self._days.put_nowait(day)

    async def get(self) -> Booked | None:
        """The next day. A cancelled call loses none."""
        day = await self._days.get()
        self._rows -= 0 if day is None else day.collection.rows
        self._has_taken.set()
        return day

    async def get_batch(self, until: float, *, linger_seconds: float) -> tuple[list[Booked], bool, float]:
        """The days that arrive until then (loop time), but no more than are packed together.

        until: if infinite, waits for the first day, and `linger_seconds` for further ones.
        Returns the days, whether more may follow, and until when to wait for them.
        """
        now = asyncio.get_running_loop().time
        batch: list[Booked] = []
        rows = 0
        while rows < _PACK_ROWS:
            try:
                async with asyncio.timeout_at(None if until == inf else until):
                    day = await self.get()
            except TimeoutError:
                return batch, True, until
            if day is None:
                return batch, False, until
            batch.append(day)
            rows += day.collection.rows
            until = min(until, now() + linger_seconds)
        return batch, True, until
