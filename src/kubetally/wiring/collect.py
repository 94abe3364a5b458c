"""The collector, from the settings to the lake."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import date, timedelta
from typing import Any, TypeVar

import structlog

from kubetally.domain.errors import StoreError
from kubetally.domain.window import Clock
from kubetally.ledger.collect.collector import Collector, Report, Watch
from kubetally.ledger.collect.commit import Committer
from kubetally.ledger.collect.plan import Policy
from kubetally.ledger.collect.read import Reader
from kubetally.ledger.stored import COLLECTOR, Lease, Maintained
from kubetally.settings import Settings
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.ledger import Ledger, open_ledger
from kubetally.wiring.opener import Opener

T = TypeVar("T")
Planned = Callable[[int], None]
_LOOK_SECONDS = 30.0
_RENEW_SECONDS = 10.0
_MAINTAIN_EVERY = timedelta(days=1)
_THREADS = 4
_log = structlog.get_logger(__name__)


def collect_once(
    settings: Settings, names: Sequence[str], *, watch: Watch, planned: Planned, clock: Clock | None = None
) -> Report:
    """Collect what is due now, of all clusters or those named, round after round until nothing is.

    Raises: AccountNotFound, AnotherWriter, StoreError.
    """

    async def collect(ledger: Ledger, collector: Collector) -> Report:
        whole = Report()
        while dues := await collector.due(names):
            planned(len(dues))
            report = await collector.collect(dues, watch)
            whole.planned += report.planned
            whole.outcomes += report.outcomes
            if not report.outcomes:
                break
        return whole

    return asyncio.run(_with_collector(settings, clock, collect))


def backfill(
    settings: Settings,
    name: str,
    first: date,
    end: date,
    *,
    missing_only: bool,
    watch: Watch,
    planned: Planned,
    clock: Clock | None = None,
) -> Report:
    """Ask an account's source for days again. Raises AccountNotFound, NotACluster, AnotherWriter, StoreError."""

    async def fill(ledger: Ledger, collector: Collector) -> Report:
        return await collector.backfill(name, first, end, missing_only=missing_only, watch=watch, planned=planned)

    return asyncio.run(_with_collector(settings, clock, fill))


def collect_forever(settings: Settings, *, watch: Watch = lambda outcome: None, clock: Clock | None = None) -> None:
    """Collect whatever is due, and look after the lake, until SIGTERM or SIGINT; the day in hand is finished first.

    Where somebody else does so already, it stands by until that one is gone. Raises StoreError at the start only.
    """
    used = clock or SystemClock()

    async def collect(ledger: Ledger, collector: Collector) -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await _Forever(ledger, collector, used, watch, stop).run()

    asyncio.run(_with_collector(settings, used, collect))


async def _with_collector(
    settings: Settings, clock: Clock | None, work: Callable[[Ledger, Collector], Coroutine[Any, Any, T]]
) -> T:
    """What `work` does with a collector; what it has begun to write is written before this ends."""
    clock = clock or SystemClock()
    with open_ledger(settings, clock) as ledger, ThreadPoolExecutor(_THREADS, "ledger") as executor:
        opener = Opener(ledger.accounts, executor, settings)
        reader = Reader(opener.source, opener.metrics, clock, deadline_seconds=settings.deadline_seconds)
        committer = Committer(ledger.lake, ledger.coverage, ledger.leases, clock)
        collector = Collector(
            ledger.accounts,
            ledger.coverage,
            reader,
            committer,
            clock,
            executor=executor,
            policy=Policy(most_days=settings.collect_days),
            at_once=settings.collect_at_once,
        )
        return await work(ledger, collector)


class _Forever:
    """Round after round, as long as nobody else does the same."""

    def __init__(self, ledger: Ledger, collector: Collector, clock: Clock, watch: Watch, stop: asyncio.Event) -> None:
        self._ledger, self._collector, self._clock, self._watch, self._stop = ledger, collector, clock, watch, stop
        self._maintained = clock.now()

    async def run(self) -> None:
        """Until it is told to stop."""
        while not self._stop.is_set():
            try:
                async with self._alone() as is_alone:
                    while is_alone() and not self._stop.is_set():
                        await self._stoppable(self._round())
                        await self._pause(_LOOK_SECONDS)
            except StoreError as error:  # a database or a lake may come back; nothing is lost meanwhile
                _log.warning("collecting_failed", code=error.code, error=str(error))
            await self._pause(_LOOK_SECONDS)

    async def _round(self) -> None:
        dues = await self._collector.due()
        if dues:
            report = await self._collector.collect(dues, self._watch)
            _log.info("collected", due=report.planned, days=len(report.collected), failed=len(report.failed))
        if self._clock.now() - self._maintained >= _MAINTAIN_EVERY:
            self._maintained = self._clock.now()
            await asyncio.to_thread(maintain, self._ledger, self._clock)

    async def _stoppable(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it, or as much of it as is done when it is told to stop."""
        doing, stopping = asyncio.ensure_future(work), asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not doing.done():
            doing.cancel()
            await asyncio.wait({doing})
            return
        await doing

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[Callable[[], bool]]:
        """Be the one who collects by itself; what it gives tells whether that still holds."""
        lease: Lease | None = await asyncio.to_thread(self._ledger.leases.acquire, COLLECTOR)
        if lease is None:
            yield lambda: False
            return
        is_ours = True

        async def renew() -> None:
            nonlocal is_ours
            while is_ours:
                await asyncio.sleep(_RENEW_SECONDS)
                is_ours = await asyncio.to_thread(lease.renew)

        renewing = asyncio.create_task(renew())
        try:
            yield lambda: is_ours
        finally:
            renewing.cancel()
            await asyncio.to_thread(lease.release)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            pass


def maintain_once(settings: Settings) -> Maintained:
    """Look after the lake now. Raises AnotherWriter, StoreError."""
    with open_ledger(settings) as ledger:
        return maintain(ledger, SystemClock())


def maintain(ledger: Ledger, clock: Clock) -> Maintained:
    """Look after the lake, alone, and forget what was replaced longer ago than its history is kept.

    Raises: AnotherWriter, StoreError.
    """
    keep = timedelta(days=ledger.settings.history_days)
    with Committer(ledger.lake, ledger.coverage, ledger.leases, clock).alone():
        done = ledger.lake.maintain(keep)
    forgotten = ledger.coverage.forget(clock.now() - keep)
    facts = {"compacted": done.compacted, "vacuumed": done.vacuumed, "checkpoint": done.checkpoint}
    _log.info("maintained", **facts, forgotten=forgotten)
    return done
