"""The old sums beside the costs: of which samples they are, what is told of them, and how long they may take."""

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
    """Has a pod on every day, and leaves nothing to metrics."""

    url, account = SOURCE, None

    async def read(self, window: Window) -> Reading:
        told = reading("node n1 cpu 1\npod shop/web-1 @n1 cpu 1\nfee a 1\nbalancer shop/web 1\nnetwork net 1")
        return replace(told, window=window, covered=(window,))


class Metrics:
    """Has a sample of the fee at every whole hour, and counts its questions; takes `seconds` for points."""

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


async def test_of_a_window_given_by_its_last_second_the_midnight_after_it_is_no_part() -> None:
    metrics = Metrics()
    service = made(metrics)
    answer = await service.costs(account_id(1), TODAY)
    for samples, sum_of_fee in ((LAST_SECOND, "2.4"), (TODAY, "2.5"), (LAST_SECOND, "2.4")):
        legacy = (await service.with_legacy(answer, samples)).costs.legacy
        assert legacy is not None
        assert legacy.management == micros(sum_of_fee)
    assert metrics.asked == [LAST_SECOND, TODAY], "each is remembered for itself"


async def test_what_the_server_warns_of_is_told_and_sums_that_may_be_too_low_are_not_remembered() -> None:
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


async def test_a_remark_of_the_server_is_told_and_the_sums_are_remembered() -> None:
    metrics = Metrics(Issue(IssueKind.SOURCE_WARNING, "Prometheus notes: odd", METRICS, TODAY))
    service = made(metrics)
    answer = await service.costs(account_id(1), TODAY)
    for _ in range(2):
        costs = (await service.with_legacy(answer, TODAY)).costs
        assert "Prometheus notes: odd" in [issue.message for issue in costs.issues]
    assert len(metrics.asked) == 1


async def test_costs_and_sums_have_one_deadline_together() -> None:
    service = made(Metrics(seconds=3600), deadline_seconds=0.5)
    began = asyncio.get_running_loop().time()
    answer = await service.costs(account_id(1), TODAY)
    costs = (await service.with_legacy(answer, TODAY)).costs
    assert asyncio.get_running_loop().time() - began < 0.9
    (issue,) = [issue for issue in costs.issues if issue.subject == "legacy"]
    assert issue.facts["code"] == "deadline_passed"


async def test_sums_beside_remembered_costs_have_a_deadline_of_their_own() -> None:
    metrics = Metrics(seconds=0.3)
    service = made(metrics, deadline_seconds=0.5)
    await service.costs(account_id(1), TODAY)
    answer = await service.costs(account_id(1), TODAY)
    assert answer.is_hit
    legacy = (await service.with_legacy(answer, TODAY)).costs.legacy
    assert legacy is not None
    assert legacy.management == micros("2.5")
