"""Long windows are cut to their newest days, and savings and description have a short timeout."""

import asyncio
import time
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.infrastructure import Infrastructure
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.report import ClusterReport
from kubetally.domain.savings import Savings
from kubetally.domain.status import Status
from kubetally.domain.window import DAY, HOUR, Window
from kubetally.ledger.costs.requests import clip_to_limit
from kubetally.ledger.ports.sources import About
from tests import virtual_time
from tests.costs_of_source import get_costs_of_source
from tests.served import NOON_AFTER, FixedClock
from tests.unit.ledger.costs.test_cost_service import Source

MAX_DAYS = 500

T = TypeVar("T")
END = datetime(2026, 11, 22, tzinfo=UTC)
MOST = MAX_DAYS * DAY
FIFTY_YEARS = Window(datetime(1976, 11, 22, tzinfo=UTC), END)


class Metrics:
    """A Prometheus without samples that records requests."""

    url = "http://metrics"
    account = None

    def __init__(self) -> None:
        self.asked: list[Window] = []

    async def read(self, window: Window) -> Infrastructure:
        self.asked.append(window)
        return Infrastructure(window, (), "metrics")


class Describing(Source):
    """Returns costs at once, and savings and description after `seconds`."""

    account = None

    def __init__(self, about_seconds: float, savings_seconds: float) -> None:
        super().__init__()
        self.about_seconds, self.savings_seconds = about_seconds, savings_seconds

    async def about(self) -> About:
        await asyncio.sleep(self.about_seconds)
        return About(cluster_id="told")

    async def savings(self) -> Savings | None:
        await asyncio.sleep(self.savings_seconds)
        return None


async def asked_for(window: Window, clock: FixedClock | None = None) -> tuple[ClusterReport, list[Window]]:
    """The costs of a source that answers everything, and its requests in order."""
    source = Source()
    costs = await get_costs_of_source(source, window, clock=clock or FixedClock())
    return costs, sorted(source.asked)


def not_asked(costs: ClusterReport) -> list[Issue]:
    return [issue for issue in costs.issues if issue.kind is IssueKind.NOT_ASKED]


async def longest_gap(work: Awaitable[T]) -> tuple[T, float]:
    """What the work returns, and the longest time in seconds that it blocked the event loop."""
    gaps, running = [0.0], True

    async def tick() -> None:
        last = time.monotonic()
        while running:
            await asyncio.sleep(0.005)
            gaps.append(time.monotonic() - last)
            last += gaps[-1]

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0)
    result = await work
    running = False
    await ticking
    return result, max(gaps)


async def test_fifty_years_are_cut_to_the_newest_days_with_an_issue() -> None:
    costs, asked = await asked_for(FIFTY_YEARS)
    assert len(asked) == MAX_DAYS == 500
    assert (asked[0].start, asked[-1].end) == (END - MOST, END)
    assert all(first.end == two.start for first, two in pairwise(asked))
    assert costs.status is Status.PARTIAL
    assert costs.coverage.hours_asked == FIFTY_YEARS.hours
    assert costs.coverage.hours_covered == MOST / HOUR
    (issue,) = not_asked(costs)
    assert issue.is_missing_data
    assert issue.window == Window(FIFTY_YEARS.start, END - MOST)
    assert "500 days" in issue.message


async def test_event_loop_stays_free_while_fifty_years_are_read() -> None:
    (_, asked), gap = await longest_gap(asked_for(FIFTY_YEARS))
    assert len(asked) == MAX_DAYS
    assert gap < 2


@pytest.mark.parametrize("days", [1, 499, 500])
async def test_500_days_are_requested_without_an_issue(days: int) -> None:
    window = Window(END - days * DAY, END)
    costs, asked = await asked_for(window)
    assert len(asked) == days
    assert not_asked(costs) == []
    assert costs.status is not Status.PARTIAL
    assert costs.coverage.hours_covered == costs.coverage.hours_asked == window.hours


async def test_501_days_have_an_issue() -> None:
    costs, asked = await asked_for(Window(END - MOST - DAY, END))
    assert len(asked) == MAX_DAYS
    (issue,) = not_asked(costs)
    assert issue.window == Window(END - MOST - DAY, END - MOST)
    assert costs.coverage.hours_asked - costs.coverage.hours_covered == 24


async def test_newest_days_of_a_running_window_end_now() -> None:
    window = Window(NOON_AFTER - 1000 * DAY, NOON_AFTER + 1000 * DAY)
    costs, asked = await asked_for(window)
    assert asked[-1].end == NOON_AFTER
    assert MOST <= asked[-1].end - asked[0].start < MOST + DAY
    assert costs.coverage.hours_asked == 1000 * 24
    assert not_asked(costs)[0].window == Window(window.start, asked[0].start)


async def test_future_window_requests_nothing() -> None:
    costs, asked = await asked_for(Window(NOON_AFTER + DAY, NOON_AFTER + 2000 * DAY))
    assert (asked, costs.coverage.hours_asked, not_asked(costs)) == ([], 0, [])


async def test_prometheus_is_queried_for_the_same_days() -> None:
    metrics = Metrics()
    await get_costs_of_source(Source(), FIFTY_YEARS, clock=FixedClock(), infrastructure=metrics)
    assert metrics.asked == [Window(END - MOST, END)]


def test_newest_days_are_the_end_of_any_window() -> None:
    minutes = st.integers(0, 1100 * 24 * 60)

    @given(minutes, minutes)
    def holds(length: int, before: int) -> None:
        end = END - timedelta(minutes=before)
        window = Window(end - timedelta(minutes=length), end)
        found = clip_to_limit(window)
        assert found.end == window.end
        assert window.contains(found)
        assert found == window or found.end - found.start >= MOST
        assert found.end - found.start < MOST + DAY

    holds()


async def test_window_that_begins_within_the_oldest_day_is_answered() -> None:
    window = Window(END - MOST - 6 * HOUR, END - 1 * HOUR)  # 500 days and 5 hours: more than 500, less than 501
    costs, asked = await asked_for(window)
    assert asked[0].start >= window.start
    assert costs.coverage.hours_covered <= costs.coverage.hours_asked


# --- savings and description


def test_late_savings_and_description_leave_costs_complete() -> None:
    window = Window(END - DAY, END)
    costs = virtual_time.run(
        get_costs_of_source(
            Describing(60, 60), window, clock=FixedClock(), infrastructure=Metrics(), deadline_seconds=50
        )
    )
    assert costs.coverage.hours_covered == 24
    assert costs.savings is None
    (issue,) = (issue for issue in costs.issues if issue.kind is IssueKind.SOURCE_FAILED)
    assert (issue.subject, issue.facts) == ("savings", {"code": "late_description"})
    assert "within 5 s. Costs are complete" in issue.message
    assert "KUBETALLY_DEADLINE_SECONDS" not in issue.message
    assert " 50 s" not in issue.message


def test_savings_cut_by_the_deadline_say_so() -> None:
    costs = virtual_time.run(
        get_costs_of_source(Describing(0, 60), Window(END - DAY, END), clock=FixedClock(), deadline_seconds=0.25)
    )
    (issue,) = (issue for issue in costs.issues if issue.kind is IssueKind.SOURCE_FAILED)
    assert issue.facts == {"code": "deadline_passed"}
    assert "overall deadline of 0.25 s" in issue.message
    assert costs.source.cluster_id == "told"
