"""The metrics of cost exporters that are read, and what each measures: the one home of their names.

Source: OpenCost pkg/costmodel/metrics.go for the prices; Kubecost network-costs for the counter.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from kubetally.domain.component import NetworkClasses

MANAGEMENT = "kubecost_cluster_management_cost"
"""The cluster's fee: a price per hour."""
LOAD_BALANCER = "kubecost_load_balancer_cost"
"""A load balancer: a price per hour."""
EGRESS_BYTES = "kubecost_pod_network_egress_bytes_total"
"""Bytes that a pod sent: a counter."""
EGRESS_PRICES: Mapping[str, str] = MappingProxyType(
    {name: f"kubecost_network_{name}_egress_cost" for name in NetworkClasses._fields}
)
"""Prices per GiB sent, by the class of the traffic."""
ALL_EGRESS_PRICES = "kubecost_network_..._egress_cost"
"""How the prices of all classes are named together in words."""
INFRASTRUCTURE: Mapping[str, str] = MappingProxyType(
    {
        "management": MANAGEMENT,
        "load_balancer": LOAD_BALANCER,
        **{f"network_{name}": metric for name, metric in EGRESS_PRICES.items()},
    }
)
"""The five prices that the first generation of the API showed, by what it called them."""
CPU_SAVINGS = "kubecost_savings_cpu_allocation"
"""Cores that could be saved, not money."""
RAM_SAVINGS = "kubecost_savings_memory_allocation_bytes"
"""Bytes that could be saved, not money."""


class Family(StrEnum):
    """Metrics that a cost source computes from; without one of them its figures are wrong, and it does not say so."""

    COST_MODEL = "cost_model"
    KUBE_STATE = "kube_state"
    CADVISOR = "cadvisor"


FAMILY_METRICS: Mapping[Family, tuple[str, ...]] = MappingProxyType(
    {
        Family.COST_MODEL: ("node_total_hourly_cost", "node_cpu_hourly_cost"),
        # OpenCost exports these too unless told not to, and computes from either.
        Family.KUBE_STATE: ("kube_pod_container_status_running",),
        Family.CADVISOR: ("container_cpu_usage_seconds_total",),
    }
)
"""The metrics whose samples show that a family was scraped."""
