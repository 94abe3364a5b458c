"""Fee, load balancers and traffic of one cluster, by the clock hour, from the metrics of its cost exporters.

All are gauges of prices but one: what a pod sent is a counter. A fee accrues for every hour that has a sample of it; a
balancer costs its average price for the part of the hour in which it was there; traffic costs its bytes times the
average price of its class. Several exporters of one thing are averaged before anything is added up.
Source: OpenCost pkg/costmodel/metrics.go and allocation_helpers.go; Kubecost network-costs for the counter.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from kubetally.domain.component import Component, NetworkClasses
from kubetally.domain.errors import RequestError
from kubetally.domain.infrastructure import (
    BYTES_PER_GIB,
    Infrastructure,
    MeasuredHour,
    NetworkBytes,
    clock_hours,
    spans_of,
)
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.money import to_micros
from kubetally.domain.window import DAY, HOUR, Window, to_unix
from kubetally.sources.prometheus.client import Found, PrometheusClient, Series
from kubetally.sources.prometheus.promql import HourRanges, Selector, named
from kubetally.tasks import task_group

MANAGEMENT = "kubecost_cluster_management_cost"
LOAD_BALANCER = "kubecost_load_balancer_cost"
EGRESS_BYTES = "kubecost_pod_network_egress_bytes_total"
EGRESS_PRICES: Mapping[str, str] = {name: f"kubecost_network_{name}_egress_cost" for name in NetworkClasses._fields}

# What is one balancer, and what is one flow of a pod, whichever exporter shows it. Labels that a scrape took the place
# of come as `exported_...`; before 2024 the counter wrote sameZone and sameRegion.
BALANCER_LABELS = ("namespace", "exported_namespace", "service_name", "ingress_ip")
_FLOW_CLASS = ("internet", "same_zone", "sameZone", "same_region", "sameRegion")
FLOW_LABELS = (*_FLOW_CLASS, "namespace", "exported_namespace", "pod_name", "service", "exported_service")
_NAMED_AT_MOST = 10
_LONGEST_OF_BYTES = 4 * DAY


class SeveralClustersMeasured(RequestError):
    """The server of metrics has several clusters, and none was chosen."""

    code = "several_clusters_measured"

    def __init__(self, url: str, cluster_ids: Iterable[str]) -> None:
        self.url, self.cluster_ids = url, tuple(sorted(cluster_ids))
        more = len(self.cluster_ids) - _NAMED_AT_MOST
        some = ", ".join(self.cluster_ids[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
        super().__init__(
            f"{url} has metrics of several clusters: choose one of {some} with --cluster-id, or a tenant that has one"
        )


class PrometheusInfrastructure:
    """Reads one cluster's infrastructure cost from one server."""

    def __init__(self, client: PrometheusClient, selector: Selector | None = None) -> None:
        self.client, self._selector = client, selector or Selector()

    @property
    def url(self) -> str:
        """Where it is, fit to be shown."""
        return self.client.url

    @property
    def account(self) -> str | None:
        """Whose it is, in logs."""
        return self.client.account

    async def read(self, window: Window) -> Infrastructure:
        """What was measured in a window of whole hours: four questions a week, two more where exporters are double.

        Raises: SourceError, SeveralClustersMeasured.
        """
        if window.is_empty:
            return Infrastructure(window, (), self.url)
        ranges = HourRanges(await self.client.is_left_open(window.end))
        first, last = window.start + HOUR, window.end
        async with task_group() as group:
            # From the start on, because what is double then is double in the first hour.
            prices_task = group.create_task(
                self.client.range(prices_query(self._selector, ranges), window.start, last, HOUR)
            )
            bytes_task = group.create_task(self._bytes(bytes_query(self._selector, ranges), first, last))
        found = [prices_task.result(), bytes_task.result()]
        samples = _sorted_out(_of_one_cluster(found, self._selector, self.url))
        doubled = [hour.end for hour in clock_hours(window) if samples.is_doubled(hour)]
        if doubled:
            once = await self._bytes(bytes_once_query(self._selector, ranges), doubled[0], doubled[-1])
            found.append(once)
            samples.replace_sent(_sorted_out(_of_one_cluster([once], self._selector, self.url)), doubled)
        hours = [hour for hour in (_hour(span, samples) for span in clock_hours(window)) if hour is not None]
        issues = [*_warnings(found, self.url, window), *_gaps(hours, samples, self.url, window)]
        if not hours:
            message = (
                "the server of metrics holds nothing of this cluster: see its tenant and cluster id, the labels they "
                "are looked for in (KUBETALLY_TENANT_LABEL, KUBETALLY_CLUSTER_LABEL), and kubetally doctor"
            )
            issues.append(Issue(IssueKind.NOT_MEASURED, message, self.url, window, "infrastructure"))
        return Infrastructure(window, tuple(hours), self.url, tuple(issues))

    async def _bytes(self, query: str, first: datetime, last: datetime) -> Found:
        # The counters are by far the most samples: in pieces, none of them takes long.
        return await self.client.range(query, first, last, HOUR, longest=_LONGEST_OF_BYTES)


def prices_query(selector: Selector, ranges: HourRanges) -> str:
    """Of an hour: average prices, how often balancers and anything were scraped, and how many flows are double."""
    cluster, samples = selector.cluster_label, ranges.samples
    balancer, flow = ",".join((cluster, *BALANCER_LABELS)), ",".join((cluster, *FLOW_LABELS))

    def price(metric: str, by: str = cluster) -> str:
        return f"avg by ({by}) (avg_over_time({selector.of(metric)}{samples}))"

    def count(metric: str) -> str:
        return f"count_over_time({selector.of(metric)}{samples})"

    scraped = " or ".join(count(metric) for metric in (MANAGEMENT, LOAD_BALANCER, *EGRESS_PRICES.values()))
    return " or ".join(
        [
            named("management", price(MANAGEMENT)),
            *(named(name, price(metric)) for name, metric in EGRESS_PRICES.items()),
            named("balancer", price(LOAD_BALANCER, balancer)),
            named("balancer_samples", f"max by ({balancer}) ({count(LOAD_BALANCER)})"),
            named("samples", f"max by ({cluster}) ({scraped})"),
            named("doubled", f"count by ({cluster}) (count by ({flow}) ({selector.of(EGRESS_BYTES)} offset 1ms) > 1)"),
        ]
    )


def bytes_query(selector: Selector, ranges: HourRanges) -> str:
    """Of an hour: the bytes that all pods sent, by the labels that tell where to; for exporters that are not double."""
    by = ",".join((selector.cluster_label, *_FLOW_CLASS))
    return f"sum by ({by}) (increase({selector.of(EGRESS_BYTES)}{ranges.samples}))"


def bytes_once_query(selector: Selector, ranges: HourRanges) -> str:
    """As `bytes_query`, of exporters that are double; it takes several times as long.

    Two series of one flow are two exporters of it where both are there at the same time, and one that moved (a pod to
    another node, an exporter to another address) where they are not. So their increases are added up and divided by
    how many there are at a time, looked at four times in the hour; of what lived between two looks the average counts.
    """
    flow = ",".join((selector.cluster_label, *FLOW_LABELS))
    counter = selector.of(EGRESS_BYTES)
    increase = f"increase({counter}{ranges.samples})"
    at_a_time = f"avg_over_time(count by ({flow}) ({counter} offset 1ms){ranges.quarters})"
    return (
        f"sum by ({','.join((selector.cluster_label, *_FLOW_CLASS))}) "
        f"(sum by ({flow}) ({increase}) / {at_a_time} or avg by ({flow}) ({increase}))"
    )


@dataclass(slots=True)
class _Samples:
    """What was found, by the second in which its hour ends."""

    management: dict[int, float] = field(default_factory=dict)
    prices: dict[str, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    balancers: dict[int, dict[tuple[str, ...], float]] = field(default_factory=lambda: defaultdict(dict))
    balancer_samples: dict[int, dict[tuple[str, ...], float]] = field(default_factory=lambda: defaultdict(dict))
    scrapes: dict[int, float] = field(default_factory=dict)
    doubled: set[int] = field(default_factory=set)
    sent: dict[int, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))

    def is_doubled(self, hour: Window) -> bool:
        """Whether any flow is shown twice where the hour begins or ends; its own samples say so, not the window's."""
        return to_unix(hour.start) in self.doubled or to_unix(hour.end) in self.doubled

    def replace_sent(self, once: "_Samples", ends: Iterable[datetime]) -> None:
        """Take the traffic of some hours from `once`."""
        for end in map(to_unix, ends):
            self.sent[end] = once.sent.get(end, {})


def _of_one_cluster(answers: Iterable[Found], selector: Selector, url: str) -> list[Series]:
    """The series of the chosen cluster, or of the only one; those without a name where none has the right one.

    Raises: SeveralClustersMeasured.
    """
    found = [series for answer in answers for series in answer.series]
    ids = {one.labels.get(selector.cluster_label, "") for one in found}
    if selector.cluster_id is None and len(ids - {""}) > 1:
        raise SeveralClustersMeasured(url, ids - {""})
    # A server's own label may be on some metrics only, so that each is looked at for itself.
    named_ones = {_kind(one) for one in found if one.labels.get(selector.cluster_label)}
    return [one for one in found if one.labels.get(selector.cluster_label) or _kind(one) not in named_ones]


def _kind(series: Series) -> str:
    return series.labels.get("is", "sent")


def _sorted_out(found: Iterable[Series]) -> _Samples:
    samples = _Samples()
    for series in found:
        labels = series.labels
        balancer = tuple(labels.get(label, "") for label in BALANCER_LABELS)
        traffic = _class_of(labels)
        for at, value in series.points:
            end = round(at)
            match _kind(series):
                case "management":
                    samples.management[end] = value
                case "balancer":
                    samples.balancers[end][balancer] = value
                case "balancer_samples":
                    samples.balancer_samples[end][balancer] = value
                case "samples":
                    samples.scrapes[end] = value
                case "doubled":
                    samples.doubled.add(end)
                case "sent":
                    of_class = samples.sent[end]
                    of_class[traffic] = of_class.get(traffic, 0.0) + value
                case price:
                    samples.prices[price][end] = value
    return samples


def _class_of(labels: Mapping[str, str]) -> str:
    """Where the bytes of a flow went; `free` inside a zone."""
    if labels.get("internet") == "true":
        return "internet"
    if (labels.get("same_zone") or labels.get("sameZone")) == "true":
        return "free"
    return "zone" if (labels.get("same_region") or labels.get("sameRegion")) == "true" else "region"


def _hour(span: Window, samples: _Samples) -> MeasuredHour | None:
    """The hour in micros; None where nothing of it was measured."""
    end = to_unix(span.end)
    management, balancers, sent = samples.management.get(end), samples.balancers.get(end), samples.sent.get(end)
    if management is None and not balancers and not sent:
        return None
    network = network_bytes = None
    if sent:
        # Whole bytes: a server adds up in another order each time, which moves the last digits of a float.
        network_bytes = NetworkBytes(*(float(round(sent.get(name, 0.0))) for name in NetworkBytes._fields))
        prices = [samples.prices[name].get(end) for name in NetworkBytes._fields]
        if all(price is not None or not amount for price, amount in zip(prices, network_bytes, strict=True)):
            amounts = zip(prices, network_bytes, strict=True)
            network = NetworkClasses(*(to_micros(amount / BYTES_PER_GIB * (price or 0.0)) for price, amount in amounts))
    return MeasuredHour(
        span,
        None if management is None else to_micros(management),
        _balancers(end, balancers, samples) if balancers else None,
        network,
        network_bytes,
    )


def _balancers(end: int, prices: Mapping[tuple[str, ...], float], samples: _Samples) -> int:
    """Micros of an hour's balancers, each for the part of the hour's scrapes that showed it."""
    scrapes = samples.scrapes.get(end, 0.0)
    shown = samples.balancer_samples[end]
    return sum(
        to_micros(price * min(1.0, shown[balancer] / scrapes if scrapes and balancer in shown else 1.0))
        for balancer, price in prices.items()
    )


def _warnings(answers: Iterable[Found], url: str, window: Window) -> list[Issue]:
    """What the server warned of, once."""
    return list({issue.message: issue for found in answers for issue in found.issues(url, window)}.values())


def _gaps(hours: list[MeasuredHour], samples: _Samples, url: str, window: Window) -> Iterator[Issue]:
    """The hours that lack what others of the window have: nothing is made up for them."""
    measured = {hour.span: hour for hour in hours}
    of_window = clock_hours(window)

    def lacking(seen: Iterable[datetime]) -> list[Window]:
        there = set(seen)
        return spans_of(span for span in of_window if span.start not in there) if there else []

    def issue(kind: IssueKind, gap: Window, subject: Component, what: str) -> Issue:
        return Issue(kind, f"{what}; {gap.hours:g} hours are not counted", url, gap, subject)

    for gap in lacking(hour.span.start for hour in hours if hour.management is not None):
        what = f"there is no sample of {MANAGEMENT}, so that no fee is known"
        yield issue(IssueKind.WINDOW_WITHOUT_DATA, gap, Component.MANAGEMENT, what)
    if any(hour.load_balancer is not None for hour in hours):
        # A balancer may be gone; without any scrape of a price it is not known whether it is.
        for gap in lacking(span.start for span in of_window if to_unix(span.end) in samples.scrapes):
            what = f"there is no sample of any price, so that of {LOAD_BALANCER} nothing is known"
            yield issue(IssueKind.WINDOW_WITHOUT_DATA, gap, Component.LOAD_BALANCER, what)
    for gap in lacking(hour.span.start for hour in hours if hour.network_bytes is not None):
        what = f"there is no sample of {EGRESS_BYTES}, so that no traffic is known"
        yield issue(IssueKind.WINDOW_WITHOUT_DATA, gap, Component.NETWORK, what)
    unpriced = [span for span, hour in measured.items() if hour.network is None and hour.network_bytes is not None]
    for gap in spans_of(unpriced):
        sent = [measured[span].network_bytes for span in unpriced if gap.contains(span)]
        gib = sum(sum(one) for one in sent if one is not None) / BYTES_PER_GIB
        what = f"{gib:.3f} GiB of traffic have no price (kubecost_network_..._egress_cost)"
        yield issue(IssueKind.NETWORK_UNPRICED, gap, Component.NETWORK, what)
