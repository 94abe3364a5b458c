"""Management fee, load balancers and traffic of one cluster by the clock hour, from metrics of cost exporters."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from kubetally.domain.accrual import accrue_hour
from kubetally.domain.component import Component
from kubetally.domain.errors import RequestError, SourceError
from kubetally.domain.infrastructure import BYTES_PER_GIB, Infrastructure, MeasuredHour, clock_hours
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.metrics import EGRESS_BYTES, EGRESS_PRICES, LOAD_BALANCER, MANAGEMENT, Family
from kubetally.domain.window import DAY, HOUR, Window, joined_spans, to_unix
from kubetally.domain.words import name_some
from kubetally.sources.prometheus.client import Found, PrometheusClient, Series
from kubetally.sources.prometheus.hours import (
    UNKNOWN,
    Samples,
    best_labelled,
    check_all_requested,
    clusters_by_other_labels,
    samples_of,
    samples_of_hour,
)
from kubetally.sources.prometheus.presence import Presence, PresenceReader
from kubetally.sources.prometheus.promql import HourRanges, Selector
from kubetally.sources.prometheus.queries import (
    bytes_once_query,
    bytes_query,
    prices_query,
    prices_there_query,
    spacing_query,
)
from kubetally.sources.prometheus.usage import MeasuredUsage, read_usage
from kubetally.tasks import task_group

_LONGEST_OF_BYTES = 4 * DAY
_AROUND = 60 * DAY
QUARTER = timedelta(minutes=15)
_LOOKS = tuple(timedelta(minutes=minutes) for minutes in (2, 5, 12, 30, 60))


class PrometheusInfrastructure:
    """Reads one cluster's infrastructure cost from one server."""

    def __init__(self, client: PrometheusClient, selector: Selector | None = None) -> None:
        self.client, self._selector = client, selector or Selector()
        self._presence = PresenceReader(client, self._selector)

    @property
    def url(self) -> str:
        """Where it is, fit to be shown."""
        return self.client.url

    @property
    def account(self) -> str | None:
        """Whose it is, in logs."""
        return self.client.account

    async def read(self, window: Window) -> Infrastructure:
        """What was measured in a window of whole hours: six questions a week, and more where exporters are
        double or samples are missing.

        Raises: SourceError, RequestError (of several clusters or tenants).
        """
        if window.is_empty:
            return Infrastructure(window, (), self.url)
        ranges = HourRanges(await self.client.is_left_open(window.end))
        first, last = window.start + HOUR, window.end
        async with task_group() as group:
            prices_task = group.create_task(self.client.range(prices_query(self._selector, ranges), first, last, HOUR))
            bytes_task = group.create_task(self._counted(bytes_query(self._selector, ranges), first, last))
            evidence_task = group.create_task(self._evidence_in(window, ranges))
        found = [prices_task.result(), bytes_task.result()]
        ours = self._ours(found)
        samples, spans = self._samples(ours), clock_hours(window)
        doubled = [span.end for span in spans if samples[to_unix(span.end)].is_doubled]
        for ends, answer in await self._once(ranges, doubled) if doubled else ():
            found.append(answer)
            of_once = self._samples(self._ours([answer]))
            for end in map(to_unix, ends):
                samples[end].sent = of_once[end].sent
        accrued = (accrue_hour(samples_of_hour(span, samples[to_unix(span.end)])) for span in spans)
        hours = [hour for hour in accrued if hour is not None]
        presence, usage, unknown = evidence_task.result()
        found.extend((*presence.answers, *usage.answers))
        issues = [*_warnings(found, self.url, window), *unknown, *_lacks(hours, samples, self.url, window)]
        if not hours:
            await check_selector_matches(self.client, self._selector, window)
            message = (
                "Prometheus has no metrics of cost exporters in this window; `kubetally doctor` "
                "lists those that are needed"
            )
            issues.append(Issue(IssueKind.NOT_MEASURED, message, self.url, window, "infrastructure"))
        return Infrastructure(
            window,
            tuple(hours),
            self.url,
            tuple(issues),
            self._cluster_of(ours),
            present=presence.present,
            since=presence.since,
            usage=usage.usage,
        )

    async def _evidence_in(self, window: Window, ranges: HourRanges) -> tuple[Presence, MeasuredUsage, list[Issue]]:
        """Which families have samples, and the usage that a source gets wrong.

        Where one of them fails, nothing is known of it and all else is as it was.
        """
        presence, usage = Presence({}, None, ()), MeasuredUsage({}, ())
        what = "hours were not checked for samples"
        try:
            presence = await self._presence.read(window, ranges)
            what = "the usage of containers that restarted or moved is that of the source"
            if presence.present.get(Family.CADVISOR):
                usage = await read_usage(self.client, self._selector, window, ranges)
        except SourceError as error:
            message = f"{what}: {error}"
            return presence, usage, [Issue(IssueKind.SOURCE_WARNING, message, self.url, window, "infrastructure")]
        return presence, usage, []

    async def _counted(self, query: str, first: datetime, last: datetime) -> Found:
        # The counters are by far the most samples: in pieces, none of them takes long.
        return await self.client.range(query, first, last, HOUR, longest=_LONGEST_OF_BYTES)

    async def _once(self, ranges: HourRanges, doubled: Sequence[datetime]) -> list[tuple[list[datetime], Found]]:
        """The bytes of hours in which exporters are double, each once; hours that are looked at alike in one question.

        How an hour is looked at follows from that hour alone, so that it is the same in any window.
        """
        spacing = await self._counted(spacing_query(self._selector, ranges), doubled[0], doubled[-1])
        of_spacing = self._samples(self._ours([spacing]))
        by_look: dict[timedelta, list[datetime]] = {}
        for end in doubled:
            by_look.setdefault(_look(of_spacing[to_unix(end)].fullest_quarter), []).append(end)
        return [
            (ends, await self._counted(bytes_once_query(self._selector, ranges, look), ends[0], ends[-1]))
            for look, ends in by_look.items()
        ]

    def _samples(self, ours: Iterable[Series]) -> defaultdict[int, Samples]:
        return samples_of(ours, self._selector.replica_labels)

    def _ours(self, answers: Iterable[Found]) -> list[Series]:
        """The series of the account. Raises SourceError, RequestError (of several clusters or tenants)."""
        series = [found for answer in answers for found in answer.series]
        check_all_requested(series, self.url)
        ours = best_labelled(series, self._selector.account_labels)
        tenants, clusters = (_named_in(ours, label) for label in self._selector.account_labels)
        if self._selector.tenant is None and len(tenants) > 1:
            raise RequestError(
                f"{self.url} has metrics of several tenants: choose one of {name_some(sorted(tenants))} with --tenant",
                code="several_tenants_measured",
            )
        if self._selector.cluster_id is None and len(clusters) > 1:
            raise RequestError(
                f"{self.url} has metrics of several clusters: choose one of {name_some(sorted(clusters))} with "
                "--cluster-id, or a tenant that has one with --tenant",
                code="several_clusters_measured",
            )
        for label, names in clusters_by_other_labels(ours, self._selector.cluster_label):
            raise RequestError(
                f"{self.url} has metrics of several clusters by the label {label!r} ({name_some(sorted(names))}): set "
                f"KUBETALLY_CLUSTER_LABEL={label}, and choose one with --cluster-id",
                code="clusters_by_another_label",
            )
        return ours

    def _cluster_of(self, ours: Iterable[Series]) -> str | None:
        """The cluster that the series name, where neither it nor a tenant was chosen."""
        if self._selector.cluster_id is not None or self._selector.tenant is not None:
            return None
        return next(iter(_named_in(ours, self._selector.cluster_label)), None)


async def check_selector_matches(client: PrometheusClient, selector: Selector, window: Window) -> None:
    """Where nothing was found of who was chosen: a mistyped tenant would lose the fee without a word.

    One that has metrics some weeks before or after is none, but came or left.

    Raises: RequestError, where the server has the metrics of others; SourceError.
    """
    if not selector.chosen:
        return
    everybody = Selector(tenant_label=selector.tenant_label, cluster_label=selector.cluster_label)
    # Day by day, because managed servers refuse a range of more than 32 days in a query.
    first, last = window.start - _AROUND + DAY, window.end + _AROUND
    mine = await client.range(prices_there_query(selector), first, last, DAY)
    if mine.series:
        return
    if (await client.range(prices_there_query(everybody), first, last, DAY)).series:
        raise RequestError(
            f"{client.url} has these metrics, and none with {selector.chosen}: correct --tenant or --cluster-id, or "
            "the labels KUBETALLY_TENANT_LABEL and KUBETALLY_CLUSTER_LABEL",
            code="chosen_not_measured",
        )


def _look(fullest_quarter: float | None) -> timedelta:
    """How old a sample may be to show that its series is there, from how many samples a quarter of an hour has.

    Two fit into it, so that one that failed does not make an exporter vanish.
    """
    between = QUARTER / fullest_quarter if fullest_quarter and fullest_quarter >= 2 else HOUR
    return next((look for look in _LOOKS if look >= 2 * between), _LOOKS[-1])


def _named_in(several: Iterable[Series], label: str) -> set[str]:
    return {series.labels.get(label, "") for series in several} - {""}


def _warnings(answers: Iterable[Found], url: str, window: Window) -> list[Issue]:
    """What the server warned of, once."""
    return list({issue.message: issue for found in answers for issue in found.issues(url, window)}.values())


def _lacks(hours: list[MeasuredHour], samples: Mapping[int, Samples], url: str, window: Window) -> Iterator[Issue]:
    """The hours that lack what others of the window have: nothing is made up for them."""
    of_window = clock_hours(window)

    def issue(kind: IssueKind, gap: Window, subject: Component, what: str) -> Issue:
        return Issue(kind, what, url, gap, subject)

    def lacking(seen: Iterable[datetime], subject: Component, what: str) -> Iterator[Issue]:
        there = set(seen)
        for gap in joined_spans(span for span in of_window if span.start not in there) if there else ():
            words = f"no sample of {what} is not counted for {gap.hours:g} hours"
            yield issue(IssueKind.WINDOW_WITHOUT_DATA, gap, subject, words)

    fees = (hour.span.start for hour in hours if hour.management is not None)
    yield from lacking(fees, Component.MANAGEMENT, f"{MANAGEMENT}: the management fee")
    if any(hour.load_balancer is not None for hour in hours):
        # A load balancer may be gone; without any scrape of a price that is unknown.
        scraped = (span.start for span in of_window if samples[to_unix(span.end)].scrapes)
        what = f"any price, nor of {LOAD_BALANCER}: load balancer cost"
        yield from lacking(scraped, Component.LOAD_BALANCER, what)
    for gap in joined_spans(span for span in of_window if samples[to_unix(span.end)].has_balancer_without_price):
        what = f"samples of {LOAD_BALANCER} are not numbers: a load balancer is not counted"
        yield issue(IssueKind.FIGURE_MISSING, gap, Component.LOAD_BALANCER, what)
    sent = (hour.span.start for hour in hours if hour.network_bytes is not None)
    yield from lacking(sent, Component.NETWORK, f"{EGRESS_BYTES}: traffic")
    for gap in joined_spans(span for span in of_window if samples[to_unix(span.end)].is_cut):
        what = f"no sample of {EGRESS_BYTES} for 15 minutes or more where hours begin or end: "
        what += "what was sent then is not counted"
        yield issue(IssueKind.WINDOW_WITHOUT_DATA, gap, Component.NETWORK, what)
    yield from _unpriced(hours, samples, url)


def _unpriced(hours: Sequence[MeasuredHour], samples: Mapping[int, Samples], url: str) -> Iterator[Issue]:
    by_class: dict[str, list[tuple[Window, float]]] = {}
    for hour in hours:
        for name, sent in samples[to_unix(hour.span.end)].unpriced:
            by_class.setdefault(name, []).append((hour.span, sent))
    # Where nothing has a price, traffic is not measured; where some has, the figure is too low.
    is_priced = any(hour.network is not None for hour in hours)
    kind = IssueKind.FIGURE_MISSING if is_priced else IssueKind.NETWORK_UNPRICED
    for name, unpriced in by_class.items():
        for gap in joined_spans(span for span, _ in unpriced):
            gib = sum(sent for span, sent in unpriced if gap.contains(span)) / BYTES_PER_GIB
            lack = "do not say where they went" if name == UNKNOWN else f"have no price ({EGRESS_PRICES[name]})"
            yield Issue(kind, f"{gib:.3f} GiB of traffic {lack}: they are not counted", url, gap, Component.NETWORK)
