"""All accounts at one instant, read once for many readers."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import replace

from kubetally.domain.account import AccountPlace, AnyAccount
from kubetally.domain.source_url import SourceUrl
from kubetally.ledger.accounts.database_timeout import in_time
from kubetally.ledger.ports.accounts import Accounts

_TIMEOUT_SECONDS = 120.0  # longer than any database driver waits


AccountSnapshot = tuple[AnyAccount, ...]
"""All accounts that are not removed, without credentials."""
ReadSnapshot = Callable[[], Awaitable[AccountSnapshot]]


def read_places(accounts: Accounts, further: Iterable[SourceUrl | None] = ()) -> tuple[AccountPlace, ...]:
    """All accounts that are not removed, without credentials.

    Those of an account are decrypted only if another account has the same Prometheus, or if it is one of the `further`
    ones: then a header may choose a tenant. Raises StoreError.
    """
    places = accounts.places()
    addresses = Counter(place.prometheus_url.address for place in places if place.prometheus_url)
    shared = {address for address, count in addresses.items() if count > 1}
    shared |= {url.address for url in further if url is not None}
    ids = [place.id for place in places if place.prometheus_url and place.prometheus_url.address in shared]
    tenants = {account.id: account.prometheus_tenant for account in accounts.find_all(ids)}
    return tuple(replace(place, prometheus_tenant=tenants.get(place.id)) for place in places)


class StoredSnapshot:
    """Reads the snapshot from the database, and returns the same one for `max_age_seconds`.

    prometheus_url: of accounts that have none. timeout_seconds: longest wait for the database.
    """

    def __init__(
        self,
        accounts: Accounts,
        executor: Executor,
        *,
        prometheus_url: SourceUrl | None = None,
        max_age_seconds: float = 0.0,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> None:
        self._accounts, self._executor, self._prometheus_url = accounts, executor, prometheus_url
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
        return read_places(self._accounts, [self._prometheus_url])
