"""Savings are collected once a day and account, kept as they were told, and looked after like the days.

The answers follow Kubecost's documentation (`tests.kubecost_savings`), not a recording: no Kubecost was at hand.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kubetally.domain.account import Account
from kubetally.domain.collection import CollectedDay
from kubetally.domain.damage import SavingsDamaged
from kubetally.domain.money import CurrencyOrigin
from kubetally.domain.savings import (
    Savings,
    SavingsCategory,
    SavingsDay,
    SavingsItem,
    SavingsItems,
    SavingsRow,
    SavingsState,
    SavingsSubject,
)
from kubetally.domain.window import Window
from kubetally.ledger.accounts.reconcile import reconcile_days
from kubetally.ledger.collect.committer import Committer
from kubetally.ledger.collect.savings import SavingsCollector
from kubetally.ledger.ports.clusters import Cluster
from kubetally.ledger.ports.leases import COMMITTER
from kubetally.ledger.ports.sources import About, SavingsSource
from kubetally.ledger.writing.lease import AnotherWriter
from kubetally.ledger.writing.writer import LakeWriter
from kubetally.settings import Settings
from kubetally.store.lake.delta import DeltaLake
from kubetally.store.meta.metadata import Metadata, open_meta
from tests.cluster_days import cluster_day
from tests.integration.collected_days import KEYS, SetClock
from tests.kubecost_savings import BEHIND, CATEGORIES
from tests.opened import open_source
from tests.served import NOT_FOUND, Asked, Reply, Served
from tests.service import AccountsInMemory, account

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ONE = account(1, "http://one", cluster_id="one")


class Kubecost:
    """Answers as documented; `fails` are paths that fail, `missing` those that are not there."""

    def __init__(self) -> None:
        self.fails, self.missing = set[str](), set[str]()

    def __call__(self, asked: Asked) -> Any:
        path = asked.path.removeprefix("/model")
        if path in self.missing:
            return NOT_FOUND
        if path in self.fails:
            return Reply(500, b"down", "text/plain")
        if path == "/savings":
            return {"code": 200, "data": CATEGORIES}
        if path == "/getConfigs":
            return {"code": 200, "data": {"currencyCode": "USD"}}
        if path == "/clusterInfo":
            return {"code": 200, "data": {"id": "one"}}
        return BEHIND.get(path, NOT_FOUND)


class Ledger:
    """A database and a lake, and the collector of savings upon them."""

    def __init__(self, folder: Path, meta: Metadata, clock: SetClock, *accounts: Account) -> None:
        self.meta, self.clock, self.accounts = meta, clock, accounts or (ONE,)
        self.lake = DeltaLake(str(folder / "lake"))

    def writer(self) -> LakeWriter:
        """One that gives up at once where another writes."""
        return LakeWriter(
            *(self.lake, self.meta.coverage, self.meta.leases, self.clock),
            log_files=self.meta.log_files,
            wait_seconds=0,
            pause=lambda _: None,
        )

    def commits(self) -> int:
        """How often savings were committed."""
        return max(0, self.lake._savings.days.newest().version)

    def collect_costs(self, *names: str, product: str | None = "Kubecost", **head: Any) -> None:
        """Put today's running copy of the accounts into the lake."""
        days = [self._day(one, product, head) for one in self.accounts if not names or one.name in names]
        Committer(self.writer()).commit(self.lake.pack(days))

    def _day(self, one: Account, product: str | None, head: dict[str, Any]) -> CollectedDay:
        made = cluster_day(one.id, day=self.clock.now().date(), is_running=True)
        found = made.collection
        source = replace(found.source, product=product)
        collection = replace(found, source=source, collected_at=self.clock.now(), head=replace(found.head, **head))
        return replace(made, collection=collection)

    def collector(self, source: Any, *, deadline_seconds: float = 30, **more: Any) -> SavingsCollector:
        return SavingsCollector(
            *(AccountsInMemory(list(self.accounts)), self.meta.savings, self.writer(), opened(source), self.clock),
            deadline_seconds=deadline_seconds,
            **more,
        )

    def rows(self) -> dict[str, tuple[SavingsRow, ...]]:
        """The stored rows by account, each read and verified."""
        known = self.meta.savings.stored()
        found = self.lake.savings(known)
        return {one.account_id: found[one.collection_id or ""] for one in known}  # type: ignore[misc]


@contextmanager
def another_writer(meta: Metadata) -> Iterator[None]:
    """Somebody else writes to the lake meanwhile."""
    lease = meta.leases.acquire(COMMITTER)
    assert lease is not None
    yield
    lease.release()


def opened(source: Any) -> Any:
    @asynccontextmanager
    async def open_it(one: Account) -> AsyncIterator[SavingsSource]:
        if not isinstance(source, str):
            yield source
            return
        async with open_source(Cluster(source, cluster_id=one.cluster_id), Settings(attempts=1)) as opened:
            yield opened

    return open_it


@pytest.fixture
def clock() -> SetClock:
    return SetClock(NOW)


@pytest.fixture
def meta(tmp_path: Path, clock: SetClock) -> Iterator[Metadata]:
    with open_meta(f"sqlite:///{tmp_path}/kubetally.db", KEYS, clock=clock) as opened:
        yield opened


@pytest.fixture
def many(tmp_path: Path, meta: Metadata, clock: SetClock) -> Ledger:
    """Nine accounts whose costs are stored."""
    ledger = Ledger(tmp_path, meta, clock, *(account(number, "http://one") for number in range(1, 10)))
    ledger.collect_costs()
    return ledger


@pytest.fixture
def ledger(tmp_path: Path, meta: Metadata, clock: SetClock) -> Ledger:
    return Ledger(tmp_path, meta, clock)


async def test_savings_come_back_as_they_were_told(ledger: Ledger) -> None:
    ledger.collect_costs()
    with Served(Kubecost()) as server:
        (day,) = await ledger.collector(server.url).collect()
    assert (day.state, day.code, day.currency) == (SavingsState.COLLECTED, None, "USD")
    rows = ledger.rows()[ONE.id]
    categories = {row.category: row for row in rows if row.item_key is None}
    assert list(categories) == [name for name, value in CATEGORIES.items() if isinstance(value, dict)]
    for name, row in categories.items():
        told = CATEGORIES[name]
        assert row.per_month == (None if told["savingsPerMonth"] is None else Decimal(str(told["savingsPerMonth"])))
        assert row.facts["lastRefresh"] == told["lastRefresh"]
    assert categories["containerRequestSizing"].facts["items.TotalMonthlySavings"] == "2.5"
    items = [(row.category, row.item_key, str(row.per_month)) for row in rows if row.item_key is not None]
    assert items == [
        ("abandonedWorkloads", "shop/web-1", "9.690000"),
        ("containerRequestSizing", "shop/deployment/web/app", "2.750000"),
        ("containerRequestSizing", "data/statefulset/db/db", "-11.625000"),
        ("clusterSizing", "one/multi", "63.070000"),
        ("clusterSizing", "one/single", "-4.500000"),
        ("persistentVolumeSizing", "pvc-1", "14.020000"),
        ("unclaimedVolumes", "pvc-9", "0.750000"),
        ("underutilizedLocalDisks", "node-1", "52.140000"),
        ("nodeGroupSizing", "general", "30.000000"),
    ]
    container = next(row for row in rows if row.item_key == "shop/deployment/web/app")
    assert container.facts["normalizedMaxUsage.memoryInMiB"] == "18.000001"


async def test_a_source_is_asked_once_a_day(ledger: Ledger, clock: SetClock) -> None:
    ledger.collect_costs()
    with Served(Kubecost()) as server:
        collector = ledger.collector(server.url)
        await collector.collect()
        count = len(server.asked)
        windows = {asked.params["window"] for asked in server.asked if "window" in asked.params}
        assert windows == {"2026-11-16T00:00:00Z,2026-11-23T00:00:00Z"}
        clock.forward(3600)
        assert await collector.collect() == []
        assert len(server.asked) == count
        clock.forward(24 * 3600)
        ledger.collect_costs()
        (day,) = await collector.collect()
    assert day.day == NOW.date() + timedelta(days=1)
    assert len(ledger.meta.savings.stored()) == 2


async def test_nothing_is_asked_before_costs_are_stored(ledger: Ledger) -> None:
    with Served(Kubecost()) as server:
        assert await ledger.collector(server.url).collect() == []
        assert server.asked == []


async def test_an_opencost_is_not_asked(ledger: Ledger) -> None:
    ledger.collect_costs(product="OpenCost")
    with Served(Kubecost()) as server:
        collector = ledger.collector(server.url)
        (day,) = await collector.collect()
        assert (day.state, day.rows, day.collection_id) == (SavingsState.NO_SAVINGS, 0, None)
        assert await collector.collect() == []
        assert server.asked == []
    assert ledger.rows() == {}


@pytest.mark.parametrize(
    ("product", "path", "state", "code"),
    [
        (None, "/clusterInfo", SavingsState.NO_SAVINGS, None),
        (None, None, SavingsState.FAILED, "savings_missing"),
        ("Kubecost", "/clusterInfo", SavingsState.FAILED, "savings_missing"),
    ],
    ids=["an OpenCost", "tells nothing", "was a Kubecost"],
)
async def test_only_an_opencost_has_no_savings(
    ledger: Ledger, product: str | None, path: str | None, state: SavingsState, code: str | None
) -> None:
    def answers(asked: Asked) -> Any:
        return {"code": 200, "data": {"id": "one"}} if asked.path == path else NOT_FOUND

    ledger.collect_costs(product=product)
    with Served(answers) as server:
        (day,) = await ledger.collector(server.url).collect()
    assert (day.state, day.code) == (state, code)


@pytest.mark.parametrize("product", [None, "Kubecost"])
@pytest.mark.parametrize(
    ("fails", "cut", "code"),
    [
        ({"/clusterInfo"}, False, "source_failed"),
        (set[str](), True, "savings_not_understood"),
        ({"/clusterInfo"}, True, "source_failed"),
    ],
    ids=["unknown product", "savings cut off", "both"],
)
async def test_unknown_savings_are_not_none(
    ledger: Ledger, product: str | None, fails: set[str], cut: bool, code: str
) -> None:
    ledger.collect_costs(product=product)
    source = Kubecost()
    source.fails |= fails
    source.missing.add("/getConfigs")

    def answers(asked: Asked) -> Any:
        if cut and asked.path.endswith("/savings"):
            return Reply(200, b'{"code":200,"data":{"clusterSizing":{"sav')
        return source(asked)

    with Served(answers) as server:
        (day,) = await ledger.collector(server.url).collect()
    assert (day.state, day.code, day.rows) == (SavingsState.FAILED, code, 0)


async def test_a_failed_source_is_asked_on_the_next_day(ledger: Ledger, clock: SetClock) -> None:
    ledger.collect_costs()
    source = Kubecost()
    source.fails.add("/savings")
    with Served(source) as server:
        collector = ledger.collector(server.url)
        (day,) = await collector.collect()
        assert (day.state, day.code) == (SavingsState.FAILED, "source_failed")
        assert ledger.meta.savings.of_day(NOW.date()) == {ONE.id: day}
        clock.forward(3600)
        assert await collector.collect() == []
        clock.forward(24 * 3600)
        ledger.collect_costs()
        source.fails.clear()
        (day,) = await collector.collect()
    assert day.state is SavingsState.COLLECTED


async def test_a_list_that_fails_leaves_the_others(ledger: Ledger) -> None:
    ledger.collect_costs()
    source = Kubecost()
    source.fails.add("/savings/requestSizingV2")
    source.missing.add("/savings/localLowDisks")
    with Served(source) as server:
        (day,) = await ledger.collector(server.url).collect()
    assert (day.state, day.code) == (SavingsState.PARTIAL, "source_failed")
    rows = ledger.rows()[ONE.id]
    assert {row.category for row in rows if row.item_key is None} >= {"containerRequestSizing", "clusterSizing"}
    assert {row.category for row in rows if row.item_key is not None} == {
        *("abandonedWorkloads", "clusterSizing", "persistentVolumeSizing", "unclaimedVolumes", "nodeGroupSizing")
    }


class Slow:
    """A source that never answers for items."""

    url = "http://slow"

    async def introduce(self) -> About:
        return About("Kubecost")

    async def savings(self) -> Savings | None:
        return Savings((SavingsCategory("requestSizing", Decimal(-3), "pending", counted=False),))

    async def savings_items(self, category: str, window: Window) -> SavingsItems | None:
        await asyncio.Event().wait()
        raise AssertionError


async def test_what_came_in_time_is_kept(ledger: Ledger) -> None:
    ledger.collect_costs()
    (day,) = await ledger.collector(Slow(), deadline_seconds=0.05).collect()
    assert (day.state, day.code) == (SavingsState.PARTIAL, "deadline_passed")
    assert ledger.rows()[ONE.id] == (
        SavingsRow("requestSizing", None, Decimal("-3.000000"), state="pending", facts={}),
    )


class Odd(Slow):
    """A source in which a defect is met, or whose amounts no column holds."""

    def __init__(self, amount: Decimal | None) -> None:
        self._amount = amount

    async def savings(self) -> Savings | None:
        if self._amount is None:
            raise ZeroDivisionError
        return Savings((SavingsCategory("requestSizing", self._amount, None, counted=True),))

    async def savings_items(self, category: str, window: Window) -> SavingsItems | None:
        return None


class Defective(Slow):
    """A source of two categories: a defect is met in the list of the first."""

    async def savings(self) -> Savings | None:
        names = ("requestSizing", "unclaimedVolumes")
        return Savings(tuple(SavingsCategory(name, Decimal(3), None, counted=True) for name in names))

    async def savings_items(self, category: str, window: Window) -> SavingsItems | None:
        if category == "requestSizing":
            raise ZeroDivisionError
        return SavingsItems((SavingsItem("pvc-1", Decimal(2), SavingsSubject(), {}),), {})


async def test_a_defect_leaves_what_was_read(ledger: Ledger) -> None:
    ledger.collect_costs()
    (day,) = await ledger.collector(Defective()).collect()
    assert (day.state, day.code) == (SavingsState.PARTIAL, "unforeseen")
    keys = [(row.category, row.item_key) for row in ledger.rows()[ONE.id]]
    assert keys == [("requestSizing", None), ("unclaimedVolumes", None), ("unclaimedVolumes", "pvc-1")]


@pytest.mark.parametrize(("amount", "code"), [(None, "unforeseen"), (Decimal(10) ** 13, "value_beyond_lake")])
async def test_an_odd_source_hinders_no_other(
    tmp_path: Path, meta: Metadata, clock: SetClock, amount: Decimal | None, code: str
) -> None:
    ledger = Ledger(tmp_path, meta, clock, ONE, account(2, "http://two"))
    ledger.collect_costs()
    odd, well = Odd(amount), Odd(Decimal(1))

    @asynccontextmanager
    async def open_it(one: Account) -> AsyncIterator[SavingsSource]:
        yield odd if one.id == ONE.id else well

    collector = ledger.collector("")
    collector._open_source = open_it
    first, second = await collector.collect()
    assert (first.state, first.code) == (SavingsState.FAILED, code)
    assert second.state is SavingsState.COLLECTED
    assert len(ledger.rows()) == 1


async def test_accounts_of_a_day_lie_in_one_file(tmp_path: Path, meta: Metadata, clock: SetClock) -> None:
    ledger = Ledger(tmp_path, meta, clock, *(account(number, "http://one") for number in range(1, 7)))
    ledger.collect_costs()
    with Served(Kubecost()) as server:
        days = await ledger.collector(server.url).collect()
    assert len(days) == len(ledger.rows()) == 6
    assert len(set(map(len, ledger.rows().values()))) == 1
    assert len(ledger.lake._savings.days.newest().of(NOW.date())) == 1


async def test_a_round_is_one_commit(many: Ledger) -> None:
    days = await many.collector(Odd(Decimal(1))).collect()
    assert (len(days), len(many.rows()), many.commits()) == (9, 9, 1)


async def test_a_full_batch_is_committed(many: Ledger) -> None:
    days = await many.collector(Odd(Decimal(1)), batch_rows=4).collect()
    assert (len(days), len(many.rows()), many.commits()) == (9, 9, 3)


class Minute(Odd):
    """A source that takes a minute to answer."""

    def __init__(self, clock: SetClock) -> None:
        super().__init__(Decimal(1))
        self._clock = clock

    async def savings_items(self, category: str, window: Window) -> SavingsItems | None:
        self._clock.forward(60)
        return None


async def test_a_batch_waits_for_a_minute_at_most(many: Ledger, clock: SetClock) -> None:
    days = await many.collector(Minute(clock)).collect()
    assert (len(days), many.commits()) == (9, 2)


async def test_a_refused_write_is_retried_without_asking(many: Ledger, meta: Metadata) -> None:
    with Served(Kubecost()) as server:
        collector = many.collector(server.url)
        with another_writer(meta):
            with pytest.raises(AnotherWriter):
                await collector.collect()
            count = len(server.asked)
            with pytest.raises(AnotherWriter):
                await collector.collect()
        days = await collector.collect()
        assert len(server.asked) == count
    assert [day.state for day in days] == [SavingsState.COLLECTED] * 9
    assert len(many.rows()) == 9
    assert await collector.collect() == []


async def test_savings_without_rows_need_no_lake(many: Ledger, meta: Metadata) -> None:
    with another_writer(meta):
        days = await many.collector(Odd(None)).collect()
    assert {day.state for day in days} == {SavingsState.FAILED}


async def test_a_refused_batch_is_stored_for_its_own_day(many: Ledger, meta: Metadata, clock: SetClock) -> None:
    collector = many.collector(Odd(Decimal(1)))
    with another_writer(meta), pytest.raises(AnotherWriter):
        await collector.collect()
    clock.forward(24 * 3600)
    many.collect_costs()
    days = await collector.collect()
    assert [day.day for day in days] == [NOW.date()] * 9 + [clock.now().date()] * 9
    assert len(meta.savings.stored()) == 18


async def test_few_batches_wait_for_the_lake(many: Ledger, meta: Metadata) -> None:
    collector = many.collector(Odd(Decimal(1)), batch_rows=1)
    with another_writer(meta), pytest.raises(AnotherWriter):
        await collector.collect()
    assert len(await collector.collect()) == 4
    assert len(await collector.collect()) == 5


async def test_outdated_answers_are_not_stored(many: Ledger, meta: Metadata) -> None:
    collector = many.collector(Odd(Decimal(1)))
    with another_writer(meta), pytest.raises(AnotherWriter):
        await collector.collect()
    removed, first, *_ = many.accounts
    known = SavingsDay(first.id, NOW.date(), SavingsState.FAILED, NOW, "noted", "by another process")
    meta.savings.note([known])
    collector._accounts.remove(removed.id)  # type: ignore[attr-defined]
    assert len(await collector.collect()) == 7
    assert len(many.rows()) == 7
    assert meta.savings.of_day(NOW.date())[first.id] == known


async def test_the_currency_of_stored_savings_is_corrected(ledger: Ledger, meta: Metadata) -> None:
    added = meta.accounts.add(replace(ONE, organization_id=meta.accounts.organization().id))
    ledger.accounts = (added,)
    ledger.collect_costs(currency_origin=CurrencyOrigin.ASSUMED)
    await ledger.collector(Odd(Decimal(7))).collect()
    meta.days.relabel(added.id, stated="EUR", currency="EUR", origin=CurrencyOrigin.STATED)
    reconcile_days(meta.days, ledger.writer)
    (day,) = meta.savings.stored()
    assert (day.currency, day.currency_origin) == ("EUR", CurrencyOrigin.STATED)
    assert ledger.lake._savings.days.current_rows(NOW.date())["currency"].to_pylist() == ["EUR"]
    assert ledger.rows()[added.id][0].per_month == 7


async def test_a_purged_account_has_no_savings(tmp_path: Path, meta: Metadata, clock: SetClock) -> None:
    organization = meta.accounts.organization().id
    both = [meta.accounts.add(replace(account(n, "http://x"), organization_id=organization)) for n in (1, 2)]
    ledger = Ledger(tmp_path, meta, clock, *both)
    ledger.collect_costs()
    await ledger.collector(Odd(Decimal(7))).collect()
    meta.accounts.remove(both[0].id)
    meta.days.purge(both[0].id)
    reconcile_days(meta.days, ledger.writer)
    assert list(ledger.rows()) == [both[1].id]
    assert ledger.lake._savings.days.current_rows(NOW.date())["account_id"].to_pylist() == [both[1].id]


async def test_damaged_savings_are_found_and_replaced(ledger: Ledger, clock: SetClock) -> None:
    ledger.collect_costs()
    await ledger.collector(Odd(Decimal(7))).collect()
    (file,) = (Path(ledger.lake.url) / "savings").glob("day=*/*.parquet")
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    (damage,) = ledger.lake.check(ledger.meta.log_files.noted()).damage
    assert (damage.table, damage.day, damage.is_current) == ("savings", NOW.date(), True)
    (known,) = ledger.meta.savings.stored()
    found = ledger.lake.savings([known])[known.collection_id or ""]
    assert isinstance(found, SavingsDamaged)
    assert found.account_id == ONE.id
    ledger.lake.mend_files([damage])
    assert ledger.lake.check(ledger.meta.log_files.noted()).damage == ()


async def test_the_logs_of_savings_have_checksums(ledger: Ledger) -> None:
    ledger.collect_costs()
    await ledger.collector(Odd(Decimal(7))).collect()
    assert {table for table, _ in ledger.meta.log_files.noted()} >= {"savings"}


def test_what_is_known_of_a_day_comes_back(meta: Metadata) -> None:
    days = [
        SavingsDay("a", NOW.date(), SavingsState.FAILED, NOW, "source_failed", "why"),
        SavingsDay(
            *("b", NOW.date(), SavingsState.PARTIAL, NOW, "x", "y"), "id", "USD", CurrencyOrigin.SOURCE, 5, -(10**20)
        ),
    ]
    meta.savings.note(days)
    assert meta.savings.of_day(NOW.date()) == {"a": days[0], "b": days[1]}
    assert meta.savings.stored() == [days[1]]
    meta.savings.note([replace(days[0], state=SavingsState.NO_SAVINGS, code=None, why=None)])
    assert meta.savings.of_day(NOW.date())["a"].state is SavingsState.NO_SAVINGS
