"""Opening what is asked about an account, for those who ask for many."""

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager, nullcontext

from kubetally.domain.account import Account
from kubetally.ledger.accounts import Accounts
from kubetally.ledger.ports import CostSource, MetricsSource
from kubetally.settings import Settings
from kubetally.wiring.cluster import Remembered
from kubetally.wiring.discoveries import Discoveries
from kubetally.wiring.sources import open_metrics, open_source


class Opener:
    """Opens what is asked about an account. How a context leads to a source is remembered.

    keep_seconds: how long the other accounts are taken to be as they were; of many that are opened in a row each would
    look at all.
    """

    def __init__(self, accounts: Accounts, executor: Executor, settings: Settings, keep_seconds: float = 0.0) -> None:
        self._accounts, self._executor, self._settings = accounts, executor, settings
        self._discoveries, self._keep_seconds = Discoveries(), keep_seconds
        self._seen: tuple[float, tuple[Account, ...], str] | None = None
        self._looking = asyncio.Lock()

    @asynccontextmanager
    async def source(self, account: Account) -> AsyncIterator[CostSource]:
        """The account's source, closed afterwards."""
        cluster = await self._cluster(account)
        async with open_source(cluster, self._settings, self._discoveries) as source:
            yield source

    @asynccontextmanager
    async def metrics(self, account: Account) -> AsyncIterator[MetricsSource | None]:
        """Its server of metrics, or None."""
        async with open_metrics(await self._cluster(account), self._settings, self._discoveries) as metrics:
            yield metrics

    async def _cluster(self, account: Account) -> Remembered:
        """The account beside the others: which of them have no source of their own matters to one that has none."""

        async with self._looking if self._keep_seconds else nullcontext():  # one looks for all that are opened at once
            seen, now = self._seen, time.monotonic()
            if seen is None or now - seen[0] >= self._keep_seconds:
                seen = self._seen = now, *await asyncio.get_running_loop().run_in_executor(self._executor, self._look)
        return Remembered(account, *seen[1:])

    def _look(self) -> tuple[tuple[Account, ...], str]:
        return tuple(self._accounts.all()), self._accounts.organization().currency
