"""Opening what is asked about an account, for those who ask for many."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager

from kubetally.domain.account import Account
from kubetally.ledger.accounts import Accounts
from kubetally.ledger.ports import CostSource, MetricsSource
from kubetally.settings import Settings
from kubetally.wiring.cluster import Remembered
from kubetally.wiring.discoveries import Discoveries
from kubetally.wiring.sources import open_metrics, open_source


class Opener:
    """Opens what is asked about an account. How a context leads to a source is remembered."""

    def __init__(self, accounts: Accounts, executor: Executor, settings: Settings) -> None:
        self._accounts, self._executor, self._settings = accounts, executor, settings
        self._discoveries = Discoveries()

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

        def look() -> Remembered:
            return Remembered(account, tuple(self._accounts.all()), self._accounts.organization().currency)

        return await asyncio.get_running_loop().run_in_executor(self._executor, look)
