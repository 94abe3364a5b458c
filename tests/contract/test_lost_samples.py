"""Answers of a real OpenCost whose Prometheus lost samples of a day: detected and reported, never taken for whole.

Of each recording the second day is incomplete; the days beside it, and the full recordings, are whole.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from datetime import datetime

import pytest

from kubetally.domain.allocation import Kind
from kubetally.domain.collection import SETTLES_AFTER, CollectedDay, Collection
from kubetally.domain.issues import IssueKind
from kubetally.domain.report import ClusterReport
from kubetally.domain.row import Cause
from kubetally.domain.status import DayState, Status
from kubetally.domain.window import HOUR, Window, parse_window
from kubetally.ledger.collect.reader import Reader
from kubetally.ledger.ports.clusters import Cluster
from kubetally.samples.replay import ReplayServer
from kubetally.settings import Settings
from kubetally.wiring.clusters import get_cluster_costs
from tests.opened import open_source
from tests.recordings import ALL, DAYS, LOSSY, folders, lossy_folders
from tests.served import NOON_AFTER, FixedClock
from tests.service import account

WHOLE = parse_window(f"{DAYS[0][0]},{DAYS[-1][1]}", NOON_AFTER)
BEFORE, LOST, AFTER = (parse_window(",".join(day), NOON_AFTER) for day in DAYS)

# By what was lost: hours covered, what is missing, from when to when of the day.
SHOWN = {
    "cygnus-half": (12, "samples", 12, 24),
    "cygnus-half-midnight": (12, "pods", 12, 24),
    "cygnus-short": (22, "samples", 22, 24),
    "cygnus-opencost-day": (0, "nodes", 0, 24),
    "cygnus-opencost-half": (12, "nodes", 12, 24),
    "cygnus-ksm-day": (2.5 / 60, "pods", 2.5 / 60, 24),
    "cygnus-cadvisor-day": (24, "usage", 0, 24),
}
GAP = "cygnus-gap"


@pytest.fixture(scope="module")
def source() -> Iterator[ReplayServer]:
    with ReplayServer({**folders(), **lossy_folders()}) as server:
        yield server


async def costs_of(source: ReplayServer, cluster: str, window: Window) -> ClusterReport:
    return await get_cluster_costs(Cluster(source.url_of(cluster)), window, settings=Settings(), clock=FixedClock())


def missing(costs: ClusterReport) -> list[tuple[str | None, float, float]]:
    """The missing spans, in hours of the lossy day."""
    return [
        (issue.subject, (issue.window.start - LOST.start) / HOUR, (issue.window.end - LOST.start) / HOUR)
        for issue in costs.issues
        if issue.window is not None and issue.is_missing_data
    ]


def test_every_recording_is_looked_at() -> None:
    assert {*SHOWN, GAP} == set(LOSSY)


@pytest.mark.parametrize("name", SHOWN)
async def test_lost_samples_are_reported(source: ReplayServer, name: str) -> None:
    hours, subject, start, end = SHOWN[name]
    costs = await costs_of(source, name, LOST)
    assert costs.status is Status.PARTIAL
    assert costs.coverage.hours_covered == pytest.approx(hours)
    assert missing(costs) == [(subject, pytest.approx(start), pytest.approx(end))]


@pytest.mark.parametrize("name", LOSSY)
async def test_days_beside_a_loss_are_whole(source: ReplayServer, name: str) -> None:
    for day in (BEFORE, AFTER):
        costs = await costs_of(source, name, day)
        assert (costs.status, costs.coverage.hours_covered, missing(costs)) == (Status.OK, 24, [])


@pytest.mark.parametrize("name", ALL)
async def test_full_recordings_give_no_alarm(source: ReplayServer, name: str) -> None:
    costs = await costs_of(source, name, WHOLE)
    assert (costs.status, costs.coverage.hours_covered) == (Status.OK, 72)
    assert {issue.kind for issue in costs.issues} <= {IssueKind.NOT_MEASURED}


@pytest.mark.parametrize("name", LOSSY)
async def test_efficiency_of_the_window_is_right(source: ReplayServer, name: str) -> None:
    """Within five percent of the full recording; a day with unknown usage or requests does not count."""
    full = (await costs_of(source, "cygnus", WHOLE)).efficiency
    for found, right in zip((await costs_of(source, name, WHOLE)).efficiency, full, strict=True):
        assert found == pytest.approx(right, rel=0.05)


@pytest.mark.parametrize("name", ["cygnus-cadvisor-day", "cygnus-ksm-day"])
async def test_efficiency_of_the_day_is_unknown(source: ReplayServer, name: str) -> None:
    assert (await costs_of(source, name, LOST)).efficiency == (None, None, None)


async def test_gap_within_a_day_is_almost_free(source: ReplayServer) -> None:
    """The day claims all its hours, and its bill is right within two percent."""
    by_day = await costs_of(source, GAP, LOST)
    assert (by_day.status, by_day.coverage.hours_covered) == (Status.OK, 24)
    assert by_day.bill.total == pytest.approx((await costs_of(source, "cygnus", LOST)).bill.total, rel=0.02)


async def collected(source: ReplayServer, name: str, day: Window, now: datetime) -> Collection:
    """The day as a collector reads it."""
    reader = Reader(
        lambda _: open_source(Cluster(source.url_of(name)), Settings()), lambda _: nullcontext(), FixedClock(now)
    )
    (read,) = [read async for read in reader.days(account(1, source.url_of(name)), [day.start.date()])]
    assert isinstance(read, CollectedDay)
    return read.collection


async def test_gap_within_a_day_shows_before_it_settles(source: ReplayServer) -> None:
    at_once = await collected(source, GAP, LOST, LOST.end + HOUR)
    assert (at_once.hours_covered, at_once.state) == (24, DayState.PROVISIONAL)
    later = await collected(source, GAP, LOST, LOST.end + SETTLES_AFTER)
    assert (later.hours_covered, later.state) == (
        pytest.approx(24 - 3, abs=0.1),
        DayState.PROVISIONAL,
    )
    assert [(issue.kind, issue.subject) for issue in later.head.issues if issue.is_missing_data] == [
        (IssueKind.SAMPLES_MISSING, "samples")
    ]


async def test_day_that_is_whole_by_the_hour_settles(source: ReplayServer) -> None:
    day = await collected(source, "cygnus", LOST, LOST.end + SETTLES_AFTER)
    assert (day.hours_covered, day.state) == (24, DayState.SETTLED)


async def test_day_without_hourly_steps_says_so(source: ReplayServer) -> None:
    """The other recordings have no hourly answers: such a request is refused."""
    day = await collected(source, GAP, BEFORE, BEFORE.end + SETTLES_AFTER)
    assert day.state is DayState.SETTLED
    assert IssueKind.HOURS_NOT_CHECKED in {issue.kind for issue in day.head.issues}


@pytest.mark.parametrize("name", SHOWN)
async def test_lossy_day_never_settles(source: ReplayServer, name: str) -> None:
    day = await collected(source, name, LOST, LOST.end + SETTLES_AFTER)
    assert (day.state, day.hours_covered) == (DayState.PROVISIONAL, pytest.approx(SHOWN[name][0]))


@pytest.mark.parametrize("name", LOSSY)
async def test_nodes_without_price_are_no_over_commit(source: ReplayServer, name: str) -> None:
    causes = {cause for cause, _ in (await costs_of(source, name, LOST)).line(Kind.DIFFERENCE).causes}
    assert Cause.OVER_COMMIT not in causes
