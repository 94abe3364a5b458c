"""Collecting due days of many clusters: asked side by side, booked one by one, committed a day at a time."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from math import inf
from typing import Protocol, TypeVar

from kubetally.domain.account import Account, AccountType
from kubetally.domain.collection import NO_DATA, CollectedDay, CoveredDay
from kubetally.domain.window import Clock
from kubetally.ledger.collect.committer import Committer, Outcome
from kubetally.ledger.collect.reader import ShouldContinue, Unread, not_tried
from kubetally.ledger.collect.replacement import NOT_TRIED
from kubetally.ledger.collect.schedule import GIVE_UP_AFTER, ONE_DAY, Due, KnownDays, Policy, Reason, due, history_found
from kubetally.ledger.ports.accounts import Accounts, NotACluster
from kubetally.ledger.ports.coverage import Coverage
from kubetally.ledger.ports.lake import PackedDay
from kubetally.tasks import task_group

T = TypeVar("T")
Watch = Callable[[Outcome], None]
Commit = Callable[[Sequence[PackedDay]], list[Outcome]]
Booked = CollectedDay | PackedDay
_MOST_OF_A_SOURCE = 4  # clusters that are asked at a time of one that answers for several
_MOST_ROWS = 200_000  # of one commit
_ROWS_TO_PACK = 4_000  # together: in the lake's form they take less memory, and of many small days it is quicker
_MOST_ROWS_WAITING = 40_000  # for a commit: what is read faster than it is written must not pile up


@dataclass(slots=True)
class Report:
    """What a round came to, in the order in which its days ended.

    planned: how many were due. accounts: how many clusters there are to be collected.
    first_days: of each account the first day that is stored, if any; None where nobody looked that up.
    """

    planned: int = 0
    accounts: int = 0
    outcomes: list[Outcome] = field(default_factory=list)
    first_days: Mapping[str, date] | None = None

    @property
    def collected(self) -> list[Outcome]:
        """The days that are in the lake now, each once."""
        return [outcome for outcome in self._last() if outcome.is_collected]

    @property
    def failed(self) -> list[Outcome]:
        """The days that are not, or stay as they were, each once, without those before a source's data begin."""
        return [outcome for outcome in self._last() if not outcome.is_collected and not self._is_probe(outcome)]

    def _last(self) -> Iterable[Outcome]:
        """What became of each day in the end; that it was skipped tells less than why it failed before."""
        last: dict[tuple[str, date], Outcome] = {}
        for outcome in self.outcomes:
            key = outcome.account_id, outcome.day
            before = last.get(key)
            if before is None or outcome.is_collected or not (before.is_collected or outcome.code == NOT_TRIED):
                last[key] = outcome
        return last.values()

    def _is_probe(self, outcome: Outcome) -> bool:
        """Whether a day was only asked for to find out where the source's data begin."""
        first = None if self.first_days is None else self.first_days.get(outcome.account_id)
        return outcome.code == NO_DATA and first is not None and outcome.day < first


class CommitQueue:
    """Booked days on their way to a commit, and None after the last; of `most_rows` at once, or one day."""

    def __init__(self, most_rows: int = _MOST_ROWS_WAITING) -> None:
        self._days: asyncio.Queue[Booked | None] = asyncio.Queue()
        self._most_rows, self._rows, self._taken = most_rows, 0, asyncio.Event()
        self._in_turn = asyncio.Lock()

    async def put(self, day: Booked | None) -> None:
        """Once there is room for it, and for those that came before it."""
        rows = 0 if day is None else day.collection.rows
        async with self._in_turn:
            while rows and self._rows and self._rows + rows > self._most_rows:
                self._taken.clear()
                await self._taken.wait()
            self._rows += rows
            self._days.put_nowait(day)

    async def get(self) -> Booked | None:
        """The next one. Who stops waiting for it has lost none."""
        day = await self._days.get()
        self._rows -= 0 if day is None else day.collection.rows
        self._taken.set()
        return day


@dataclass(slots=True)
class _FailuresOnEnd:
    """How many days of a source, whichever account they are of, failed since it last answered in this round."""

    failed: int = 0

    def count(self, found: Booked | Unread) -> None:
        if not isinstance(found, Unread) or (found.was_tried and not found.is_of_all):
            self.failed = 0
        elif found.is_of_all:
            self.failed += 1

    @property
    def is_away(self) -> bool:
        return self.failed >= GIVE_UP_AFTER


class DayReader(Protocol):
    """Who asks clusters for days, as `Reader` does; some may come in the lake's form already."""

    def days(
        self, account: Account, days: Sequence[date], should_continue: ShouldContinue
    ) -> AsyncIterator[Booked | Unread]:
        """Each day of the cluster, or why it can't be had, until `should_continue` says no."""
        ...


class Collector:
    """Collects what is due.

    executor:     where the stores are asked, which block.
    max_concurrency: clusters that are asked at a time; at most a quarter of them failed when they were last asked, so
                  that however many are dead, the others go on.
    turn_seconds: after that a cluster's next days are left for the next round, so that a slow one holds no other's.
    linger_seconds: how long a day waits for others to be committed with it: each commit writes all that is held of it.
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
        self._at_once, self._turn_seconds, self._linger_seconds = max_concurrency, turn_seconds, linger_seconds
        self._of_source = defaultdict[str, asyncio.Semaphore](lambda: asyncio.Semaphore(_MOST_OF_A_SOURCE))
        self._last_turns: dict[str, float] = {}

    async def due(self, names: Sequence[str] = ()) -> list[Due]:
        """What is due now, of all clusters or of those named; what a killed writer left open is seen to first.

        Raises: AccountNotFound, AnotherWriter, StoreError.
        """
        await self._blocking(self._committer.writer.recover)
        return await self._blocking(lambda: self._due(names))

    async def collect(self, dues: Sequence[Due], watch: Watch = lambda outcome: None) -> Report:
        """Collect these days; what concerns one cluster neither holds nor ends the others.

        Days of a cluster whose turn was over before they were asked for have no outcome: they stay due.
        Raises: AnotherWriter, LeaseLost, StoreError, which concern all of them; what was committed until then is.
        """
        return await self._collect(dues, watch, self._turn_seconds)

    async def _collect(
        self,
        dues: Sequence[Due],
        watch: Watch,
        turn_seconds: float | None,
        *,
        force: bool = False,
        anew: bool = False,
    ) -> Report:
        clusters = {one.id: one for one in await self._blocking(self._clusters)}
        report = Report(len(dues), len(clusters))

        def ended(outcome: Outcome) -> None:
            outcome = replace(outcome, account=clusters[outcome.account_id].name)
            report.outcomes.append(outcome)
            watch(outcome)

        days: dict[str, list[date]] = defaultdict(list)
        for one in dues:
            days[one.account_id].append(one.day)
        has_failed = {one.account_id for one in dues if one.has_failed}
        booked = CommitQueue()
        turns, second_turns = asyncio.Semaphore(self._at_once), asyncio.Semaphore(max(1, self._at_once // 4))
        now = asyncio.get_running_loop().time
        # Of a source with many clusters those that get no place in time are left for the next round, in which they come
        # first: the round, and with it all others, would wait for the last of them.
        until = None if turn_seconds is None else now() + turn_seconds

        failures = defaultdict[str, _FailuresOnEnd](_FailuresOnEnd)

        async def read(account: Account) -> None:
            source = _source_of(account)
            second_turn = second_turns if account.id in has_failed else nullcontext()
            async with second_turn, AsyncExitStack() as place:
                try:
                    async with asyncio.timeout_at(until):
                        await place.enter_async_context(self._of_source[source])
                except TimeoutError:
                    return
                async with turns:
                    self._last_turns[account.id] = now()
                    await self._read(account, days[account.id], turn_seconds, booked, ended, failures[source])

        in_order = sorted(days, key=lambda id_: (id_ in has_failed, self._last_turns.get(id_, -inf)))
        async with task_group() as group:
            commit = partial(self._committer.commit, force=force, anew=anew)
            group.create_task(self._write(booked, ended, commit))
            async with task_group() as reading:
                for account_id in in_order:
                    if account_id in clusters:
                        reading.create_task(read(clusters[account_id]))
            await booked.put(None)
        return report

    async def backfill(
        self,
        name: str,
        first: date,
        end: date,
        *,
        missing_only: bool = False,
        force: bool = False,
        watch: Watch = lambda outcome: None,
        planned: Callable[[int], None] = lambda count: None,
    ) -> Report:
        """Ask an account for the days from `first` to before `end` again, or only for those that are not held.

        A day that is damaged in the lake is written anew. `planned` is told how many they are.
        force: answers replace stored days that hold more.
        Raises: AccountNotFound, NotACluster, and as `collect`.
        """
        account = await self._blocking(lambda: cluster_named(self._accounts, name))
        await self._blocking(self._committer.writer.recover)
        known = await self._blocking(lambda: self._known(account.id, first, end))
        end = min(end, self._clock.now().date() + ONE_DAY)
        days = [first + number * ONE_DAY for number in range(max(0, (end - first).days))]
        if missing_only:
            days = [day for day in days if day not in known or known[day].is_missing or known[day].is_running]
        planned(len(days))
        dues = [Due(Reason.MISSING, day, account.id) for day in reversed(days)]
        return await self._collect(dues, watch, None, force=force, anew=True)

    def _due(self, names: Sequence[str]) -> list[Due]:
        now = self._clock.now()
        clusters = [cluster_named(self._accounts, name) for name in names] or self._clusters()
        earliest = now.date() - (self._policy.max_days + 1) * ONE_DAY
        histories = []
        for account in clusters:
            days = self._known(account.id, earliest, now.date() + ONE_DAY)
            begins = self._coverage.history_begins(account.id)
            history = KnownDays.of(account.id, days, begins, _source_of(account))
            if history.begins is None and (found := history_found(history, now, self._policy)) is not None:
                self._coverage.note_history(account.id, found, now)
            histories.append(history)
        return due(histories, now, self._policy)

    async def first_days(self, account_ids: Iterable[str]) -> dict[str, date]:
        """The first stored day of each account that has any, of those that are looked for at all. Raises StoreError."""
        today = self._clock.now().date()
        earliest = today - (self._policy.max_days + 1) * ONE_DAY
        ids = list(account_ids)
        known = await self._blocking(lambda: self._coverage.days(earliest, today + ONE_DAY, ids) if ids else [])
        return {one.account_id: one.day for one in reversed(known) if one.is_held}

    def _known(self, account_id: str, first: date, end: date) -> dict[date, CoveredDay]:
        return {one.day: one for one in self._coverage.days(first, end, [account_id])}

    def _clusters(self) -> list[Account]:
        return [account for account in self._accounts.all() if account.type is AccountType.KUBERNETES_CNR]

    async def _read(
        self,
        account: Account,
        days: Sequence[date],
        turn_seconds: float | None,
        booked: CommitQueue,
        ended: Watch,
        failures: "_FailuresOnEnd",
    ) -> None:
        time = asyncio.get_running_loop().time
        ends = inf if turn_seconds is None else time() + turn_seconds
        left = list(days)
        asked = () if failures.is_away else days  # it is not even opened
        async for found in self._reader.days(account, asked, lambda: time() <= ends and not failures.is_away):
            failures.count(found)
            if isinstance(found, Unread):
                left.remove(found.day)
                ended(await self._blocking(partial(self._note, found)))
            else:
                left.remove(found.collection.day)
                await booked.put(found)
        if failures.is_away:  # whoever asked hears of each of its days
            for day in left:
                ended(self._note(not_tried(account, day)))

    def _note(self, unread: Unread) -> Outcome:
        if unread.was_tried:
            now = self._clock.now()
            self._coverage.failed(unread.account_id, unread.day, now, unread.code, unread.why)
        return Outcome(unread.account_id, unread.day, unread.code, unread.why)

    async def _write(self, booked: CommitQueue, ended: Watch, commit: Commit) -> None:
        """Commit what is booked, as much at a time as has come meanwhile, until None comes."""
        now = asyncio.get_running_loop().time
        is_open = True
        while is_open:
            packed: list[PackedDay] = []
            ends = inf  # when what has come is committed, with what else has come by then
            while is_open and now() < ends and sum(one.collection.rows for one in packed) < _MOST_ROWS:
                some, is_open, ends = await _some(booked, ends, self._linger_seconds)
                packed += (one for one in some if isinstance(one, PackedDay))
                loose = [one for one in some if isinstance(one, CollectedDay)]
                for one in await self._blocking(partial(self._committer.pack, loose)) if loose else ():
                    if isinstance(one, PackedDay):
                        packed.append(one)
                    else:
                        ended(one)
            if packed:
                await self._commit(packed, ended, commit)

    async def _commit(self, packed: list[PackedDay], ended: Watch, commit: Commit) -> None:
        """Commit these days; where we are told to stop meanwhile, they are written and told first."""
        committing = asyncio.ensure_future(self._blocking(partial(commit, packed)))
        try:
            await asyncio.wait({committing})
        finally:
            if not committing.done():
                await asyncio.wait({committing})
            if not committing.cancelled() and committing.exception() is None:
                for outcome in committing.result():
                    ended(outcome)
        committing.result()

    async def _blocking(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)


def _source_of(account: Account) -> str:
    """What stands for the server that is asked; of accounts that state none it may be one for all."""
    return account.kubecost_url or f"context {account.context}"


def cluster_named(accounts: Accounts, name: str) -> Account:
    """The account of a cluster, by its name or id.

    Raises: AccountNotFound, AmbiguousAccount, NotACluster, StoreError.
    """
    account = accounts.find(name)
    if account.type is not AccountType.KUBERNETES_CNR:
        raise NotACluster(account.id, account.type)
    return account


async def _some(booked: CommitQueue, ends: float, linger_seconds: float) -> tuple[list[Booked], bool, float]:
    """What has come until then, or enough to be packed together; whether there will be more; and until when.

    Where `ends` is infinite, the first is waited for, and the others so long after it.
    """
    now = asyncio.get_running_loop().time
    some: list[Booked] = []
    rows = 0
    while rows < _ROWS_TO_PACK:
        try:
            async with asyncio.timeout_at(None if ends == inf else ends):
                one = await booked.get()
        except TimeoutError:
            return some, True, ends
        if one is None:
            return some, False, ends
        some.append(one)
        rows += one.collection.rows
        ends = min(ends, now() + linger_seconds)
    return some, True, ends
