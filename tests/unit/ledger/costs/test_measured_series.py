"""Samples of metrics: their days, their maximum, and issues if there are none."""

from collections.abc import Sequence

import pytest

from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.series import MAX_POINTS, MeasuredSeries, SeriesPoint, TooManyPoints
from kubetally.domain.window import DAY, Window
from kubetally.ledger.costs.requests import MAX_DAYS
from kubetally.ledger.costs.series import read_series
from tests.served import NOON_AFTER
from tests.unit.domain.clusters import METRICS, TODAY

NAMES = ("kubecost_a", "kubecost_b")


class Metrics:
    """A Prometheus with a fixed number of samples of each metric."""

    url = METRICS

    def __init__(self, **counts: int) -> None:
        self.counts = counts

    async def points(self, window: Window, names: Sequence[str]) -> MeasuredSeries:
        points = {name: tuple(SeriesPoint(n, 1.0, {}) for n in range(self.counts[name])) for name in self.counts}
        return MeasuredSeries(window, points)


async def asked(metrics: Metrics, window: Window = TODAY, names: Sequence[str] = NAMES) -> tuple[Issue, ...]:
    return (await read_series(metrics, window, names, NOON_AFTER, max_points=10)).issues


async def test_too_many_samples_are_an_error_with_advice() -> None:
    with pytest.raises(TooManyPoints, match=r"11 samples.*at most 10: ask for a shorter window or fewer metrics"):
        await asked(Metrics(kubecost_a=6, kubecost_b=5))
    assert await asked(Metrics(kubecost_a=5, kubecost_b=5)) == ()
    assert "at most 200,000" in str(TooManyPoints(MAX_POINTS + 1))


async def test_issue_names_the_metrics_without_samples() -> None:
    (issue,) = await asked(Metrics())
    assert (issue.kind, issue.source, issue.window) == (IssueKind.NOT_MEASURED, METRICS, TODAY)
    assert "no sample of kubecost_a, kubecost_b:" in issue.message
    assert await asked(Metrics(kubecost_b=1)) == ()


async def test_each_of_many_metrics_without_samples_is_named() -> None:
    (issue,) = await asked(Metrics(), names=[f"kubecost_{n}" for n in range(12)])
    assert "kubecost_9, kubecost_10, kubecost_11:" in issue.message


async def test_long_window_is_cut_to_its_newest_days_with_an_issue() -> None:
    window = Window(TODAY.end - (MAX_DAYS + 3) * DAY, TODAY.end)
    (issue,) = await asked(Metrics(kubecost_a=1), window)
    assert (issue.kind, issue.window) == (IssueKind.NOT_ASKED, Window(window.start, window.start + 3 * DAY))
