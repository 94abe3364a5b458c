"""Looking which of the needed metrics a server holds, from whom, how often and since when."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from kubetally.domain.infrastructure import clock_hours, spans_of
from kubetally.domain.survey import Exporter, MetricFacts, MetricsSurvey
from kubetally.domain.window import HOUR, Window, from_unix, to_unix
from kubetally.sources.prometheus.client import Found, PrometheusClient
from kubetally.sources.prometheus.infrastructure import (
    BALANCER_LABELS,
    EGRESS_BYTES,
    EGRESS_PRICES,
    FLOW_LABELS,
    LOAD_BALANCER,
    MANAGEMENT,
)
from kubetally.sources.prometheus.promql import HourRanges, Selector, named
from kubetally.sources.prometheus.wire import QueryRefused
from kubetally.tasks import task_group

# Each metric with the labels that tell what it is of, beside the cluster: whatever else differs, differs by exporter.
NEEDED: Mapping[str, tuple[str, ...]] = {
    MANAGEMENT: (),
    LOAD_BALANCER: BALANCER_LABELS,
    EGRESS_BYTES: FLOW_LABELS,
    **dict.fromkeys(EGRESS_PRICES.values(), ()),
}
_LOOKED_BACK = "400d"


class PrometheusSurvey:
    """Surveys one account's metrics on one server."""

    def __init__(self, client: PrometheusClient, selector: Selector | None = None) -> None:
        self.client, self._selector = client, selector or Selector()

    @property
    def url(self) -> str:
        """Where it is, fit to be shown."""
        return self.client.url

    async def survey(self, window: Window) -> MetricsSurvey:
        """What the server holds over a window of whole hours, in five questions. Raises SourceError."""
        return await _survey(self.client, self._selector, window)


async def _survey(client: PrometheusClient, selector: Selector, window: Window) -> MetricsSurvey:
    left_open = await client.is_left_open(window.end)
    ranges, first = HourRanges(left_open), window.start + HOUR
    async with task_group() as group:
        counts_task = group.create_task(client.range(_counts(selector, ranges), first, window.end, HOUR))
        copies_task = group.create_task(client.range(_copies(selector), first, window.end, HOUR))
        exporters_task = group.create_task(client.instant(_exporters(selector, window), window.end))
        oldest_task = group.create_task(_oldest(client, selector, window.end))
    counts, copies, exporters = counts_task.result(), copies_task.result(), exporters_task.result()
    by_metric = _by_metric(exporters)
    ids = {
        series.labels[selector.cluster_label]
        for series in exporters.series
        if series.labels.get(selector.cluster_label)
    }
    issues = {
        issue.message: issue for found in (counts, copies, exporters) for issue in found.issues(client.url, window)
    }
    return MetricsSurvey(
        url=client.url,
        window=window,
        metrics=[
            MetricFacts(
                name,
                by_metric.get(name, ()),
                round(max((value for _, value in _points(copies, name)), default=0)),
                _interval(value for _, value in _points(counts, name)),
                _gaps(window, (at for at, _ in _points(counts, name))),
            )
            for name in NEEDED
        ],
        oldest=oldest_task.result(),
        left_open=left_open,
        cluster_ids=tuple(sorted(ids)),
        issues=tuple(issues.values()),
    )


def _counts(selector: Selector, ranges: HourRanges) -> str:
    """How many samples the fullest series of each metric has in an hour."""
    return " or ".join(named(name, f"max(count_over_time({selector.of(name)}{ranges.samples}))") for name in NEEDED)


def _copies(selector: Selector) -> str:
    """How many series show one thing at the end of an hour, at most."""
    return " or ".join(
        named(
            name,
            f"max(count by ({','.join((selector.cluster_label, *labels))}) ({selector.of(name)} offset 1ms))",
        )
        for name, labels in NEEDED.items()
    )


def _exporters(selector: Selector, window: Window) -> str:
    """How many series of each metric every exporter shows."""
    seconds = round((window.end - window.start).total_seconds())
    return " or ".join(
        named(
            name,
            f"count by (job, instance, {selector.cluster_label}) "
            f"(last_over_time({selector.of(name)}[{seconds}s] offset 1ms))",
        )
        for name in NEEDED
    )


async def _oldest(client: PrometheusClient, selector: Selector, at: datetime) -> datetime | None:
    """The first sample that is kept; None where the server refuses to look back so far."""
    kept = " or ".join(selector.of(name) for name in NEEDED if name != EGRESS_BYTES)
    try:
        found = await client.instant(f"min(min_over_time(timestamp({kept})[{_LOOKED_BACK}:6h]))", at)
    except QueryRefused:
        return None
    return from_unix(int(found.series[0].points[0][1])) if found.series else None


def _points(found: Found, name: str) -> list[tuple[float, float]]:
    return [point for series in found.series if series.labels.get("is") == name for point in series.points]


def _by_metric(found: Found) -> dict[str, tuple[Exporter, ...]]:
    """The exporters of each metric, by job."""
    jobs: dict[str, dict[str | None, set[str]]] = defaultdict(lambda: defaultdict(set))
    for series in found.series:
        labels = series.labels
        jobs[labels["is"]][labels.get("job")].add(labels.get("instance", ""))
    return {
        name: tuple(
            Exporter(job, len(instances), (next(iter(instances)) or None) if len(instances) == 1 else None)
            for job, instances in sorted(of_metric.items(), key=lambda one: one[0] or "")
        )
        for name, of_metric in jobs.items()
    }


def _interval(samples_an_hour: Iterable[float]) -> float | None:
    most = max(samples_an_hour, default=0.0)
    return 3600 / most if most >= 2 else None


def _gaps(window: Window, ends: Iterable[float]) -> tuple[Window, ...]:
    there = {round(end) for end in ends}
    return tuple(spans_of(hour for hour in clock_hours(window) if to_unix(hour.end) not in there))
