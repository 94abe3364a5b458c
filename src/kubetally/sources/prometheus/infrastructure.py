"""Management fee, load balancers and traffic of one cluster by the hour, from metrics of cost exporters."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kubetally.domain.accrual import accrue_hour
from kubetally.domain.component import Component
from kubetally.domain.errors import RequestError, SourceError
from kubetally.domain.infrastructure import BYTES_PER_GIB, Infrastructure, MeasuredHour, clock_hours
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.metrics import EGRESS_BYTES, EGRESS_PRICES, LOAD_BALANCER, MANAGEMENT, Family
from kubetally.domain.window import DAY, HOUR, Window, joined_spans, to_unix
from kubetally.domain.words import name_some
from kubetally.sources.prometheus.client import PrometheusClient, QueryResult, Series
from kubetally.sources.prometheus.hours import (
    UNKNOWN,
    Samples,
    best_labelled,
    check_all_requested,
    clusters_by_other_labels,
    samples_by_hour,
    samples_of_hour,
)
from kubetally.sources.prometheus.presence import Presence, read_presence
from kubetally.sources.prometheus.promql import HourRanges, Selector
from kubetally.sources.prometheus.queries import (
    bytes_once_query,
    bytes_query,
    price_series_query,
    prices_query,
    spacing_query,
)
from kubetally.sources.prometheus.usage import MeasuredUsage, read_usage
from kubetally.tasks import task_group

_MAX_SPAN_OF_BYTES = 4 * DAY  # the counters are by far the most samples: in pieces, none takes long
_AROUND = 60 * DAY
QUARTER = timedelta(minutes=15)
_LOOKBACKS = tuple(timedelta(minutes=minutes) for minutes in (2, 5, 12, 30, 60))


async def read_infrastructure(client: PrometheusClient, selector: Selector, window: Window) -> Infrastructure:
    """The measurements of a window of whole hours: six queries a week, and more for double exporters and gaps.

    Raises: SourceError, RequestError (metrics of several clusters or tenants).
    """
    if window.is_empty:
        return Infrastructure(window, (), client.url)
    ranges = HourRanges(await client.is_left_open(window.end))
    return await _WindowReader(client, selector, window, ranges).read()


@dataclass(frozen=True, slots=True)
class _WindowReader:
    """Reads one window of one cluster from one server."""

    client: PrometheusClient
    selector: Selector
    window: Window
    ranges: HourRanges

    async def read(self) -> Infrastructure:
        client, window, url = self.client, self.window, self.client.url
        first, last = window.start + HOUR, window.end
        prices, sent = prices_query(self.selector, self.ranges), bytes_query(self.selector, self.ranges)
        async with task_group() as group:
            prices_task = group.create_task(client.range(prices, first=first, last=last, step=HOUR))
            bytes_task = group.create_task(self._count(sent, first=first, last=last))
            evidence_task = group.create_task(self._read_evidence())
        results = [prices_task.result(), bytes_task.result()]
        ours = self._ours(results)
        samples, spans = self._samples(ours), clock_hours(window)
        doubled = [span.end for span in spans if samples[to_unix(span.end)].is_doubled]
        for ends, result in await self._count_once(doubled) if doubled else ():
            results.append(result)
            counted_once = self._samples(self._ours([result]))
            for end in map(to_unix, ends):
                samples[end].sent = counted_once[end].sent
        accrued = (accrue_hour(samples_of_hour(span, samples[to_unix(span.end)])) for span in spans)
        hours = [hour for hour in accrued if hour is not None]
        presence, usage, unread = evidence_task.result()
        results.extend((*presence.results, *usage.results))
        issues = [*distinct_warnings(results, url, window), *unread, *_gaps(hours, samples, url, window)]
        if not hours:
            await check_selector_matches(client, self.selector, window)
            message = (
                "Prometheus has no metrics of cost exporters in this window; `kubetally doctor` "
                "lists those that are needed"
            )
            issues.append(Issue(IssueKind.NOT_MEASURED, message, url, window, "infrastructure"))
        return Infrastructure(
            window,
            tuple(hours),
            url,
            tuple(issues),
            self._cluster_of(ours),
            present=presence.present,
            since=presence.since,
            usage=usage.usage,
        )

    async def _read_evidence(self) -> tuple[Presence, MeasuredUsage, list[Issue]]:
        """Families with samples, and the usage that a cost source gets wrong; an issue if they can't be read."""
        presence, usage = Presence({}, None, ()), MeasuredUsage({}, ())
        what = "whether metrics were lost within the window could not be checked"
        try:
            presence = await read_presence(self.client, self.selector, self.window, self.ranges)
            what = "the usage of containers that restarted or moved is that of the source"
            if presence.present.get(Family.CADVISOR):
                usage = await read_usage(self.client, self.selector, self.window, self.ranges)
        except SourceError as error:
            message = f"{what}: {error}"
            issue = Issue(IssueKind.SOURCE_WARNING, message, self.client.url, self.window, "infrastructure")
            return presence, usage, [issue]
        return presence, usage, []

    async def _count(self, query: str, *, first: datetime, last: datetime) -> QueryResult:
        return await self.client.range(query, first=first, last=last, step=HOUR, max_span=_MAX_SPAN_OF_BYTES)

    async def _count_once(self, doubled: Sequence[datetime]) -> list[tuple[list[datetime], QueryResult]]:
        """The bytes of hours with double exporters, each counted once; one query for all hours with the same lookback.

        The lookback of an hour depends on that hour alone, so that it is the same in any window.
        """
        query = spacing_query(self.selector, self.ranges)
        spacing = self._samples(self._ours([await self._count(query, first=doubled[0], last=doubled[-1])]))
        by_lookback: dict[timedelta, list[datetime]] = {}
        for end in doubled:
            by_lookback.setdefault(_lookback(spacing[to_unix(end)].fullest_quarter), []).append(end)
        queries = {look: bytes_once_query(self.selector, self.ranges, look) for look in by_lookback}
        return [
            (ends, await self._count(queries[lookback], first=ends[0], last=ends[-1]))
            for lookback, ends in by_lookback.items()
        ]

    def _samples(self, ours: Iterable[Series]) -> defaultdict[int, Samples]:
        return samples_by_hour(ours, self.selector.replica_labels)

    def _ours(self, results: Iterable[QueryResult]) -> list[Series]:
        """The series of the account. Raises SourceError, RequestError (metrics of several clusters or tenants)."""
        url, selector = self.client.url, self.selector
        several = [series for result in results for series in result.series]
        check_all_requested(several, url)
        ours = best_labelled(several, selector.account_labels)
        tenants, clusters = (named_in(ours, label) for label in selector.account_labels)
        if selector.tenant is None and len(tenants) > 1:
            raise RequestError(
                f"{url} has metrics of several tenants: choose one of {name_some(tenants)} with --tenant",
                code="several_tenants_measured",
            )
        if selector.cluster_id is None and len(clusters) > 1:
            raise RequestError(
                f"{url} has metrics of several clusters: choose one of {name_some(clusters)} with "
                "--cluster-id, or a tenant that has one with --tenant",
                code="several_clusters_measured",
            )
        for label, names in clusters_by_other_labels(ours, selector.cluster_label):
            raise RequestError(
                f"{url} has metrics of several clusters by the label {label!r} ({name_some(sorted(names))}): set "
                f"KUBETALLY_CLUSTER_LABEL={label}, and choose one with --cluster-id",
                code="clusters_by_another_label",
            )
        return ours

    def _cluster_of(self, ours: Iterable[Series]) -> str | None:
        """The cluster that the series name, if the selector chooses neither it nor a tenant."""
        if self.selector.cluster_id is not None or self.selector.tenant is not None:
            return None
        return next(iter(named_in(ours, self.selector.cluster_label)), None)


async def check_selector_matches(client: PrometheusClient, selector: Selector, window: Window) -> None:
    """Checks that the selector has metrics within two months of the window: a mistyped tenant would lose the fee.

    Raises: RequestError, if the server has such metrics of others only; SourceError.
    """
    if not selector.chosen:
        return
    everybody = Selector(tenant_label=selector.tenant_label, cluster_label=selector.cluster_label)
    # Day by day, because managed servers refuse a range of more than 32 days in a query.
    first, last = window.start - _AROUND + DAY, window.end + _AROUND
    mine = await client.range(price_series_query(selector), first=first, last=last, step=DAY)
    if mine.series:
        return
    if (await client.range(price_series_query(everybody), first=first, last=last, step=DAY)).series:
        raise RequestError(
            f"{client.url} has these metrics, and none with {selector.chosen}: correct --tenant or --cluster-id, or "
            "the labels KUBETALLY_TENANT_LABEL and KUBETALLY_CLUSTER_LABEL",
            code="chosen_not_measured",
        )


def named_in(several: Iterable[Series], label: str) -> list[str]:
    """The values of a label, sorted."""
    return sorted({value for series in several if (value := series.labels.get(label))})


def _lookback(fullest_quarter: float | None) -> timedelta:
    """How old a sample may be for its series to count as present, from the samples of an hour's fullest quarter.

    Two samples fit into it, so that an exporter does not vanish after one failed scrape.
    """
    between = QUARTER / fullest_quarter if fullest_quarter and fullest_quarter >= 2 else HOUR
    return next((lookback for lookback in _LOOKBACKS if lookback >= 2 * between), _LOOKBACKS[-1])


def distinct_warnings(results: Iterable[QueryResult], url: str, window: Window) -> list[Issue]:
    """The server's warnings, each once."""
    return list({issue.message: issue for result in results for issue in result.issues(url, window)}.values())


def _gaps(hours: list[MeasuredHour], samples: Mapping[int, Samples], url: str, window: Window) -> Iterator[Issue]:
    """The hours without what other hours of the window have. Nothing is estimated for them."""
    spans = clock_hours(window)

    def issue(kind: IssueKind, gap: Window, subject: Component, message: str) -> Issue:
        return Issue(kind, message, url, gap, subject)

    def spans_where(has: Callable[[Samples], bool]) -> Iterator[Window]:
        yield from joined_spans(span for span in spans if has(samples[to_unix(span.end)]))

    def missing(starts: Iterable[datetime], subject: Component, what: str) -> Iterator[Issue]:
        present = set(starts)
        for gap in joined_spans(span for span in spans if span.start not in present) if present else ():
            message = f"no sample of {what} is not counted for {gap.hours:g} hours"
            yield issue(IssueKind.WINDOW_WITHOUT_DATA, gap, subject, message)

    fees = (hour.span.start for hour in hours if hour.management is not None)
    yield from missing(fees, Component.MANAGEMENT, f"{MANAGEMENT}: the management fee")
    if any(hour.load_balancer is not None for hour in hours):
        # A load balancer may be gone. That is unknown only if no price was scraped at all.
        scraped = (span.start for span in spans if samples[to_unix(span.end)].scrapes)
        what = f"any price, nor of {LOAD_BALANCER}: load balancer cost"
        yield from missing(scraped, Component.LOAD_BALANCER, what)
    for gap in spans_where(lambda of_hour: of_hour.has_unpriced_load_balancer):
        message = f"samples of {LOAD_BALANCER} are not numbers: a load balancer is not counted"
        yield issue(IssueKind.FIGURE_MISSING, gap, Component.LOAD_BALANCER, message)
    sent = (hour.span.start for hour in hours if hour.network_bytes is not None)
    yield from missing(sent, Component.NETWORK, f"{EGRESS_BYTES}: traffic")
    for gap in spans_where(lambda of_hour: of_hour.is_cut):
        message = f"no sample of {EGRESS_BYTES} for 15 minutes or more where hours begin or end: "
        message += "what was sent then is not counted"
        yield issue(IssueKind.WINDOW_WITHOUT_DATA, gap, Component.NETWORK, message)
    yield from _unpriced(hours, samples, url)


def _unpriced(hours: Sequence[MeasuredHour], samples: Mapping[int, Samples], url: str) -> Iterator[Issue]:
    by_class: dict[str, list[tuple[Window, float]]] = {}
    for hour in hours:
        for name, sent in samples[to_unix(hour.span.end)].unpriced:
            by_class.setdefault(name, []).append((hour.span, sent))
    # Without any price, traffic is not measured; with some, the figure is too low.
    is_priced = any(hour.network is not None for hour in hours)
    kind = IssueKind.FIGURE_MISSING if is_priced else IssueKind.NETWORK_UNPRICED
    for name, unpriced in by_class.items():
        for gap in joined_spans(span for span, _ in unpriced):
            gib = sum(sent for span, sent in unpriced if gap.contains(span)) / BYTES_PER_GIB
            why = "do not say where they went" if name == UNKNOWN else f"have no price ({EGRESS_PRICES[name]})"
            yield Issue(kind, f"{gib:.3f} GiB of traffic {why}: they are not counted", url, gap, Component.NETWORK)
