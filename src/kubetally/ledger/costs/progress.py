"""How far collecting has come, counted now and then for whoever watches the service."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial

from kubetally.cache import SingleFlight
from kubetally.domain.account import Account
from kubetally.domain.errors import StoreError
from kubetally.domain.window import Clock
from kubetally.ledger.accounts.database_timeout import DatabaseSilent
from kubetally.ledger.costs.stored_days import History
from kubetally.ledger.ports.coverage import Progress

PROGRESS_SECONDS = 30.0  # it counts all days of all clusters, and may be asked every few seconds


@dataclass(frozen=True, slots=True)
class ClustersProgress:
    """How many clusters there are to be collected, and how far that has come; `age_seconds` ago."""

    clusters: int
    progress: Progress
    age_seconds: float = 0.0


class ProgressCounter:
    """Counts what is collected of all clusters, at most every `seconds`.

    history: None where nothing is collected; executor: where it is read. clusters: all accounts of clusters.
    """

    def __init__(
        self,
        history: History | None,
        executor: Executor | None,
        clusters: Callable[[], Awaitable[Sequence[Account]]],
        clock: Clock,
        seconds: float = PROGRESS_SECONDS,
    ) -> None:
        self._history, self._executor, self._clusters, self._clock = history, executor, clusters, clock
        self._seconds = seconds
        self._progress: tuple[float, ClustersProgress] | None = None
        self._progress_flights: SingleFlight[None, ClustersProgress] = SingleFlight()

    async def progress(self, timeout_seconds: float) -> ClustersProgress | None:
        """How far collecting has come; None where nothing is collected.

        It is counted every half minute. Where the database takes longer than `timeout_seconds` or fails, it is what
        was counted last.
        Raises: StoreError, where nothing was counted yet.
        """
        history, known = self._history, self._progress
        if history is None:
            return None
        if known is None or time.monotonic() - known[0] >= self._seconds:
            try:
                async with asyncio.timeout(timeout_seconds):
                    return await self._progress_flights(None, lambda: self._count_progress(history))
            except TimeoutError:
                if known is None:
                    raise DatabaseSilent(timeout_seconds) from None
            except StoreError:
                if known is None:
                    raise
        return replace(known[1], age_seconds=time.monotonic() - known[0])

    async def _count_progress(self, history: History) -> ClustersProgress:
        """One counts for all who ask, and for those who ask afterwards where these have given up."""
        ids = [account.id for account in await self._clusters()]
        look = partial(history.progress, ids, self._clock.now())
        found = await asyncio.get_running_loop().run_in_executor(self._executor, look)
        counted = ClustersProgress(len(ids), found)
        self._progress = time.monotonic(), counted
        return counted

    async def close(self) -> None:
        """Cancel a running count."""
        await self._progress_flights.close()
