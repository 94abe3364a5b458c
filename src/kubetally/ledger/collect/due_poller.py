"""Looking again and again what is due, no more than is worth it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from math import inf

from kubetally.ledger.collect.schedule import Due

_LOOK_SECONDS = 30.0
_SHARE = 0.05


class DuePoller:
    """What is due, looked for once for both kinds of clusters: those that failed when they were last asked, and others.

    pause_seconds: how long to wait before the next look. To see what is due of a thousand clusters with years of days
    takes seconds, and may take no more than a twentieth of the time.
    """

    def __init__(
        self, due: Callable[[], Awaitable[list[Due]]], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._due, self._monotonic = due, monotonic
        self._kept: dict[bool, tuple[float, list[Due]]] = {}
        self._looking = asyncio.Lock()
        self.pause_seconds = _LOOK_SECONDS

    async def due(self, *, of_failed: bool) -> list[Due]:
        """What is due of one kind: as it is, or as it was when the other kind was looked for a moment ago.

        Raises: as `due` does.
        """
        async with self._looking:
            seen_at, found = self._kept.pop(of_failed, (-inf, []))
            began = self._monotonic()
            if began - seen_at < self.pause_seconds:
                return found
            dues = await self._due()
            now = self._monotonic()
            self.pause_seconds = max(_LOOK_SECONDS, (now - began) / _SHARE)
            self._kept[not of_failed] = now, [one for one in dues if one.has_failed != of_failed]
            return [one for one in dues if one.has_failed == of_failed]
