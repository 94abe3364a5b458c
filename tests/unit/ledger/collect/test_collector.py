"""Collecting what is due, whatever clusters and stores do meanwhile."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from itertools import count

import pytest

from kubetally.domain.account import Account
from kubetally.domain.allocation import Allocation, Kind
from kubetally.domain.collection import CollectedDay
from kubetally.domain.collection_report import Outcome, Report
from kubetally.domain.component import Costs
from kubetally.domain.errors import SourceError, StoreError
from kubetally.domain.evidence.hours import SeenHour
from kubetally.domain.issues import IssueKind
from kubetally.domain.reading import Reading
from kubetally.domain.savings import Savings
from kubetally.domain.window import Window
from kubetally.ledger.collect.collector import Collector
from kubetally.ledger.collect.commit_queue import CommitQueue
from kubetally.ledger.collect.committer import Committer
from kubetally.ledger.collect.reader import Reader, Unread
from kubetally.ledger.collect.schedule import ONE_DAY, Policy
from kubetally.ledger.ports.accounts import AccountNotFound
from kubetally.ledger.ports.leases import COMMITTER
from kubetally.ledger.ports.sources import About
from kubetally.ledger.writing.lease import AnotherWriter
from kubetally.ledger.writing.writer import LakeWriter
from tests.kept import Away, Broken, CoverageInMemory, LakeInMemory, LeasesInMemory
from tests.served import NOON_AFTER, FixedClock
from tests.service import AccountsInMemory, account, account_id

SUPERSEDED = "overtaken"

TODAY = NOON_AFTER.date()


class Refused(SourceError):
    """The source of a test is down."""

    code = "refused"
    retryable = True


@dataclass
class Cluster:
    """A cluster that holds `days` days back, each of which costs `cpu`; `meanwhile` runs before each answer."""

    days: int = 5
    cpu: int = 1_000_000
    minutes: float = 60
    meanwhile: Callable[[Window], None] = lambda window: None
    hold: asyncio.Event | None = None
    asked: list[Window] = field(default_factory=list)
    url: str = "http://source"
    account: str | None = None
    asked_about: int = 0
    breaks: Exception | None = None

    async def read(self, window: Window) -> Reading:
        self.asked.append(window)
        if self.hold:
            await self.hold.wait()
        self.meanwhile(window)
        has = (TODAY - window.start.date()).days <= self.days
        row = Allocation(
            Kind.WORKLOAD,
            window,
            "shop",
            pod="web",
            node="n",
            minutes=self.minutes,
            costs=Costs(cpu=self.cpu),
            total=self.cpu,
        )
        return Reading(window, (row,) if has else (), None, (window,) if has else (), "USD", self.url)

    async def hours(self, window: Window, rows: int) -> Sequence[SeenHour]:
        return ()

    async def wait_for_place(self) -> None:
        return

    async def about(self) -> About:
        self.asked_about += 1
        return About("OpenCost", "1.0")

    async def savings(self) -> Savings | None:
        raise AssertionError("nobody collects what could be saved")


@dataclass
class World:
    """Some clusters, and a collector of them."""

    clusters: list[Cluster]
    clock: FixedClock = field(default_factory=FixedClock)
    lake: LakeInMemory = field(default_factory=LakeInMemory)
    coverage: CoverageInMemory = field(default_factory=CoverageInMemory)
    leases: LeasesInMemory = field(default_factory=LeasesInMemory)
    one_source: bool = False

    def collector(self, **more: object) -> Collector:
        accounts = [
            account(number, "http://one" if self.one_source else f"http://source-{number}")
            for number in range(1, len(self.clusters) + 1)
        ]
        by_id = {one.id: cluster for one, cluster in zip(accounts, self.clusters, strict=True)}
        numbers = count(len(self.lake.commits) * 1000)

        @asynccontextmanager
        async def source(one: Account) -> AsyncIterator[Cluster]:
            if (breaks := by_id[one.id].breaks) is not None:
                raise breaks
            yield by_id[one.id]

        @asynccontextmanager
        async def no_metrics(one: Account) -> AsyncIterator[None]:
            yield None

        reader = Reader(source, no_metrics, self.clock, deadline_seconds=5, new_id=lambda: str(next(numbers)))
        committer = Committer(
            LakeWriter(self.lake, self.coverage, self.leases, self.clock, wait_seconds=0.2, pause=lambda seconds: None)
        )
        policy = Policy(max_days=30)
        return Collector(
            AccountsInMemory(accounts),
            self.coverage,
            reader,
            committer,
            self.clock,
            policy=policy,
            **{"linger_seconds": 0.05, **more},  # type: ignore[arg-type]
        )

    async def collect(self) -> Report:
        collector = self.collector()
        return await collector.collect(await collector.due())

    def held(self, number: int = 1) -> dict[int, int]:
        """What is held of a cluster: micros by how many days ago."""
        days = self.coverage.collections(account_id(number), TODAY - 40 * ONE_DAY, end=TODAY + ONE_DAY)
        rows = self.lake.rows(days)
        return {(TODAY - day.day).days: sum(row.costs.total for row in rows[day.id]) for day in days}


async def test_all_days_of_a_source_are_collected_once() -> None:
    world = World([Cluster(days=5), Cluster(days=20)])
    for _ in range(6):
        report = await world.collect()
    assert report.planned == 0
    assert world.held(1) == dict.fromkeys(range(6), 1_000_000)
    assert world.held(2) == dict.fromkeys(range(21), 1_000_000)
    assert world.coverage.begins == {account_id(1): TODAY - 5 * ONE_DAY, account_id(2): TODAY - 20 * ONE_DAY}
    assert len({request.start for request in world.clusters[1].asked}) == len(world.clusters[1].asked), "each day once"


async def test_days_before_the_first_stored_day_do_not_count_as_failed() -> None:
    world = World([Cluster(days=5), Cluster(days=-1)])
    collector = world.collector()
    report = await collector.collect(await collector.due())
    report.first_days = await collector.first_days([account_id(1), account_id(2)])
    assert report.first_days == {account_id(1): TODAY - 5 * ONE_DAY}
    assert {outcome.account_id for outcome in report.failed} == {account_id(2)}


async def test_days_of_several_clusters_are_committed_together() -> None:
    world = World([Cluster() for _ in range(20)])
    await world.collect()
    assert len(world.lake.commits) < 20 * 6 / 4
    assert all(len({item.collection.account_id for item in commit}) == len(commit) for commit in world.lake.commits)


async def test_running_day_is_stored_apart_until_it_is_over() -> None:
    world = World([Cluster()])
    await world.collect()
    (today,) = [item for item in world.coverage.confirmed if item.day == TODAY]
    assert today.is_running
    assert today.head.window.end == NOON_AFTER
    world.clock = FixedClock(NOON_AFTER + timedelta(hours=14))
    await world.collect()
    yesterday = world.coverage.collections(account_id(1), TODAY, end=TODAY + ONE_DAY)[0]
    assert not yesterday.is_running
    assert yesterday.hours_covered == 24


async def test_dead_cluster_is_given_up_and_delays_no_other() -> None:
    def refuse(window: Window) -> None:
        raise Refused("nobody answers")

    world = World([Cluster(meanwhile=refuse), Cluster()])
    report = await world.collect()
    assert set(world.held(2)) == set(range(6))
    assert len(world.clusters[0].asked) == 2
    assert {outcome.code for outcome in report.failed if outcome.account_id == account_id(1)} == {
        "refused",
        "not_tried",
    }
    tried = world.coverage.days(TODAY - 40 * ONE_DAY, end=TODAY + ONE_DAY, account_ids=[account_id(1)])
    assert [item.last_error for item in tried] == [("refused", "nobody answers")] * 2


@pytest.mark.parametrize("accounts", [1, 3])
async def test_source_that_dies_during_a_round_is_given_up(accounts: int) -> None:
    asked: list[date] = []

    def die(window: Window) -> None:
        asked.append(window.start.date())
        if len(asked) > 4:
            raise Refused("nobody answers")

    world = World([Cluster(days=25, meanwhile=die) for _ in range(accounts)], one_source=True)
    report = await world.collect()
    in_flight = 2 * min(accounts, 4)
    assert 4 + 2 <= len(asked) <= 4 + max(2, in_flight)
    assert report.planned == len({(outcome.account_id, outcome.day) for outcome in report.outcomes}), (
        "each day is told of"
    )
    after = len(asked)
    for _ in range(8):
        world.clock = FixedClock(world.clock.now() + timedelta(seconds=30))
        await world.collect()
    assert len(asked) == after
    world.clock = FixedClock(world.clock.now() + timedelta(minutes=2))
    await world.collect()
    assert after < len(asked) <= after + max(2, in_flight)


async def test_hanging_cluster_delays_no_other() -> None:
    world = World([Cluster(hold=asyncio.Event()), Cluster()])
    collector = world.collector()
    collecting = asyncio.create_task(collector.collect(await collector.due()))
    async with asyncio.timeout(3):
        while set(world.held(2)) != set(range(6)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    collecting.cancel()
    await asyncio.wait([collecting])
    assert world.held(1) == {}


async def test_failed_clusters_come_last_and_use_a_quarter_of_the_slots() -> None:
    def refuse(window: Window) -> None:
        raise Refused("nobody answers")

    world = World([*(Cluster(meanwhile=refuse) for _ in range(12)), Cluster()])
    await world.collect()
    world.clock = FixedClock(NOON_AFTER + timedelta(minutes=30))
    hanging = asyncio.Event()
    for cluster in world.clusters[:12]:
        cluster.hold = hanging
        cluster.asked.clear()
    collector = world.collector(max_concurrency=8)
    dues = await collector.due()
    assert dues[0].account_id == account_id(13)
    collecting = asyncio.create_task(collector.collect(dues))
    async with asyncio.timeout(3):
        while world.coverage.collections(account_id(13), TODAY, end=TODAY + ONE_DAY)[0].collected_at == NOON_AFTER:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert sum(bool(cluster.asked) for cluster in world.clusters[:12]) == 2
    collecting.cancel()
    await asyncio.wait([collecting])


async def test_requests_to_a_shared_source_are_limited() -> None:
    hanging = asyncio.Event()
    world = World([Cluster(hold=hanging) for _ in range(10)], one_source=True)
    collector = world.collector()
    collecting = asyncio.create_task(collector.collect(await collector.due()))
    async with asyncio.timeout(3):
        while sum(len(cluster.asked) for cluster in world.clusters) < 8:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    for _ in range(20):
        await asyncio.sleep(0)
    assert sorted(len(cluster.asked) for cluster in world.clusters) == [0] * 6 + [2] * 4
    hanging.set()
    report = await collecting
    assert len(report.collected) == 10 * 6


async def test_clusters_without_a_slot_come_first_in_the_next_round() -> None:
    hold = asyncio.Event()
    world = World([Cluster(hold=hold) for _ in range(6)], one_source=True)
    collector = world.collector(turn_seconds=0.05)
    asyncio.get_running_loop().call_later(0.3, hold.set)
    report = await collector.collect(await collector.due())
    left = [number for number, cluster in enumerate(world.clusters, 1) if not cluster.asked]
    assert len(left) == 2
    assert not {outcome.account_id for outcome in report.outcomes} & set(map(account_id, left)), "their days stay due"
    order: list[int] = []
    for number, cluster in enumerate(world.clusters, 1):
        cluster.meanwhile = lambda window, number=number: order.append(number)  # type: ignore[misc]
    await collector.collect(await collector.due())
    assert set(order[:2]) | set(order[2:4]) >= set(left)


async def test_source_that_never_opens_is_given_up_at_the_deadline() -> None:
    @asynccontextmanager
    async def never(one: Account) -> AsyncIterator[Cluster]:
        await asyncio.Event().wait()
        yield Cluster()

    @asynccontextmanager
    async def no_metrics(one: Account) -> AsyncIterator[None]:
        yield None

    reader = Reader(never, no_metrics, FixedClock(), deadline_seconds=0.01)
    days = [TODAY - number * ONE_DAY for number in (1, 2)]
    found = [day async for day in reader.days(account(1, "http://source"), days)]
    assert [item.code for item in found if isinstance(item, Unread)] == ["deadline_passed", "not_tried"]


async def test_slow_cluster_continues_in_the_next_round() -> None:
    world = World([Cluster(), Cluster()])
    collector = world.collector(turn_seconds=-1.0)
    report = await collector.collect(await collector.due())
    assert (report.outcomes, world.held()) == ([], {})
    await world.collect()
    assert set(world.held()) == set(range(6))
    assert len((await backfill(world)).collected) == 5, "who asks for days gets all of them"


async def rounds(world: World, hours: int) -> None:
    """A round an hour."""
    for _ in range(hours):
        world.clock = FixedClock(world.clock.now() + timedelta(hours=1))
        await world.collect()


async def test_source_that_was_empty_at_first_is_collected_in_full_later() -> None:
    world = World([Cluster(days=-1)])
    for _ in range(3):
        await world.collect()
    assert world.coverage.begins == {account_id(1): TODAY}
    world.clusters[0].days = 18
    await rounds(world, 48)
    held = world.coverage.collections(account_id(1), TODAY - 40 * ONE_DAY, end=TODAY)
    assert len(held) == 18
    assert world.coverage.begins == {account_id(1): TODAY - 18 * ONE_DAY}


async def test_empty_days_are_collected_again() -> None:
    world = World([Cluster(days=20)])
    for _ in range(4):
        await world.collect()
    world.clock = FixedClock(NOON_AFTER + timedelta(days=12))
    world.clusters[0].days = -30
    await world.collect()
    world.clusters[0].days = 40
    await rounds(world, 30)
    held = world.coverage.collections(account_id(1), TODAY - 20 * ONE_DAY, end=TODAY + 12 * ONE_DAY)
    assert len(held) == 32


async def test_error_of_opening_a_source_affects_one_cluster_only() -> None:
    world = World([Cluster(), Cluster(breaks=RuntimeError("a bad kubeconfig"))])
    report = await world.collect()
    assert set(world.held(1)) == set(range(6))
    assert {outcome.code for outcome in report.failed if outcome.account_id == account_id(2)} == {
        "unforeseen",
        "not_tried",
    }


async def test_source_description_is_cached_for_an_hour() -> None:
    world = World([Cluster()])
    collector = world.collector()
    for _ in range(3):
        await collector.collect(await collector.due())
    assert world.clusters[0].asked_about == 1


class ReadOnceDescribed(Cluster):
    """A cluster whose days are read once somebody has asked what it is."""

    async def about(self) -> About:
        assert self.hold is not None
        self.hold.set()
        return await super().about()


async def test_source_description_is_read_beside_the_day() -> None:
    world = World([ReadOnceDescribed(hold=asyncio.Event())])
    await world.collect()
    assert set(world.held(1)) == set(range(6))


async def test_day_that_the_lake_rejects_affects_no_other() -> None:
    world = World([Cluster(), Cluster(cpu=10**18)])
    report = await world.collect()
    assert set(world.held(1)) == set(range(6))
    assert {outcome.code for outcome in report.failed if outcome.account_id == account_id(2)} == {"broken", "no_data"}


async def test_clock_set_back_neither_loses_nor_duplicates_days() -> None:
    world = World([Cluster()])
    await world.collect()
    before, world.clock = world.held(), FixedClock(NOON_AFTER - timedelta(days=2, hours=3))
    await world.collect()
    await world.collect()
    assert world.held() == before
    world.clock = FixedClock(NOON_AFTER + timedelta(hours=1))
    await world.collect()
    assert world.held() == before


async def test_unexpected_error_affects_one_day_only() -> None:
    def break_on(window: Window) -> None:
        if window.start.date() == TODAY - 2 * ONE_DAY:
            raise ZeroDivisionError

    world = World([Cluster(meanwhile=break_on)])
    report = await world.collect()
    assert [outcome.code for outcome in report.failed if outcome.code != "no_data"] == ["unforeseen"]
    assert set(world.held()) == {0, 1, 3, 4, 5}


async def test_poorer_answer_replaces_nothing_and_is_reported() -> None:
    world = World([Cluster()])
    await world.collect()
    before = world.held()
    world.clusters[0].days = -1
    report = await backfill(world)
    assert {outcome.code for outcome in report.failed} == {"no_data"}
    assert world.held() == before
    known = world.coverage.days(TODAY - ONE_DAY, end=TODAY, account_ids=[account_id(1)])[0]
    assert known.is_stored
    assert known.last_error is not None
    assert "the stored day was kept" in known.last_error[1]


async def backfill(
    world: World, *, missing_only: bool = False, force: bool = False, first: date = TODAY - 5 * ONE_DAY
) -> Report:
    collector = world.collector()
    return await collector.backfill([account_id(1)], first, end=TODAY, missing_only=missing_only, force=force)


async def test_correction_replaces_a_day_and_a_fall_is_reported() -> None:
    world = World([Cluster()])
    await world.collect()
    world.clusters[0].cpu = 500_000
    report = await backfill(world)
    assert len(report.collected) == 5
    assert world.held() == {0: 1_000_000, **dict.fromkeys(range(1, 6), 500_000)}
    newest = world.coverage.collections(account_id(1), TODAY - ONE_DAY, end=TODAY)[0]
    assert [issue.kind for issue in newest.head.issues if issue.kind is IssueKind.TOTAL_FELL]


async def test_measures_day_of_earlier_version_before_replacing_it() -> None:
    world = World([Cluster(minutes=1440)])
    await world.collect()
    world.coverage.confirmed = [replace(stored, completeness=None) for stored in world.coverage.confirmed]
    before = world.coverage.collections(account_id(1), TODAY - 5 * ONE_DAY, end=TODAY)
    world.clusters[0].minutes = 720
    report = await backfill(world)
    assert {outcome.code for outcome in report.failed} == {"less_complete"}
    assert world.coverage.collections(account_id(1), TODAY - 5 * ONE_DAY, end=TODAY) == before
    report = await backfill(world, force=True)
    assert len(report.collected) == 5


async def test_poorer_day_is_not_stored_while_the_store_is_away() -> None:
    def leave() -> None:
        raise Away("a test wants it to be away")

    world = World([Cluster(minutes=1440)])
    await world.collect()
    world.coverage.confirmed = [replace(stored, completeness=None) for stored in world.coverage.confirmed]
    before = world.coverage.collections(account_id(1), TODAY - 5 * ONE_DAY, end=TODAY)
    world.clusters[0].minutes = 720
    world.lake.on_read = leave
    with pytest.raises(Away):
        await backfill(world)
    assert world.coverage.collections(account_id(1), TODAY - 5 * ONE_DAY, end=TODAY) == before
    assert not world.coverage.open


async def test_backfill_skips_stored_and_future_days() -> None:
    world = World([Cluster(days=9)])
    await backfill(world, first=TODAY - 2 * ONE_DAY)
    world.clusters[0].asked.clear()
    await backfill(world, missing_only=True)
    assert sorted((TODAY - request.start.date()).days for request in world.clusters[0].asked) == [3, 4, 5]
    report = await world.collector().backfill([account_id(1)], TODAY + ONE_DAY, end=TODAY + 9 * ONE_DAY)
    assert (report.planned, report.outcomes) == (0, [])


async def test_backfill_of_several_accounts_reads_each_of_them_once() -> None:
    world, planned = World([Cluster(days=9), Cluster(days=9), Cluster(days=9)]), list[int]()
    names = [account_id(1), account_id(3), account_id(1)]
    report = await world.collector().backfill(names, TODAY - 2 * ONE_DAY, end=TODAY, planned=planned.append)
    assert (planned, report.planned, len(report.collected)) == ([4], 4, 4)
    assert {outcome.account_id for outcome in report.collected} == {account_id(1), account_id(3)}


async def test_backfill_reads_nothing_if_one_of_the_accounts_is_unknown() -> None:
    world = World([Cluster(days=9)])
    with pytest.raises(AccountNotFound):
        await world.collector().backfill([account_id(1), "nobody"], TODAY - 2 * ONE_DAY, end=TODAY)
    assert not world.clusters[0].asked


# --- stores that fail


async def test_failed_commit_leaves_nothing_and_the_next_round_continues() -> None:
    world = World([Cluster()])
    world.lake.before = broken
    with pytest.raises(Broken):
        await world.collect()
    assert (world.coverage.open, world.coverage.confirmed) == ({}, [])
    world.lake.before = lambda: None
    await world.collect()
    assert set(world.held()) == set(range(6))


async def test_commit_whose_answer_was_lost_is_found() -> None:
    world = World([Cluster()])
    world.lake.after = broken
    await world.collect()
    assert set(world.held()) == set(range(6))
    assert world.coverage.open == {}


def broken() -> None:
    raise Broken("the disk is full")


class Killed(BaseException):
    """As kill -9: nobody catches it."""


@pytest.mark.parametrize("is_committed", [False, True])
async def test_next_writer_resolves_commits_of_a_killed_one(is_committed: bool) -> None:
    def kill() -> None:
        raise Killed

    world = World([Cluster()])
    committer = Committer(LakeWriter(world.lake, world.coverage, world.leases, world.clock))
    collector = world.collector()
    days = [day async for day in collector._reader.days(account(1, "http://source"), [TODAY - ONE_DAY])]
    world.lake.after, world.lake.before = (kill, world.lake.before) if is_committed else (world.lake.after, kill)
    with pytest.raises(Killed):
        committer.commit(committer.pack(days))  # type: ignore[arg-type]
    world.leases.held.clear()
    assert len(world.coverage.open) == 1
    world.lake.after = world.lake.before = lambda: None
    await collector.due()
    assert world.coverage.open == {}
    assert world.held() == ({1: 1_000_000} if is_committed else {})


async def test_writer_that_waits_too_long_names_the_holder() -> None:
    world = World([Cluster()])
    world.leases.taken.add(COMMITTER)
    with pytest.raises(AnotherWriter, match="process 7 on other still holds the write lock on memory"):
        await world.collect()
    assert world.held() == {}


async def test_writer_that_lost_its_lease_stops() -> None:
    world = World([Cluster(), Cluster()])

    def take_over() -> None:
        world.leases.taken.add(COMMITTER)

    world.lake.after = take_over
    with pytest.raises(StoreError, match="another process took over") as caught:
        await world.collect()
    assert (caught.value.code, caught.value.retryable) == ("lease_lost", True)
    assert len(world.lake.commits) == 1


async def day_of(world: World) -> CollectedDay:
    """Yesterday, as it is read now."""
    found = [day async for day in world.collector()._reader.days(account(1, "http://source"), [TODAY - ONE_DAY])]
    assert isinstance(found[0], CollectedDay)
    return found[0]


async def test_commit_queue_limits_rows() -> None:
    found = await day_of(World([Cluster()]))

    def of_rows(rows: int) -> CollectedDay:
        return replace(found, collection=replace(found.collection, rows=rows))

    waiting = CommitQueue(max_rows=10)
    await waiting.put(of_rows(6))
    second, third = (asyncio.create_task(waiting.put(of_rows(rows))) for rows in (4, 50))
    await asyncio.sleep(0)
    assert (second.done(), third.done()) == (True, False)
    assert [item and item.collection.rows for item in (await waiting.get(), await waiting.get())] == [6, 4]
    fourth = asyncio.create_task(waiting.put(of_rows(1)))  # there would be room for it, were it its turn
    await asyncio.sleep(0)
    await third  # it is more than may wait, but nothing else does
    assert not fourth.done()
    end = asyncio.create_task(waiting.put(None))
    assert [item and item.collection.rows for item in [await waiting.get() for _ in range(3)]] == [50, 1, None]
    await end


async def test_commit_in_progress_finishes_before_a_stop() -> None:
    world = World([Cluster()])
    started, may_continue = threading.Event(), threading.Event()

    def hold() -> None:
        started.set()
        may_continue.wait(10)

    world.lake.before = hold
    collector, told = world.collector(), list[Outcome]()
    collecting = asyncio.create_task(collector.collect(await collector.due(), told.append))
    await asyncio.to_thread(started.wait, 10)
    collecting.cancel()
    await asyncio.sleep(0)
    may_continue.set()
    await asyncio.wait([collecting])
    assert collecting.cancelled()
    written = {(TODAY - item.day).days for item in told if item.is_collected}
    assert written
    assert written == set(world.held())


async def test_late_answer_does_not_replace_newer_day() -> None:
    world = World([Cluster()])
    earlier = await day_of(world)
    world.clock, world.clusters[0].cpu = FixedClock(NOON_AFTER + timedelta(minutes=1)), 2_000_000
    later = await day_of(world)
    committer = Committer(LakeWriter(world.lake, world.coverage, world.leases, world.clock))
    outcomes = [committer.commit(committer.pack([day]))[0] for day in (later, earlier)]  # type: ignore[arg-type]
    assert [outcome.code for outcome in outcomes] == [None, SUPERSEDED]
    assert world.held() == {1: 2_000_000}
    (known,) = world.coverage.days(TODAY - ONE_DAY, end=TODAY, account_ids=[account_id(1)])
    assert known.last_error is None, "it is no failure"
