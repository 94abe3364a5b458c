"""Counts the progress of collecting, for the metrics of the service."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial

from kubetally.cache import AsyncCache
from kubetally.domain.account import AccountPlace
from kubetally.domain.errors import StoreError
from kubetally.domain.window import Clock
from kubetally.ledger.accounts.database_timeout import DatabaseSilent
from kubetally.ledger.costs.stored_days import History
from kubetally.ledger.ports.coverage import Progress
from kubetally.tasks import run_blocking

PROGRESS_SECONDS = 30.0  # a count reads all days of all clusters, and a scrape may ask every few seconds


@dataclass(frozen=True, slots=True)
class ClustersProgress:
    """The number of clusters to collect and the progress of collecting them, `age_seconds` ago."""

    clusters: int
    progress: Progress
    age_seconds: float = 0.0


class ProgressCounter:
    """Counts the progress of all clusters, at most every `seconds`.

    history: None if nothing is collected; executor: where it is read. clusters: all accounts of clusters.
    """

    def __init__(
        self,
        history: History | None,
        executor: Executor | None,
        clusters: Callable[[], Awaitable[Sequence[AccountPlace]]],
        clock: Clock,
        seconds: float = PROGRESS_SECONDS,
    ) -> None:
        self._history, self._executor, self._clusters, self._clock = history, executor, clusters, clock
        self._counts: AsyncCache[None, ClustersProgress] = AsyncCache(lambda _: seconds)

    async def progress(self, timeout_seconds: float) -> ClustersProgress | None:
        """The progress of collecting; None if nothing is collected.

        If the database fails or takes longer than `timeout_seconds`, the last count.

        Raises: StoreError, if there is no last count.
        """
        history = self._history
        if history is None:
            return None
        counted = self._counts.peek(None)
        if counted is None:
            try:
                async with asyncio.timeout(timeout_seconds):
                    return await self._counts.reload(None, lambda: self._count(history))
            except (TimeoutError, StoreError) as error:
                counted = self._counts.last(None)
                if counted is None:
                    raise (error if isinstance(error, StoreError) else DatabaseSilent(timeout_seconds)) from None
        progress, age_seconds = counted
        return replace(progress, age_seconds=age_seconds)

    async def _count(self, history: History) -> ClustersProgress:
        ids = [account.id for account in await self._clusters()]
        count = partial(history.progress, ids, self._clock.now())
        progress = await run_blocking(self._executor, count)
        return ClustersProgress(len(ids), progress)

    async def close(self) -> None:
        """Cancel a running count."""
        await self._counts.close()
