"""Opening the sources of an account, for callers that open many."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kubetally.domain.account import Account
from kubetally.ledger.accounts.snapshot import ReadSnapshot
from kubetally.ledger.ports.sources import CostSource, MetricsSource, SavingsSource
from kubetally.settings import Settings
from kubetally.sources.kubernetes.discoveries import Discoveries
from kubetally.tasks import Calculate, calculate_here
from kubetally.wiring.cluster import AccountCluster
from kubetally.wiring.sources import open_metrics, open_source


class Opener:
    """Opens the sources of an account. How a context leads to a source is remembered.

    read_snapshot: an account without a source of its own depends on the others. calculate: interprets answers.
    """

    def __init__(self, read_snapshot: ReadSnapshot, settings: Settings, calculate: Calculate = calculate_here) -> None:
        self._read_snapshot, self._settings, self._discoveries = read_snapshot, settings, Discoveries()
        self._calculate = calculate

    @asynccontextmanager
    async def source(self, account: Account) -> AsyncIterator[CostSource]:
        """The account's cost source, closed afterwards."""
        cluster = AccountCluster(account, *await self._read_snapshot())
        async with open_source(cluster, self._settings, self._discoveries, self._calculate) as source:
            yield source

    @asynccontextmanager
    async def savings(self, account: Account) -> AsyncIterator[SavingsSource]:
        """The same source, as one of savings."""
        cluster = AccountCluster(account, *await self._read_snapshot())
        async with open_source(cluster, self._settings, self._discoveries, self._calculate) as source:
            yield source

    @asynccontextmanager
    async def metrics(self, account: Account) -> AsyncIterator[MetricsSource | None]:
        """The account's Prometheus, or None."""
        cluster = AccountCluster(account, *await self._read_snapshot())
        async with open_metrics(cluster, self._settings, self._discoveries, self._calculate) as metrics:
            yield metrics
