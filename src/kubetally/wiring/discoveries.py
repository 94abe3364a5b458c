"""How a kubeconfig context leads to what is asked, remembered for a while."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from kubetally.domain.errors import SourceError
from kubetally.ledger.costs.cache import SingleFlight
from kubetally.sources.kubernetes.find import Seen
from kubetally.sources.kubernetes.resolve import Resolved, metrics_among, seen_by, source_among
from kubetally.sources.kubernetes.sign_in import ApiServer, sign_in
from kubetally.sources.transport import Limits
from kubetally.wiring.limits import MAX_WAIT_SECONDS

T = TypeVar("T")
_DISCOVERED_SECONDS = 900.0
_NOTHING_SECONDS = 30.0
_SEEN_SECONDS = 30.0


class Discoveries:
    """What contexts led to, for a quarter of an hour: looking takes an exec plugin and several questions.

    Whoever looks for the same meanwhile waits for it, and who looks for costs and for metrics signs in and looks around
    once. Failures are not kept.
    """

    def __init__(self) -> None:
        self._costs, self._metrics = _Looked[Resolved](), _Looked[Resolved | None]()
        # Long enough for whoever looks for costs and metrics at once; later something new may be there.
        self._servers, self._seen = _Looked[ApiServer](_SEEN_SECONDS), _Looked[Seen](_SEEN_SECONDS)

    async def costs(self, context: str, limits: Limits) -> Resolved:
        """The source of costs of a context; an empty one is the current. Raises as `discover`."""

        async def look() -> Resolved:
            server = await self._signed_in(context)
            return await source_among(server, await self._seen_by(context, server, limits), limits)

        return await self._costs(context, look)

    async def metrics(self, context: str, limits: Limits) -> Resolved | None:
        """Its server of metrics, None where there is none. Raises as `sign_in`."""

        async def look() -> Resolved | None:
            try:
                async with asyncio.timeout(min(MAX_WAIT_SECONDS, limits.deadline_seconds / 3)):
                    return await self._look_for_metrics(context, limits)
            except TimeoutError:  # nobody asked for it, so that it must not hold the costs
                return None

        return await self._metrics(context, look)

    def forget(self, context: str) -> None:
        """Look again the next time, because what was found does not answer."""
        for looked in (self._costs, self._metrics, self._servers, self._seen):
            looked.forget(context)

    async def _look_for_metrics(self, context: str, limits: Limits) -> Resolved | None:
        server = await self._signed_in(context)
        try:
            seen = await self._seen_by(context, server, limits)
        except SourceError:  # who looks for costs is told of it
            return None
        return await metrics_among(server, seen, limits)

    async def _signed_in(self, context: str) -> ApiServer:
        return await self._servers(context, lambda: sign_in(context or None))

    async def _seen_by(self, context: str, server: ApiServer, limits: Limits) -> Seen:
        return await self._seen(context, lambda: seen_by(server, limits))


class _Looked(Generic[T]):
    """What was found under a key, and until when that counts."""

    def __init__(self, seconds: float = _DISCOVERED_SECONDS) -> None:
        self._seconds = seconds
        self._kept: dict[str, tuple[float, T]] = {}
        self._looking: SingleFlight[str, T] = SingleFlight()

    async def __call__(self, key: str, look: Callable[[], Coroutine[Any, Any, T]]) -> T:
        found = self._kept.get(key)
        if found is None or time.monotonic() > found[0]:
            what = await self._looking(key, look)
            # That there is nothing may be a hiccup.
            seconds = _NOTHING_SECONDS if what is None else self._seconds
            found = self._kept[key] = time.monotonic() + seconds, what
        return found[1]

    def forget(self, key: str) -> None:
        self._kept.pop(key, None)
