"""The queries behind management fee, load balancers and traffic of a clock hour.

All of the metrics are gauges of prices but one: what a pod sent is a counter. Gauges come as sums and numbers of
samples, by exporter, because only the samples tell how a price moved inside an hour and for which part of it a balancer
was there. The counters are by far the most series, so that the server adds them up.
Source: OpenCost pkg/costmodel/metrics.go and allocation_helpers.go; Kubecost network-costs for the counter.
"""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum

from kubetally.domain.metrics import EGRESS_BYTES, EGRESS_PRICES, LOAD_BALANCER, MANAGEMENT
from kubetally.sources.prometheus.promql import HourRanges, Selector, named

# What a scrape writes to a sample: who was scraped. Series that differ in nothing else show one thing. Only the
# instance is of one process: the others stay when it starts again. (Who watched, a replica of an HA pair, is a
# Selector's.)
JOB_LABELS = ("job", "endpoint")
EXPORTER_LABELS = (*JOB_LABELS, "instance")
# A scrape that does not honor labels writes its own `namespace` and keeps the metric's as `exported_namespace`.
NAMESPACE_LABELS = ("namespace", "exported_namespace")
BALANCER_LABELS = (*NAMESPACE_LABELS, "service_name", "ingress_ip")
CLASS_LABELS = ("internet", "same_zone", "sameZone", "same_region", "sameRegion")
"""Where bytes went; before 2024 the counter wrote sameZone and sameRegion."""
OTHER_CLUSTER_LABELS = ("cluster", "cluster_name", "k8s_cluster")
"""Labels by which servers for several clusters often tell them apart, where the one that is looked for is not there."""
_NAMESPACE = "kubetally_namespace"
_FLOW_LABELS = (_NAMESPACE, "pod_name", *CLASS_LABELS)


class Is(StrEnum):
    """What a series of an answer is, in its label `is`."""

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
"""Behind what a price is of, where a series tells how many samples its sum is of."""


def prices_query(selector: Selector, ranges: HourRanges) -> str:
    """Of an hour, by exporter and by who watched it: sums and numbers of samples of every price.

    And which clusters the series seem to be of, by other labels than the one that is looked for.
    """
    watched, samples = (*EXPORTER_LABELS, *selector.replica_labels), ranges.samples
    metrics = {Is.FEE: MANAGEMENT, **{Is(name): metric for name, metric in EGRESS_PRICES.items()}}

    def price(what: Is, metric: str, *by: str) -> list[str]:
        of_metric, by_labels = f"{selector.of(metric)}{samples}", _by(selector, *watched, *by)
        return [
            named(what, f"sum {by_labels} (sum_over_time({of_metric}))"),
            named(what + SAMPLES, f"sum {by_labels} (count_over_time({of_metric}))"),
        ]

    parts = [part for what, metric in metrics.items() for part in price(what, metric)]
    parts += price(Is.BALANCER, LOAD_BALANCER, *BALANCER_LABELS)
    seen = " or ".join(
        f"count_over_time({selector.of(metric)}{samples})" for metric in (*metrics.values(), LOAD_BALANCER)
    )
    return " or ".join([*parts, named(Is.CLUSTERS, f"group {_by(selector, *OTHER_CLUSTER_LABELS)} ({seen})")])


def bytes_query(selector: Selector, ranges: HourRanges) -> str:
    """Of an hour: the bytes that all pods sent, by where to, and what is wrong with them.

    They are too many where flows come from two exporters, too few without a scrape where the hour begins or ends.
    """
    counter = selector.of(EGRESS_BYTES)
    exporters = f"count {_by(selector, *_flow_and_exporter())} (last_over_time({counter}{ranges.samples}))"
    doubled = f"count {_by(selector, *_FLOW_LABELS)} ({_one_namespace(exporters)}) > 1"
    return " or ".join(
        [
            named(Is.SENT, f"sum {_by(selector, *CLASS_LABELS)} ({_increase(selector, ranges)})"),
            named(Is.DOUBLED, f"count {_by(selector)} ({doubled})"),
            named(Is.BEGINS, f"group {_by(selector)} (last_over_time({counter}{ranges.first_quarter}))"),
            named(Is.ENDS, f"group {_by(selector)} (last_over_time({counter}{ranges.last_quarter}))"),
        ]
    )


def spacing_query(selector: Selector, ranges: HourRanges) -> str:
    """Of an hour: how many samples a quarter of it has at most, of the job that scrapes the counter least often."""
    count = f"count_over_time({selector.of(EGRESS_BYTES)}{ranges.last_quarter})"
    fullest = f"max_over_time(max {_by(selector, *JOB_LABELS)} ({count}){ranges.quarters})"
    return named(Is.SPACING, f"min {_by(selector)} ({fullest})")


def bytes_once_query(selector: Selector, ranges: HourRanges, look: timedelta) -> str:
    """As `bytes_query` the bytes, of exporters that are double; it takes several times as long.

    Two exporters of one flow show it twice where both are there at the same time, and it moved (its pod to another
    node, the exporter to another address) where they are not. So their increases are added up and divided by how many
    there are at a time, looked at four times in the hour. No less than what one of them saw is true.

    look: how old a sample may be to show that its series is there.
    """
    flow, counter = _by(selector, *_FLOW_LABELS), selector.of(EGRESS_BYTES)
    by_exporter = _by(selector, *_flow_and_exporter())
    increase = _one_namespace(f"sum {by_exporter} ({_increase(selector, ranges)})")
    there = f"count {by_exporter} (last_over_time({counter}[{round(look.total_seconds())}s] offset 1ms))"
    at_a_time = f"avg_over_time(count {flow} ({_one_namespace(there)}){ranges.quarters})"
    most = f"max {flow} ({increase})"
    once = f"(sum {flow} ({increase}) / {at_a_time} > {most} or {most})"
    return named(Is.SENT, f"sum {_by(selector, *CLASS_LABELS)} {once}")


def _increase(selector: Selector, ranges: HourRanges) -> str:
    """What each counter grew by: that of the replica that saw most of it, for a counter loses nothing in a gap."""
    increase = f"increase({selector.of(EGRESS_BYTES)}{ranges.samples})"
    return f"max without ({','.join(selector.replica_labels)}) ({increase})" if selector.replica_labels else increase


def copies_query(selector: Selector, ranges: HourRanges) -> str:
    """Of an hour: how many exporters show one thing at a time, at most, for each metric of `NEEDED`.

    Counted at four times, the fewest hold: what only moved is there twice at one of them.
    """
    return " or ".join(named(name, _copies(selector, ranges, name, labels)) for name, labels in NEEDED.items())


def prices_there_query(selector: Selector) -> str:
    """How many series of any price the selector finds in a day."""
    metrics = (MANAGEMENT, LOAD_BALANCER, *EGRESS_PRICES.values())
    return f"count(last_over_time({selector.of_any(metrics)}[1d]))"


def _copies(selector: Selector, ranges: HourRanges, metric: str, labels: tuple[str, ...]) -> str:
    there = f"last_over_time({selector.of(metric)}{ranges.last_quarter})"
    exporters = f"count {_by(selector, *NAMESPACE_LABELS, *labels, *EXPORTER_LABELS)} ({there})"
    of_one = f"count {_by(selector, _NAMESPACE, *labels)} ({_one_namespace(exporters)})"
    return f"max(min_over_time({of_one}{ranges.quarters}))"


NEEDED: Mapping[str, tuple[str, ...]] = {
    MANAGEMENT: (),
    LOAD_BALANCER: ("service_name", "ingress_ip"),
    EGRESS_BYTES: ("pod_name", *CLASS_LABELS),
    **dict.fromkeys(EGRESS_PRICES.values(), ()),
}
"""Each metric with the labels that tell what it is of, beside cluster and namespace."""


def _by(selector: Selector, *labels: str) -> str:
    return f"by ({','.join((*selector.account_labels, *labels))})"


def _flow_and_exporter() -> tuple[str, ...]:
    return (*NAMESPACE_LABELS, "pod_name", *CLASS_LABELS, *EXPORTER_LABELS)


def _one_namespace(expression: str) -> str:
    """`expression`, its series marked with the namespace that the metric itself names, whoever scraped it."""
    marked = f'label_replace({expression}, "{_NAMESPACE}", "$1", "namespace", "(.*)")'
    return f'label_replace({marked}, "{_NAMESPACE}", "$1", "exported_namespace", "(.+)")'
