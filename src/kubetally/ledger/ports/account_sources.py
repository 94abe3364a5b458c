"""What is asked of the sources of accounts while somebody adds or changes one. Short timeouts, no retry."""

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from kubetally.domain.account import AnyAccount, Credentials
from kubetally.domain.source_url import SourceUrl
from kubetally.domain.window import Window
from kubetally.ledger.ports.clusters import AccountCluster
from kubetally.ledger.ports.sources import About


class AccountSource(Protocol):
    """The cost source of an account."""

    async def introduce(self) -> About:
        """What it tells of itself. Raises SourceError, where it fails to tell anything."""
        ...

    async def check_costs(self, window: Window) -> None:
        """Ask for the allocations of a window. Raises SourceError."""
        ...


class AccountSources(Protocol):
    """The sources of accounts."""

    def check_credentials(self, credentials: Credentials) -> None:
        """Raises RequestError, if they can't be sent."""
        ...

    async def check_address(self, url: SourceUrl) -> None:
        """Raises RequestError, SourceError (code `address_refused`), where no source may be there."""
        ...

    def open_source(self, cluster: AccountCluster) -> AbstractAsyncContextManager[AccountSource]:
        """The cost source of an account. Raises RequestError, SourceError."""
        ...

    async def cluster_id(self, cluster: AccountCluster) -> str | None:
        """The id of its cluster as its source states it; None if it does not within 2 s."""
        ...

    async def check_prometheus(self, cluster: AccountCluster, now: datetime) -> None:
        """Ask the Prometheus of an account whether it answers. Raises RequestError, SourceError."""
        ...

    def prometheus_key(self, account: AnyAccount) -> object | None:
        """Equal for accounts that read the same Prometheus and tenant header; None for those without one."""
        ...
