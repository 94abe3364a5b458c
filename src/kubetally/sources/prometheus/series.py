"""Points of named metrics, an hour apart."""

from collections.abc import Sequence
from datetime import timedelta

from kubetally.domain.series import MeasuredSeries, SeriesPoint
from kubetally.domain.window import HOUR, Window
from kubetally.sources.prometheus.client import PrometheusClient
from kubetally.sources.prometheus.promql import Selector

_LOOKBACK = timedelta(minutes=5)


async def read_points(
    client: PrometheusClient, selector: Selector, window: Window, names: Sequence[str]
) -> MeasuredSeries:
    """The points of `names` at each hour from the start of `window` to its end, both included, in one query.

    Raises: SourceError, RequestError.
    """
    query = selector.of_any(tuple(names))
    result = await client.range(query, first=window.start, last=window.end, step=HOUR, lookback=_LOOKBACK)
    points: dict[str, list[SeriesPoint]] = {}
    for series in result.series:
        labels = {label: value for label, value in series.labels.items() if label != "__name__"}
        of_metric = points.setdefault(series.labels.get("__name__", ""), [])
        of_metric += [SeriesPoint(round(at), value, labels) for at, value in series.points]
    requested = {name: tuple(points[name]) for name in names if name in points}
    return MeasuredSeries(window, requested, tuple(result.issues(client.url, window)))
