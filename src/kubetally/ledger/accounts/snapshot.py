"""All accounts at one moment, read once for many readers."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextlib import nullcontext
from typing import NamedTuple

from kubetally.domain.account import Account
from kubetally.domain.money import DEFAULT_CURRENCY
from kubetally.ledger.accounts.database_timeout import in_time
from kubetally.ledger.ports.accounts import Accounts

_TIMEOUT_SECONDS = 120.0  # longer than any database driver waits


class AccountSnapshot(NamedTuple):
    """All accounts that are not removed, and the currency of their organization."""

    accounts: tuple[Account, ...] = ()
    currency: str = DEFAULT_CURRENCY


ReadSnapshot = Callable[[], Awaitable[AccountSnapshot]]


class StoredSnapshot:
    """Reads the snapshot from the database, and returns the same one for `max_age_seconds`.

    timeout_seconds: longest wait for the database.
    """

    def __init__(
        self,
        accounts: Accounts,
        executor: Executor,
        *,
        max_age_seconds: float = 0.0,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> None:
        self._accounts, self._executor = accounts, executor
        self._max_age_seconds, self._timeout_seconds = max_age_seconds, timeout_seconds
        self._last: tuple[float, AccountSnapshot] | None = None
        self._reading = asyncio.Lock()

    async def __call__(self) -> AccountSnapshot:
        """The same object while nothing changed, so that callers can compare by identity. Raises StoreError."""
        async with self._reading if self._max_age_seconds else nullcontext():
            now = time.monotonic()
            if self._last is None or now - self._last[0] >= self._max_age_seconds:
                read = await in_time(self._executor, self._read, self._timeout_seconds)
                self._last = now, self._last[1] if self._last is not None and self._last[1] == read else read
            return self._last[1]

    def _read(self) -> AccountSnapshot:
        return AccountSnapshot(tuple(self._accounts.all()), self._accounts.organization().currency)
