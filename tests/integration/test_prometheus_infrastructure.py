"""Fee, balancers and traffic as real Prometheus servers tell them, held against what truly happened."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from kubetally.domain.component import Component, NetworkClasses
from kubetally.domain.infrastructure import BYTES_PER_GIB, Infrastructure
from kubetally.domain.issues import IssueKind
from kubetally.domain.metrics import MANAGEMENT
from kubetally.domain.window import DAY, Window
from kubetally.sources.access import Access
from kubetally.sources.prometheus.client import PrometheusClient
from kubetally.sources.prometheus.promql import Selector
from kubetally.sources.prometheus.source import PrometheusSource
from kubetally.sources.transport import Limits, Transport
from tests.errors import raises_code
from tests.integration.metrics_servers import Prometheus, VictoriaMetrics, Written, exported
from tests.integration.written_metrics import START, S, balancer, gauge, hours, prices, relabelled, sent
from tests.recordings import Recording
from tests.unit.domain.clusters import micros

THREE_DAYS = Window(START, START + 3 * DAY)
RecordedPrometheus = Callable[[str], Prometheus]
PrometheusWith = Callable[..., Prometheus]
KINDS = ("prometheus", "victoria-metrics")


@asynccontextmanager
async def infrastructure_of(url: str, selector: Selector | None = None) -> AsyncIterator[PrometheusSource]:
    async with Transport(Access.parse(url), Limits(attempts=1)) as transport:
        yield PrometheusSource(PrometheusClient(transport), selector)


async def read(url: str, window: Window = THREE_DAYS, selector: Selector | None = None) -> Infrastructure:
    async with infrastructure_of(url, selector) as source:
        return await source.read(window)


def truth_of(name: str) -> tuple[float, float, dict[str, float]]:
    """Fee, balancers and traffic by class over the three days, in the currency."""
    truth: dict[str, Any] = Recording(name).truth()
    end = S + 3 * 86400
    balancers = sum(
        one["price_hour"] * (min(one["end"], end) - max(one["start"], S)) / 3600 for one in truth["balancers"]
    )
    sent = dict.fromkeys(("internet", "region", "zone"), 0.0)
    for pod in truth["pods"]:
        for day in pod["egress_bytes"]:
            for name_of_class in sent:
                sent[name_of_class] += day.get(name_of_class, 0.0)
    prices = truth["egress_price"]
    network = {one: amount / BYTES_PER_GIB * prices[one] for one, amount in sent.items()}
    return 72 * truth["management_hourly"], balancers, network


def assert_true(found: Infrastructure, name: str) -> None:
    fee, balancers, network = truth_of(name)
    assert found.network is not None
    assert found.management == micros(fee)
    assert found.load_balancer == pytest.approx(micros(balancers), rel=0.005)
    for one, amount in network.items():
        assert getattr(found.network, one) == pytest.approx(micros(amount), rel=0.005), one
    assert found.issues == ()


@pytest.fixture(params=KINDS)
def recorded_url(
    request: pytest.FixtureRequest, recorded_prometheus: RecordedPrometheus, victoria_metrics: VictoriaMetrics
) -> Callable[[str], str]:
    """The address of a server that has a recorded cluster's metrics; with VictoriaMetrics, as a tenant of that name."""

    def get(name: str) -> str:
        url = recorded_prometheus(name).url
        if request.param == "prometheus":
            return url
        series = exported(url, '{__name__=~"kubecost_.*_cost|kubecost_pod_network_egress.*"}', S - 300, S + 3 * 86400)
        victoria_metrics.load(series)
        return victoria_metrics.url

    return get


# ------------------------------------------------------------------------------------------------ the truth


@pytest.mark.parametrize("name", ["cygnus", "aurora"])
async def test_figures_are_what_truly_happened(name: str, recorded_url: Callable[[str], str]) -> None:
    assert_true(await read(recorded_url(name), selector=Selector(cluster_id=name)), name)


@pytest.mark.parametrize("cuts", [[24, 48], [7, 8, 37, 38, 39]])
async def test_adjacent_windows_add_up_to_the_micro(cuts: list[int], recorded_url: Callable[[str], str]) -> None:
    async with infrastructure_of(recorded_url("aurora"), Selector(cluster_id="aurora")) as source:
        whole = await source.read(THREE_DAYS)
        parts = [await source.read(hours(first, last)) for first, last in pairwise([0, *cuts, 72])]
    assert sum(part.management or 0 for part in parts) == whole.management
    assert sum(part.load_balancer or 0 for part in parts) == whole.load_balancer
    assert NetworkClasses.sum(part.network for part in parts if part.network) == whole.network
    assert [hour for part in parts for hour in part.hours] == list(whole.hours)


async def test_hour_with_a_gap_keeps_fee_and_load_balancers(recorded_url: Callable[[str], str]) -> None:
    (hour,) = (await read(recorded_url("aurora"), hours(37, 38), Selector(cluster_id="aurora"))).hours
    assert (hour.management, hour.load_balancer) == (100_000, 45_000)


async def test_the_probe_tells_servers_apart_and_is_asked_once(
    recorded_prometheus: RecordedPrometheus, victoria_metrics: VictoriaMetrics
) -> None:
    for url, is_left_open in ((recorded_prometheus("cygnus").url, False), (victoria_metrics.url, True)):
        async with infrastructure_of(url) as source:
            assert await source.client.is_left_open(START + timedelta(seconds=17)) is is_left_open
            assert await source.client.is_left_open(START) is is_left_open
            assert source.client.questions == 1


async def test_days_take_five_queries_and_gaps_two_more(
    recorded_prometheus: RecordedPrometheus,
) -> None:
    async with infrastructure_of(recorded_prometheus("cygnus").url) as source:
        await source.read(THREE_DAYS)
        assert source.client.questions == 5
        await source.read(Window(START - 4 * DAY, START + 3 * DAY))
        assert source.client.questions == 5 + 5 + 2, "bytes twice, and two where samples are missing"


# ------------------------------------------------------------------------------------------------ small clusters

_numbers = iter(range(1_000_000))


@pytest.fixture(params=KINDS)
def holding(
    request: pytest.FixtureRequest, prometheus_with: PrometheusWith, victoria_metrics: VictoriaMetrics
) -> Callable[..., tuple[str, Selector]]:
    """A server that holds the series a test writes, and the selector of them."""

    def get(*series: Written, cluster_id: str | None = None) -> tuple[str, Selector]:
        tenant = f"tenant-{next(_numbers)}"
        of_tenant = [replace(one, labels={"tenant_id": tenant, **one.labels}) for one in series]
        if request.param == "prometheus":
            return prometheus_with(*of_tenant).url, Selector(tenant, cluster_id)
        victoria_metrics.load(of_tenant)
        return victoria_metrics.url, Selector(tenant, cluster_id)

    return get


Held = Callable[..., tuple[str, Selector]]


async def found_in(held: tuple[str, Selector], window: Window | None = None) -> Infrastructure:
    return await read(held[0], window or hours(0, 4), held[1])


async def test_a_sample_on_the_hour_belongs_to_the_hour_that_begins(holding: Held) -> None:
    held = holding(gauge(MANAGEMENT, 0.10, 0, 3, step=3600))
    assert (await found_in(held, hours(0, 3))).management == 300_000
    assert (await found_in(held, hours(-1, 0))).management is None
    assert (await found_in(held, hours(2, 4))).management == 100_000


async def test_fee_accrues_per_sampled_hour_and_gaps_are_reported(holding: Held) -> None:
    fee = gauge(MANAGEMENT, 0.10)
    gappy = replace(fee, samples=[sample for sample in fee.samples if not 0.9 <= (sample[0] - S) / 3600 < 3.2])
    found = await found_in(holding(gappy))
    assert found.management == 200_000
    (issue,) = found.issues
    assert (issue.kind, issue.subject) == (IssueKind.WINDOW_WITHOUT_DATA, Component.MANAGEMENT)
    assert issue.window == hours(1, 3)


async def test_two_exporters_of_the_same_things_count_once(holding: Held) -> None:
    one = [gauge(MANAGEMENT, 0.10), balancer(), *prices(), sent(1.0), sent(0.5, internet="true")]
    other_job = relabelled(one, job="kubernetes-pods", instance="10.0.0.7:9003")
    same_job = relabelled(one, instance="10.0.0.8:9003")
    alone = await found_in(holding(*one))
    assert (alone.management, alone.load_balancer) == (400_000, 100_000)
    assert alone.network is not None
    assert alone.network.region == pytest.approx(micros(4 * 0.02), rel=0.02)
    assert alone.network.internet == pytest.approx(micros(2 * 0.09), rel=0.02)
    for duplicates in (other_job, same_job, [*other_job, *same_job]):
        twice = await found_in(holding(*one, *duplicates))
        assert (twice.management, twice.load_balancer) == (alone.management, alone.load_balancer)
        assert twice.network == pytest.approx(alone.network, abs=2)


async def test_a_second_exporter_that_runs_for_a_while_counts_once_too(holding: Held) -> None:
    one = [*prices(), sent(1.0)]
    url, selector = holding(*one, *relabelled([sent(1.0, first=1.0, last=2.5)], job="other"))
    async with infrastructure_of(url, selector) as source:
        found = await source.read(hours(0, 4))
        assert source.client.questions == 5 + 2, "the hours that have it twice are asked once more"
        parts = [await source.read(hours(hour, hour + 1)) for hour in range(4)]
    assert found.network is not None
    assert found.network.region == pytest.approx(micros(4 * 0.02), rel=0.03)
    assert [hour for part in parts for hour in part.hours] == list(found.hours)


async def test_what_moves_to_another_node_is_added_up_and_not_averaged(holding: Held) -> None:
    here = sent(1.0, 0, 1.5, instance="10.0.0.1:3001")
    there = sent(1.0, 1.5, 4, instance="10.0.0.2:3001")
    found = await found_in(holding(*prices(), here, there))
    assert found.network is not None
    assert found.network.region == pytest.approx(micros(4 * 0.02), rel=0.04)


@pytest.mark.parametrize("moved_at", [1.5, 1.35, 1.9])
async def test_what_moves_inside_an_hour_loses_nothing(holding: Held, moved_at: float) -> None:
    one = [sent(1.0, 0, moved_at, instance="10.0.0.1:3001"), sent(1.0, moved_at, 4, instance="10.0.0.2:3001")]
    found = await found_in(holding(*prices(), *one), hours(1, 2))
    assert found.network is not None
    assert found.network.region == pytest.approx(micros(0.02), rel=0.05)


@pytest.mark.parametrize("step", [300.0, 600.0, 900.0])
async def test_exporters_that_are_scraped_rarely_count_once_too(holding: Held, step: float) -> None:
    one = sent(1.0, step=step)
    alone = await found_in(holding(*prices(), one))
    twice = await found_in(holding(*prices(), one, *relabelled([one], job="again", instance="10.0.0.2:3001")))
    assert alone.network is not None
    assert alone.network.region == pytest.approx(micros(4 * 0.02), rel=0.30), "samples that far apart lose something"
    assert twice.network == pytest.approx(alone.network, abs=2)


async def test_second_exporter_within_an_hour_counts_once(holding: Held) -> None:
    short = sent(1.0, first=1.2, last=1.8, job="again")
    found = await found_in(holding(*prices(), sent(1.0), short))
    assert found.network is not None
    assert found.network.region == pytest.approx(micros(4 * 0.02), rel=0.05)


async def test_exporters_that_do_not_honor_labels_show_the_same_things(holding: Held) -> None:
    one = [gauge(MANAGEMENT, 0.10), balancer(), *prices(), sent(1.0, service="web")]
    of_scrape = {"namespace": "monitoring", "service": "network-costs", "job": "again", "instance": "10.0.0.7:9003"}
    again = relabelled(one[:1] + one[2:5], **of_scrape)
    again += relabelled([one[1], one[5]], exported_namespace="shop", **of_scrape)
    alone, twice = await found_in(holding(*one)), await found_in(holding(*one, *again))
    assert (twice.management, twice.load_balancer) == (alone.management, alone.load_balancer) == (400_000, 100_000)
    assert twice.network == pytest.approx(alone.network, abs=2)


async def test_pods_of_one_name_in_several_namespaces_all_count(holding: Held) -> None:
    nodes = [sent(1.0, namespace=f"shop-{n}", pod_name="web-0", instance=f"10.0.0.{n}:3001") for n in range(3)]
    found = await found_in(holding(*prices(), *nodes))
    assert found.network is not None
    assert found.network.region == pytest.approx(micros(3 * 4 * 0.02), rel=0.02)


async def test_flows_that_one_exporter_tells_apart_add_up(holding: Held) -> None:
    flows = [sent(1.0, nat="true"), sent(1.0, nat="false"), sent(1.0, service="s3")]
    found = await found_in(holding(*prices(), *flows, *relabelled(flows, job="again")))
    assert found.network is not None
    assert found.network.region == pytest.approx(micros(3 * 4 * 0.02), rel=0.02)


async def test_traffic_lost_at_the_edge_of_an_hour_is_reported(
    holding: Held,
) -> None:
    def without(first: float, last: float) -> Written:
        whole = sent(1.0)
        return replace(
            whole, samples=[sample for sample in whole.samples if not first <= (sample[0] - S) / 3600 < last]
        )

    inside = await found_in(holding(*prices(), without(1.1, 1.8)))
    assert inside.network is not None
    assert inside.network.region == pytest.approx(micros(4 * 0.02), rel=0.02)
    assert inside.issues == ()
    across = await found_in(holding(*prices(), without(1.6, 2.4)))
    (issue,) = across.issues
    assert (issue.kind, issue.subject, issue.window) == (
        IssueKind.WINDOW_WITHOUT_DATA,
        Component.NETWORK,
        hours(1, 3),
    )


@pytest.mark.parametrize(("silent_from", "until"), [(1.33, 1.92), (1.83, 2.17)])
async def test_a_replica_that_was_away_for_a_while_changes_nothing(
    holding: Held, silent_from: float, until: float
) -> None:
    whole = sent(6.0, instance="10.0.0.1:3001", prometheus_replica="a")
    kept = [sample for sample in whole.samples if not silent_from <= (sample[0] - S) / 3600 < until]
    gappy = replace(whole, samples=kept, labels={**whole.labels, "prometheus_replica": "b"})
    found = await found_in(holding(*prices(), whole, gappy))
    # A VictoriaMetrics takes the growth since the last sample, in whichever hour that was.
    rel = 0.02 if until < 2 else 0.17
    amounts = [hour.network.region for hour in found.hours if hour.network]
    assert amounts == pytest.approx([micros(6 * 0.02)] * 4, rel=rel)


async def test_replicas_are_told_by_the_labels_that_are_set(holding: Held) -> None:
    one = [gauge(MANAGEMENT, 0.10), balancer(last=1.5), *prices(), sent(1.0)]
    url, selector = holding(*relabelled(one, watcher="a"), *relabelled(one, watcher="b"))
    found = await read(url, hours(0, 4), replace(selector, replica_labels=("watcher",)))
    assert (found.management, found.load_balancer) == (400_000, 37_500)
    assert found.network is not None
    assert found.network.region == pytest.approx(micros(4 * 0.02), rel=0.02)
    unset = await read(url, hours(0, 4), selector)
    assert (unset.management, unset.load_balancer) == (400_000, 37_500)


async def test_adjacent_windows_add_up_with_double_late_exporters(holding: Held) -> None:
    here, there = {"instance": "10.0.0.1:3001"}, {"instance": "10.0.0.2:3001"}
    one = [sent(6.0, 0, 2.5, **here), sent(6.0, 2.5, 4, **there)]
    again = [sent(6.0, 0.97, 2.5, **here, job="again"), sent(6.0, 2.5, 4, **there, job="again")]
    url, selector = holding(*prices(), *one, *again)
    whole = await read(url, hours(0, 4), selector)
    parts = [await read(url, hours(first, last), selector) for first, last in ((0, 1), (1, 3), (3, 4))]
    assert [hour for part in parts for hour in part.hours] == list(whole.hours)
    amounts = [hour.network.region for hour in whole.hours if hour.network]
    assert amounts == pytest.approx([micros(6 * 0.02)] * 4, rel=0.06)


async def test_what_lives_between_two_looks_counts_once(holding: Held) -> None:
    short = sent(6.0, first=1.03, last=1.2)
    found = await found_in(holding(*prices(), short, *relabelled([short], job="again")), hours(1, 2))
    assert found.network is not None
    assert found.network.region == pytest.approx(micros(1.0 * 0.02), rel=0.15)


async def test_flow_without_destination_is_reported_not_counted(holding: Held) -> None:
    bare = without_empty(sent(1.0, internet="", same_zone="", same_region=""))
    found = await found_in(holding(*prices(), bare, sent(0.5, pod_name="other")))
    assert found.network is not None
    assert found.network.region == pytest.approx(micros(2 * 0.02), rel=0.02)
    (issue,) = found.issues
    assert "do not say where they went" in issue.message
    assert (await found_in(holding(*prices(), bare))).network is None


async def test_an_idle_class_does_not_stand_for_one_without_a_price(holding: Held) -> None:
    found = await found_in(holding(sent(1.0, internet="true"), sent(0.0), *prices()[1:]))
    assert found.network is None
    assert {issue.kind for issue in found.issues} == {IssueKind.NETWORK_UNPRICED}


async def test_a_sample_that_is_no_number_makes_nothing_free(prometheus_with: PrometheusWith) -> None:
    def with_nan(one: Written) -> Written:
        at = S + 1.5 * 3600
        return replace(one, samples=[(when, float("nan") if when == at else value) for when, value in one.samples])

    url = prometheus_with(with_nan(gauge(MANAGEMENT, 0.10)), with_nan(balancer())).url
    found = await read(url, hours(0, 4))
    assert (found.management, found.load_balancer) == (300_000, 75_000)
    kinds = {(issue.kind, issue.subject, issue.window) for issue in found.issues}
    assert (IssueKind.WINDOW_WITHOUT_DATA, Component.MANAGEMENT, hours(1, 2)) in kinds
    assert (IssueKind.FIGURE_MISSING, Component.LOAD_BALANCER, hours(1, 2)) in kinds


async def test_a_counter_that_starts_again_loses_nothing(holding: Held) -> None:
    steady = sent(1.0)
    at_reset = next(value for at, value in steady.samples if at >= S + 1.5 * 3600)
    reset = [(at, value if at < S + 1.5 * 3600 else value - at_reset) for at, value in steady.samples]
    found = await found_in(holding(*prices(), replace(steady, samples=reset)))
    assert found.network is not None
    assert found.network.region == pytest.approx(micros(4 * 0.02), rel=0.02)


async def test_both_spellings_of_a_class_count_and_same_zone_is_free(holding: Held) -> None:
    zone = sent(1.0, same_region="true", pod_name="zone")
    older = {"same_zone": "", "same_region": "", "sameZone": "false"}
    series = [
        sent(1.0, internet="true", pod_name="internet"),
        sent(1.0, pod_name="region"),
        zone,
        sent(1.0, **older, sameRegion="true", pod_name="older zone"),
        sent(1.0, **older, sameRegion="false", pod_name="older region"),
        sent(9.0, same_zone="true", same_region="true", pod_name="free"),
        sent(9.0, **(older | {"sameZone": "true"}), sameRegion="true", pod_name="older free"),
    ]
    found = await found_in(holding(*prices(), *(without_empty(one) for one in series)))
    assert found.network_bytes is not None
    per_class = [amount / BYTES_PER_GIB / 4 for amount in found.network_bytes]
    assert per_class == pytest.approx([1, 2, 2], rel=0.02)
    assert found.network == pytest.approx(tuple(micros(4 * one) for one in (0.09, 0.04, 0.02)), rel=0.02)


def without_empty(one: Written) -> Written:
    return replace(one, labels={label: value for label, value in one.labels.items() if value})


async def test_load_balancer_costs_for_its_part_of_the_hour(holding: Held) -> None:
    half = balancer(first=0.5, last=2.25, service_name="api", ingress_ip="203.0.113.2")
    found = await found_in(holding(gauge(MANAGEMENT, 0.10), balancer(), half))
    assert [hour.load_balancer for hour in found.hours] == [37_500, 50_000, 31_250, 25_000]


async def test_load_balancer_with_a_new_address_counts_once_at_a_time(holding: Held) -> None:
    found = await found_in(
        holding(gauge(MANAGEMENT, 0.10), balancer(last=1.5), balancer(first=1.5, ingress_ip="203.0.113.9"))
    )
    assert found.load_balancer == 100_000
    assert [len(hour.load_balancers) for hour in found.hours] == [1, 2, 1, 1]
    assert {one.address for hour in found.hours for one in hour.load_balancers} == {"203.0.113.1", "203.0.113.9"}
    assert [hour.load_balancer_costs() for hour in found.hours] == [{"shop/web": 25_000}] * 4


async def test_share_of_a_load_balancer_counts_its_jobs_scrapes(holding: Held) -> None:
    slow = {"job": "slow", "instance": "10.0.0.2:9003"}
    two = [gauge(MANAGEMENT, 0.10), balancer(last=0.5), gauge(MANAGEMENT, 0.10, step=300.0, **slow)]
    two += relabelled([replace(balancer(), samples=gauge("", 0.025, last=0.5, step=300.0).samples)], **slow)
    assert (await found_in(holding(*two), hours(0, 1))).load_balancer == 12_500
    blind = [gauge(MANAGEMENT, 0.10, job="blind"), gauge(MANAGEMENT, 0.10), balancer()]
    assert (await found_in(holding(*blind), hours(0, 1))).load_balancer == 25_000


async def test_restarted_exporter_with_a_new_address_is_the_same(holding: Held) -> None:
    before, after = {"instance": "10.0.0.1:9003"}, {"instance": "10.0.0.2:9003"}
    series = [gauge(MANAGEMENT, 0.10, last=1.4, **before), gauge(MANAGEMENT, 0.20, first=1.4, **after)]
    series += [balancer(last=1.4, **before)]  # gone with the restart
    found = await found_in(holding(*series), hours(1, 2))
    assert (found.management, found.load_balancer) == (160_000, 10_000)


async def test_price_that_changes_inside_an_hour_is_averaged(holding: Held) -> None:
    cheap, dear = balancer(0.02, last=0.25, provider_id="a"), balancer(0.04, first=0.25, provider_id="b")
    found = await found_in(holding(gauge(MANAGEMENT, 0.10), cheap, dear), hours(0, 1))
    assert found.load_balancer == 35_000


async def test_missing_metric_is_unknown_and_zero_is_zero(holding: Held) -> None:
    nothing = await found_in(holding(gauge(MANAGEMENT, 0.10, first=100, last=101)))
    assert (nothing.management, nothing.load_balancer, nothing.network) == (None, None, None)
    assert [issue.kind for issue in nothing.issues] == [IssueKind.NOT_MEASURED]
    free = await found_in(holding(gauge(MANAGEMENT, 0), *prices(), sent(0.0)))
    assert (free.management, free.load_balancer, free.network) == (0, None, NetworkClasses())
    assert free.issues == ()


async def test_unpriced_traffic_class_is_reported_and_others_count(holding: Held) -> None:
    found = await found_in(holding(sent(1.0), sent(1.0, internet="true"), *prices()[1:]))
    assert found.network is not None
    assert (found.network.internet, found.network.zone) == (0, 0)
    assert found.network.region == pytest.approx(micros(4 * 0.02), rel=0.02)
    (issue,) = found.issues
    assert (issue.kind, issue.window, issue.subject) == (IssueKind.FIGURE_MISSING, hours(0, 4), Component.NETWORK)
    assert "GiB of traffic have no price (kubecost_network_internet_egress_cost)" in issue.message


async def test_traffic_without_any_price_is_unknown(holding: Held) -> None:
    found = await found_in(holding(gauge(MANAGEMENT, 0.10), sent(1.0)))
    assert found.network is None
    assert found.network_bytes is not None
    assert {issue.kind for issue in found.issues} == {IssueKind.NETWORK_UNPRICED}


async def test_a_tenant_sees_its_own_whatever_its_name(holding: Held) -> None:
    mine = [gauge(MANAGEMENT, 0.10), sent(1.0), *prices()]
    url, selector = holding(*mine, *relabelled([gauge(MANAGEMENT, 5.0)], tenant_id="x"))
    assert (await read(url, hours(0, 4), selector)).management == 400_000
    odd = 'a"} or vector(1) # \\ {b="é'
    with raises_code("chosen_not_measured"):
        await read(url, hours(0, 4), Selector(odd))


async def test_unknown_tenant_is_an_error_only_beside_others(holding: Held) -> None:
    url, selector = holding(gauge(MANAGEMENT, 0.10, cluster_id="a"))
    with raises_code("chosen_not_measured", match='none with tenant_id="nobody", cluster_id="a": correct --tenant'):
        await read(url, hours(0, 4), Selector("nobody", "a"))
    assert (await read(url, hours(900, 904), selector)).hours == (), "a time before or after its own is no mistake"


async def test_the_label_of_the_tenant_has_the_name_that_is_set(holding: Held) -> None:
    url, selector = holding(gauge(MANAGEMENT, 0.10, account="a.b"), gauge(MANAGEMENT, 3.0, account="axb"))
    assert (await read(url, hours(0, 4), Selector("a.b", tenant_label="account"))).management == 400_000
    assert selector.tenant_label == "tenant_id"


async def test_of_several_clusters_one_has_to_be_chosen(holding: Held) -> None:
    clusters: Mapping[str, float] = {"b": 0.2, "a.c": 0.1, "abc": 0.4}
    url, selector = holding(*(gauge(MANAGEMENT, fee, cluster_id=name) for name, fee in clusters.items()))
    with raises_code("several_clusters_measured") as caught:
        await read(url, hours(0, 4), selector)
    assert "choose one of a.c, abc, b with" in str(caught.value)
    assert (await read(url, hours(0, 4), replace(selector, cluster_id="a.c"))).management == 400_000


async def test_metrics_without_a_cluster_are_of_the_only_one(holding: Held) -> None:
    held = holding(gauge(MANAGEMENT, 0.10, cluster_id="a"), *prices(), sent(1.0), cluster_id="a")
    found = await found_in(held)
    assert found.management == 400_000
    assert found.network is not None


async def test_new_cluster_label_hides_no_earlier_series(holding: Held) -> None:
    def labelled(series: list[Written]) -> list[Written]:
        """From hour 2 on with the cluster's name."""
        at = S + 2 * 3600
        before = [replace(one, samples=[point for point in one.samples if point[0] < at]) for one in series]
        after = [replace(one, samples=[point for point in one.samples if point[0] >= at]) for one in series]
        return [*before, *relabelled(after, cluster_id="a")]

    url, selector = holding(*labelled([gauge(MANAGEMENT, 0.10), balancer(), *prices(), sent(1.0)]), cluster_id="a")
    whole = await read(url, hours(0, 4), selector)
    parts = [await read(url, hours(hour, hour + 1), selector) for hour in range(4)]
    assert (whole.management, whole.load_balancer, len(whole.hours)) == (400_000, 100_000, 4)
    assert [hour for part in parts for hour in part.hours] == list(whole.hours)


async def test_of_several_tenants_one_has_to_be_chosen(holding: Held) -> None:
    mine = [gauge(MANAGEMENT, 0.10, cluster_id="prod"), sent(1.0, cluster_id="prod"), *prices(cluster_id="prod")]
    url, selector = holding(*relabelled(mine, customer="one"), *relabelled(mine, customer="two"))
    unchosen = Selector(cluster_id="prod", tenant_label="customer")
    assert selector.tenant is not None
    with raises_code("several_tenants_measured", match="several tenants: choose one of one, two with --tenant"):
        await read(url, hours(0, 4), unchosen)
    assert (await read(url, hours(0, 4), replace(unchosen, tenant="two"))).management == 400_000


@pytest.mark.parametrize("chosen", [None, "prod"])
async def test_clusters_by_another_label_are_not_added_up(holding: Held, chosen: str | None) -> None:
    both = [one for name in ("prod", "dev") for one in (gauge(MANAGEMENT, 0.1, cluster=name), sent(1.0, cluster=name))]
    with raises_code("clusters_by_another_label", match=r"KUBETALLY_CLUSTER_LABEL=cluster, and choose one"):
        await found_in(holding(*both, cluster_id=chosen))
    url, selector = holding(*both, cluster_id="prod")
    found = await read(url, hours(0, 4), replace(selector, cluster_label="cluster"))
    assert found.management == 400_000
    renamed = [gauge(MANAGEMENT, 0.1, last=2, cluster="old"), gauge(MANAGEMENT, 0.1, first=2, cluster="new")]
    assert (await found_in(holding(*renamed))).management == 400_000


async def test_series_with_the_tenant_label_take_precedence(holding: Held) -> None:
    url, selector = holding(gauge(MANAGEMENT, 0.1, customer="a"), gauge(MANAGEMENT, 5.0))
    chosen = Selector(tenant_label="customer", cluster_label="tenant_id", cluster_id=selector.tenant)
    assert (await read(url, hours(0, 4), chosen)).management == 400_000


async def test_a_window_of_no_length_asks_nothing(recorded_prometheus: RecordedPrometheus) -> None:
    async with infrastructure_of(recorded_prometheus("cygnus").url) as source:
        nothing = await source.read(Window(START, START))
        assert (nothing.hours, source.client.questions) == ((), 0)


async def test_long_windows_are_cut_and_lose_nothing(recorded_prometheus: RecordedPrometheus) -> None:
    wide = Window(START - 40 * DAY, START + 30 * DAY)
    async with infrastructure_of(recorded_prometheus("cygnus").url) as source:
        found = (await source.read(wide)).within(THREE_DAYS)
        assert source.client.questions == 1 + 3 + 18 + (3 + 9 + 3) + 9
        assert found.hours == (await source.read(THREE_DAYS)).hours
