"""What kubeconfig contexts lead to, cached for a while."""

import asyncio

from kubetally.cache import AsyncCache
from kubetally.domain.errors import SourceError
from kubetally.sources.kubernetes.find import Seen
from kubetally.sources.kubernetes.resolve import Resolved, metrics_among, seen_by, source_among
from kubetally.sources.kubernetes.sign_in import ApiServer, sign_in
from kubetally.sources.transport import Limits

_CACHE_SECONDS, _EMPTY_SECONDS = 900.0, 30.0
_CLUSTER_SECONDS = 30.0  # long enough for one search for costs and metrics; later there may be something new
_MAX_WAIT_SECONDS = 5.0


class Discoveries:
    """What contexts lead to, cached for 15 minutes: a search takes an exec plugin and several requests.

    A search for costs and one for metrics sign in and list the cluster's services once. Failures are not cached.
    """

    def __init__(self) -> None:
        self._costs = AsyncCache[str, Resolved](lambda _: _CACHE_SECONDS)
        self._metrics = AsyncCache[str, Resolved | None](lambda found: _CACHE_SECONDS if found else _EMPTY_SECONDS)
        self._servers = AsyncCache[str, ApiServer](lambda _: _CLUSTER_SECONDS)
        self._seen = AsyncCache[str, Seen](lambda _: _CLUSTER_SECONDS)

    async def costs(self, context: str, limits: Limits) -> Resolved:
        """The cost source of a context; an empty one is the current. Raises as `discover`."""

        async def find() -> Resolved:
            server = await self._sign_in(context)
            return await source_among(server, await self._list_services(context, server, limits), limits)

        return await self._costs.get(context, find)

    async def metrics(self, context: str, limits: Limits) -> Resolved | None:
        """Its Prometheus, None if there is none. Raises as `sign_in`."""

        async def find() -> Resolved | None:
            try:
                async with asyncio.timeout(min(_MAX_WAIT_SECONDS, limits.deadline_seconds / 3)):
                    return await self._find_metrics(context, limits)
            except TimeoutError:  # nobody named it, so it must not delay the costs
                return None

        return await self._metrics.get(context, find)

    def forget(self, context: str) -> None:
        """Search again the next time, because what was found does not answer."""
        for cache in (self._costs, self._metrics, self._servers, self._seen):
            cache.forget(context)

    async def _find_metrics(self, context: str, limits: Limits) -> Resolved | None:
        server = await self._sign_in(context)
        try:
            seen = await self._list_services(context, server, limits)
        except SourceError:  # the search for costs reports it
            return None
        return await metrics_among(server, seen, limits)

    async def _sign_in(self, context: str) -> ApiServer:
        return await self._servers.get(context, lambda: sign_in(context or None))

    async def _list_services(self, context: str, server: ApiServer, limits: Limits) -> Seen:
        return await self._seen.get(context, lambda: seen_by(server, limits))
