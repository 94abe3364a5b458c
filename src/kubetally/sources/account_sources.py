"""The sources of accounts, asked while somebody adds or changes one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from kubetally.domain.account import AnyAccount, Credentials
from kubetally.domain.errors import KubetallyError, SourceError
from kubetally.domain.source_url import SourceUrl
from kubetally.domain.window import Window
from kubetally.ledger.ports.clusters import AccountCluster
from kubetally.ledger.ports.sources import About
from kubetally.sources.access import check_headers
from kubetally.sources.address import check_address
from kubetally.sources.faults import SourceTimeout
from kubetally.sources.opencost.source import CostModelSource
from kubetally.sources.opener import SourceOpener

_MAX_WAIT_SECONDS, _CLUSTER_ID_SECONDS = 5.0, 2.0


@dataclass(frozen=True, slots=True)
class ProbedSources:
    """The port `AccountSources`."""

    opener: SourceOpener

    def check_credentials(self, credentials: Credentials) -> None:
        """Raises InvalidCredential."""
        check_headers(credentials.headers, credentials.token)

    async def check_address(self, url: SourceUrl) -> None:
        """See `check_address`."""
        limits = self.opener.limits
        await check_address(url, connect_seconds=limits.connect_seconds, allow_link_local=limits.allow_link_local)

    @asynccontextmanager
    async def open_source(self, cluster: AccountCluster) -> AsyncIterator["_ProbedSource"]:
        """The cost source of an account. Raises RequestError, SourceError."""
        try:
            async with self.opener.within(_MAX_WAIT_SECONDS).source(cluster) as source:
                yield _ProbedSource(source)
        except SourceTimeout as error:  # its own message names settings that do not matter here
            place = cluster.account.kubecost_url or error.url
            raise SourceError(f"{place} did not answer within {error.seconds:g} s", code=error.code) from error

    async def cluster_id(self, cluster: AccountCluster) -> str | None:
        """The id of its cluster as its source states it; None if it does not within 2 s."""
        try:
            async with (
                asyncio.timeout(_CLUSTER_ID_SECONDS),
                self.opener.within(_CLUSTER_ID_SECONDS).source(cluster) as source,
            ):
                info = await source.client.about("/clusterInfo")
        except (KubetallyError, TimeoutError):  # another account's trouble, which `doctor` reports
            return None
        id_ = (info or {}).get("id")
        return id_ if isinstance(id_, str) and id_ else None

    async def check_prometheus(self, cluster: AccountCluster, now: datetime) -> None:
        """Ask the Prometheus of an account whether it answers. Raises RequestError, SourceError."""
        async with self.opener.within(_MAX_WAIT_SECONDS).prometheus(cluster) as prometheus:
            if prometheus is not None:
                await prometheus.introduce(now)

    def prometheus_key(self, account: AnyAccount) -> object | None:
        """See `SourceOpener.prometheus_key`."""
        return self.opener.prometheus_key(account)


@dataclass(frozen=True, slots=True)
class _ProbedSource:
    source: CostModelSource

    async def introduce(self) -> About:
        return await self.source.introduce()

    async def check_costs(self, window: Window) -> None:
        await self.source.client.allocations(window)
