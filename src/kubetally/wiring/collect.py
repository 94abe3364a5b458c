"""The collector, from the settings to the lake."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple, TypeVar

import structlog

from kubetally.domain.collection import LAKE_VERSION, NO_DATA
from kubetally.domain.errors import RequestError, StoreError
from kubetally.domain.money import to_number
from kubetally.domain.trusted_time import TrustedTime
from kubetally.domain.window import Clock, rfc3339
from kubetally.ledger.collect.collector import Collector, Report, Watch
from kubetally.ledger.collect.committer import Committer, Outcome
from kubetally.ledger.collect.damage import check_share
from kubetally.ledger.collect.due_poller import DuePoller
from kubetally.ledger.collect.examine import compare_collected_days, examine_stored_days
from kubetally.ledger.collect.lease import AnotherWriter, hold_lease
from kubetally.ledger.collect.reader import Reader
from kubetally.ledger.collect.reconcile import reconcile
from kubetally.ledger.collect.replacement import NOT_BEGUN, NOT_TRIED, SUPERSEDED
from kubetally.ledger.collect.savings import SavingsCollector
from kubetally.ledger.collect.schedule import Policy
from kubetally.ledger.collect.writer import LakeWriter
from kubetally.ledger.ports.damage import FileDamage, LogDamaged
from kubetally.ledger.ports.lake import Maintained, by_clock
from kubetally.ledger.ports.leases import COLLECTOR, MAINTAINER, Lease
from kubetally.ledger.stores import Ledger
from kubetally.settings import Settings
from kubetally.tasks import task_group, until_set
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.ledger import open_ledger
from kubetally.wiring.loop import run
from kubetally.wiring.opener import FleetInStore, Opener
from kubetally.wiring.readers.pool import reader_pool

T = TypeVar("T")
Planned = Callable[[int], None]
_STANDBY_SECONDS = 5.0
_SAVINGS_LOOK_SECONDS = 60.0
_RENEW_SECONDS, _LEASE_SECONDS = 10.0, 30.0
_ACCOUNTS_KEPT_SECONDS = 10.0
_MAINTAIN_EVERY, _TIDY_EVERY, _UPKEEP_AGAIN = timedelta(days=1), timedelta(hours=1), timedelta(minutes=10)
_NO_NEWS = frozenset({NO_DATA, NOT_TRIED, NOT_BEGUN, SUPERSEDED})
_STOPPING = (signal.SIGTERM, signal.SIGINT)
_THREADS = 4
_log = structlog.get_logger(__name__)


class AnotherCollector(StoreError):
    """Somebody else collects what is due."""

    code = "another_collector"
    retryable = True

    def __init__(self, holder: str) -> None:
        self.holder = holder
        super().__init__(
            f"{holder} collects what is due already, as kubetally serve does by itself: see `kubetally coverage`, or "
            "ask for days with `kubetally backfill`"
        )


class NoAccounts(RequestError):
    """There is no account whose days could be collected."""

    code = "no_accounts"

    def __init__(self, database: str) -> None:
        self.database = database
        super().__init__(
            f"no account is remembered in {database}, so there is nothing to collect: add one with "
            "`kubetally accounts add NAME --url URL`, or set KUBETALLY_DATABASE_URL to the database that has them"
        )


class Stopped(Exception):
    """Somebody told the program to stop; the day in hand was finished, and the others stay due."""


def collect_once(
    settings: Settings, names: Sequence[str], *, watch: Watch, planned: Planned, clock: Clock | None = None
) -> Report:
    """Collect what is due now, of all clusters or those named, round after round until nothing is.

    Raises: NoAccounts, AccountNotFound, AnotherWriter, StoreError, Stopped.
    """

    async def collect(ledger: Ledger, collector: Collector, savings: SavingsCollector) -> Report:
        if not names and not ledger.accounts.all():
            raise NoAccounts(ledger.database)
        loop = asyncio.get_running_loop()
        lease = await loop.run_in_executor(None, partial(_collecting_alone, ledger))
        try:
            await _examine(ledger, lambda: True)
            report = await due_rounds(ledger, collector)
            await _collect_savings(savings, names)
            return report
        finally:
            await loop.run_in_executor(None, lease.close)

    async def due_rounds(ledger: Ledger, collector: Collector) -> Report:
        whole = Report(accounts=len(ledger.accounts.all()))
        while dues := await collector.due(names):
            planned(len(dues))
            report = await collector.collect(dues, watch)
            whole.planned += report.planned
            whole.outcomes += report.outcomes
            if not report.outcomes:
                break
        empty = {outcome.account_id for outcome in whole.outcomes if outcome.code == NO_DATA}
        whole.first_days = await collector.first_days(empty)
        if whole.collected:
            await _compare(ledger)
            await asyncio.get_running_loop().run_in_executor(None, partial(_if_possible, partial(tidy, ledger)))
        return whole

    return run(_until_stopped(with_collector(settings, clock, collect)))


async def _collect_savings(
    savings: SavingsCollector, names: Sequence[str] = (), should_continue: Callable[[], bool] = lambda: True
) -> None:
    """Collect the savings that are due; what can't be done is told, and is due later."""
    try:
        for day in await savings.collect(names, should_continue):
            facts = {"account": day.account_id, "day": str(day.day), "state": str(day.state), "rows": day.rows}
            if day.code is None:
                _log.debug("savings_collected", **facts)
            else:
                _log.warning("savings_not_collected", **facts, code=day.code, error=day.why)
    except StoreError as error:
        _log.warning("savings_not_stored", code=error.code, error=str(error))


async def _examine(ledger: Ledger, should_continue: Callable[[], bool]) -> None:
    """Examine the days that earlier versions stored, which is done once; what can't be done is told."""
    is_wanted = True
    examine = partial(examine_stored_days, ledger.coverage, ledger.lake, lambda: is_wanted and should_continue())
    try:
        await asyncio.to_thread(_if_possible, examine, "stored_days_not_examined")
    finally:
        is_wanted = False  # else the thread would go on without whoever started it


async def _compare(ledger: Ledger) -> None:
    """Compare the days that were just collected with the days around them; what can't be done is told."""
    compare = partial(compare_collected_days, ledger.coverage, ledger.lake)
    await asyncio.to_thread(_if_possible, compare, "collected_days_not_compared")


def _if_possible(work: Callable[[], object], otherwise: str = "not_maintained") -> bool:
    """Look after the lake; what can't be done is told. Returns whether it was done."""
    try:
        return work() is not False
    except StoreError as error:  # such as a backup that is being written
        _log.warning(otherwise, code=error.code, error=str(error))
        return False


def _collecting_alone(ledger: Ledger) -> ExitStack:
    """Be the one who collects what is due, until it is closed. Raises AnotherCollector, StoreError."""
    stack = ExitStack()
    try:
        stack.enter_context(hold_lease(ledger.leases, COLLECTOR, ledger.lake.url, wait_seconds=0))
    except AnotherWriter as error:
        raise AnotherCollector(error.holder) from error
    return stack


def backfill(
    settings: Settings,
    name: str,
    first: date,
    end: date,
    *,
    missing_only: bool,
    force: bool = False,
    watch: Watch,
    planned: Planned,
    clock: Clock | None = None,
) -> Report:
    """Ask an account's source for days again.

    Raises: AccountNotFound, NotACluster, AnotherWriter, StoreError, Stopped.
    """

    async def fill(ledger: Ledger, collector: Collector, _: SavingsCollector) -> Report:
        report = await collector.backfill(
            name, first, end, missing_only=missing_only, force=force, watch=watch, planned=planned
        )
        await _compare(ledger)
        return report

    return run(_until_stopped(with_collector(settings, clock, fill)))


def collect_forever(settings: Settings, *, clock: Clock | None = None) -> None:
    """Collect whatever is due, and look after the lake, until SIGTERM or SIGINT; the day in hand is finished first.

    Where somebody else does so already, it stands by until that one is gone. Raises StoreError at the start only.
    """
    used = clock or SystemClock()

    async def collect(ledger: Ledger, collector: Collector, savings: SavingsCollector) -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in _STOPPING:
            loop.add_signal_handler(number, stop.set)
        await Forever(ledger, collector, savings, used, stop).run()

    run(with_collector(settings, used, collect))


def log_outcome(outcome: Outcome) -> None:
    """Tell the log what became of a day."""
    facts = {"account": outcome.account_id, "name": outcome.account, "day": str(outcome.day)}
    if outcome.is_collected:
        _log.info("day_collected", **facts, rows=outcome.rows, total_cost=to_number(outcome.total))
    elif outcome.code in _NO_NEWS:
        _log.debug("day_not_collected", **facts, code=outcome.code)
    else:
        _log.warning("day_not_collected", **facts, code=outcome.code, error=outcome.why)


async def _until_stopped(work: Coroutine[Any, Any, T]) -> T:
    """What it returns; what it writes at the moment of SIGTERM or SIGINT is written first. Raises Stopped."""
    doing = asyncio.ensure_future(work)
    for number in _STOPPING:
        asyncio.get_running_loop().add_signal_handler(number, doing.cancel)
    await asyncio.wait({doing})
    if doing.cancelled():
        raise Stopped
    return doing.result()


async def with_collector(
    settings: Settings,
    clock: Clock | None,
    work: Callable[[Ledger, Collector, SavingsCollector], Coroutine[Any, Any, T]],
) -> T:
    """What `work` does with collectors; what it has begun to write is written before this ends."""
    clock = clock or SystemClock()
    with open_ledger(settings, clock) as ledger, ThreadPoolExecutor(_THREADS, "ledger") as executor:
        await asyncio.get_running_loop().run_in_executor(executor, ledger.lake.make)  # before anybody is asked in vain
        await asyncio.get_running_loop().run_in_executor(executor, partial(_if_possible, partial(reconcile, ledger)))
        fleet = FleetInStore(ledger.accounts, executor, keep_seconds=_ACCOUNTS_KEPT_SECONDS)
        opener = Opener(fleet, settings)
        here = Reader(opener.source, opener.metrics, clock, deadline_seconds=settings.deadline_seconds)
        async with reader_pool(here, fleet, settings, clock) as reader:
            collector = Collector(
                ledger.accounts,
                ledger.coverage,
                reader,
                Committer(ledger.writer()),
                clock,
                executor=executor,
                policy=Policy(max_days=settings.collect_days),
                max_concurrency=settings.collect_at_once,
            )
            savings = SavingsCollector(
                ledger.accounts,
                ledger.savings,
                ledger.writer(),
                opener.savings,
                clock,
                deadline_seconds=settings.deadline_seconds,
                executor=executor,
            )
            return await work(ledger, collector, savings)


class Upkeep:
    """Looks after the lake whenever it is time for it; it blocks.

    A work that raises a StoreError, or returns False, was not done.
    """

    def __init__(self, maintain: Callable[[], object], tidy: Callable[[], object]) -> None:
        self._works = ((_MAINTAIN_EVERY, maintain), (_TIDY_EVERY, tidy))
        self._done: dict[timedelta, datetime] = {}

    def see_to(self, now: datetime) -> None:
        """Do what was not done for as long as it may wait; what fails is told, and tried again in 10 minutes."""
        for every, work in self._works:
            last = self._done.get(every)
            if last is not None and timedelta() <= now - last < every:  # else the clock was set back
                continue
            is_done = _if_possible(work)
            self._done[every] = now if is_done else now - every + _UPKEEP_AGAIN


class Forever:
    """Round after round, as long as nobody else does the same; the lake is looked after first, and then once a day."""

    def __init__(
        self, ledger: Ledger, collector: Collector, savings: SavingsCollector, clock: Clock, stop: asyncio.Event
    ) -> None:
        self._ledger, self._collector, self._savings, self._clock, self._stop = ledger, collector, savings, clock, stop
        self._looks, self._costs_stored = DuePoller(collector.due), asyncio.Event()
        look_after = partial(look_after_days, ledger, clock, lambda: not stop.is_set())
        self._upkeep = Upkeep(look_after, partial(tidy, ledger))

    async def run(self) -> None:
        """Until it is told to stop."""
        while not self._stop.is_set():
            try:
                await asyncio.to_thread(self._ledger.lake.make)  # before anybody is asked in vain
                async with self._alone() as is_alone, task_group() as group:
                    group.create_task(self._rounds(is_alone, of_failed=False))
                    group.create_task(self._rounds(is_alone, of_failed=True))
                    group.create_task(self._rounds_of_savings(is_alone))
                    if is_alone():
                        group.create_task(_examine(self._ledger, lambda: is_alone() and not self._stop.is_set()))
            except StoreError as error:  # a database or a lake may come back; nothing is lost meanwhile
                _log.warning("collecting_failed", code=error.code, error=str(error))
            await self._pause(_STANDBY_SECONDS)

    async def _rounds(self, is_alone: Callable[[], bool], *, of_failed: bool) -> None:
        """Rounds of all clusters but those that failed when they were last asked, or of those.

        A round ends with its slowest cluster, so that these have rounds of their own.
        """
        while is_alone() and not self._stop.is_set():
            await until_set(self._stop, self._round(of_failed=of_failed))
            await self._pause(self._looks.pause_seconds)

    async def _rounds_of_savings(self, is_alone: Callable[[], bool]) -> None:
        """Ask for savings once a day and account; in a task of their own, so that no costs wait for them."""

        def should_continue() -> bool:
            return is_alone() and not self._stop.is_set()

        while should_continue():
            await until_set(self._stop, _collect_savings(self._savings, should_continue=should_continue))
            with suppress(TimeoutError):
                async with asyncio.timeout(_SAVINGS_LOOK_SECONDS):
                    await until_set(self._stop, self._news_of_costs())

    async def _news_of_costs(self) -> None:
        """Until costs were stored since the last call."""
        await self._costs_stored.wait()
        self._costs_stored.clear()

    async def _round(self, *, of_failed: bool) -> None:
        if dues := await self._looks.due(of_failed=of_failed):
            report = await self._collector.collect(dues, log_outcome)
            if report.collected:
                self._costs_stored.set()
                await _compare(self._ledger)
            failed = sum(outcome.code not in _NO_NEWS for outcome in report.failed)
            _log.info("collected", due=report.planned, days=len(report.collected), failed=failed)
        if not of_failed:
            await asyncio.to_thread(self._upkeep.see_to, self._clock.now())

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
            last = time.monotonic()
            while is_ours:
                await asyncio.sleep(_RENEW_SECONDS)
                try:
                    is_ours = await asyncio.to_thread(lease.renew)
                    last = time.monotonic()
                except StoreError:  # a database that may come back in time
                    is_ours = time.monotonic() - last < _LEASE_SECONDS

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


def tidy(ledger: Ledger) -> None:
    """Clear away what the copies of running days were an hour ago or longer; of a large fleet it is gigabytes a day.

    Raises: AnotherWriter, where somebody needs the lake's files to stay as they are; LogDamaged, before anything is
    done; StoreError.
    """
    with hold_lease(ledger.leases, MAINTAINER, ledger.lake.url, wait_seconds=0):
        _check_log(ledger, ledger.writer(), only_running=True)
        _log.debug("tidied", vacuumed=ledger.lake.tidy(lengthen=_trusted_time(ledger, ledger.clock).lengthen))


def maintain_once(settings: Settings, *, shorten: bool = False, trust_clock: bool = False) -> Maintained:
    """Look after the lake now, and read today's share of the stored days. Raises AnotherWriter, StoreError."""
    with open_ledger(settings) as ledger:
        done = maintain(ledger, ledger.clock, shorten=shorten, trust_clock=trust_clock)
        check_share(ledger.coverage, ledger.lake, ledger.clock.now())
        return done


class EarlierDays(NamedTuple):
    """How many days of an account an earlier version of the lake stored, and which is the first and which the last."""

    account: str
    number: int
    first: date
    last: date


def days_of_earlier_versions(settings: Settings) -> list[EarlierDays]:
    """The stored days that lack what this version of the lake keeps. Raises StoreError."""
    with open_ledger(settings) as ledger:
        names = {account.id: account.name for account in ledger.accounts.all()}
        found = ledger.coverage.days_of_earlier_lakes(LAKE_VERSION)
        return [
            EarlierDays(names[account_id], days.count, days.first, days.last)
            for account_id, days in found.items()
            if account_id in names and days.first and days.last
        ]


def look_after_days(ledger: Ledger, clock: Clock, should_continue: Callable[[], bool]) -> bool:
    """Maintain the lake, and read today's share of the stored days even where that could not be done.

    Returns whether both were done.
    """
    is_maintained = _if_possible(partial(maintain, ledger, clock))
    check = partial(check_share, ledger.coverage, ledger.lake, clock.now(), should_continue)
    return _if_possible(check, "stored_days_not_checked") and is_maintained


def _trusted_time(ledger: Ledger, clock: Clock) -> TrustedTime:
    return TrustedTime(clock.now(), ledger.coverage.collecting_times())


def _check_log(ledger: Ledger, writer: LakeWriter, *, only_running: bool = False) -> None:
    """See that no damage of the log would end in a checkpoint, or remove a file. Raises LogDamaged, StoreError.

    A log whose newest entries are missing may be that of an older copy of the lake, which is matched with the database.
    """

    def find() -> list[FileDamage]:
        noted = ledger.log_files.noted()
        missing = ledger.lake.lost_log_files(noted)
        return [file for file in ledger.lake.check_log(noted, only_running=only_running) if file not in missing]

    damage = find()
    if damage and ledger.lake.is_torn():
        with writer.hold_lease():  # sets aside what a power cut left unfinished
            pass
        damage = find()
    if damage:
        raise LogDamaged(ledger.lake.url, damage)


def maintain(ledger: Ledger, clock: Clock, *, shorten: bool = False, trust_clock: bool = False) -> Maintained:
    """Look after the lake, alone, and forget what was replaced longer ago than its history is kept.

    Time in which nothing was collected for more than a day does not count, unless `trust_clock`: what is removed is
    gone for good, and the clock may be ahead.

    Raises: AnotherWriter; LogDamaged, before anything is done; StoreError.
    """
    keep, writer = ledger.retention, ledger.writer()
    with hold_lease(ledger.leases, MAINTAINER, ledger.lake.url):
        _check_log(ledger, writer)  # first of all: what is missing is forgotten once lake and database are matched
        _if_possible(partial(reconcile, ledger), "not_reconciled")  # one damaged day must not stop maintenance
        with writer.hold_lease():
            writer.match()
            trusted = _trusted_time(ledger, clock)
            lengthen = by_clock if trust_clock else trusted.lengthen
            done = ledger.lake.maintain(keep, shorten=shorten, lengthen=lengthen)
    kept = done.kept or keep
    longer = lengthen(kept)
    forgotten = 0 if longer is None else ledger.coverage.forget(clock.now() - longer)
    facts = {"compacted": done.compacted, "vacuumed": done.vacuumed, "checkpoint": done.checkpoint}
    _log.info("maintained", **facts, forgotten=forgotten)
    if done.held_back and (silence := trusted.silence(kept)) is not None:
        since, until = (rfc3339(at) for at in silence)
        _log.warning("history_kept_longer", files=done.held_back, none_collected_since=since, until=until)
        return replace(done, silence=silence, is_all_kept=longer is None)
    return done
