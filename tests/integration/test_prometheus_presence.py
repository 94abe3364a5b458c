"""In which hours each family of metrics has samples, as real Prometheus servers say."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from kubetally.domain.infrastructure import Infrastructure
from kubetally.domain.metrics import Family
from kubetally.domain.window import HOUR, Window
from kubetally.sources.access import Access
from kubetally.sources.prometheus.client import PrometheusClient
from kubetally.sources.prometheus.promql import Selector
from kubetally.sources.prometheus.source import PrometheusSource
from kubetally.sources.transport import Limits, Transport
from tests.integration.metrics_servers import Prometheus, VictoriaMetrics, Written
from tests.integration.written_metrics import START, S, families, family, hours, relabelled

COST_MODEL, KUBE_STATE, CADVISOR = Family.COST_MODEL, Family.KUBE_STATE, Family.CADVISOR
AROUND = [(-24.0, 0.0), (8.0, 32.0)]
"""The days around the eight hours that tests ask for."""

CLUSTERS: dict[str, list[Written]] = {
    "whole": families((-24, 32)),
    "half": families((-24, 4), (8, 32)),
    "short gaps": families((-24, 2), (2.2, 4), (4.5, 32)),
    "late sample": [
        replace(one, samples=[*one.samples, (S + 8 * 3600, 1.0)]) for one in families((-24, 6))
    ],
    "without kube-state-metrics": [
        *(family(of, (-24, 32)) for of in (COST_MODEL, CADVISOR)),
        family(KUBE_STATE, (-24, 2), (5, 32)),
    ],
    "without cAdvisor": [*(family(of, (-24, 32)) for of in (COST_MODEL, KUBE_STATE)), family(CADVISOR, *AROUND)],
    "two exporters": [
        *families((-24, 32)),
        family(KUBE_STATE, (-24, 1), job="opencost"),
    ],
    "costs only": [family(COST_MODEL, (-24, 32))],
    "other namespaces": [
        family(COST_MODEL, (-24, 32)),
        *(family(of, (-24, 3)) for of in (KUBE_STATE, CADVISOR)),
        *(family(of, (2, 6), (7, 32), namespace="shop") for of in (KUBE_STATE, CADVISOR)),
    ],
    "node's own": [*(family(of, (-24, 32)) for of in (COST_MODEL, KUBE_STATE)), family(CADVISOR, (0, 8), container="")],
    "young": [family(COST_MODEL, (3, 32)), family(KUBE_STATE, (4, 32)), family(CADVISOR, (3, 32))],
    "another label": [
        family(COST_MODEL, (-24, 32)),
        *relabelled([family(KUBE_STATE, (-24, 32)), family(CADVISOR, (-24, 32))], cluster="prod"),
        *relabelled([family(KUBE_STATE, (-24, 32))], cluster="dev"),
    ],
}  # fmt: skip


def of_tenants() -> Iterator[Written]:
    for tenant, series in CLUSTERS.items():
        yield from relabelled(series, tenant_id=tenant)


@pytest.fixture(scope="module", params=["prometheus", "victoria-metrics"])
def url(request: pytest.FixtureRequest, victoria_metrics: VictoriaMetrics) -> Iterator[str]:
    """A server that has the metrics of all these clusters."""
    if request.param == "prometheus":
        server = Prometheus(series=of_tenants())
        yield server.url
        server.close()
    else:
        victoria_metrics.load(of_tenants())
        yield victoria_metrics.url


async def read(url: str, selector: Selector, window: Window | None = None) -> Infrastructure:
    async with Transport(Access.parse(url), Limits(attempts=1)) as transport:
        return await PrometheusSource(PrometheusClient(transport), selector).read(window or hours(0, 8))


def span(first: float, last: float) -> Window:
    return Window(START + first * HOUR, START + last * HOUR)


Missing = dict[Family, list[tuple[float, float]]]


def all_miss(*spans: tuple[float, float]) -> Missing:
    return {of: [*spans] for of in Family}


@pytest.mark.parametrize(
    ("cluster", "missing"),
    [
        ("whole", all_miss()),
        ("half", all_miss((4, 8))),
        ("short gaps", all_miss((4, 4.5))),
        ("late sample", all_miss((6, 8))),
        ("without kube-state-metrics", {**all_miss(), KUBE_STATE: [(2, 5)]}),
        ("without cAdvisor", {**all_miss(), CADVISOR: [(0, 8)]}),
        ("two exporters", all_miss()),
        ("costs only", {COST_MODEL: []}),
        ("other namespaces", {COST_MODEL: [], KUBE_STATE: [(6, 7)], CADVISOR: [(6, 7)]}),
        ("node's own", {COST_MODEL: [], KUBE_STATE: []}),
        ("young", {COST_MODEL: [], KUBE_STATE: [(3, 4)], CADVISOR: []}),
        ("another label", {COST_MODEL: [], CADVISOR: []}),
    ],
)
async def test_hours_without_samples_are_missing(url: str, cluster: str, missing: Missing) -> None:
    found = await read(url, Selector(tenant=cluster))
    assert {of: found.missing(of) for of in found.present} == {
        of: tuple(span(*gap) for gap in gaps) for of, gaps in missing.items()
    }
    assert found.since == (span(3, 8).start if cluster == "young" else None)


@pytest.mark.parametrize("cluster", ["short gaps", "other namespaces", "young", "without cAdvisor"])
async def test_adjacent_windows_agree(url: str, cluster: str) -> None:
    whole = await read(url, Selector(tenant=cluster))
    for first, last in pairwise((0, 4, 5, 8)):
        part = await read(url, Selector(tenant=cluster), hours(first, last))
        assert {of: part.missing(of) for of in Family} == {
            of: whole.within(hours(first, last)).missing(of) for of in Family
        }


async def test_recorded_cluster_misses_nothing(recorded_prometheus: Callable[[str], Prometheus]) -> None:
    found = await read(recorded_prometheus("cygnus").url, Selector(), hours(0, 72))
    assert dict(found.present) == {of: (hours(0, 72),) for of in Family}
