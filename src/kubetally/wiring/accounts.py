"""Accounts of the settings' database: adding and changing them, and as clusters whose sources can be asked."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from kubetally.domain.account import Account, AccountType
from kubetally.domain.errors import KubetallyError, SourceError
from kubetally.domain.window import Window
from kubetally.ledger.accounts.register import AccountEditor
from kubetally.ledger.ports.accounts import NotACluster
from kubetally.ledger.ports.sources import About
from kubetally.settings import Settings
from kubetally.sources.account_access import update_access
from kubetally.sources.faults import SourceTimeout
from kubetally.sources.opencost.source import CostModelSource
from kubetally.store.reach import is_there
from kubetally.wiring.access import mask_url
from kubetally.wiring.cluster import AccountCluster
from kubetally.wiring.ledger import open_ledger
from kubetally.wiring.limits import MAX_WAIT_SECONDS, check_address
from kubetally.wiring.sources import metrics_server_of, open_metrics, open_source
from kubetally.wiring.store import open_accounts

_CLUSTER_ID_SECONDS = 2.0


def load_clusters(names: Sequence[str], settings: Settings) -> list[AccountCluster]:
    """The accounts of these names or ids as clusters, each once; without names, all that are Kubernetes clusters.

    Raises: AccountNotFound, AmbiguousAccount, NotACluster, StoreError.
    """
    if not names and not settings.database_url and not is_there(settings.home_folder / "kubetally.db"):
        return []  # without an account there is no database, and none is made
    with open_accounts(settings) as accounts:
        existing = tuple(accounts.all())
        chosen = [accounts.find(name) for name in names] or [
            account for account in existing if account.type is AccountType.KUBERNETES_CNR
        ]
        currency = accounts.organization().currency
    for account in chosen:
        if account.type is not AccountType.KUBERNETES_CNR:
            raise NotACluster(account.id, account.type)
    return [
        AccountCluster(account, existing, currency) for account in {account.id: account for account in chosen}.values()
    ]


@contextmanager
def open_editor(settings: Settings) -> Iterator[AccountEditor]:
    """What adds and changes accounts. Raises StoreError, RequestError."""
    with open_ledger(settings) as ledger:
        yield AccountEditor(ledger, SourcesOfAccounts(settings), settings.currency)


@dataclass(frozen=True, slots=True)
class SourcesOfAccounts:
    """The port `AccountSources`, with the limits and credentials of the settings."""

    settings: Settings
    update_access = staticmethod(update_access)

    async def check_address(self, url: str) -> None:
        """See `check_address`."""
        await check_address(url, self.settings)

    @asynccontextmanager
    async def open_source(self, account: Account, accounts: Sequence[Account]) -> AsyncIterator["_Source"]:
        """The cost source of an account."""
        cluster = AccountCluster(account, tuple(accounts))
        try:
            async with open_source(cluster, _quick(self.settings, MAX_WAIT_SECONDS)) as source:
                yield _Source(source)
        except SourceTimeout as error:  # its own message names settings that do not matter here
            place = mask_url(account.kubecost_url or error.url)
            raise SourceError(f"{place} did not answer within {error.seconds:g} s", code=error.code) from error

    async def cluster_id(self, account: Account, accounts: Sequence[Account]) -> str | None:
        """The id of its cluster as its source tells it; None if it is not told within 2 s."""
        cluster = AccountCluster(account, tuple(accounts))
        try:
            async with (
                asyncio.timeout(_CLUSTER_ID_SECONDS),
                open_source(cluster, _quick(self.settings, _CLUSTER_ID_SECONDS)) as source,
            ):
                info = await source.client.about("/clusterInfo")
        except (KubetallyError, TimeoutError):  # another account's trouble, which `doctor` reports
            return None
        id_ = (info or {}).get("id")
        return id_ if isinstance(id_, str) and id_ else None

    async def check_prometheus(self, account: Account, accounts: Sequence[Account], now: datetime) -> None:
        """Ask the Prometheus of an account whether it answers."""
        cluster = AccountCluster(account, tuple(accounts))
        async with open_metrics(cluster, _quick(self.settings, MAX_WAIT_SECONDS)) as metrics:
            if metrics is not None:
                await metrics.introduce(now)

    def prometheus_key(self, account: Account) -> object | None:
        """See `metrics_server_of`."""
        return metrics_server_of(account, self.settings)


@dataclass(frozen=True, slots=True)
class _Source:
    source: CostModelSource

    async def introduce(self) -> About:
        return await self.source.introduce()

    async def check_costs(self, window: Window) -> None:
        await self.source.client.allocations(window)


def _quick(settings: Settings, seconds: float) -> Settings:
    return replace(
        settings,
        connect_seconds=min(settings.connect_seconds, seconds),
        read_seconds=min(settings.read_seconds, seconds),
        deadline_seconds=min(settings.deadline_seconds, seconds),
        attempts=1,
    )
