"""The names of the metrics, which exporters fix and nobody here may change."""

from kubetally.domain.metrics import CPU_SAVINGS, EGRESS_BYTES, EGRESS_PRICES, INFRASTRUCTURE, RAM_SAVINGS
from kubetally.domain.series import LegacySums


def test_five_prices_have_the_names_of_the_exporters() -> None:
    assert dict(INFRASTRUCTURE) == {
        "management": "kubecost_cluster_management_cost",
        "load_balancer": "kubecost_load_balancer_cost",
        "network_internet": "kubecost_network_internet_egress_cost",
        "network_region": "kubecost_network_region_egress_cost",
        "network_zone": "kubecost_network_zone_egress_cost",
    }
    assert tuple(INFRASTRUCTURE) == LegacySums._fields


def test_every_class_of_traffic_has_a_price_beside_the_counter() -> None:
    assert tuple(EGRESS_PRICES) == ("internet", "region", "zone")
    assert set(EGRESS_PRICES.values()) < set(INFRASTRUCTURE.values())
    assert EGRESS_BYTES == "kubecost_pod_network_egress_bytes_total"


def test_savings_are_cores_and_bytes() -> None:
    assert CPU_SAVINGS == "kubecost_savings_cpu_allocation"
    assert RAM_SAVINGS == "kubecost_savings_memory_allocation_bytes"
