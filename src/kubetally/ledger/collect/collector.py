"""Collecting due days of many clusters: clusters are read concurrently, days committed together."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from math import inf
from typing import Protocol

from kubetally.domain.account import Account, AccountType
from kubetally.domain.collection import CollectedDay, CoveredDay
from kubetally.domain.collection_report import Outcome, Report
from kubetally.domain.window import Clock
from kubetally.ledger.accounts.lookup import find_cluster
from kubetally.ledger.collect.commit_queue import Booked, CommitQueue
from kubetally.ledger.collect.committer import Committer
from kubetally.ledger.collect.reader import ShouldContinue, Unread, not_tried
from kubetally.ledger.collect.schedule import (
    GIVE_UP_AFTER,
    ONE_DAY,
    Due,
    KnownDays,
    Policy,
    Reason,
    due,
    find_first_source_day,
)
from kubetally.ledger.ports.accounts import Accounts
from kubetally.ledger.ports.coverage import Coverage
from kubetally.ledger.ports.lake import PackedDay
from kubetally.tasks import run_blocking, task_group

Watch = Callable[[Outcome], None]
Commit = Callable[[Sequence[PackedDay]], list[Outcome]]
_MAX_PER_SOURCE = 4  # clusters read at a time from a source that several share
_MAX_COMMIT_ROWS = 200_000


@dataclass(slots=True)
class _ConsecutiveFailures:
    """How many days of a source, of any account, failed since its last answer in this round."""

    failed: int = 0

    def count(self, answer: Booked | Unread) -> None:
        if not isinstance(answer, Unread) or (answer.was_tried and not answer.is_source_wide):
            self.failed = 0
        elif answer.is_source_wide:
            self.failed += 1

    @property
    def is_away(self) -> bool:
        return self.failed >= GIVE_UP_AFTER


class DayReader(Protocol):
    """Reads days of clusters, as `Reader` does; some may be packed already."""

    def days(
        self, account: Account, days: Sequence[date], should_continue: ShouldContinue
    ) -> AsyncIterator[Booked | Unread]:
        """Each day of the cluster, or why it could not be read, while `should_continue` says so."""


@dataclass(frozen=True, slots=True)
class _Round:
    """The state of one round.

    slots: of clusters read at a time; failed_slots: of those that failed last time. turn_seconds: no further day of a
    cluster is begun after that. starts_until: no cluster is begun after that, in loop time.
    """

    clusters: Mapping[str, Account]
    days: Mapping[str, Sequence[date]]
    failed_ids: set[str]
    slots: asyncio.Semaphore
    failed_slots: asyncio.Semaphore
    turn_seconds: float | None
    starts_until: float | None
    report: Report
    watch: Watch
    queue: CommitQueue = field(default_factory=CommitQueue)
    failures: defaultdict[str, _ConsecutiveFailures] = field(
        default_factory=lambda: defaultdict[str, _ConsecutiveFailures](_ConsecutiveFailures)
    )

    def end(self, outcome: Outcome) -> None:
        outcome = replace(outcome, account=self.clusters[outcome.account_id].name)
        self.report.outcomes.append(outcome)
        self.watch(outcome)


class Collector:
    """Collects what is due.

    executor: where blocking calls of the stores run. max_concurrency: clusters read at a time; at most a quarter of
    them are clusters that failed last time. turn_seconds: after that the next days of a cluster are left for the next
    round, so that a slow cluster delays no other. linger_seconds: how long a day waits for others to be committed with
    it; each commit rewrites the file of its day.
    """

    def __init__(
        self,
        accounts: Accounts,
        coverage: Coverage,
        reader: DayReader,
        committer: Committer,
        clock: Clock,
        *,
        executor: Executor | None = None,
        policy: Policy | None = None,
        max_concurrency: int = 16,
        turn_seconds: float = 180.0,
        linger_seconds: float = 2.0,
    ) -> None:
        self._accounts, self._coverage, self._reader, self._committer = accounts, coverage, reader, committer
        self._clock, self._executor, self._policy = clock, executor, policy or Policy()
        self._max_concurrency, self._turn_seconds = max_concurrency, turn_seconds
        self._linger_seconds = linger_seconds
        self._source_slots = defaultdict[str, asyncio.Semaphore](lambda: asyncio.Semaphore(_MAX_PER_SOURCE))
        self._last_turns: dict[str, float] = {}

    async def due(self, names: Sequence[str] = ()) -> list[Due]:
        """What is due now, of all clusters or those named; commits of a killed writer are resolved first.

        Raises: AccountNotFound, AnotherWriter, StoreError.
        """
        await run_blocking(self._executor, self._committer.writer.recover)
        return await run_blocking(self._executor, lambda: self._due(names))

    async def collect(self, dues: Sequence[Due], watch: Watch = lambda outcome: None) -> Report:
        """Collect these days; a failing cluster neither delays nor ends the others.

        Days that were not begun when the turn of their cluster ended have no outcome: they stay due.
        Raises: AnotherWriter, StoreError; what was committed before stays.
        """
        return await self._collect(dues, watch, self._turn_seconds, self._committer.commit)

    async def backfill(
        self,
        names: Sequence[str],
        first: date,
        *,
        end: date,
        missing_only: bool = False,
        force: bool = False,
        watch: Watch = lambda outcome: None,
        planned: Callable[[int], None] = lambda count: None,
    ) -> Report:
        """Collect the days of these accounts from `first` to before `end` again, or only those that are not stored.

        A day that is damaged in the lake is rewritten. planned: called with the number of days of all accounts.
        force: answers replace stored days also if they hold less.
        Raises: AccountNotFound, NotACluster, and as `collect`.
        """
        found = await run_blocking(self._executor, lambda: [find_cluster(self._accounts, name) for name in names])
        await run_blocking(self._executor, self._committer.writer.recover)
        end = min(end, self._clock.now().date() + ONE_DAY)
        days = [first + number * ONE_DAY for number in reversed(range(max(0, (end - first).days)))]
        ids = [*dict.fromkeys(account.id for account in found)]
        dues = [Due(Reason.MISSING, day, id_) for id_ in ids for day in days]
        if missing_only:
            known = await run_blocking(self._executor, lambda: {id_: self._known(id_, first, end) for id_ in ids})
            dues = [due for due in dues if _is_missing(known[due.account_id].get(due.day))]
        planned(len(dues))
        return await self._collect(
            dues, watch, None, partial(self._committer.commit, force=force, replace_damaged=True)
        )

    async def first_days(self, account_ids: Iterable[str]) -> dict[str, date]:
        """The first stored day of each of these accounts that has any. Raises StoreError."""
        today = self._clock.now().date()
        earliest = today - (self._policy.max_days + 1) * ONE_DAY
        ids = list(account_ids)
        known = await run_blocking(
            self._executor, lambda: self._coverage.days(earliest, end=today + ONE_DAY, account_ids=ids) if ids else []
        )
        return {day.account_id: day.day for day in reversed(known) if day.is_stored}

    def _due(self, names: Sequence[str]) -> list[Due]:
        now = self._clock.now()
        clusters = [find_cluster(self._accounts, name) for name in names] or self._clusters()
        earliest = now.date() - (self._policy.max_days + 1) * ONE_DAY
        all_known = []
        for account in clusters:
            days = self._known(account.id, earliest, now.date() + ONE_DAY)
            first = self._coverage.history_begins(account.id)
            known = KnownDays.of(account.id, days=days, begins=first, source=_source_of(account))
            if known.begins is None and (first := find_first_source_day(known, now, self._policy)) is not None:
                self._coverage.note_history(account.id, first, now)
            all_known.append(known)
        return due(all_known, now, self._policy)

    def _known(self, account_id: str, first: date, end: date) -> dict[date, CoveredDay]:
        return {day.day: day for day in self._coverage.days(first, end=end, account_ids=[account_id])}

    def _clusters(self) -> list[Account]:
        return [account for account in self._accounts.all() if account.type is AccountType.KUBERNETES_CNR]

    async def _collect(self, dues: Sequence[Due], watch: Watch, turn_seconds: float | None, commit: Commit) -> Report:
        clusters = {cluster.id: cluster for cluster in await run_blocking(self._executor, self._clusters)}
        days: dict[str, list[date]] = defaultdict(list)
        for day in dues:
            days[day.account_id].append(day.day)
        current = _Round(
            clusters,
            days,
            failed_ids={day.account_id for day in dues if day.has_failed},
            slots=asyncio.Semaphore(self._max_concurrency),
            failed_slots=asyncio.Semaphore(max(1, self._max_concurrency // 4)),
            turn_seconds=turn_seconds,
            # Clusters that get no slot of their source in time are left for the next round, in which they come first:
            # a round, and with it every other cluster, would wait for the last of them.
            starts_until=None if turn_seconds is None else asyncio.get_running_loop().time() + turn_seconds,
            report=Report(len(dues), len(clusters)),
            watch=watch,
        )
        in_order = sorted(days, key=lambda id_: (id_ in current.failed_ids, self._last_turns.get(id_, -inf)))
        async with task_group() as group:
            group.create_task(self._write(current, commit))
            async with task_group() as reading:
                for account_id in in_order:
                    if account_id in clusters:
                        reading.create_task(self._read_in_turn(clusters[account_id], current))
            await current.queue.put(None)
        return current.report

    async def _read_in_turn(self, account: Account, current: _Round) -> None:
        """Read a cluster once there are slots for it; not at all if its source has none in time."""
        failed_slot = current.failed_slots if account.id in current.failed_ids else nullcontext()
        async with failed_slot, AsyncExitStack() as stack:
            try:
                async with asyncio.timeout_at(current.starts_until):
                    await stack.enter_async_context(self._source_slots[_source_of(account)])
            except TimeoutError:
                return
            async with current.slots:
                self._last_turns[account.id] = asyncio.get_running_loop().time()
                await self._read(account, current)

    async def _read(self, account: Account, current: _Round) -> None:
        time, failures = asyncio.get_running_loop().time, current.failures[_source_of(account)]
        ends = inf if current.turn_seconds is None else time() + current.turn_seconds
        left = list(current.days[account.id])
        days = () if failures.is_away else list(left)  # its source is not even opened
        async for answer in self._reader.days(account, days, lambda: time() <= ends and not failures.is_away):
            failures.count(answer)
            if isinstance(answer, Unread):
                left.remove(answer.day)
                current.end(await run_blocking(self._executor, partial(self._note, answer)))
            else:
                left.remove(answer.collection.day)
                await current.queue.put(answer)
        if failures.is_away:
            for day in left:
                current.end(self._note(not_tried(account, day)))

    def _note(self, unread: Unread) -> Outcome:
        if unread.was_tried:
            now = self._clock.now()
            self._coverage.failed(unread.account_id, unread.day, now, code=unread.code, message=unread.why)
        return Outcome(unread.account_id, unread.day, unread.code, unread.why)

    async def _write(self, current: _Round, commit: Commit) -> None:
        """Commit the days of the queue, as many at a time as have arrived, until its end."""
        now = asyncio.get_running_loop().time
        is_open = True
        while is_open:
            packed: list[PackedDay] = []
            until = inf
            while is_open and now() < until and sum(day.collection.rows for day in packed) < _MAX_COMMIT_ROWS:
                batch, is_open, until = await current.queue.get_batch(until, linger_seconds=self._linger_seconds)
                packed += (day for day in batch if isinstance(day, PackedDay))
                unpacked = [day for day in batch if isinstance(day, CollectedDay)]
                pack = partial(self._committer.pack, unpacked)
                for result in await run_blocking(self._executor, pack) if unpacked else ():
                    if isinstance(result, PackedDay):
                        packed.append(result)
                    else:
                        current.end(result)
            if packed:
                await self._commit(packed, current, commit)

    async def _commit(self, packed: list[PackedDay], current: _Round, commit: Commit) -> None:
        """Commit these days. A cancellation takes effect after that."""
        committing = asyncio.ensure_future(run_blocking(self._executor, partial(commit, packed)))
        try:
            await asyncio.wait({committing})
        finally:
            if not committing.done():
                await asyncio.wait({committing})
            if not committing.cancelled() and committing.exception() is None:
                for outcome in committing.result():
                    current.end(outcome)
        committing.result()


def _is_missing(day: CoveredDay | None) -> bool:
    """Whether no whole day is stored."""
    return day is None or day.is_missing or day.is_running


def _source_of(account: Account) -> str:
    """What identifies the source; accounts that name none may share the one of their context."""
    return str(account.kubecost_url or f"context {account.context}")
