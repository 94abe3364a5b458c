"""What the doctor finds about real Prometheus servers."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from kubetally.domain.finding import Finding, Level
from kubetally.domain.metrics import EGRESS_BYTES, LOAD_BALANCER, MANAGEMENT
from kubetally.domain.survey import Exporter, MetricsSurvey
from kubetally.domain.window import DAY, HOUR, Window
from kubetally.ledger.diagnose.prometheus import diagnose_metrics
from kubetally.sources.access import Access
from kubetally.sources.prometheus.client import PrometheusClient
from kubetally.sources.prometheus.promql import Selector
from kubetally.sources.prometheus.source import PrometheusSource
from kubetally.sources.transport import Limits, Transport
from tests.errors import raises_code
from tests.integration.metrics_servers import Prometheus, VictoriaMetrics, Written
from tests.integration.written_metrics import START, balancer, gauge, hours, prices, relabelled, sent
from tests.served import Reply, Served

TENANT = "survey"
WINDOW = hours(0, 4)


async def surveyed(url: str, window: Window, tenant: str | None = None) -> tuple[MetricsSurvey, list[Finding]]:
    async with Transport(Access.parse(url), Limits(attempts=1)) as transport:
        client = PrometheusClient(transport)
        source = PrometheusSource(client, Selector(tenant))
        found = await source.survey(window)
        assert client.questions == 6
        return found, await diagnose_metrics(source, window)


def told(findings: list[Finding], level: Level) -> list[str]:
    return [finding.seen for finding in findings if finding.level is level]


async def test_a_sound_server_has_nothing_to_mend(recorded_prometheus: Callable[[str], Prometheus]) -> None:
    survey, findings = await surveyed(recorded_prometheus("cygnus").url, Window(START, START + DAY))
    facts = {metric.name: metric for metric in survey.metrics}
    assert list(facts) == [
        "kubecost_cluster_management_cost",
        "kubecost_load_balancer_cost",
        "kubecost_pod_network_egress_bytes_total",
        "kubecost_network_internet_egress_cost",
        "kubecost_network_region_egress_cost",
        "kubecost_network_zone_egress_cost",
    ]
    assert all(one.is_there and one.copies == 1 and one.gaps == () for one in facts.values())
    assert {one.interval_seconds for one in facts.values()} == {120}
    assert facts[MANAGEMENT].exporters == (Exporter("opencost", 1),)
    assert facts[EGRESS_BYTES].exporters == (Exporter("netcosts", 1),)
    assert (survey.left_open, survey.cluster_ids) == (False, ("cygnus",))
    assert survey.oldest == START - timedelta(minutes=20)
    assert {finding.level for finding in findings} == {Level.OK}


@pytest.fixture(params=["prometheus", "victoria-metrics"])
def holding(
    request: pytest.FixtureRequest,
    prometheus_with: Callable[..., Prometheus],
    victoria_metrics: VictoriaMetrics,
) -> Callable[..., tuple[str, str]]:
    """A server with the series of a test, and their tenant."""

    def get(*series: Written) -> tuple[str, str]:
        tenant = f"{TENANT}-{request.node.name}"
        of_tenant = relabelled(series, tenant_id=tenant)
        if request.param == "prometheus":
            return prometheus_with(*of_tenant).url, tenant
        victoria_metrics.load(of_tenant)
        return victoria_metrics.url, tenant

    return get


Held = Callable[..., tuple[str, str]]


async def test_missing_double_or_sparse_metrics_are_reported(holding: Held) -> None:
    url, tenant = holding(
        gauge(MANAGEMENT, 0.10, last=1),
        gauge(MANAGEMENT, 0.10, first=3, instance="10.0.0.1:9003"),
        *relabelled([gauge(MANAGEMENT, 0.10, first=3)], job="again", instance="10.0.0.2:9003"),
        *prices()[1:],
        sent(1.0, step=900.0),
    )
    survey, findings = await surveyed(url, WINDOW, tenant)
    facts = {metric.name: metric for metric in survey.metrics}
    fee = facts[MANAGEMENT]
    assert fee.copies == 2
    assert fee.gaps == (hours(1, 3),)
    assert {exporter.job for exporter in fee.exporters} == {"again", "opencost"}
    assert not facts[LOAD_BALANCER].is_there
    assert facts[LOAD_BALANCER].gaps == (WINDOW,)
    assert facts[EGRESS_BYTES].interval_seconds == 900
    warnings = " | ".join(told(findings, Level.WARNING))
    assert "2 of 4 hours have no sample" in warnings
    assert f"no {LOAD_BALANCER}" in warnings
    assert "no kubecost_network_internet_egress_cost: traffic to the internet is measured and has no price" in warnings
    notes = " | ".join(told(findings, Level.NOTE))
    assert "2 series at a time show the same thing" in notes
    assert "more than five minutes apart" in notes
    assert all(finding.remedy for finding in findings if finding.level is not Level.OK)


async def test_samples_of_the_last_hour_are_read_to_the_minute(holding: Held) -> None:
    url, tenant = holding(gauge(MANAGEMENT, 0.10, first=3.7))
    survey, findings = await surveyed(url, WINDOW, tenant)
    fee = next(metric for metric in survey.metrics if metric.name == MANAGEMENT)
    assert (fee.interval_seconds, fee.gaps, fee.partial) == (60, (hours(0, 3),), (hours(3, 4),))
    assert survey.oldest is not None
    assert timedelta() <= survey.oldest - (START + 3.7 * HOUR) < timedelta(minutes=5)
    assert any("1 hour has samples for a part only" in note for note in told(findings, Level.NOTE))
    assert any("0 days" in seen for seen in told(findings, Level.OK))


async def test_what_moves_is_not_taken_for_double(holding: Held) -> None:
    here, there = sent(1.0, 0, 1.4, instance="10.0.0.1:3001"), sent(1.0, 1.4, 4, instance="10.0.0.2:3001")
    survey, _ = await surveyed(*with_window(holding(here, there)))
    assert next(metric.copies for metric in survey.metrics if metric.name == EGRESS_BYTES) == 1


@pytest.mark.parametrize("step", [60.0, 600.0])
async def test_double_exporters_are_seen_however_scraped(holding: Held, step: float) -> None:
    of_scrape = {"namespace": "monitoring", "exported_namespace": "shop", "job": "again"}
    one = [sent(1.0, step=step), gauge(LOAD_BALANCER, 0.025, step=step, namespace="shop", service_name="web")]
    survey, _ = await surveyed(*with_window(holding(*one, *relabelled(one, **of_scrape))))
    copies = {metric.name: metric.copies for metric in survey.metrics if metric.is_there}
    assert copies == {EGRESS_BYTES: 2, LOAD_BALANCER: 2}


def with_window(held: tuple[str, str]) -> tuple[str, Window, str]:
    return held[0], WINDOW, held[1]


async def test_several_tenants_are_told_where_none_is_chosen(prometheus_with: Callable[..., Prometheus]) -> None:
    url = prometheus_with(gauge(MANAGEMENT, 0.1, tenant_id="one"), gauge(MANAGEMENT, 0.1, tenant_id="two")).url
    survey, findings = await surveyed(url, WINDOW)
    assert survey.tenants == ("one", "two")
    assert "it holds metrics of several tenants: one, two; none of them is used" in told(findings, Level.FAILED)


async def test_several_clusters_and_an_empty_tenant_are_told(holding: Held) -> None:
    url, tenant = holding(balancer(cluster_id="a"), balancer(cluster_id="b"))
    survey, findings = await surveyed(url, WINDOW, tenant)
    assert survey.cluster_ids == ("a", "b")
    assert "it holds 2 clusters: a, b; none of them is used" in told(findings, Level.FAILED)
    with raises_code("chosen_not_measured", match='none with tenant_id="nobody": correct --tenant'):
        await surveyed(url, WINDOW, "nobody")


@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        (Reply(200, b"<html>sign in</html>", "text/html"), "/api/v1/query"),
        (Reply(422, b'{"status":"error","errorType":"execution","error":"too many"}'), "limits"),
        (Reply(401, b"no", "text/plain"), "credentials"),
        (Reply(500, b"boom", "text/plain"), "log"),
    ],
)
async def test_a_server_that_fails_is_a_finding_with_a_remedy(answer: Reply, remedy: str) -> None:
    with Served(lambda asked: answer) as server:
        async with Transport(Access.parse(server.url), Limits(attempts=1)) as transport:
            (finding,) = await diagnose_metrics(PrometheusSource(PrometheusClient(transport)), hours(0, 4))
    assert finding.level is Level.FAILED
    assert finding.remedy is not None
    assert remedy in finding.remedy
