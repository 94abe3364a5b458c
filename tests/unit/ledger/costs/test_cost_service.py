"""What the service caches and refuses, and its limits."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from kubetally.domain.account import Account, AccountType, Credentials
from kubetally.domain.errors import BalanceError, RequestError, SourceError
from kubetally.domain.evidence.hours import SeenHour
from kubetally.domain.issues import IssueKind
from kubetally.domain.reading import Reading
from kubetally.domain.savings import Savings
from kubetally.domain.source_url import SourceUrl
from kubetally.domain.status import Status
from kubetally.domain.window import Window, parse_window
from kubetally.ledger.accounts.database_timeout import DatabaseSilent
from kubetally.ledger.costs.live import DeadlinePassed
from kubetally.ledger.costs.service import ClusterUnreadable, CostService, Overloaded
from kubetally.ledger.ports.accounts import AccountNotFound, NotACluster
from kubetally.ledger.ports.sources import About
from kubetally.tasks import calculate_here
from tests.served import NOON_AFTER, FixedClock
from tests.service import AccountsInMemory, account, account_id

MAX_DAYS = 500

DAY = parse_window("2026-11-20,2026-11-21", NOON_AFTER)
NEXT_DAY = parse_window("2026-11-21,2026-11-22", NOON_AFTER)


class Source:
    """Answers any window without data, and records requests. go: released when set; error: raised."""

    def __init__(self) -> None:
        self.asked: list[Window] = []
        self.opened = self.closed = 0
        self.go = asyncio.Event()
        self.go.set()
        self.error: Exception | None = None

    url = "http://source"

    async def read(self, window: Window) -> Reading:
        self.asked.append(window)
        await self.go.wait()
        if self.error:
            raise self.error
        return Reading(window, (), None, (window,), "USD", self.url)

    async def hours(self, window: Window, rows: int) -> Sequence[SeenHour]:
        return ()

    async def wait_for_place(self) -> None:
        return

    async def about(self) -> About:
        return About()

    async def savings(self) -> Savings | None:
        return None

    @asynccontextmanager
    async def open(self, _: Account) -> AsyncIterator["Source"]:
        self.opened += 1
        try:
            yield self
        finally:
            self.closed += 1


def made(source: Source, **more: int) -> tuple[CostService, AccountsInMemory]:
    accounts = AccountsInMemory([account(number, "http://source") for number in range(1, 6)])
    return CostService(accounts, source.open, FixedClock(), **more), accounts


async def test_windows_and_accounts_are_cached_separately() -> None:
    source = Source()
    service, _ = made(source)
    answers = [await service.costs(account_id(number), day) for number in (1, 2, 1, 2) for day in (DAY, NEXT_DAY)]
    assert [answer.is_hit for answer in answers] == [False] * 4 + [True] * 4
    assert len({answer.serial for answer in answers}) == 4
    assert len(source.asked) == 4
    assert source.opened == source.closed == 4
    assert service.tally.questions["read", "ok"] == 4
    assert service.cached_answers == 4


@pytest.mark.parametrize(
    ("of_account", "of_settings", "expected"),
    [("EUR", "CHF", ("EUR", False)), (None, "CHF", ("CHF", False)), (None, None, ("PLN", True))],
)
async def test_future_window_has_the_currency_of_the_account(
    of_account: str | None, of_settings: str | None, expected: tuple[str, bool]
) -> None:
    accounts = AccountsInMemory([replace(account(1, "http://source"), currency=of_account)], currency="PLN")
    service = CostService(accounts, Source().open, FixedClock(), currency=of_settings)
    future = Window(NOON_AFTER + timedelta(days=9), NOON_AFTER + timedelta(days=10))
    costs = (await service.costs(account_id(1), future)).costs
    assert (costs.currency, costs.currency_assumed) == expected


async def test_memory_is_bounded_by_rows() -> None:
    service, _ = made(Source(), max_rows=2)
    for number in range(1, 6):
        await service.costs(account_id(number), DAY)
    assert service.cached_answers == 2


@pytest.mark.parametrize("error", [SourceError("gone"), RequestError("several clusters")])
async def test_error_names_the_source_and_is_counted_but_not_cached(error: Exception) -> None:
    source = Source()
    service, _ = made(source)
    source.error = error
    for _ in range(2):
        with pytest.raises(ClusterUnreadable) as raised:
            await service.costs(account_id(1), DAY)
        assert (raised.value.source, raised.value.why) == ("http://source", error)
    assert len(source.asked) == 2
    assert sum(number for (_, outcome), number in service.tally.questions.items() if outcome != "ok") == 2
    source.error = None
    assert not (await service.costs(account_id(1), DAY)).is_hit


async def test_defect_is_raised_unchanged() -> None:
    source = Source()
    service, _ = made(source)
    source.error = BalanceError("sums")
    with pytest.raises(BalanceError):
        await service.costs(account_id(1), DAY)


async def test_names_and_unknown_ids_are_not_found() -> None:
    service, accounts = made(Source())
    accounts.add(account(9, "", type=AccountType.AWS_CNR))
    for unknown in ("cluster-1", account_id(77), ""):
        with pytest.raises(AccountNotFound):
            await service.costs(unknown, DAY)
    with pytest.raises(NotACluster):
        await service.cluster(account_id(9))
    assert [cluster.name for cluster in await service.clusters()] == [f"cluster-{number}" for number in range(1, 6)]


async def test_requests_beyond_the_queue_are_refused() -> None:
    source = Source()
    service, _ = made(source, max_concurrency=1, max_queued=2)
    source.go.clear()
    waiting = [asyncio.create_task(service.costs(account_id(number), DAY)) for number in (1, 2, 3)]
    while service.loading_answers < 3:  # noqa: ASYNC110  (there is no event to wait for)
        await asyncio.sleep(0.01)
    with pytest.raises(Overloaded):
        await service.costs(account_id(4), DAY)
    assert source.opened == 1
    source.go.set()
    assert not any(answer.is_hit for answer in await asyncio.gather(*waiting))


async def test_hanging_source_leaves_slots_to_other_accounts() -> None:
    hanging, sound = Source(), Source()
    hanging.go.clear()

    @asynccontextmanager
    async def opened(opened_account: Account) -> AsyncIterator[Source]:
        async with (hanging if opened_account.id == account_id(1) else sound).open(opened_account) as source:
            yield source

    accounts = AccountsInMemory([account(number, "http://source") for number in (1, 2)])
    service = CostService(accounts, opened, FixedClock(), max_concurrency=8, queue_timeout_seconds=0.2)
    days = [Window(DAY.start - n * (DAY.end - DAY.start), DAY.end) for n in range(4)]
    waiting = [asyncio.create_task(service.costs(account_id(1), day)) for day in days]
    while hanging.opened < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert not (await service.costs(account_id(2), DAY)).is_hit
    assert hanging.opened == 2, "a quarter of all turns, and no more"
    told = await asyncio.gather(*waiting[2:], return_exceptions=True)
    assert [type(error) for error in told] == [Overloaded] * 2
    hanging.go.set()
    assert len(await asyncio.gather(*waiting[:2])) == 2


async def test_source_that_opens_too_late_is_unreadable() -> None:
    @asynccontextmanager
    async def opened(_: Account) -> AsyncIterator[Source]:
        await asyncio.sleep(3600)
        yield Source()

    service = CostService(AccountsInMemory([account(1, "")]), opened, FixedClock(), deadline_seconds=0.1)
    with pytest.raises(ClusterUnreadable) as raised:
        await service.costs(account_id(1), DAY)
    assert isinstance(raised.value.why, DeadlinePassed)


async def test_account_lookup_does_not_wait_for_blocked_threads() -> None:
    let_go = threading.Event()
    others = [asyncio.get_running_loop().run_in_executor(None, let_go.wait) for _ in range(100)]
    accounts = AccountsInMemory([account(1, "http://source")])
    with ThreadPoolExecutor(1) as own:
        service = CostService(accounts, Source().open, FixedClock(), executor=own, calculate=calculate_here)
        try:
            assert not (await asyncio.wait_for(service.costs(account_id(1), DAY), 5)).is_hit
        finally:
            let_go.set()
    await asyncio.gather(*others)


@pytest.mark.parametrize("change", ["currency", "peer"])
async def test_change_of_related_facts_makes_a_new_answer(change: str) -> None:
    accounts = AccountsInMemory([account(1, "", kubecost_url=None)])
    service = CostService(accounts, Source().open, FixedClock())
    await service.costs(account_id(1), DAY)
    assert (await service.costs(account_id(1), DAY)).is_hit
    if change == "currency":
        accounts.currency = "EUR"
    else:
        accounts.add(account(2, "", kubecost_url=None))
    until = time.monotonic() + 5
    while (await service.costs(account_id(1), DAY)).is_hit and time.monotonic() < until:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    assert time.monotonic() < until


@pytest.mark.parametrize(("tenant", "is_changed"), [(None, True), ("own", False)])
async def test_digest_depends_on_who_shares_the_prometheus(tenant: str | None, is_changed: bool) -> None:
    accounts = AccountsInMemory([account(1, "http://source", tenant=tenant)])
    service = CostService(accounts, Source().open, FixedClock(), lookup_seconds=0)
    alone = await service.digest(account_id(1))
    accounts.add(account(2, "http://other"))
    shared = await service.digest(account_id(1))
    elsewhere = SourceUrl.parse("http://prometheus-of-the-other")
    accounts.update(replace(accounts.accounts[1], prometheus_url=elsewhere))
    moved = await service.digest(account_id(1))
    assert len({alone, shared, moved}) == (3 if is_changed else 1)


async def test_partial_answer_is_returned_but_not_cached() -> None:
    class Failing(Source):
        async def read(self, window: Window) -> Reading:
            if self.error and window.contains(NEXT_DAY):
                raise self.error
            self.asked.append(window)
            return Reading(window, (), None, (window,), "USD", self.url)

    source = Failing()
    source.error = SourceError("gone")
    service, _ = made(source)
    both = Window(DAY.start, NEXT_DAY.end)
    for _ in range(2):
        answer = await service.costs(account_id(1), both)
        assert (answer.is_hit, answer.costs.status) == (False, Status.PARTIAL)
    assert source.asked == [DAY, DAY]
    source.error = None
    assert not (await service.costs(account_id(1), both)).is_hit
    assert (await service.costs(account_id(1), both)).is_hit


async def test_newest_days_of_any_window_are_requested() -> None:
    source = Source()
    service, _ = made(source)
    answer = await service.costs(account_id(1), Window(DAY.start - timedelta(days=20_000), DAY.end))
    assert len(source.asked) == MAX_DAYS
    assert max(source.asked) == DAY
    assert answer.costs.status is Status.PARTIAL
    (issue,) = (issue for issue in answer.costs.issues if issue.kind is IssueKind.NOT_ASKED)
    assert issue.window == Window(DAY.start - timedelta(days=20_000), DAY.end - timedelta(days=MAX_DAYS))
    assert answer.costs.coverage.hours_asked == 20_001 * 24
    source.asked.clear()
    exactly = await service.costs(account_id(1), Window(DAY.end - timedelta(days=MAX_DAYS), DAY.end))
    assert len(source.asked) == MAX_DAYS
    assert not any(issue.kind is IssueKind.NOT_ASKED for issue in exactly.costs.issues)


async def test_repr_shows_no_secret() -> None:
    service, accounts = made(Source())
    accounts.update(replace(accounts.accounts[0], credentials=Credentials(token="swordfish", password="hunter2")))
    answer = await service.costs(account_id(1), DAY)
    assert "swordfish" not in repr(answer) + repr(vars(service))
    assert "hunter2" not in repr(answer) + repr(vars(service))


class SilentAccounts(AccountsInMemory):
    """Accounts in a database that answers only while `answers` is set."""

    def __init__(self, accounts: list[Account]) -> None:
        super().__init__(accounts)
        self.answers = threading.Event()
        self.answers.set()

    def _fail(self) -> None:
        assert self.answers.wait(30)
        super()._fail()


async def test_silent_database_leaves_cached_answers_and_refuses_others() -> None:
    source, accounts = Source(), SilentAccounts([account(number, "http://source") for number in (1, 2)])
    clock = MovableClock(NOON_AFTER)
    with ThreadPoolExecutor(1) as executor:
        service = CostService(
            accounts,
            source.open,
            clock,
            executor=executor,
            database_seconds=0.2,
            silence_seconds=0.05,
            lookup_seconds=0,
        )
        await service.costs(account_id(1), DAY)
        clusters = await service.clusters()
        accounts.answers.clear()
        clock.at += timedelta(minutes=5)
        try:
            answers = await asyncio.gather(*(service.costs(account_id(1), DAY) for _ in range(50)))
            assert {(answer.is_hit, answer.age_seconds) for answer in answers} == {(True, 300)}
            assert await service.clusters() == clusters
            assert await service.digest(account_id(1))
            for ask in (
                service.costs(account_id(1), NEXT_DAY),
                service.costs(account_id(2), DAY),
                service.series(account_id(1), DAY, ["a"]),
                service.check(60),
            ):
                with pytest.raises(DatabaseSilent, match=r"the database did not answer within 0\.2 s"):
                    await ask
        finally:
            accounts.answers.set()
        accounts.accounts = accounts.accounts[1:]
        assert not (await service.costs(account_id(2), DAY)).is_hit
        with pytest.raises(AccountNotFound):  # the database answers again, and the account was removed meanwhile
            await service.costs(account_id(1), DAY)
        await service.close()


@dataclass
class MovableClock:
    """A clock that a test sets."""

    at: datetime

    def now(self) -> datetime:
        return self.at
