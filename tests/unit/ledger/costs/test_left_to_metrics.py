"""Metrics that a Prometheus lacks are missing data only if the source needs them."""

from dataclasses import replace

import pytest

from kubetally.domain.component import Component
from kubetally.domain.errors import KubetallyError, SourceError
from kubetally.domain.infrastructure import Infrastructure
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.question.cost_question import DetailLevel
from kubetally.domain.reading import Reading
from kubetally.domain.report import ClusterReport
from kubetally.domain.status import Status
from kubetally.domain.window import DAY, HOUR, Window
from kubetally.ledger.ports.sources import About, InfrastructureSource
from kubetally.present.answer import answer
from tests.costs_of_source import get_costs_of_source
from tests.served import FixedClock
from tests.unit.domain.clusters import METRICS, TODAY, reading
from tests.unit.ledger.costs.test_cost_service import Source

TWO_DAYS = Window(TODAY.start, TODAY.end + DAY)
TOMORROW = Window(TODAY.end, TODAY.end + DAY)
OF_ALL = "node n1 cpu 1\npod shop/web-1 @n1 cpu 1\nfee a 1\nbalancer shop/web 0.60\nnetwork net 0.10"
OF_NOTHING = "node n1 cpu 1\npod shop/web-1 @n1 cpu 1"


class Told(Source):
    """A source with the days of a test: the first, and all later ones. It may name its cluster."""

    account = None

    def __init__(self, first: str, others: str, cluster_id: str | None = None) -> None:
        super().__init__()
        self.first, self.others, self.cluster_id = first, others, cluster_id

    async def read(self, window: Window) -> Reading:
        text = self.first if window.start == TODAY.start else self.others
        return replace(reading(text), window=window, covered=(window,))

    async def about(self) -> About:
        return About(cluster_id=self.cluster_id)


class Metrics:
    """A Prometheus without samples, with `issues` or an error. It may name a cluster."""

    url, account = METRICS, None

    def __init__(self, *issues: Issue, error: KubetallyError | None = None, cluster_id: str | None = None) -> None:
        self.issues, self.error, self.cluster_id = issues, error, cluster_id

    async def read(self, window: Window) -> Infrastructure:
        if self.error is not None:
            raise self.error
        return Infrastructure(window, (), self.url, self.issues, self.cluster_id)


def gap(component: Component, window: Window = TODAY) -> Issue:
    return Issue(IssueKind.WINDOW_WITHOUT_DATA, "24 hours are not counted", METRICS, window, component)


async def costs(
    metrics: InfrastructureSource, first: str, others: str = "", *, cluster_id: str | None = None
) -> ClusterReport:
    source = Told(first, others or first, cluster_id)
    return await get_costs_of_source(source, TWO_DAYS, clock=FixedClock(), infrastructure=metrics)


def of_metrics(costs: ClusterReport) -> list[Issue]:
    return [issue for issue in costs.issues if issue.source == METRICS]


COMPONENTS = [Component.MANAGEMENT, Component.LOAD_BALANCER, Component.NETWORK]


@pytest.mark.parametrize("component", COMPONENTS)
async def test_gap_of_metrics_the_source_has_itself_is_ignored(component: Component) -> None:
    found = await costs(Metrics(gap(component)), OF_ALL)
    assert (of_metrics(found), found.status) == ([], Status.OK)


@pytest.mark.parametrize("component", COMPONENTS)
async def test_gap_of_metrics_the_source_lacks_makes_it_partial(component: Component) -> None:
    found = await costs(Metrics(gap(component)), OF_NOTHING)
    assert (of_metrics(found), found.status) == ([gap(component)], Status.PARTIAL)


@pytest.mark.parametrize("component", COMPONENTS)
async def test_gap_counts_only_on_days_that_lack_the_component(component: Component) -> None:
    metrics = Metrics(gap(component, TODAY), gap(component, TOMORROW))
    assert of_metrics(await costs(metrics, OF_ALL, OF_NOTHING)) == [gap(component, TOMORROW)]
    assert of_metrics(await costs(metrics, OF_NOTHING, OF_ALL)) == [gap(component, TODAY)]


async def test_failed_metrics_are_a_warning_if_none_are_needed() -> None:
    found = await costs(Metrics(error=SourceError("it is down")), OF_ALL)
    (issue,) = of_metrics(found)
    assert (issue.kind, issue.subject, found.status) == (IssueKind.SOURCE_WARNING, "infrastructure", Status.OK)
    assert "it is down; nothing is missing" in issue.message


class Partly(Told):
    """A source that fails for its second day, or lacks its last hour."""

    def __init__(self, *, fails: bool) -> None:
        super().__init__(OF_ALL, OF_ALL)
        self.fails = fails

    async def read(self, window: Window) -> Reading:
        if window.start == TODAY.start:
            return await super().read(window)
        if self.fails:
            raise SourceError("the source is down, too")
        return replace(await super().read(window), covered=(Window(window.start, window.end - HOUR),))


@pytest.mark.parametrize("fails", [True, False])
async def test_failed_metrics_are_missing_if_the_source_lacks_hours(fails: bool) -> None:
    metrics = Metrics(error=SourceError("it is down"))
    found = await get_costs_of_source(Partly(fails=fails), TWO_DAYS, clock=FixedClock(), infrastructure=metrics)
    assert found.status is Status.PARTIAL
    (issue,) = of_metrics(found)
    assert "it is down" in issue.message
    assert "nothing is missing" not in issue.message


async def test_failed_metrics_make_it_partial_if_one_day_needs_them() -> None:
    found = await costs(Metrics(error=SourceError("it is down")), OF_ALL, OF_NOTHING)
    (issue,) = of_metrics(found)
    assert (issue.kind, issue.window, found.status) == (IssueKind.SOURCE_FAILED, TWO_DAYS, Status.PARTIAL)


async def test_missing_metrics_count_only_if_needed() -> None:
    metrics = Metrics(Issue(IssueKind.ANSWER_INCOMPLETE, "the server warns: a store is down", METRICS, TWO_DAYS))
    assert (await costs(metrics, OF_NOTHING)).status is Status.PARTIAL
    found = await costs(metrics, OF_ALL)
    assert found.status is Status.OK
    assert [issue.kind for issue in of_metrics(found)] == [IssueKind.SOURCE_WARNING]


async def test_warning_of_prometheus_is_always_an_issue() -> None:
    remark = Issue(IssueKind.SOURCE_WARNING, "Prometheus notes: odd", METRICS, TWO_DAYS)
    assert of_metrics(await costs(Metrics(remark), OF_ALL)) == [remark]


async def test_unmeasured_network_is_shown_like_the_fee() -> None:
    costs_of_nothing = await costs(Metrics(), OF_NOTHING)
    body = answer(costs_of_nothing, DetailLevel.NAMESPACE)
    assert body["not_measured"] == ["management_cost", "network_cost"]
    assert (body["summary"]["network_cost"], body["breakdown"]["network_internet_cost"]) == (0, 0)
    assert body["status"] == "ok"
    unknown = {component for component, amount in costs_of_nothing.summary.items() if amount is None}
    assert unknown == {Component.MANAGEMENT, Component.NETWORK}


async def test_metrics_of_another_cluster_are_a_warning_with_both_names() -> None:
    found = await costs(Metrics(cluster_id="stage"), OF_NOTHING, cluster_id="prod")
    (issue,) = of_metrics(found)
    assert (issue.kind, issue.subject, found.status) == (IssueKind.SOURCE_WARNING, "infrastructure", Status.OK)
    assert "'stage'" in issue.message
    assert "'prod'" in issue.message


@pytest.mark.parametrize(
    ("of_source", "of_the_metrics", "day"),
    [
        ("prod", "PROD", OF_NOTHING),  # the same name in another case
        (None, "stage", OF_NOTHING),
        ("prod", None, OF_NOTHING),
        ("prod", "stage", OF_ALL),  # no metrics are on the bill
    ],
)
async def test_no_warning_unless_names_differ_and_metrics_are_billed(
    of_source: str | None, of_the_metrics: str | None, day: str
) -> None:
    assert of_metrics(await costs(Metrics(cluster_id=of_the_metrics), day, cluster_id=of_source)) == []
