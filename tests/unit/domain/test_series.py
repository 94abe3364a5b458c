"""The old sums, held against what they were seen to come to; and which metrics may be asked for."""

import pytest

from kubetally.domain.metrics import INFRASTRUCTURE
from kubetally.domain.series import (
    LegacySums,
    SeriesPoint,
    legacy_sum,
    metric_names,
)
from tests.errors import raises_code
from tests.unit.domain.clusters import micros

PRICES = {
    "management": 0.10,
    "load_balancer": 0.0239,
    "network_internet": 0.143,
    "network_region": 0.01,
    "network_zone": 0.01,
}


def points(count: int, **prices: float) -> dict[str, list[SeriesPoint]]:
    return {
        INFRASTRUCTURE[name]: [SeriesPoint(3600 * hour, price, {}) for hour in range(count)]
        for name, price in prices.items()
    }


def test_a_week_with_104_samples_is_what_it_was_seen_to_be() -> None:
    sums = legacy_sum(points(104, **PRICES))
    assert sums == LegacySums(micros("10.40"), micros("2.4856"), micros("14.872"), micros("1.04"), micros("1.04"))
    assert (sums.network, sums.total) == (micros("16.952"), micros("29.8376"))


def test_both_ends_of_an_hour_made_it_two() -> None:
    sums = legacy_sum(points(2, **PRICES))
    assert (sums.management, sums.total) == (micros("0.20"), micros("0.5738"))


def test_every_series_was_added_up_duplicates_too() -> None:
    metric = INFRASTRUCTURE["load_balancer"]
    twice = [SeriesPoint(0, 0.0239, {"ingress_ip": ip}) for ip in ("a", "b")]
    assert legacy_sum({metric: twice}).load_balancer == micros("0.0478")


def test_a_metric_without_a_sample_is_unknown_and_adds_nothing() -> None:
    sums = legacy_sum(points(3, management=0.10))
    assert (sums.management, sums.load_balancer, sums.network, sums.total) == (300_000, None, None, 300_000)
    assert (legacy_sum({}).total, legacy_sum(points(1, management=0.0)).total) == (None, 0)


def test_metrics_default_to_those_of_infrastructure_cost() -> None:
    assert (
        metric_names(None)
        == metric_names(" , ")
        == (
            "kubecost_cluster_management_cost",
            "kubecost_load_balancer_cost",
            "kubecost_network_internet_egress_cost",
            "kubecost_network_region_egress_cost",
            "kubecost_network_zone_egress_cost",
        )
    )
    assert metric_names("kubecost_b, cloudtuner_kubecost_a,kubecost_b") == ("kubecost_b", "cloudtuner_kubecost_a")


@pytest.mark.parametrize(
    "name", ["up", "node_total_hourly_cost", 'kubecost_a"}', "kubecost_é", "kubecost_a{}", "kubecost_"]
)
def test_other_metrics_are_not_offered(name: str) -> None:
    with raises_code("metric_not_offered"):
        metric_names(f"kubecost_a,{name}")


def test_nobody_asks_for_hundreds() -> None:
    with raises_code("metric_not_offered"):
        metric_names(",".join(f"kubecost_{number}" for number in range(51)))
