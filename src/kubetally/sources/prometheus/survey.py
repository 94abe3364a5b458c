"""Looking which of the needed metrics a server holds, from whom, how often and since when."""

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from datetime import datetime

from kubetally.domain.infrastructure import clock_hours
from kubetally.domain.metrics import EGRESS_BYTES
from kubetally.domain.survey import Exporter, MetricFacts, MetricsSurvey
from kubetally.domain.window import HOUR, Window, from_unix, joined_spans, to_unix
from kubetally.sources.faults import SourceRefused
from kubetally.sources.prometheus.client import Found, PrometheusClient
from kubetally.sources.prometheus.infrastructure import check_selector_matches
from kubetally.sources.prometheus.promql import HourRanges, Selector, named
from kubetally.sources.prometheus.queries import NEEDED, copies_query
from kubetally.sources.prometheus.wire import QueryRefused
from kubetally.tasks import task_group

Points = list[tuple[float, float]]
_SAMPLES, _FULLEST, _QUARTERS = "samples ", "fullest ", "quarters "  # before the name of a metric
_USUAL_SECONDS = (5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0, 900.0, 1800.0)
_LOOKED_BACK, _COARSE = "400d", "6h"


class PrometheusSurvey:
    """Surveys one account's metrics on one server."""

    def __init__(self, client: PrometheusClient, selector: Selector | None = None) -> None:
        self.client, self._selector = client, selector or Selector()

    @property
    def url(self) -> str:
        """Where it is, fit to be shown."""
        return self.client.url

    async def survey(self, window: Window) -> MetricsSurvey:
        """What the server holds over a window of whole hours, in six questions.

        Raises: RequestError (nothing of who was chosen), SourceError.
        """
        return await _survey(self.client, self._selector, window)


async def _survey(client: PrometheusClient, selector: Selector, window: Window) -> MetricsSurvey:
    left_open = await client.is_left_open(window.end)
    ranges, first = HourRanges(left_open), window.start + HOUR
    async with task_group() as group:
        counts_task = group.create_task(client.range(_counts(selector, ranges), first, window.end, HOUR))
        copies_task = group.create_task(client.range(copies_query(selector, ranges), first, window.end, HOUR))
        exporters_task = group.create_task(client.instant(_exporters(selector, window), window.end))
        oldest_task = group.create_task(_oldest(client, selector, window.end))
    counts, copies, exporters = counts_task.result(), copies_task.result(), exporters_task.result()
    if not exporters.series:
        await check_selector_matches(client, selector, window)
    by_metric = _by_metric(exporters)
    tenants, ids = (
        tuple(sorted({series.labels.get(label, "") for series in exporters.series} - {""}))
        for label in selector.account_labels
    )
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
                _interval(_points(counts, _SAMPLES + name), _points(counts, _FULLEST + name)),
                _without(window, (at for at, _ in _points(counts, _SAMPLES + name))),
                _partial(window, _points(counts, _QUARTERS + name)),
            )
            for name in NEEDED
        ],
        oldest=oldest_task.result(),
        left_open=left_open,
        cluster_ids=ids,
        tenants=tenants if selector.tenant is None else (),
        issues=tuple(issues.values()),
    )


def _counts(selector: Selector, ranges: HourRanges) -> str:
    """Of the fullest series of each metric: samples of the hour, of its fullest quarter, and quarters with a sample."""

    def counts(name: str) -> Iterator[str]:
        metric = selector.of(name)
        quarters = f"(max(count_over_time({metric}{ranges.last_quarter})){ranges.quarters})"
        yield named(_SAMPLES + name, f"max(count_over_time({metric}{ranges.samples}))")
        yield named(_FULLEST + name, f"max_over_time{quarters}")
        yield named(_QUARTERS + name, f"count_over_time{quarters}")

    return " or ".join(part for name in NEEDED for part in counts(name))


def _exporters(selector: Selector, window: Window) -> str:
    """How many series of each metric every exporter shows."""
    seconds = round((window.end - window.start).total_seconds())
    return " or ".join(
        named(
            name,
            f"count by (job, instance, {','.join(selector.account_labels)}) "
            f"(last_over_time({selector.of(name)}[{seconds}s] offset 1ms))",
        )
        for name in NEEDED
    )


async def _oldest(client: PrometheusClient, selector: Selector, at: datetime) -> datetime | None:
    """The first sample that is kept, first looked for coarsely; None where the server refuses to look back so far."""
    kept = " or ".join(selector.of(name) for name in NEEDED if name != EGRESS_BYTES)

    async def first(looked_back: str, before: datetime) -> datetime | None:
        found = await client.instant(f"min(min_over_time(timestamp({kept})[{looked_back}]))", before)
        return from_unix(int(found.series[0].points[0][1])) if found.series else None

    try:
        coarsely = await first(f"{_LOOKED_BACK}:{_COARSE}", at)
        return await first(f"{_COARSE}:5m", coarsely or at) or coarsely
    except (QueryRefused, SourceRefused):
        return None


def _points(found: Found, name: str) -> Points:
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


def _interval(of_hours: Points, of_quarters: Points) -> float | None:
    """Seconds between two samples; None where an hour never has two."""
    in_hour = max((value for _, value in of_hours), default=0.0)
    in_quarter = max((value for _, value in of_quarters), default=0.0)
    if in_hour < 2:
        return None
    # Where all samples lie in a part of an hour, they are closer than their number in it says.
    about = 3600 / in_hour if in_hour >= 4 * (in_quarter - 1) else 900 / in_quarter
    usual = min(_USUAL_SECONDS, key=lambda seconds: abs(seconds - about))
    return usual if abs(usual - about) <= about / 8 else about


def _partial(window: Window, quarters: Points) -> tuple[Window, ...]:
    return _without(window, (at for at, count in quarters if count >= 4), {round(at) for at, _ in quarters})


def _without(window: Window, ends: Iterable[float], among: Container[int] | None = None) -> tuple[Window, ...]:
    """The hours that are not among those with these ends; of some only, where `among` says which."""
    there = {round(end) for end in ends}
    hours = ((hour, to_unix(hour.end)) for hour in clock_hours(window))
    return tuple(joined_spans(hour for hour, end in hours if end not in there and (among is None or end in among)))
