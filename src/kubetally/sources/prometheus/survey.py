"""Which of the needed metrics a server has, of which exporters, how often and since when."""

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from datetime import datetime

from kubetally.domain.infrastructure import clock_hours
from kubetally.domain.metrics import EGRESS_BYTES
from kubetally.domain.survey import Exporter, MetricFacts, MetricsSurvey
from kubetally.domain.window import HOUR, Window, from_unix, joined_spans, to_unix
from kubetally.sources.faults import SourceRefused
from kubetally.sources.prometheus.client import PrometheusClient, QueryResult
from kubetally.sources.prometheus.infrastructure import check_selector_matches, distinct_warnings, named_in
from kubetally.sources.prometheus.promql import LAST_QUARTER, HourRanges, Selector, named
from kubetally.sources.prometheus.queries import NEEDED, copies_query
from kubetally.sources.prometheus.wire import QueryRefused
from kubetally.tasks import task_group

Points = list[tuple[float, float]]
_SAMPLES, _FULLEST, _QUARTERS = "samples ", "fullest ", "quarters "  # before the name of a metric
_USUAL_SECONDS = (5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0, 900.0, 1800.0)
_LOOKBACK, _STEP = "400d", "6h"


async def survey_metrics(client: PrometheusClient, selector: Selector, window: Window) -> MetricsSurvey:
    """The needed metrics that the server has over a window of whole hours, in six queries.

    Raises: RequestError (the selector matches nothing), SourceError.
    """
    left_open = await client.is_left_open(window.end)
    ranges, first, last = HourRanges(left_open), window.start + HOUR, window.end
    counts_query, duplicates_query = _counts(selector, ranges), copies_query(selector, ranges)
    async with task_group() as group:
        counts_task = group.create_task(client.range(counts_query, first=first, last=last, step=HOUR))
        copies_task = group.create_task(client.range(duplicates_query, first=first, last=last, step=HOUR))
        exporters_task = group.create_task(client.instant(_exporters(selector, window), window.end))
        oldest_task = group.create_task(_oldest(client, selector, window.end))
    counts, copies, exporters = counts_task.result(), copies_task.result(), exporters_task.result()
    if not exporters.series:
        await check_selector_matches(client, selector, window)
    by_metric = _by_metric(exporters)
    tenants, cluster_ids = (tuple(named_in(exporters.series, label)) for label in selector.account_labels)
    return MetricsSurvey(
        url=client.url,
        window=window,
        metrics=[
            MetricFacts(
                name,
                by_metric.get(name, ()),
                round(max((value for _, value in _points(copies, name)), default=0)),
                _interval(_points(counts, _SAMPLES + name), _points(counts, _FULLEST + name)),
                _without(window, (at for at, _ in _points(counts, _SAMPLES + name))),
                _partial(window, _points(counts, _QUARTERS + name)),
            )
            for name in NEEDED
        ],
        oldest=oldest_task.result(),
        left_open=left_open,
        cluster_ids=cluster_ids,
        tenants=tenants if selector.tenant is None else (),
        issues=tuple(distinct_warnings((counts, copies, exporters), client.url, window)),
    )


def _counts(selector: Selector, ranges: HourRanges) -> str:
    """For an hour: samples of each metric's fullest series, of its fullest quarter, and quarters with a sample."""

    def counts(name: str) -> Iterator[str]:
        metric = selector.of(name)
        quarters = f"(max(count_over_time({metric}{LAST_QUARTER})){ranges.quarters})"
        yield named(f"max(count_over_time({metric}{ranges.samples}))", name=_SAMPLES + name)
        yield named(f"max_over_time{quarters}", name=_FULLEST + name)
        yield named(f"count_over_time{quarters}", name=_QUARTERS + name)

    return " or ".join(part for name in NEEDED for part in counts(name))


def _exporters(selector: Selector, window: Window) -> str:
    """The number of series of each metric, by exporter."""
    seconds = round((window.end - window.start).total_seconds())
    return " or ".join(
        named(
            f"count by (job, instance, {','.join(selector.account_labels)}) "
            f"(last_over_time({selector.of(name)}[{seconds}s] offset 1ms))",
            name=name,
        )
        for name in NEEDED
    )


async def _oldest(client: PrometheusClient, selector: Selector, at: datetime) -> datetime | None:
    """The first sample that the server still has; None if it refuses a query of such a range."""
    metrics = " or ".join(selector.of(name) for name in NEEDED if name != EGRESS_BYTES)

    async def first(subquery: str, before: datetime) -> datetime | None:
        result = await client.instant(f"min(min_over_time(timestamp({metrics})[{subquery}]))", before)
        return from_unix(int(result.series[0].points[0][1])) if result.series else None

    try:
        rough = await first(f"{_LOOKBACK}:{_STEP}", at)
        return await first(f"{_STEP}:5m", rough or at) or rough
    except (QueryRefused, SourceRefused):
        return None


def _points(result: QueryResult, name: str) -> Points:
    return [point for series in result.series if series.labels.get("is") == name for point in series.points]


def _by_metric(result: QueryResult) -> dict[str, tuple[Exporter, ...]]:
    """The exporters of each metric, by job."""
    jobs: dict[str, dict[str | None, set[str]]] = defaultdict(lambda: defaultdict(set))
    for labels in (series.labels for series in result.series):
        jobs[labels["is"]][labels.get("job")].add(labels.get("instance", ""))
    return {
        name: tuple(
            Exporter(job, len(instances), (next(iter(instances)) or None) if len(instances) == 1 else None)
            for job, instances in sorted(of_metric.items(), key=lambda item: item[0] or "")
        )
        for name, of_metric in jobs.items()
    }


def _interval(of_hours: Points, of_quarters: Points) -> float | None:
    """Seconds between two samples; None if no hour has two."""
    in_hour = max((value for _, value in of_hours), default=0.0)
    in_quarter = max((value for _, value in of_quarters), default=0.0)
    if in_hour < 2:
        return None
    # If all samples of an hour lie in a part of it, they are closer than their number suggests.
    about = 3600 / in_hour if in_hour >= 4 * (in_quarter - 1) else 900 / in_quarter
    usual = min(_USUAL_SECONDS, key=lambda seconds: abs(seconds - about))
    return usual if abs(usual - about) <= about / 8 else about


def _partial(window: Window, quarters: Points) -> tuple[Window, ...]:
    return _without(window, (at for at, count in quarters if count >= 4), {round(at) for at, _ in quarters})


def _without(window: Window, ends: Iterable[float], among: Container[int] | None = None) -> tuple[Window, ...]:
    """The hours without one of these ends. among: the ends of the hours that count; None for all."""
    present = {round(end) for end in ends}
    hours = ((hour, to_unix(hour.end)) for hour in clock_hours(window))
    return tuple(joined_spans(hour for hour, end in hours if end not in present and (among is None or end in among)))
