"""The usage of containers that restarted or moved, as a real Prometheus has it, held against what truly happened."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from kubetally.domain.allocation import Allocation, Kind
from kubetally.domain.efficiency import Hours
from kubetally.domain.infrastructure import ContainerKey, Infrastructure
from kubetally.domain.issues import IssueKind
from kubetally.domain.metrics import Family
from kubetally.domain.reading import Reading
from kubetally.domain.usage import correct_usage
from kubetally.domain.window import DAY, HOUR, Window
from kubetally.sources.access import Access
from kubetally.sources.prometheus.client import PrometheusClient
from kubetally.sources.prometheus.promql import Selector
from kubetally.sources.prometheus.source import PrometheusSource
from kubetally.sources.transport import Limits, Transport
from tests.integration.metrics_servers import RECORDED, Prometheus, VictoriaMetrics, Written
from tests.integration.written_metrics import MINUTE, START, every, families, hours, relabelled
from tests.recordings import Recording

GIB = 2**30
WEB = ContainerKey("shop", "web-0", "app")


async def read(url: str, window: Window, selector: Selector | None = None) -> tuple[Infrastructure, int]:
    async with Transport(Access.parse(url), Limits(attempts=1)) as transport:
        client = PrometheusClient(transport)
        return await PrometheusSource(client, selector).read(window), client.questions


# ------------------------------------------------------------------------------------------------ the truth


@pytest.fixture(scope="module")
def aurora() -> Iterator[str]:
    server = Prometheus(RECORDED / "aurora" / "tsdb-usage")
    yield server.url
    server.close()


def truth(day: int) -> dict[ContainerKey, tuple[float, float]]:
    """Core-hours and byte-hours that each container of aurora used on a day."""
    used: dict[ContainerKey, tuple[float, float]] = {}
    pods: list[dict[str, Any]] = Recording("aurora").truth()["pods"]
    for pod in pods:
        for container in pod["containers"]:
            key, of_day = ContainerKey(pod["namespace"], pod["name"], container["name"]), container["days"][day]
            if of_day:
                cpu, ram = used.get(key, (0.0, 0.0))
                used[key] = cpu + of_day["cpu_used"] / 3600, ram + of_day["ram_used"] / 3600
    return used


def row(key: ContainerKey, window: Window, cpu: float, ram: float, minutes: float | None = None) -> Allocation:
    used = Hours(cpu_core_usage_hours=cpu, ram_byte_usage_hours=ram)
    minutes = window.hours * 60 if minutes is None else minutes
    return Allocation(
        Kind.WORKLOAD, window, key.namespace, None, None, key.pod, "n1", key.container, minutes=minutes, hours=used
    )


def corrected(found: Infrastructure, *rows: Allocation) -> Reading:
    return correct_usage(Reading(found.window, rows, None, (found.window,), "USD", "source", infrastructure=found))


# What the recorded OpenCost showed, in core-hours: the average of the lives.
SHOWN = {
    1: {
        ContainerKey("data", "postgres-1", "exporter"): 0.018,
        ContainerKey("data", "postgres-1", "postgres"): 3.518,
        ContainerKey("shop", "redis-0", "redis"): 1.318,
        ContainerKey("data", "postgres-0", "exporter"): 0.048,
    },
    2: {ContainerKey("payments", "api-da508c2b1-0e59e", "api"): 2.628},
}


@pytest.mark.parametrize("day", [0, 1, 2])
async def test_usage_of_every_life_adds_up_to_the_truth(aurora: str, day: int) -> None:
    window = Window(START + day * DAY, START + (day + 1) * DAY)
    found, questions = await read(aurora, window)
    shown = SHOWN.get(day, {})
    assert set(found.usage) == set(shown)
    assert questions == (5, 7, 6)[day], "only containers of several lives are asked for; the second day has a gap"
    mended = corrected(found, *(row(key, window, cpu, 0.0) for key, cpu in shown.items()))
    for changed in mended.allocations:
        cpu, ram = truth(day)[ContainerKey(changed.namespace or "", changed.pod or "", changed.container or "")]
        assert changed.hours.cpu_core_usage_hours == pytest.approx(cpu, rel=0.01)
        assert changed.hours.ram_byte_usage_hours == pytest.approx(ram, rel=0.01)
    assert [issue.kind for issue in mended.issues] == [IssueKind.USAGE_CORRECTED] * bool(shown)


async def test_the_gap_of_a_recorded_day_is_seen_in_every_family(aurora: str) -> None:
    found, _ = await read(aurora, Window(START, START + 3 * DAY))
    gap = Window(START + 37 * HOUR + 5 * HOUR / 60, START + 37 * HOUR + 50 * HOUR / 60)
    assert {of: found.missing(of) for of in found.present} == dict.fromkeys(Family, (gap,))


# ------------------------------------------------------------------------------------------------ written lives


def life(first: float, last: float, cores: float, gib: float, number: int, **labels: str) -> list[Written]:
    """CPU and memory of one life of a container, from one hour to another."""
    of = {"namespace": WEB.namespace, "pod": WEB.pod, "container": WEB.container, "cpu": "total"}
    of |= {"job": "kubelet", "instance": f"10.0.0.{number}", "id": f"/kubepods/pod1/{number}", **labels}
    counter = every(MINUTE, first, last, lambda hour: (hour - first) * 3600 * cores)
    return [
        Written("container_cpu_usage_seconds_total", of, counter),
        Written("container_memory_working_set_bytes", of, every(MINUTE, first, last, gib * GIB)),
    ]


TWO_LIVES = [*life(0, 1.5, 1.0, 4.0, 1), *life(1.5, 4, 2.0, 2.0, 2)]
LIVES: dict[str, list[Written]] = {
    "two lives": TWO_LIVES,
    "one life": life(0, 4, 1.0, 1.0, 1),
    "scraped twice": [*TWO_LIVES, *relabelled(TWO_LIVES, job="again", instance="node-1")],
    "one life scraped twice": [*life(0, 4, 1.0, 1.0, 1), *relabelled(life(0, 4, 1.0, 1.0, 1), instance="again")],
    "without ids": relabelled(TWO_LIVES, id=""),
}


@pytest.fixture(scope="module", params=["prometheus", "victoria-metrics"])
def url(request: pytest.FixtureRequest, victoria_metrics: VictoriaMetrics) -> Iterator[str]:
    series = [
        replace(one, labels={label: value for label, value in {**one.labels, "tenant_id": tenant}.items() if value})
        for tenant, lives in LIVES.items()
        for one in (*families((-1, 5)), *lives)
    ]
    if request.param == "prometheus":
        server = Prometheus(series=series)
        yield server.url
        server.close()
    else:
        victoria_metrics.load(series)
        yield victoria_metrics.url


@pytest.mark.parametrize("cluster", LIVES)
async def test_lives_are_added_up_each_once(url: str, cluster: str) -> None:
    found, _ = await read(url, hours(0, 4), Selector(tenant=cluster))
    if "one life" in cluster:
        assert found.usage == {}
        return
    (changed,) = corrected(found, row(WEB, hours(0, 4), 1.0, GIB)).allocations
    assert changed.hours.cpu_core_usage_hours == pytest.approx(1.5 * 1.0 + 2.5 * 2.0, rel=0.02)
    assert changed.hours.ram_byte_usage_hours == pytest.approx((1.5 * 4.0 + 2.5 * 2.0) * GIB, rel=0.02)


async def test_parts_of_a_window_have_the_usage_of_their_hours(url: str) -> None:
    whole, _ = await read(url, hours(0, 4), Selector(tenant="two lives"))
    part, _ = await read(url, hours(1, 3), Selector(tenant="two lives"))
    assert part.usage == {WEB: whole.within(hours(1, 3)).usage[WEB]}
