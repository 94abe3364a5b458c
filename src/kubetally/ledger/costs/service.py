"""What accounts cost, for many concurrent requests: cached for 15 minutes, each read once at a time."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from math import inf
from weakref import WeakValueDictionary

from kubetally import logs
from kubetally.cache import AsyncCache
from kubetally.domain.account import Account, AccountPlace
from kubetally.domain.currency import choose_currency
from kubetally.domain.errors import KubetallyError, NotFound, RequestError, SourceError, StoreError
from kubetally.domain.issues import Issue, IssueKind, any_missing
from kubetally.domain.report import ClusterReport
from kubetally.domain.series import MeasuredSeries, TooManyPoints
from kubetally.domain.window import Clock, Window
from kubetally.ledger.accounts.database_timeout import DATABASE_SECONDS
from kubetally.ledger.costs.account_cache import ACCOUNT_LIFETIME, LOOKUP_SECONDS, SILENCE_SECONDS, AccountCache
from kubetally.ledger.costs.cost_reader import CostReader, CostSubject
from kubetally.ledger.costs.legacy import with_legacy
from kubetally.ledger.costs.live import DeadlinePassed
from kubetally.ledger.costs.progress import PROGRESS_SECONDS, ClustersProgress, ProgressCounter
from kubetally.ledger.costs.series import read_series
from kubetally.ledger.costs.source_metrics import CountedCosts, CountedMetrics, Tally
from kubetally.ledger.costs.stored_days import History
from kubetally.ledger.ports.accounts import Accounts
from kubetally.ledger.ports.sources import CostSource, MetricsSource
from kubetally.tasks import Calculate, calculate_on_thread

CACHE_LIFETIME = ACCOUNT_LIFETIME  # while the database is silent, a cached answer needs its cached account
QUEUE_TIMEOUT_SECONDS = 10.0
OpenSource = Callable[[Account], AbstractAsyncContextManager[CostSource]]
OpenMetrics = Callable[[Account], AbstractAsyncContextManager[MetricsSource | None]]
_log = logs.get_logger(__name__)
_Key = tuple[str, str, Window]  # account, digest of what its costs depend on, window
_LegacyKey = tuple[int, Window]  # serial of the answer, samples


class ClusterUnreadable(SourceError):
    """The account's source could not be read because of `why`; `source` shows no credentials."""

    code = "cluster_unreadable"

    def __init__(self, account_id: str, *, source: str, why: KubetallyError) -> None:
        self.account_id, self.source, self.why = account_id, source, why
        super().__init__(f"account {account_id}: {why}")


class Overloaded(StoreError):
    """More requests are queued than sources can answer soon."""

    code = "overloaded"
    retryable = True

    def __init__(self, queued: int) -> None:
        self.queued = queued
        super().__init__(f"too many requests are queued ({queued}); retry in a few seconds")


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """What an account cost, and how old the answer is.

    is_hit: whether it was cached. serial: identifies the answer, for caches of its bodies. source_seconds: how much of
    the deadline its source took; 0 if it was cached.
    """

    account: Account
    costs: ClusterReport
    age_seconds: float
    is_hit: bool
    serial: int
    source_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class SeriesAnswer:
    """Samples of an account's metrics; `series` is None for an account without a Prometheus."""

    account: Account
    series: MeasuredSeries | None


@asynccontextmanager
async def without_metrics(account: Account) -> AsyncIterator[None]:
    """No Prometheus."""
    yield None


class CostService:
    """Answers what accounts cost.

    An answer is cached for `CACHE_LIFETIME`, by its window and a digest of all facts that it depends on; one answer
    serves every level of detail and every page. An answer with a failure of its source is returned but not cached.

    open_source: the account's source, closed afterwards; open_metrics: its Prometheus, or None. executor: where
    `accounts` are read; its own, so that a slow database delays nothing else. history: stored days, which are not
    requested of a source; history_executor: where these are read, so that a slow lake does not delay `accounts`; by
    default `executor`. currency: of the settings. deadline_seconds: of one answer, opening its source included.
    max_concurrency: answers that are read at a time, at most a quarter of them of one account; max_queued: how many
    more may be queued, each for `queue_timeout_seconds`. max_rows: booked rows of all cached answers together.
    database_seconds: timeout of `accounts`; after `silence_seconds` cached accounts are used. lookup_seconds: how long
    a lookup is fresh. calculate: runs booking and encoding outside the event loop.
    """

    def __init__(
        self,
        accounts: Accounts,
        open_source: OpenSource,
        clock: Clock,
        *,
        open_metrics: OpenMetrics = without_metrics,
        executor: Executor | None = None,
        history: History | None = None,
        history_executor: Executor | None = None,
        currency: str | None = None,
        deadline_seconds: float | None = None,
        max_concurrency: int = 16,
        max_queued: int = 1000,
        queue_timeout_seconds: float = QUEUE_TIMEOUT_SECONDS,
        max_rows: int = 200_000,
        database_seconds: float = DATABASE_SECONDS,
        silence_seconds: float = SILENCE_SECONDS,
        lookup_seconds: float = LOOKUP_SECONDS,
        progress_seconds: float = PROGRESS_SECONDS,
        calculate: Calculate = calculate_on_thread,
    ) -> None:
        self.calculate = calculate
        self.tally = Tally()
        self.accounts = AccountCache(
            accounts,
            executor=executor,
            database_seconds=database_seconds,
            silence_seconds=silence_seconds,
            lookup_seconds=lookup_seconds,
        )
        self._progress = ProgressCounter(
            history, history_executor or executor, self.accounts.clusters, clock, progress_seconds
        )
        self._reader = CostReader(
            clock,
            history=history,
            history_executor=history_executor or executor,
            deadline_seconds=deadline_seconds,
            calculate=calculate,
        )
        self._currency = currency
        self._open_source, self._open_metrics, self._clock = open_source, open_metrics, clock
        self._deadline_seconds, self._queue_timeout_seconds = deadline_seconds, queue_timeout_seconds
        self._slots, self._max_in_flight = asyncio.Semaphore(max_concurrency), max_concurrency + max_queued
        # One account whose source hangs must not take all slots.
        self._slots_per_account = max(1, max_concurrency // 4)
        self._account_slots: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._serials = count(1)
        self._answers: AsyncCache[_Key, _Answer] = AsyncCache(
            lambda answer: CACHE_LIFETIME.total_seconds() if answer.is_cacheable else None,
            weigh=_weigh,
            max_weight=max_rows,
            clock=lambda: clock.now().timestamp(),
        )
        self._legacy_answers: AsyncCache[_LegacyKey, _Answer] = AsyncCache(
            lambda answer: inf if answer.is_cacheable else None, weigh=_weigh, max_weight=max_rows
        )

    @property
    def cached_answers(self) -> int:
        """How many answers are cached, fresh or not."""
        return len(self._answers)

    @property
    def loading_answers(self) -> int:
        """How many answers are being read."""
        return self._answers.loading

    async def clusters(self) -> list[AccountPlace]:
        """As `AccountCache.clusters`."""
        return await self.accounts.clusters()

    async def progress(self, timeout_seconds: float) -> ClustersProgress | None:
        """As `ProgressCounter.progress`."""
        return await self._progress.progress(timeout_seconds)

    async def check(self, timeout_seconds: float) -> None:
        """As `AccountCache.check`."""
        await self.accounts.check(timeout_seconds)

    async def cluster(self, account_id: str) -> Account:
        """The active account of a cluster, by its id. Raises AccountNotFound, NotACluster, StoreError."""
        return (await self.accounts.find(account_id))[0]

    async def digest(self, account_id: str) -> str:
        """A digest of all facts that the account's costs depend on; a change shows within a second.

        Raises: AccountNotFound, NotACluster, StoreError.
        """
        return (await self.accounts.last_known(account_id))[1]

    def cached(self, account_id: str, window: Window) -> CachedAnswer | None:
        """The answer of `costs` if account and costs are cached, else None."""
        fresh = self.accounts.peek(account_id)
        return None if fresh is None else self._peek(fresh[0], (fresh[0].id, fresh[1], window))

    async def costs(self, account_id: str, window: Window) -> CachedAnswer:
        """What the account cost over the window.

        Raises: AccountNotFound, NotACluster; ClusterUnreadable, if its source can't be read; Overloaded, StoreError.
        """
        account, source_facts = await self.accounts.last_known(account_id)
        cached = self._peek(account, (account.id, source_facts, window))
        if cached is not None:
            return cached
        # The account may have changed, or the database fallen silent: look it up before its source is read.
        account, source_facts = await self.accounts.reload(account_id)
        key = (account.id, source_facts, window)
        if self._answers.loading >= self._max_in_flight:
            raise Overloaded(self._answers.loading)
        answer = await self._answers.reload(key, lambda: self._read_costs(account, window))
        return CachedAnswer(account, answer.costs, 0.0, False, answer.serial, answer.seconds)

    def _peek(self, account: Account, key: _Key) -> CachedAnswer | None:
        cached = self._answers.peek(key)
        if cached is None:
            return None
        answer, age_seconds = cached
        return CachedAnswer(account, answer.costs, age_seconds, True, answer.serial)

    async def with_legacy(self, answer: CachedAnswer, samples: Window) -> CachedAnswer:
        """The answer with the old sums of infrastructure metrics, cached as long as there is room.

        samples: the window of the samples, both ends included. Answer and sums share one deadline.
        """
        key = (answer.serial, samples)
        legacy = await self._legacy_answers.get(key, lambda: self._read_legacy(answer, samples))
        return replace(answer, costs=legacy.costs, serial=legacy.serial)

    async def series(self, account_id: str, window: Window, names: Sequence[str]) -> SeriesAnswer:
        """Hourly samples of an account's metrics; of a long window those of its newest days.

        Raises: AccountNotFound, NotACluster; ClusterUnreadable, if its Prometheus can't be read;
        TooManyPoints, Overloaded, StoreError.
        """
        account, _ = await self.accounts.find(account_id)
        url = str(account.prometheus_url or account.name)
        try:
            async with self._metrics_of(account) as metrics:
                if metrics is None:
                    return SeriesAnswer(account, None)
                url = metrics.url
                return SeriesAnswer(account, await read_series(metrics, window, names, self._clock.now()))
        except TooManyPoints:
            raise
        except TimeoutError as error:
            why = DeadlinePassed(url, self._deadline_seconds or 0, is_divisible=window.hours > 24)
            raise ClusterUnreadable(account.id, source=url, why=why) from error
        except (SourceError, RequestError) as error:
            raise ClusterUnreadable(account.id, source=url, why=error) from error

    async def close(self) -> None:
        """Cancel everything that is being read."""
        await self._progress.close()
        await self._legacy_answers.close()
        await self._answers.close()
        await self.accounts.close()

    @asynccontextmanager
    async def _slot(self, account_id: str) -> AsyncIterator[None]:
        """A slot of the account and a slot of the service to read a source. Raises Overloaded."""
        account_slots = self._account_slots.setdefault(account_id, asyncio.Semaphore(self._slots_per_account))
        async with AsyncExitStack() as slots:
            try:
                async with asyncio.timeout(self._queue_timeout_seconds):
                    await slots.enter_async_context(account_slots)
                    await slots.enter_async_context(self._slots)
            except TimeoutError:
                raise Overloaded(self._answers.loading) from None
            yield

    @asynccontextmanager
    async def _metrics_of(self, account: Account, spent_seconds: float = 0.0) -> AsyncIterator[MetricsSource | None]:
        """The Prometheus of an account, for the rest of the deadline. Raises TimeoutError, Overloaded."""
        deadline = self._deadline_seconds
        async with (
            self._slot(account.id),
            asyncio.timeout(None if deadline is None else max(0.0, deadline - spent_seconds)),
            self._counted_metrics(account) as metrics,
        ):
            yield metrics

    @asynccontextmanager
    async def _counted_source(self, account: Account) -> AsyncIterator[CostSource]:
        async with self._open_source(account) as source:
            yield CountedCosts(source, self.tally)

    @asynccontextmanager
    async def _counted_metrics(self, account: Account) -> AsyncIterator[MetricsSource | None]:
        async with self._open_metrics(account) as metrics:
            yield None if metrics is None else CountedMetrics(metrics, self.tally)

    async def _read_legacy(self, answer: CachedAnswer, samples: Window) -> "_Answer":
        account = answer.account
        costs = await with_legacy(
            answer.costs,
            self._metrics_of(account, answer.source_seconds),
            self._clock.now(),
            url=str(account.prometheus_url or account.name),
            deadline_seconds=self._deadline_seconds,
            samples=samples,
        )
        is_cacheable = not any_missing(issue for issue in costs.issues if issue not in answer.costs.issues)
        return _Answer(costs, next(self._serials), is_cacheable)

    async def _read_costs(self, account: Account, window: Window) -> "_Answer":
        url = account.place
        subject = CostSubject(
            url,
            account,
            lambda: self._counted_source(account),
            lambda: self._counted_metrics(account),
            choose_currency(of_account=account.currency, of_settings=self._currency, default=account.default_currency),
        )
        log = _log.bind(account=account.id, source=url)
        async with self._slot(account.id):
            began = time.monotonic()
            try:
                costs = await self._reader.get_cluster_costs(subject, window)
            except (SourceError, RequestError, NotFound) as why:
                seconds = round(time.monotonic() - began, 3)
                log.warning("costs_failed", code=why.code, seconds=seconds)
                raise ClusterUnreadable(account.id, source=url, why=why) from why
        seconds = round(time.monotonic() - began, 3)
        log.info("costs_read", status=costs.status.value, seconds=seconds)
        is_cacheable = not any(is_retryable(issue) for issue in costs.issues)
        return _Answer(costs, next(self._serials), is_cacheable, seconds)


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer as it is cached. seconds: how long its source took."""

    costs: ClusterReport
    serial: int
    is_cacheable: bool
    seconds: float = 0.0


def _weigh(answer: _Answer) -> int:
    """The weight of an answer: one, and one for each row."""
    return 1 + len(answer.costs.rows)


def is_retryable(issue: Issue) -> bool:
    """Whether a retry may fix the issue: a request failed, or metrics were unavailable."""
    return issue.kind in {IssueKind.SOURCE_FAILED, IssueKind.ANSWER_INCOMPLETE}
