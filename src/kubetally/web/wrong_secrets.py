"""Slows down wrong secrets, by client address. The right secret is never slowed down."""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from litestar.types import Scope

_WRONG: Final = "kubetally_wrong_secret"  # key of the scope's state: a secret was wrong
_FREE_ATTEMPTS: Final = 10
_FIRST_SECONDS: Final = 0.25
_MAX_SECONDS: Final = 5.0
_RESET_SECONDS: Final = 600.0
_MAX_ADDRESSES: Final = 10_000
_MAX_WAITING: Final = 16  # answers to one address
_MAX_WAITING_TOTAL: Final = 1_000


def mark_wrong(scope: Scope) -> None:
    """Note that the request sent a wrong secret."""
    scope.setdefault("state", {})[_WRONG] = True


def is_wrong(scope: Scope) -> bool:
    """Whether the request sent a wrong secret."""
    return _WRONG in scope["state"]


class WrongSecrets:
    """Counts wrong secrets by address, of the newest addresses. For one event loop.

    The first ten are answered at once. Then each answer waits twice as long as the one before, up to 5 seconds. Ten
    minutes without a wrong secret reset the count.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._now, self._sleep = now, sleep
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._waiting: Counter[str] = Counter()

    async def wait(self, address: str) -> bool:
        """Wait before a wrong secret is answered; False if too many answers wait already."""
        seconds = self._delay(address)
        if seconds <= 0:
            return True
        if self._waiting[address] >= _MAX_WAITING or self._waiting.total() >= _MAX_WAITING_TOTAL:
            return False
        self._waiting[address] += 1
        try:
            await self._sleep(seconds)
        finally:
            self._waiting[address] -= 1
            if not self._waiting[address]:
                del self._waiting[address]
        return True

    def _delay(self, address: str) -> float:
        """Count a wrong secret; returns how many seconds its answer waits."""
        now = self._now()
        count, last = self._counts.pop(address, (0, now))
        count = 1 if now - last >= _RESET_SECONDS else count + 1
        self._counts[address] = count, now
        if len(self._counts) > _MAX_ADDRESSES:
            self._counts.popitem(last=False)
        over = count - _FREE_ATTEMPTS - 1
        return 0.0 if over < 0 else min(_MAX_SECONDS, _FIRST_SECONDS * 2.0 ** min(over, 10))
