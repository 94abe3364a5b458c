"""Stored days and live answers as one answer, with an issue for every gap."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

import pytest

from kubetally.domain.allocation import Allocation, Kind
from kubetally.domain.collection import Collection, window_of
from kubetally.domain.component import Costs
from kubetally.domain.damage import CollectionGone, DayDamaged
from kubetally.domain.errors import RequestError, SourceError, StoreError
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.money import CurrencyOrigin
from kubetally.domain.reading import Reading
from kubetally.domain.report import ClusterReport
from kubetally.domain.row import Row
from kubetally.domain.savings import Savings
from kubetally.domain.source_identity import SourceIdentity
from kubetally.domain.status import Status
from kubetally.domain.window import DAY, HOUR, Window, midnight, rfc3339
from kubetally.ledger.costs.join import UNSTATED, get_costs_as_of, join_costs
from kubetally.ledger.costs.missing import Live
from kubetally.ledger.costs.service import CostService
from kubetally.ledger.costs.stored_days import History, StoredDay, StoredWindow, stored_days
from tests import virtual_time
from tests.cluster_days import cluster_day
from tests.errors import raises_code
from tests.kept import Broken, CoverageInMemory, LakeInMemory
from tests.served import NOON_AFTER, FixedClock
from tests.service import AccountsInMemory, account, account_id
from tests.unit.ledger.costs.test_cost_service import Source

MAX_DAYS = 500

ID = account_id(1)
TODAY = NOON_AFTER.date()
MIDNIGHT = window_of(TODAY).start


def ago(first: int, end: int = 0) -> Window:
    """The window between two midnights, given in days ago."""
    return Window(MIDNIGHT - first * DAY, MIDNIGHT - end * DAY)


def days_stored(days_ago: Iterable[int], product: str = "OpenCost") -> list[StoredDay]:
    """Stored days, in order."""
    made = (cluster_day(ID, day=TODAY - number * DAY, pods=1, nodes=0).collection for number in sorted(days_ago)[::-1])
    return [StoredDay(collection.head, SourceIdentity("http://held", product), collection.state) for collection in made]


def of_kind(issues: Iterable[Issue], kind: IssueKind) -> list[Issue]:
    return [issue for issue in issues if issue.kind is kind]


class Saving(Source):
    """Returns savings after `seconds`, or fails; `broken_open` fails its opening, `broken_savings` only these."""

    account = None

    def __init__(
        self, seconds: float = 0, broken_open: Exception | None = None, broken_savings: Exception | None = None
    ) -> None:
        super().__init__()
        self.seconds, self.broken_open, self.asked_savings = seconds, broken_open, 0
        self.broken_savings = broken_savings

    async def savings(self) -> Savings | None:
        self.asked_savings += 1
        await asyncio.sleep(self.seconds)
        if error := self.error or self.broken_savings:
            raise error
        return Savings((), profile="told")

    @asynccontextmanager
    async def live(self) -> AsyncIterator[Live]:
        if self.broken_open:
            raise self.broken_open
        async with self.open(account(1, self.url)) as source:
            yield Live(source)


async def joined(
    days: Sequence[StoredDay], window: Window, source: Saving, deadline_seconds: float | None = None
) -> ClusterReport:
    return await join_costs(
        days, "http://place", source.live, window, clock=FixedClock(), deadline_seconds=deadline_seconds
    )


class DamagedLake(LakeInMemory):
    """A lake whose rows of the days in `errors` can't be read. reads: the number of days of each read."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: dict[date, StoreError] = {}
        self.reads: list[int] = []

    def rows(self, collections: Sequence[Collection]) -> dict[str, tuple[Row, ...]]:
        self.reads.append(len(collections))
        for collection in collections:
            if collection.day in self.errors:
                raise self.errors[collection.day]
        return super().rows(collections)


class Away(StoreError):
    """The error of a lake that does not answer."""

    code = "away"
    retryable = True


@dataclass
class Kept:
    """The stored days of an account."""

    lake: DamagedLake = field(default_factory=DamagedLake)
    coverage: CoverageInMemory = field(default_factory=CoverageInMemory)

    @property
    def history(self) -> History:
        return History(self.coverage, lambda: self.lake)

    def keep(self, *days_ago: int, generation: int = 0, until: datetime | None = None) -> None:
        """Store days in the lake. until: the end of a running day."""
        for number in days_ago:
            is_running = until is not None
            made = cluster_day(ID, generation, day=TODAY - number * DAY, pods=1, nodes=0, is_running=is_running)
            span = Window(made.collection.head.window.start, until or made.collection.head.window.end)
            head = replace(made.collection.head, window=span, covered=(span,))
            collection = replace(made.collection, head=head, collected_at=span.end)
            self.coverage.intend([collection])
            version = self.lake.put([replace(made, collection=collection)])
            self.coverage.confirm([collection.id], version)

    def damage(self, *days_ago: int, error: StoreError | None = None) -> None:
        for number in days_ago:
            self.lake.errors[TODAY - number * DAY] = error or Broken("a file is missing")

    async def stored(self, window: Window, now: datetime = NOON_AFTER) -> StoredWindow:
        return await stored_days(self.history, None, ID, window, now)


def days_of(days: Iterable[StoredDay]) -> list[int]:
    """How many days ago the days were."""
    return [(TODAY - day.booking.window.start.date()).days for day in days]


# --- what is requested


async def test_missing_day_between_stored_ones_is_requested() -> None:
    source, old = Saving(), MAX_DAYS + 90
    costs = await joined(days_stored(set(range(1, old + 11)) - {old}), ago(old + 10), source)
    assert source.asked == [ago(old, old - 1)]
    assert (of_kind(costs.issues, IssueKind.NOT_ASKED), costs.status) == ([], Status.OK)


async def test_newest_missing_days_are_requested_and_other_gaps_named() -> None:
    gaps = {*range(1, 400), *range(450, 600), 700, *range(800, 811)}
    source = Saving()
    costs = await joined(days_stored(set(range(1, 901)) - gaps), ago(900), source)
    assert len(source.asked) == MAX_DAYS
    assert min(source.asked) == ago(550, 549), "399 days of the newest gap and 101 of the next"
    told = of_kind(costs.issues, IssueKind.NOT_ASKED)
    assert [issue.window for issue in told] == [ago(810, 799), ago(700, 699), ago(599, 550)]
    assert costs.status is Status.PARTIAL
    assert costs.coverage.hours_asked - costs.coverage.hours_covered == 24 * (len(gaps) - MAX_DAYS)
    assert "500 days of a window that are not stored" in told[0].message


async def test_gap_of_hours_counts_as_hours() -> None:
    source = Saving()
    part = replace(days_stored([1])[0].booking, window=Window(ago(1).start, ago(1).end - 2 * HOUR), covered=())
    costs = await joined([replace(days_stored([1])[0], booking=part)], ago(MAX_DAYS + 1), source)
    assert max(source.asked) == Window(ago(1).end - 2 * HOUR, ago(1).end)
    assert min(source.asked) == ago(MAX_DAYS + 1, MAX_DAYS)
    assert of_kind(costs.issues, IssueKind.NOT_ASKED) == []


# --- days that can't be read


async def test_unreadable_day_is_an_issue_and_others_are_read() -> None:
    kept = Kept()
    kept.keep(*range(1, 33))
    kept.damage(7)
    found = await kept.stored(ago(40))
    assert days_of(found.days) == [number for number in range(32, 0, -1) if number != 7]
    (issue,) = found.issues
    assert (issue.kind, issue.subject, issue.facts) == (IssueKind.SOURCE_WARNING, "history", {"code": "broken"})
    assert issue.window == ago(7, 6)
    assert "a file is missing" in issue.message
    assert len(kept.lake.reads) < 12, "a few questions, not one a day"


async def test_only_the_unreadable_day_is_requested() -> None:
    kept, source = Kept(), Saving()
    kept.keep(*range(1, 9))
    kept.damage(3, 6)
    found = await kept.stored(ago(8))
    costs = await joined(found.days, ago(8), source)
    assert sorted(source.asked) == [ago(6, 5), ago(3, 2)]
    assert costs.status is Status.OK
    assert [issue.window for issue in found.issues] == [ago(6, 5), ago(3, 2)]


async def test_damaged_day_is_noted_once() -> None:
    kept, day = Kept(), TODAY - 3 * DAY
    kept.keep(*range(1, 9))
    kept.damage(3, error=DayDamaged("memory", day, why="its sums differ"))
    kept.damage(5)  # an error, but no damage
    for _ in range(2):
        await kept.stored(ago(8))
    assert kept.coverage.damaged() == [(ID, day)]
    (known,) = kept.coverage.days(day, end=day + DAY)
    assert (known.attempts, known.tried_at, known.is_stored) == (1, NOON_AFTER, True)


async def test_failure_to_note_damage_changes_no_answer() -> None:
    kept = Kept(coverage=NotWritable())
    kept.keep(*range(1, 9))
    kept.damage(3, error=DayDamaged("memory", TODAY - 3 * DAY, why="its sums differ"))
    found = await kept.stored(ago(8))
    assert (len(found.days), [issue.window for issue in found.issues]) == (7, [ago(3, 2)])


class NotWritable(CoverageInMemory):
    """Coverage that can't be written."""

    def failed(self, account_id: str, day: date, at: datetime, code: str, message: str) -> None:
        raise Broken("read-only")


async def test_readable_days_are_read_in_one_call() -> None:
    kept = Kept()
    kept.keep(*range(1, 9))
    assert (await kept.stored(ago(8))).issues == ()
    assert kept.lake.reads == [8]


async def test_only_stored_day_is_named_if_unreadable() -> None:
    kept = Kept()
    kept.keep(3)
    kept.damage(3)
    found = await kept.stored(ago(8))
    assert (found.days, [issue.window for issue in found.issues]) == ([], [ago(3, 2)])


@pytest.mark.parametrize(("bad", "error"), [((1, 2, 3, 4), None), ((4,), Away("it hangs"))])
async def test_unreadable_lake_is_one_issue(bad: tuple[int, ...], error: StoreError | None) -> None:
    kept = Kept()
    kept.keep(1, 2, 3, 4)
    kept.damage(*bad, error=error)
    found = await kept.stored(ago(4))
    assert found.days == ()
    (issue,) = found.issues
    assert issue.window == ago(4)
    assert error is None or kept.lake.reads == [4], "who waits for a lake that is away waits once"


async def test_day_replaced_during_the_read_is_read_again() -> None:
    kept = Kept()
    kept.keep(1, 2)
    gone = Gone(kept)
    kept.lake = gone
    found = await kept.stored(ago(2))
    assert (days_of(found.days), found.issues) == ([2, 1], ())
    assert found.days[1].booking.rows == cluster_day(ID, 1, day=TODAY - DAY, pods=1, nodes=0).rows


class Gone(DamagedLake):
    """A lake where yesterday is replaced and removed during the first read."""

    def __init__(self, kept: Kept) -> None:
        super().__init__()
        self.versions, self.commits, self._kept = kept.lake.versions, kept.lake.commits, kept

    def rows(self, collections: Sequence[Collection]) -> dict[str, tuple[Row, ...]]:
        if not self.reads:
            self._kept.keep(1, generation=1)
        old = [collection.id for collection in collections if collection.id == f"{ID}-{TODAY - DAY}-0"]
        if old:
            self.reads.append(len(collections))
            raise CollectionGone(self.url, collection_id=old[0])
        return super().rows(collections)


def test_as_of_unreadable_day_is_missing_and_says_why() -> None:
    kept = Kept()
    kept.keep(1, 2, 4)
    kept.damage(2)
    days = kept.history.days(ID, ago(4), NOON_AFTER, as_of=NOON_AFTER)
    costs = get_costs_as_of(days, "http://place", ago(4), NOON_AFTER)
    assert (costs.coverage.hours_covered, costs.status) == (48, Status.PARTIAL)
    assert {(issue.kind, issue.window) for issue in costs.issues} == {
        (IssueKind.NOT_HELD, ago(3, 2)),
        (IssueKind.SOURCE_FAILED, ago(2, 1)),
    }


def test_as_of_without_any_readable_day_is_an_error() -> None:
    kept = Kept()
    kept.keep(1)
    kept.damage(1)
    with pytest.raises(Broken):
        kept.history.days(ID, ago(1), NOON_AFTER, as_of=NOON_AFTER)


# --- answers that did not replace a stored day


@pytest.mark.parametrize("code", ["fewer_hours", "assets_failed", "metrics_failed", "no_data"])
async def test_rejected_later_answer_is_an_issue_on_the_stored_day(code: str) -> None:
    kept = Kept()
    kept.keep(1, 2, 3)
    kept.coverage.failed(
        ID, TODAY - 2 * DAY, NOON_AFTER, code=code, message="the source knows less; the stored day was kept"
    )
    found = await kept.stored(ago(3))
    (issue,) = found.issues
    assert (issue.kind, issue.subject, issue.window) == (IssueKind.NOT_REPLACED, "history", ago(2, 1))
    assert (issue.message, issue.facts) == ("the source knows less; the stored day was kept", {"code": code})
    assert not issue.is_missing_data


async def test_failed_attempt_and_missing_day_are_no_issues() -> None:
    kept = Kept()
    kept.keep(1, 3)
    kept.coverage.failed(ID, TODAY - DAY, NOON_AFTER, code="refused", message="nobody answers")
    kept.coverage.failed(
        ID, TODAY - 2 * DAY, NOON_AFTER, code="no_data", message="the source holds no data of this day"
    )
    assert (await kept.stored(ago(3))).issues == ()


def test_as_of_before_the_window_says_so() -> None:
    costs = get_costs_as_of([], "http://place", ago(1), ago(1).start - timedelta(days=1))
    assert [issue.message for issue in costs.issues if issue.kind is IssueKind.NOT_HELD] == [
        f"the window had not begun at {rfc3339(ago(1).start - timedelta(days=1))}"
    ]


@pytest.mark.parametrize(
    ("stated", "expected"), [(("EUR", CurrencyOrigin.STATED), ("EUR", False)), (None, ("USD", True))]
)
async def test_answer_without_data_has_the_stated_currency(
    stated: tuple[str, CurrencyOrigin] | None, expected: tuple[str, bool]
) -> None:
    currency = stated or UNSTATED
    as_of = get_costs_as_of([], "http://place", ago(1), NOON_AFTER, currency=currency)
    future = await join_costs([], "http://place", Saving().live, ago(-2, -3), clock=FixedClock(), currency=currency)
    assert {(costs.currency, costs.currency_assumed) for costs in (as_of, future)} == {expected}


async def test_as_of_ignores_later_attempts() -> None:
    kept = Kept()
    kept.keep(1)
    kept.coverage.failed(ID, TODAY - DAY, NOON_AFTER, code="no_data", message="gone; the stored day was kept")
    days = kept.history.days(ID, ago(1), NOON_AFTER, as_of=NOON_AFTER)
    assert get_costs_as_of(days, "http://place", ago(1), NOON_AFTER).issues == ()


# --- savings if every day is stored


async def test_fully_stored_kubecost_is_asked_only_for_savings() -> None:
    source = Saving()
    costs = await joined([*days_stored([2]), *days_stored([1], "Kubecost")], ago(2), source)
    assert costs.savings == Savings((), profile="told")
    assert (source.asked, source.asked_savings, source.opened, source.closed) == ([], 1, 1, 1)
    assert (costs.issues, costs.status) == ((), Status.OK)


async def test_fully_stored_opencost_is_not_opened() -> None:
    source = Saving()
    costs = await joined([*days_stored([2], "Kubecost"), *days_stored([1])], ago(2), source)
    assert (costs.savings, source.opened, costs.issues) == (None, 0, ())


async def test_future_window_requests_no_savings() -> None:
    source = Saving()
    await joined(days_stored([1], "Kubecost"), ago(-2, -3), source)
    assert source.opened == 0


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (Saving(broken_open=SourceError("down")), "source_error"),
        (Saving(broken_open=RequestError("no such context")), "bad_request"),
        (Saving(seconds=60), "late_description"),
    ],
)
async def test_failed_savings_leave_the_figures_complete(source: Saving, code: str) -> None:
    costs = await joined(days_stored([1], "Kubecost"), ago(1), source, deadline_seconds=0.1)
    assert (costs.savings, costs.status, source.opened) == (None, Status.OK, source.closed)
    (issue,) = costs.issues
    assert (issue.kind, issue.subject, issue.facts) == (IssueKind.SOURCE_WARNING, "savings", {"code": code})
    assert issue.message.startswith("no savings: ")


@pytest.mark.parametrize(("product", "savings_requests"), [("OpenCost", 0), ("Kubecost", 1)])
async def test_source_that_is_down_is_not_blamed_for_savings(product: str, savings_requests: int) -> None:
    source = Saving()
    source.error = SourceError("down")
    costs = await joined(days_stored([2], product), ago(2), source)
    assert [(issue.kind, issue.subject) for issue in costs.issues] == [(IssueKind.SOURCE_FAILED, None)]
    assert source.asked_savings == savings_requests


async def test_answering_kubecost_is_blamed_for_missing_savings() -> None:
    source = Saving(broken_savings=SourceError("no answer"))
    costs = await joined(days_stored([2], "Kubecost"), ago(2), source)
    assert [issue.subject for issue in of_kind(costs.issues, IssueKind.SOURCE_FAILED)] == ["savings"]


def test_savings_have_the_timeout_of_descriptions() -> None:
    costs = virtual_time.run(joined(days_stored([1], "Kubecost"), ago(1), Saving(seconds=60), deadline_seconds=100))
    (issue,) = costs.issues
    assert " 5 s. " in issue.message


# --- executors of history


class Watched(CoverageInMemory):
    """Records which thread reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[str] = set()

    def collections(self, account_id: str, first: date, end: date, as_of: datetime | None = None) -> list[Collection]:
        self.threads.add(threading.current_thread().name.split("_")[0])
        return super().collections(account_id, first, end=end, as_of=as_of)


@pytest.mark.parametrize(("has_its_own", "name"), [(True, "history"), (False, "accounts")])
async def test_history_has_its_own_executor_or_that_of_accounts(has_its_own: bool, name: str) -> None:
    kept = Kept(coverage=Watched())
    accounts = AccountsInMemory([account(1, "http://source")])
    with ThreadPoolExecutor(1, "accounts") as executor, ThreadPoolExecutor(1, "history") as own:
        service = CostService(
            accounts,
            Source().open,
            FixedClock(),
            executor=executor,
            history=kept.history,
            history_executor=own if has_its_own else None,
        )
        await service.costs(ID, ago(1))
    assert isinstance(kept.coverage, Watched)
    assert kept.coverage.threads == {name}


async def test_stalled_history_delays_no_account() -> None:
    kept, go = Kept(), threading.Event()
    stalls = Stalling(go)
    kept.coverage = stalls
    accounts = AccountsInMemory([account(number, "http://source") for number in (1, 2)])
    with ThreadPoolExecutor(1, "accounts") as executor, ThreadPoolExecutor(1, "history") as own:
        service = CostService(
            accounts, Source().open, FixedClock(), executor=executor, history=kept.history, history_executor=own
        )
        asking = asyncio.create_task(service.costs(ID, ago(1)))
        assert await asyncio.to_thread(stalls.started.wait, 5)
        async with asyncio.timeout(5):
            assert len(await service.clusters()) == 2
        go.set()
        await asking


class Stalling(CoverageInMemory):
    """Answers once it is released."""

    def __init__(self, go: threading.Event) -> None:
        super().__init__()
        self.started, self._go = threading.Event(), go

    def collections(self, account_id: str, first: date, end: date, as_of: datetime | None = None) -> list[Collection]:
        self.started.set()
        assert self._go.wait(10)
        return super().collections(account_id, first, end=end, as_of=as_of)


# --- the copy of a running day


@pytest.mark.parametrize(
    ("since", "is_stored"),
    [
        (timedelta(), True),
        (timedelta(hours=5), False),
        (timedelta(hours=36), False),
        (timedelta(hours=36, minutes=1), True),
    ],
)
async def test_copy_of_a_running_day_counts_if_fresh_or_long_over(since: timedelta, is_stored: bool) -> None:
    kept = Kept()
    kept.keep(0, until=NOON_AFTER)
    found = await kept.stored(ago(0, -1), NOON_AFTER + since)
    assert days_of(found.days) == ([0] if is_stored else [])


async def test_rest_of_a_partly_stored_day_is_requested() -> None:
    kept, source = Kept(), Saving()
    kept.keep(5, 3)
    noon = ago(4).start + 12 * HOUR
    kept.keep(4, until=noon)
    found = await kept.stored(ago(5, 2))
    costs = await joined(found.days, ago(5, 2), source)
    assert source.asked == [Window(noon, ago(3).start)]
    assert costs.coverage.hours_covered == 72


async def test_stored_days_take_the_currency_stated_now() -> None:
    """If the source states no currency, that of the account or setting may have been corrected since."""

    class Euros(Saving):
        async def read(self, window: Window) -> Reading:
            found = await super().read(window)
            row = Allocation(Kind.WORKLOAD, window, "shop", costs=Costs(cpu=1), total=1)
            return replace(found, allocations=(row,), currency="EUR", currency_origin=CurrencyOrigin.STATED)

    kept = Kept()
    kept.keep(3)
    window = Window(midnight(NOON_AFTER) - 3 * DAY, midnight(NOON_AFTER) - DAY)
    held = list((await kept.stored(window)).days)
    source = replace(held[0].source, product="OpenCost")
    for origin, label in ((CurrencyOrigin.ASSUMED, "EUR"), (None, "EUR"), (CurrencyOrigin.SOURCE, None)):
        day = replace(held[0], booking=replace(held[0].booking, currency_origin=origin), source=source)
        if label is None:
            with raises_code("unlike_currencies"):
                await joined([day], window, Euros())
        else:
            costs = await joined([day], window, Euros())
            assert costs.currency == label
            assert costs.bill.total == day.booking.bill.total + 1
