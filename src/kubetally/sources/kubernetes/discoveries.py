"""Searches kubeconfig contexts for cost sources and Prometheus, and caches the results."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from kubetally.cache import AsyncCache
from kubetally.domain.errors import SourceError
from kubetally.sources.kubernetes.api import KubernetesApi
from kubetally.sources.kubernetes.find import Seen, find_cost_source, find_metrics, look
from kubetally.sources.kubernetes.resolve import Option, Resolved
from kubetally.sources.kubernetes.sign_in import SERVICE_ACCOUNT, ApiServer, sign_in
from kubetally.sources.transport import Limits

_CACHE_SECONDS, _EMPTY_SECONDS = 900.0, 30.0
_CLUSTER_SECONDS = 30.0  # enough for one search for costs and metrics; later there may be something new
_MAX_WAIT_SECONDS = 5.0


class Discoveries:
    """The sources of contexts, cached for 15 minutes: a search takes an exec plugin and several requests.

    A search for costs and one for metrics share one sign-in and one list of services. Failures are not cached.
    """

    def __init__(self, *, environment: Mapping[str, str] = os.environ, service_account: Path = SERVICE_ACCOUNT) -> None:
        self._environment, self._service_account = environment, service_account
        self._costs = AsyncCache[str, Resolved](lambda _: _CACHE_SECONDS)
        self._metrics = AsyncCache[str, Resolved | None](lambda found: _CACHE_SECONDS if found else _EMPTY_SECONDS)
        self._servers = AsyncCache[str, ApiServer](lambda _: _CLUSTER_SECONDS)
        self._seen = AsyncCache[str, Seen](lambda _: _CLUSTER_SECONDS)

    async def costs(self, context: str, limits: Limits) -> Resolved:
        """The cost source of a context; an empty name is the current one. Raises as `sign_in`, `find_cost_source`."""

        async def find() -> Resolved:
            server = await self._sign_in(context)
            seen = await self._list_services(context, server, limits)
            async with KubernetesApi(server, limits) as api:
                service = await find_cost_source(api, seen)
                return Resolved(Option.CONTEXT, api.access_to(service), server.renew, service)

        return await self._costs.get(context, find)

    async def metrics(self, context: str, limits: Limits) -> Resolved | None:
        """The Prometheus or Thanos of a context, if any. Raises as `sign_in`."""

        async def find() -> Resolved | None:
            try:
                async with asyncio.timeout(min(_MAX_WAIT_SECONDS, limits.deadline_seconds / 3)):
                    return await self._find_metrics(context, limits)
            except TimeoutError:  # nobody stated it, so it must not delay the costs
                return None

        return await self._metrics.get(context, find)

    def forget(self, context: str) -> None:
        """Search again the next time, because the source does not answer."""
        for cache in (self._costs, self._metrics, self._servers, self._seen):
            cache.forget(context)

    async def _find_metrics(self, context: str, limits: Limits) -> Resolved | None:
        server = await self._sign_in(context)
        try:
            seen = await self._list_services(context, server, limits)
        except SourceError:  # reported by the search for costs
            return None
        async with KubernetesApi(server, limits) as api:
            service = await find_metrics(api, seen)
            return None if service is None else Resolved(Option.CONTEXT, api.access_to(service), server.renew, service)

    async def _sign_in(self, context: str) -> ApiServer:
        return await self._servers.get(
            context,
            lambda: sign_in(context or None, environment=self._environment, service_account=self._service_account),
        )

    async def _list_services(self, context: str, server: ApiServer, limits: Limits) -> Seen:
        async def look_around() -> Seen:
            async with KubernetesApi(server, limits) as api:
                return await look(api)

        return await self._seen.get(context, look_around)
