"""Polling for due days, as often as its cost allows."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from math import inf

from kubetally.ledger.collect.schedule import Due

_POLL_SECONDS = 30.0
_MAX_SHARE = 0.05


class DuePoller:
    """Due days of two kinds of clusters, which failed last time and which did not, with one poll for both.

    pause_seconds: how long to wait before the next poll. Polling takes seconds with a thousand clusters and years of
    days; it may take a twentieth of the time.
    """

    def __init__(
        self, due: Callable[[], Awaitable[list[Due]]], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._due, self._monotonic = due, monotonic
        self._cached: dict[bool, tuple[float, list[Due]]] = {}
        self._polling = asyncio.Lock()
        self.pause_seconds = _POLL_SECONDS

    async def due(self, *, of_failed: bool) -> list[Due]:
        """The due days of one kind, each poll's at most once. Raises as the `due` given.

        of_failed: of the clusters that failed last time.
        """
        async with self._polling:
            polled_at, cached = self._cached.pop(of_failed, (-inf, []))
            began = self._monotonic()
            if began - polled_at < self.pause_seconds:
                return cached
            dues = await self._due()
            now = self._monotonic()
            self.pause_seconds = max(_POLL_SECONDS, (now - began) / _MAX_SHARE)
            self._cached[not of_failed] = now, [day for day in dues if day.has_failed != of_failed]
            return [day for day in dues if day.has_failed == of_failed]
