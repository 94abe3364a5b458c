"""Points of named metrics from real servers, and the old sums made of them."""

from collections.abc import Callable

import pytest

from kubetally.domain.metrics import CPU_SAVINGS, INFRASTRUCTURE, RAM_SAVINGS
from kubetally.domain.series import (
    MeasuredSeries,
    legacy_sum,
    metric_names,
)
from kubetally.domain.window import DAY, HOUR, Window, parse_instant, to_unix
from kubetally.ledger.ports.sources import SeriesSource
from kubetally.sources.access import Access
from kubetally.sources.prometheus.client import PrometheusClient
from kubetally.sources.prometheus.promql import Selector
from kubetally.sources.prometheus.source import PrometheusSource
from kubetally.sources.transport import Limits, Transport
from tests.integration.metrics_servers import Prometheus, VictoriaMetrics, Written
from tests.integration.written_metrics import gauge
from tests.unit.domain.clusters import micros

START = parse_instant("2026-11-20")
S = to_unix(START)
ALL = metric_names(None)


async def points(url: str, window: Window, names: tuple[str, ...] = ALL, tenant: str | None = None) -> MeasuredSeries:
    async with Transport(Access.parse(url), Limits(attempts=1)) as transport:
        client = PrometheusClient(transport)
        source: SeriesSource = PrometheusSource(client, Selector(tenant))
        found = await source.points(window, names)
        assert client.questions == 1
        return found


async def test_points_are_hourly_with_both_ends_and_labels(
    recorded_prometheus: Callable[[str], Prometheus],
) -> None:
    found = await points(recorded_prometheus("cygnus").url, Window(START, START + 3 * HOUR))
    fee = found.of("kubecost_cluster_management_cost")
    assert [point.timestamp for point in fee] == [S, S + 3600, S + 7200, S + 10800]
    assert {point.value for point in fee} == {0.1}
    assert fee[0].labels == {"cluster_id": "cygnus", "job": "opencost", "provisioner_name": "EKS"}
    assert tuple(found.points) == ALL
    assert (found.of("kubecost_other"), found.issues) == ((), ())


async def test_the_old_sums_of_a_recorded_cluster(recorded_prometheus: Callable[[str], Prometheus]) -> None:
    found = await points(recorded_prometheus("cygnus").url, Window(START, START + 3 * DAY))
    sums = legacy_sum(found.points)  # 73 samples, where 72 hours passed
    assert (sums.management, sums.load_balancer) == (micros("7.30"), micros("1.6425"))
    assert sums.network == micros(73 * 0.12)


@pytest.mark.parametrize("kind", ["prometheus", "victoria-metrics"])
async def test_a_week_with_104_samples_comes_to_29_84(
    kind: str, prometheus_with: Callable[..., Prometheus], victoria_metrics: VictoriaMetrics
) -> None:
    prices = dict(zip(ALL, (0.10, 0.0239, 0.143, 0.01, 0.01), strict=True))
    week = Window(START - 7 * DAY, START)
    there = [to_unix(week.start) + 3600 * hour for hour in (*range(60), *range(125, 169))]  # of its 169 instants
    series = [
        Written(name, {"tenant_id": "a", "job": "opencost"}, [(at, price) for at in there])
        for name, price in prices.items()
    ]
    series.append(Written(ALL[0], {"tenant_id": "b", "job": "opencost"}, [(S, 7.0)]))
    if kind == "prometheus":
        url = prometheus_with(*series).url
    else:
        victoria_metrics.load(series)
        url = victoria_metrics.url
    sums = legacy_sum((await points(url, week, tenant="a")).points)
    assert (sums.management, sums.load_balancer) == (micros("10.40"), micros("2.4856"))
    assert (sums.network, sums.total) == (micros("16.952"), micros("29.8376"))


async def test_savings_are_cores_and_bytes(prometheus_with: Callable[..., Prometheus]) -> None:
    series = [Written(CPU_SAVINGS, {}, [(S, 6.89)]), Written(RAM_SAVINGS, {}, [(S, 13.8e9)])]
    found = await points(prometheus_with(*series).url, Window(START, START + HOUR), (CPU_SAVINGS, RAM_SAVINGS))
    assert [point[:2] for point in found.of(CPU_SAVINGS)] == [(S, 6.89)]
    assert [point[:2] for point in found.of(RAM_SAVINGS)] == [(S, 13.8e9)]


def test_the_metrics_are_those_of_the_first_generation() -> None:
    assert set(INFRASTRUCTURE.values()) == {
        "kubecost_cluster_management_cost",
        "kubecost_load_balancer_cost",
        "kubecost_network_internet_egress_cost",
        "kubecost_network_region_egress_cost",
        "kubecost_network_zone_egress_cost",
    }


async def test_long_window_may_begin_inside_an_hour(victoria_metrics: VictoriaMetrics) -> None:
    victoria_metrics.load([gauge("kubecost_cluster_management_cost", 0.1, last=70, tenant_id="unaligned")])
    window = Window(START + HOUR / 3, START + 60 * HOUR + HOUR / 3)
    fee = (await points(victoria_metrics.url, window, tenant="unaligned")).of("kubecost_cluster_management_cost")
    at = [one.timestamp for one in fee]
    assert (at[0], at[-1], len(at)) == (S + 1200, S + 60 * 3600 + 1200, 61)
