"""The collector, built from the settings."""

from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Any, TypeVar

from kubetally.domain.collection_report import Report
from kubetally.domain.window import Clock
from kubetally.ledger.accounts.reconcile import reconcile
from kubetally.ledger.accounts.snapshot import ReadSnapshot, StoredSnapshot
from kubetally.ledger.collect import rounds
from kubetally.ledger.collect.collector import Collector
from kubetally.ledger.collect.committer import Committer
from kubetally.ledger.collect.forever import Forever
from kubetally.ledger.collect.maintenance import run_or_log
from kubetally.ledger.collect.reader import Reader
from kubetally.ledger.collect.savings import SavingsCollector
from kubetally.ledger.collect.schedule import Policy
from kubetally.ledger.collect.stopping import stop_event, until_stopped
from kubetally.ledger.collect.workers.messages import ReaderParts
from kubetally.ledger.collect.workers.pool import ReaderPool
from kubetally.ledger.stores import Ledger
from kubetally.settings import Settings
from kubetally.sources.opener import AccountOpener
from kubetally.tasks import run, run_blocking, run_on_uvloop, usable_cores
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.ledger import lake_location, open_ledger
from kubetally.wiring.sources import source_opener

T = TypeVar("T")
Work = Callable[[Ledger, Collector, SavingsCollector], Coroutine[Any, Any, T]]
_SNAPSHOT_SECONDS = 10.0
_THREADS = 4


@dataclass(frozen=True, slots=True)
class SettingsReaderBuilder:
    """Builds the parts of a reader process from settings, without the keys and URLs of databases."""

    settings: Settings
    clock: Clock

    @classmethod
    def of(cls, settings: Settings, clock: Clock) -> "SettingsReaderBuilder":
        """Without what a reader does not need."""
        return cls(replace(settings, keys=None, secret=None, database_url=None, optscale_database_url=None), clock)

    def build(self, read_snapshot: ReadSnapshot) -> ReaderParts:
        """See `ReaderBuilder.build`."""
        opener, seconds = AccountOpener(read_snapshot, source_opener(self.settings)), self.settings.deadline_seconds
        reader = Reader(opener.source, opener.metrics, self.clock, deadline_seconds=seconds)
        return ReaderParts(reader, lake_location(self.settings).open().pack)


def collect_until_stopped(settings: Settings, work: Work[T]) -> T:
    """The result of `work`, called with the collectors. Raises as it does, and Stopped."""
    return run_on_uvloop(until_stopped(with_collector(settings, None, work)))


def collect_days(settings: Settings, days: Sequence[date], clock: Clock) -> Report:
    """Collect these days of every account. Raises StoreError."""
    return run(with_collector(settings, clock, partial(rounds.collect_days, days=days)))


def collect_forever(settings: Settings, *, clock: Clock | None = None) -> None:
    """Collect until SIGTERM or SIGINT. Raises StoreError at the start only."""

    async def collect(ledger: Ledger, collector: Collector, savings: SavingsCollector) -> None:
        await Forever(ledger, collector, savings, stop_event()).run()

    run_on_uvloop(with_collector(settings, clock, collect))


async def with_collector(settings: Settings, clock: Clock | None, work: Work[T]) -> T:
    """The result of `work`, called with the collectors; they are closed afterwards."""
    clock, seconds = clock or SystemClock(), settings.deadline_seconds
    with open_ledger(settings, clock) as ledger, ThreadPoolExecutor(_THREADS, "ledger") as pool:
        await run_blocking(pool, ledger.lake.make)  # before a source is asked in vain
        await run_blocking(pool, partial(run_or_log, partial(reconcile, ledger)))
        accounts, url = ledger.accounts, settings.prometheus_url
        snapshot = StoredSnapshot(accounts, pool, prometheus_url=url, max_age_seconds=_SNAPSHOT_SECONDS)
        opener = AccountOpener(snapshot, source_opener(settings))
        reader = Reader(opener.source, opener.metrics, clock, deadline_seconds=seconds)
        builder = SettingsReaderBuilder.of(settings, clock)
        processes = min(settings.collect_processes, usable_cores())
        readers = ReaderPool(reader, snapshot, builder, processes=processes, deadline_seconds=seconds)
        async with aclosing(readers):
            collector = Collector(
                accounts,
                ledger.coverage,
                readers,
                Committer(ledger.writer()),
                clock,
                executor=pool,
                policy=Policy(max_days=settings.collect_days),
                max_concurrency=settings.collect_at_once,
            )
            savings = SavingsCollector(
                accounts,
                ledger.savings,
                ledger.writer(),
                opener.source,
                clock,
                deadline_seconds=seconds,
                executor=pool,
            )
            return await work(ledger, collector, savings)
