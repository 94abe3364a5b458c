"""Reading days of a cluster, and booking each."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from uuid import uuid4

from kubetally import logs
from kubetally.domain.account import Account
from kubetally.domain.booking import Booking
from kubetally.domain.collection import NOT_BEGUN, NOT_TRIED, SETTLES_AFTER, CollectedDay, new_collected_day, window_of
from kubetally.domain.errors import KubetallyError, RequestError, SourceError
from kubetally.domain.evidence.hours import SeenHour, has_gaps
from kubetally.domain.evidence.sighting import NOTHING_AROUND, Around
from kubetally.domain.infrastructure import Infrastructure
from kubetally.domain.issues import any_missing
from kubetally.domain.metrics import Family
from kubetally.domain.reading import Reading
from kubetally.domain.window import Clock, Window, whole_hour
from kubetally.garbage import gc_paused
from kubetally.ledger.collect.schedule import GIVE_UP_AFTER, UNFORESEEN
from kubetally.ledger.costs.examination import look_around, look_by_hour
from kubetally.ledger.costs.issues import foreign_metrics, measured_issues, merge_issues
from kubetally.ledger.costs.live import DeadlinePassed, LiveResult, book_request
from kubetally.ledger.costs.missing import identity
from kubetally.ledger.costs.requests import SourceRequest
from kubetally.ledger.ports.sources import About, CostSource, InfrastructureSource
from kubetally.tasks import task_group

OpenSource = Callable[[Account], AbstractAsyncContextManager[CostSource]]
OpenMetrics = Callable[[Account], AbstractAsyncContextManager[InfrastructureSource | None]]
ShouldContinue = Callable[[], bool]
DAYS_PER_CLUSTER = 2
"""Days of one cluster that are read at a time."""
_ABOUT_MAX_AGE = timedelta(hours=1)
_DENIED = frozenset({401, 403})
_log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Unread:
    """A day that could not be read, and why.

    was_tried: False if it was skipped because others had failed.
    is_source_wide: whether other days would fail as well: the source is away, or denies access.
    """

    account_id: str
    day: date
    code: str
    why: str
    was_tried: bool = True
    is_source_wide: bool = False


class Reader:
    """Reads days of clusters.

    days_per_cluster: read at a time. deadline_seconds: of opening a source, and of reading a day.
    """

    def __init__(
        self,
        open_source: OpenSource,
        open_metrics: OpenMetrics,
        clock: Clock,
        *,
        days_per_cluster: int = DAYS_PER_CLUSTER,
        deadline_seconds: float | None = None,
        new_id: Callable[[], str] = lambda: uuid4().hex,
    ) -> None:
        self._open_source, self._open_metrics, self._clock = open_source, open_metrics, clock
        self._days_per_cluster, self._deadline_seconds, self._new_id = days_per_cluster, deadline_seconds, new_id
        self._abouts: dict[tuple[str, str], tuple[datetime, About]] = {}

    async def days(
        self, account: Account, days: Sequence[date], should_continue: ShouldContinue = lambda: True
    ) -> AsyncIterator[CollectedDay | Unread]:
        """Each day of the cluster, booked or why not, roughly in order. Raises no error of the cluster.

        should_continue: called before further days are begun; the days after it returned False are not returned.
        """
        left, deadline = list(days), asyncio.timeout(self._deadline_seconds)
        try:
            async with AsyncExitStack() as opened:
                async with deadline:
                    source = await opened.enter_async_context(self._open_source(account))
                    metrics = await opened.enter_async_context(self._open_metrics(account))
                failed = 0
                while left and failed < GIVE_UP_AFTER:
                    if not should_continue():
                        return
                    batch = [left.pop(0) for _ in left[: self._days_per_cluster]]
                    for answer in await asyncio.gather(*(self._day(account, source, metrics, day) for day in batch)):
                        failed = failed + 1 if isinstance(answer, Unread) and answer.is_source_wide else 0
                        yield answer
        except KubetallyError as error:  # the source could not be opened
            if left:
                yield _unread(account, left.pop(0), error)
        except TimeoutError as error:
            if left:
                late, day = DeadlinePassed(account.place, self._deadline_seconds or 0), left.pop(0)
                yield (
                    _unread(account, day, late)
                    if deadline.expired()
                    else _unexpected(account, day, account.place, error)
                )
        except Exception as error:  # unexpected error: must not affect other clusters
            if left:
                yield _unexpected(account, left.pop(0), account.place, error)
        for day in left:
            yield not_tried(account, day)

    async def _day(
        self, account: Account, source: CostSource, metrics: InfrastructureSource | None, day: date
    ) -> CollectedDay | Unread:
        now = self._clock.now()
        window = window_of(day).until(whole_hour(now))
        if window is None:
            return Unread(account.id, day, NOT_BEGUN, "the first hour of this day is not over yet", was_tried=False)
        try:
            async with asyncio.timeout(self._deadline_seconds):
                read = await self._read(account, source, metrics, window)
            around = await look_around(source, read.reading, now, self._deadline_seconds)
            read = replace(read, around=around)
            booking = read.book()
            if now >= window_of(day).end + SETTLES_AFTER and not any_missing(booking.issues):
                booking = await self._checked_by_hour(source, read, booking)
        except TimeoutError:
            return _unread(account, day, DeadlinePassed(source.url, self._deadline_seconds or 0))
        except KubetallyError as error:
            return _unread(account, day, error)
        except Exception as error:  # unexpected error: must not affect other clusters
            return _unexpected(account, day, source.url, error)
        with gc_paused():
            return new_collected_day(
                self._new_id(),
                account_id=account.id,
                day=day,
                collected_at=now,
                source=identity(source.url, read.about),
                booking=booking,
                assets=(*(read.reading.assets or ()), *read.reading.other_assets),
                is_running=window != window_of(day),
            )

    async def _read(
        self, account: Account, source: CostSource, metrics: InfrastructureSource | None, window: Window
    ) -> "_Read":
        """A day, or its hours that are over, with metrics and the source's description. Raises: SourceError."""
        async with task_group() as group:
            measuring = group.create_task(_measured(metrics, window))
            describing = group.create_task(self._about(account, source))
            reading = await source.read(window)
        metrics_url = None if metrics is None else metrics.url
        return _Read(reading, describing.result(), measuring.result(), metrics_url)

    async def _checked_by_hour(self, source: CostSource, read: "_Read", booking: Booking) -> Booking:
        """The booking, after the day was read by the hour as well, once before it settles (B10 f)."""
        metrics = read.measured
        if not booking.rows or (isinstance(metrics, Infrastructure) and metrics.present.keys() >= set(Family)):
            return booking
        hours, issue = await look_by_hour(source, read.reading, self._deadline_seconds)
        if issue is not None:
            return replace(booking, issues=(*booking.issues, issue))
        return replace(read, hours=hours).book() if has_gaps(read.reading, hours) else booking

    async def _about(self, account: Account, source: CostSource) -> About:
        """What the source says of itself, cached for an hour."""
        key, now = (account.id, source.url), self._clock.now()
        cached = self._abouts.get(key)
        if cached is not None and timedelta() <= now - cached[0] < _ABOUT_MAX_AGE:
            return cached[1]
        await source.wait_for_place()
        about = await source.about()
        if about.product is not None:
            self._abouts[key] = now, about
        return about


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read of a day, before it is booked."""

    reading: Reading
    about: About
    measured: Infrastructure | KubetallyError | None
    metrics_url: str | None
    around: Around = NOTHING_AROUND
    hours: Sequence[SeenHour] = ()

    def book(self) -> Booking:
        """The balanced day, with all of its issues."""
        window, url = self.reading.window, self.reading.source
        part = SourceRequest(window, window)
        metrics = self.measured if isinstance(self.measured, Infrastructure) else None
        booking = book_request(url, part, self.reading, metrics, self.around, self.hours)
        answers = LiveResult(url, self.metrics_url, [(part, booking)], self.measured, self.about, None)
        issues = (*booking.issues, *measured_issues(answers, window), *foreign_metrics(answers, self.about, window))
        return replace(booking, issues=merge_issues(issues))


def not_tried(account: Account, day: date) -> Unread:
    """A day that is skipped because others failed."""
    return Unread(account.id, day, NOT_TRIED, "skipped: other days of this source just failed", was_tried=False)


async def _measured(metrics: InfrastructureSource | None, window: Window) -> Infrastructure | KubetallyError | None:
    if metrics is None:
        return None
    try:
        return await metrics.read(window)
    except (SourceError, RequestError) as error:
        return error


def _unexpected(account: Account, day: date, url: str, error: Exception) -> Unread:
    _log.warning("unforeseen", account=account.id, day=str(day), error=type(error).__name__, exc_info=error)
    why = f"unexpected error while reading {url} ({type(error).__name__}); please report this with the log"
    return Unread(account.id, day, UNFORESEEN, why)


def _unread(account: Account, day: date, error: KubetallyError) -> Unread:
    is_late = isinstance(error, DeadlinePassed)  # the next day would take as long
    is_source_wide = error.retryable or is_late or getattr(error, "status", None) in _DENIED
    return Unread(account.id, day, error.code, str(error), is_source_wide=is_source_wide)
