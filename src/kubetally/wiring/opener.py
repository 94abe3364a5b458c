"""Opening what is asked about an account, for those who ask for many."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager, nullcontext
from typing import NamedTuple

from kubetally.domain.account import Account
from kubetally.domain.money import DEFAULT_CURRENCY
from kubetally.ledger.costs.database_timeout import in_time
from kubetally.ledger.ports.accounts import Accounts
from kubetally.ledger.ports.sources import CostSource, MetricsSource, SavingsSource
from kubetally.settings import Settings
from kubetally.tasks import Calculate, calculate_here
from kubetally.wiring.cluster import AccountCluster
from kubetally.wiring.discoveries import Discoveries
from kubetally.wiring.sources import open_metrics, open_source

_PATIENT_SECONDS = 120.0  # longer than any driver waits


class Fleet(NamedTuple):
    """All accounts that live, and their organization's currency."""

    accounts: tuple[Account, ...] = ()
    currency: str = DEFAULT_CURRENCY


class FleetInStore:
    """The fleet as the store has it.

    keep_seconds: how long it is taken to be as it was; of many accounts that are opened in a row each would look at
    all. answer_seconds: longest wait for the store.
    """

    def __init__(
        self,
        accounts: Accounts,
        executor: Executor,
        keep_seconds: float = 0.0,
        answer_seconds: float = _PATIENT_SECONDS,
    ) -> None:
        self._answer_seconds = answer_seconds
        self._accounts, self._executor, self._keep_seconds = accounts, executor, keep_seconds
        self._seen: tuple[float, Fleet] | None = None
        self._looking = asyncio.Lock()

    async def __call__(self) -> Fleet:
        """Raises StoreError."""
        async with self._looking if self._keep_seconds else nullcontext():  # one looks for all that are opened at once
            now = time.monotonic()
            if self._seen is None or now - self._seen[0] >= self._keep_seconds:
                found = await in_time(self._executor, self._look, self._answer_seconds)
                # The same object where nothing changed: whoever passes it on to other processes looks at that.
                self._seen = now, self._seen[1] if self._seen is not None and self._seen[1] == found else found
            return self._seen[1]

    def _look(self) -> Fleet:
        return Fleet(tuple(self._accounts.all()), self._accounts.organization().currency)


class Opener:
    """Opens what is asked about an account. How a context leads to a source is remembered.

    fleet: the account beside the others; which of them have no source of their own matters to one that has none.
    calculate: runs what interprets answers.
    """

    def __init__(
        self, fleet: Callable[[], Awaitable[Fleet]], settings: Settings, calculate: Calculate = calculate_here
    ) -> None:
        self._fleet, self._settings, self._discoveries = fleet, settings, Discoveries()
        self._calculate = calculate

    @asynccontextmanager
    async def source(self, account: Account) -> AsyncIterator[CostSource]:
        """The account's source, closed afterwards."""
        cluster = AccountCluster(account, *await self._fleet())
        async with open_source(cluster, self._settings, self._discoveries, self._calculate) as source:
            yield source

    @asynccontextmanager
    async def savings(self, account: Account) -> AsyncIterator[SavingsSource]:
        """As `source`, to be asked for savings."""
        cluster = AccountCluster(account, *await self._fleet())
        async with open_source(cluster, self._settings, self._discoveries, self._calculate) as source:
            yield source

    @asynccontextmanager
    async def metrics(self, account: Account) -> AsyncIterator[MetricsSource | None]:
        """Its server of metrics, or None."""
        cluster = AccountCluster(account, *await self._fleet())
        async with open_metrics(cluster, self._settings, self._discoveries, self._calculate) as metrics:
            yield metrics
