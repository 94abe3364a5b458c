"""The queries for management fee, load balancers and traffic of a clock hour.

The metrics are gauges of prices, except for one counter: the bytes that a pod sent. Gauges are read as sums and numbers
of samples by exporter, because the samples show how a price changed within an hour and how long a load balancer
existed. The counters are by far the most series, so the server adds them up.
Source: OpenCost pkg/costmodel/metrics.go and allocation_helpers.go; Kubecost network-costs for the counter.
"""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum

from kubetally.domain.metrics import EGRESS_BYTES, EGRESS_PRICES, LOAD_BALANCER, MANAGEMENT
from kubetally.sources.prometheus.promql import FIRST_QUARTER, LAST_QUARTER, HourRanges, Selector, named

# Labels of the scrape target. Series that differ only in these are of the same thing. The instance changes when the
# exporter restarts, the others stay. (The labels of the replicas of an HA pair are those of a Selector.)
JOB_LABELS = ("job", "endpoint")
EXPORTER_LABELS = (*JOB_LABELS, "instance")
# Without honor_labels, a scrape writes its own `namespace` and keeps the metric's as `exported_namespace`.
NAMESPACE_LABELS = ("namespace", "exported_namespace")
BALANCER_LABELS = (*NAMESPACE_LABELS, "service_name", "ingress_ip")
CLASS_LABELS = ("internet", "same_zone", "sameZone", "same_region", "sameRegion")
"""Where bytes went; before 2024 the counter had sameZone and sameRegion."""
OTHER_CLUSTER_LABELS = ("cluster", "cluster_name", "k8s_cluster")
"""Labels that other set-ups use for the cluster."""
_NAMESPACE = "kubetally_namespace"
_FLOW_LABELS = (_NAMESPACE, "pod_name", *CLASS_LABELS)


class Is(StrEnum):
    """The label `is` of a series: what it measures."""

    FEE = "fee"
    BALANCER = "balancer"
    INTERNET = "internet"
    REGION = "region"
    ZONE = "zone"
    CLUSTERS = "clusters"
    SPACING = "spacing"
    SENT = "sent"
    DOUBLED = "doubled"
    BEGINS = "begins"
    ENDS = "ends"


SAMPLES = "_samples"
"""Suffix of `Is` in the series with the number of samples of a price."""


def prices_query(selector: Selector, ranges: HourRanges) -> str:
    """For an hour, by exporter and replica: sums and numbers of samples of every price.

    Also the clusters of the series by `OTHER_CLUSTER_LABELS`.
    """
    scraped, samples = (*EXPORTER_LABELS, *selector.replica_labels), ranges.samples
    metrics = {Is.FEE: MANAGEMENT, **{Is(name): metric for name, metric in EGRESS_PRICES.items()}}

    def price(kind: Is, metric: str, *labels: str) -> list[str]:
        selected, by = f"{selector.of(metric)}{samples}", _by(selector, *scraped, *labels)
        return [
            named(f"sum {by} (sum_over_time({selected}))", name=kind),
            named(f"sum {by} (count_over_time({selected}))", name=kind + SAMPLES),
        ]

    parts = [part for kind, metric in metrics.items() for part in price(kind, metric)]
    parts += price(Is.BALANCER, LOAD_BALANCER, *BALANCER_LABELS)
    seen = " or ".join(
        f"count_over_time({selector.of(metric)}{samples})" for metric in (*metrics.values(), LOAD_BALANCER)
    )
    return " or ".join([*parts, named(f"group {_by(selector, *OTHER_CLUSTER_LABELS)} ({seen})", name=Is.CLUSTERS)])


def bytes_query(selector: Selector, ranges: HourRanges) -> str:
    """For an hour: the bytes that all pods sent, by class, and whether they are right.

    They are too many if two exporters export a flow, too few without a scrape at the start and end of the hour.
    """
    counter = selector.of(EGRESS_BYTES)
    exporters = f"count {_by(selector, *_flow_and_exporter())} (last_over_time({counter}{ranges.samples}))"
    doubled = f"count {_by(selector, *_FLOW_LABELS)} ({_one_namespace(exporters)}) > 1"
    return " or ".join(
        [
            named(f"sum {_by(selector, *CLASS_LABELS)} ({_increase(selector, ranges)})", name=Is.SENT),
            named(f"count {_by(selector)} ({doubled})", name=Is.DOUBLED),
            named(f"group {_by(selector)} (last_over_time({counter}{FIRST_QUARTER}))", name=Is.BEGINS),
            named(f"group {_by(selector)} (last_over_time({counter}{LAST_QUARTER}))", name=Is.ENDS),
        ]
    )


def spacing_query(selector: Selector, ranges: HourRanges) -> str:
    """For an hour: samples of its fullest quarter, of the job that scrapes the counter least often."""
    count = f"count_over_time({selector.of(EGRESS_BYTES)}{LAST_QUARTER})"
    fullest = f"max_over_time(max {_by(selector, *JOB_LABELS)} ({count}){ranges.quarters})"
    return named(f"min {_by(selector)} ({fullest})", name=Is.SPACING)


def bytes_once_query(selector: Selector, ranges: HourRanges, lookback: timedelta) -> str:
    """The bytes of `bytes_query` without those counted twice; it takes several times as long.

    Two exporters of one flow count it twice if both run at the same time; otherwise it moved (its pod to another node,
    the exporter to another address). So their increases are added up and divided by the number that runs at a time,
    taken at four times in the hour. The result is at least what one exporter counted.

    lookback: how old a sample may be for its series to count as present.
    """
    flow, counter = _by(selector, *_FLOW_LABELS), selector.of(EGRESS_BYTES)
    by_exporter = _by(selector, *_flow_and_exporter())
    increase = _one_namespace(f"sum {by_exporter} ({_increase(selector, ranges)})")
    present = f"count {by_exporter} (last_over_time({counter}[{round(lookback.total_seconds())}s] offset 1ms))"
    at_a_time = f"avg_over_time(count {flow} ({_one_namespace(present)}){ranges.quarters})"
    most = f"max {flow} ({increase})"
    once = f"(sum {flow} ({increase}) / {at_a_time} > {most} or {most})"
    return named(f"sum {_by(selector, *CLASS_LABELS)} {once}", name=Is.SENT)


def _increase(selector: Selector, ranges: HourRanges) -> str:
    """The increase of each counter, of the replica with the largest: the others missed a part."""
    increase = f"increase({selector.of(EGRESS_BYTES)}{ranges.samples})"
    return f"max without ({','.join(selector.replica_labels)}) ({increase})" if selector.replica_labels else increase


def copies_query(selector: Selector, ranges: HourRanges) -> str:
    """For an hour: how many exporters export the same thing, at most, for each metric of `NEEDED`.

    The least of four times counts: a thing that moved is exported twice at one of them only.
    """
    return " or ".join(named(_copies(selector, ranges, name, labels), name=name) for name, labels in NEEDED.items())


def price_series_query(selector: Selector) -> str:
    """For a day: the number of series of all prices."""
    metrics = (MANAGEMENT, LOAD_BALANCER, *EGRESS_PRICES.values())
    return f"count(last_over_time({selector.of_any(metrics)}[1d]))"


def _copies(selector: Selector, ranges: HourRanges, metric: str, labels: tuple[str, ...]) -> str:
    latest = f"last_over_time({selector.of(metric)}{LAST_QUARTER})"
    exporters = f"count {_by(selector, *NAMESPACE_LABELS, *labels, *EXPORTER_LABELS)} ({latest})"
    of_one = f"count {_by(selector, _NAMESPACE, *labels)} ({_one_namespace(exporters)})"
    return f"max(min_over_time({of_one}{ranges.quarters}))"


NEEDED: Mapping[str, tuple[str, ...]] = {
    MANAGEMENT: (),
    LOAD_BALANCER: ("service_name", "ingress_ip"),
    EGRESS_BYTES: ("pod_name", *CLASS_LABELS),
    **dict.fromkeys(EGRESS_PRICES.values(), ()),
}
"""Each needed metric with the labels that identify its subject, besides cluster and namespace."""


def _by(selector: Selector, *labels: str) -> str:
    return f"by ({','.join((*selector.account_labels, *labels))})"


def _flow_and_exporter() -> tuple[str, ...]:
    return (*NAMESPACE_LABELS, "pod_name", *CLASS_LABELS, *EXPORTER_LABELS)


def _one_namespace(expression: str) -> str:
    """`expression`, its series labelled with the namespace of the metric, not of the scrape."""
    marked = f'label_replace({expression}, "{_NAMESPACE}", "$1", "namespace", "(.*)")'
    return f'label_replace({marked}, "{_NAMESPACE}", "$1", "exported_namespace", "(.+)")'
