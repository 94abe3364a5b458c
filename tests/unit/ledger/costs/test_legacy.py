"""The old sums of metrics: their samples, issues and deadline."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from kubetally.domain.account import Account
from kubetally.domain.infrastructure import Infrastructure
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.metrics import MANAGEMENT
from kubetally.domain.reading import Reading
from kubetally.domain.series import MeasuredSeries, SeriesPoint
from kubetally.domain.status import Status
from kubetally.domain.window import HOUR, Window, from_unix, to_unix
from kubetally.ledger.costs.service import CostService
from tests.served import FixedClock
from tests.service import AccountsInMemory, account, account_id
from tests.unit.domain.clusters import METRICS, SOURCE, TODAY, micros, reading
from tests.unit.ledger.costs.test_cost_service import Source as Silent

LAST_SECOND = Window(TODAY.start, from_unix(to_unix(TODAY.end) - 1))


class Source(Silent):
    """A source with a pod on every day that needs no metrics."""

    url, account = SOURCE, None

    async def read(self, window: Window) -> Reading:
        told = reading("node n1 cpu 1\npod shop/web-1 @n1 cpu 1\nfee a 1\nbalancer shop/web 1\nnetwork net 1")
        return replace(told, window=window, covered=(window,))


class Metrics:
    """A Prometheus with hourly samples of the fee that records requests and takes `seconds` for them."""

    url, account = METRICS, None

    def __init__(self, *issues: Issue, seconds: float = 0) -> None:
        self.issues, self.seconds, self.asked = issues, seconds, list[Window]()

    async def read(self, window: Window) -> Infrastructure:
        await asyncio.sleep(self.seconds)
        return Infrastructure(window, (), self.url)

    async def points(self, window: Window, names: Sequence[str]) -> MeasuredSeries:
        self.asked.append(window)
        await asyncio.sleep(self.seconds)
        count = int((window.end - window.start) / HOUR) + 1
        fee = tuple(SeriesPoint(to_unix(window.start) + 3600 * n, 0.10, {}) for n in range(count))
        return MeasuredSeries(window, {MANAGEMENT: fee}, self.issues)

    @asynccontextmanager
    async def open(self, _: Account) -> AsyncIterator["Metrics"]:
        yield self


def made(metrics: Metrics, deadline_seconds: float | None = None) -> CostService:
    accounts = AccountsInMemory([account(1, SOURCE)])
    source = Source()
    return CostService(
        accounts, source.open, FixedClock(), open_metrics=metrics.open, deadline_seconds=deadline_seconds
    )


async def test_end_on_second_59_excludes_midnight_from_old_sums() -> None:
    metrics = Metrics()
    service = made(metrics)
    answer = await service.costs(account_id(1), TODAY)
    for samples, sum_of_fee in ((LAST_SECOND, "2.4"), (TODAY, "2.5"), (LAST_SECOND, "2.4")):
        legacy = (await service.with_legacy(answer, samples)).costs.legacy
        assert legacy is not None
        assert legacy.management == micros(sum_of_fee)
    assert metrics.asked == [LAST_SECOND, TODAY], "each is cached by itself"


async def test_incomplete_old_sums_are_warned_about_and_not_cached() -> None:
    warning = Issue(IssueKind.ANSWER_INCOMPLETE, "the server warns: a store is down", METRICS, TODAY)
    metrics = Metrics(warning)
    service = made(metrics)
    answer = await service.costs(account_id(1), TODAY)
    assert answer.costs.status is Status.OK
    for _ in range(2):
        costs = (await service.with_legacy(answer, TODAY)).costs
        assert costs.issues[-1] == replace(warning, subject="legacy")
        assert costs.status is Status.PARTIAL
    assert len(metrics.asked) == 2


async def test_old_sums_with_a_warning_are_cached() -> None:
    metrics = Metrics(Issue(IssueKind.SOURCE_WARNING, "Prometheus notes: odd", METRICS, TODAY))
    service = made(metrics)
    answer = await service.costs(account_id(1), TODAY)
    for _ in range(2):
        costs = (await service.with_legacy(answer, TODAY)).costs
        assert "Prometheus notes: odd" in [issue.message for issue in costs.issues]
    assert len(metrics.asked) == 1


async def test_costs_and_old_sums_share_one_deadline() -> None:
    service = made(Metrics(seconds=3600), deadline_seconds=0.5)
    began = asyncio.get_running_loop().time()
    answer = await service.costs(account_id(1), TODAY)
    costs = (await service.with_legacy(answer, TODAY)).costs
    assert asyncio.get_running_loop().time() - began < 0.9
    (issue,) = [issue for issue in costs.issues if issue.subject == "legacy"]
    assert issue.facts["code"] == "deadline_passed"


async def test_old_sums_of_cached_costs_have_the_whole_deadline() -> None:
    metrics = Metrics(seconds=0.3)
    service = made(metrics, deadline_seconds=0.5)
    await service.costs(account_id(1), TODAY)
    answer = await service.costs(account_id(1), TODAY)
    assert answer.is_hit
    legacy = (await service.with_legacy(answer, TODAY)).costs.legacy
    assert legacy is not None
    assert legacy.management == micros("2.5")
