"""Collecting until the program is stopped, as the only process that does."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

from kubetally import logs
from kubetally.domain.errors import StoreError
from kubetally.ledger.collect.collector import Collector
from kubetally.ledger.collect.due_poller import DuePoller
from kubetally.ledger.collect.maintenance import Upkeep, maintain_daily, tidy
from kubetally.ledger.collect.rounds import EXPECTED_CODES, collect_savings, compare_days, examine_once, log_outcome
from kubetally.ledger.collect.savings import SavingsCollector
from kubetally.ledger.ports.leases import COLLECTOR, Lease
from kubetally.ledger.stores import Ledger
from kubetally.tasks import task_group, until_set

_STANDBY_SECONDS = 5.0
_SAVINGS_POLL_SECONDS = 60.0
_RENEW_SECONDS, _LEASE_SECONDS = 10.0, 30.0
_log = logs.get_logger(__name__)


class Forever:
    """Collects round after round, and maintains the lake, until `stop` is set.

    While another process holds the collector lease, it stands by.
    """

    def __init__(self, ledger: Ledger, collector: Collector, savings: SavingsCollector, stop: asyncio.Event) -> None:
        self._ledger, self._collector, self._savings, self._stop = ledger, collector, savings, stop
        self._poller, self._costs_stored = DuePoller(collector.due), asyncio.Event()
        self._upkeep = Upkeep(
            maintain=partial(maintain_daily, ledger, lambda: not stop.is_set()), tidy=partial(tidy, ledger)
        )

    async def run(self) -> None:
        """Run until `stop` is set. Store errors are logged, and the work is retried."""
        while not self._stop.is_set():
            try:
                await asyncio.to_thread(self._ledger.lake.make)  # before a source is asked in vain
                async with self._collector_lease() as is_ours, task_group() as group:
                    group.create_task(self._rounds(is_ours, of_failed=False))
                    group.create_task(self._rounds(is_ours, of_failed=True))
                    group.create_task(self._savings_rounds(is_ours))
                    if is_ours():
                        group.create_task(examine_once(self._ledger, lambda: self._should_continue(is_ours)))
            except StoreError as error:
                _log.warning("collecting_failed", code=error.code, error=str(error))
            await self._pause(_STANDBY_SECONDS)

    def _should_continue(self, is_ours: Callable[[], bool]) -> bool:
        return is_ours() and not self._stop.is_set()

    async def _rounds(self, is_ours: Callable[[], bool], *, of_failed: bool) -> None:
        """Rounds of the clusters that failed last time, or of all others.

        A round takes as long as its slowest cluster, so that failing clusters have rounds of their own.
        """
        while self._should_continue(is_ours):
            await until_set(self._stop, self._round(of_failed=of_failed))
            await self._pause(self._poller.pause_seconds)

    async def _savings_rounds(self, is_ours: Callable[[], bool]) -> None:
        """Collect savings once a day and account, in a task of its own, so that costs never wait for them."""
        while self._should_continue(is_ours):
            collect = collect_savings(self._savings, should_continue=lambda: self._should_continue(is_ours))
            await until_set(self._stop, collect)
            with suppress(TimeoutError):
                async with asyncio.timeout(_SAVINGS_POLL_SECONDS):
                    await until_set(self._stop, self._wait_for_costs())

    async def _wait_for_costs(self) -> None:
        """Wait until costs were stored since the last call."""
        await self._costs_stored.wait()
        self._costs_stored.clear()

    async def _round(self, *, of_failed: bool) -> None:
        if dues := await self._poller.due(of_failed=of_failed):
            report = await self._collector.collect(dues, log_outcome)
            if report.collected:
                self._costs_stored.set()
                await compare_days(self._ledger)
            failed = sum(outcome.code not in EXPECTED_CODES for outcome in report.failed)
            _log.info("collected", due=report.planned, days=len(report.collected), failed=failed)
        if not of_failed:
            await asyncio.to_thread(self._upkeep.run_due, self._ledger.clock.now())

    @asynccontextmanager
    async def _collector_lease(self) -> AsyncIterator[Callable[[], bool]]:
        """Hold the lease of the collecting process; yields whether it is held, which may change."""
        lease: Lease | None = await asyncio.to_thread(self._ledger.leases.acquire, COLLECTOR)
        if lease is None:
            yield lambda: False
            return
        is_ours = True

        async def renew() -> None:
            nonlocal is_ours
            last = time.monotonic()
            while is_ours:
                await asyncio.sleep(_RENEW_SECONDS)
                try:
                    is_ours = await asyncio.to_thread(lease.renew)
                    last = time.monotonic()
                except StoreError:  # the database may come back in time
                    is_ours = time.monotonic() - last < _LEASE_SECONDS

        renewing = asyncio.create_task(renew())
        try:
            yield lambda: is_ours
        finally:
            renewing.cancel()
            await asyncio.to_thread(lease.release)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()
