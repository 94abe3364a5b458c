"""Points of named metrics, an hour apart."""

from collections.abc import Sequence
from datetime import timedelta

from kubetally.domain.series import MeasuredSeries, SeriesPoint
from kubetally.domain.window import HOUR, Window
from kubetally.sources.prometheus.client import PrometheusClient
from kubetally.sources.prometheus.promql import Selector

_LOOKBACK = timedelta(minutes=5)


class PrometheusSeries:
    """Reads the points of one account's metrics from one server."""

    def __init__(self, client: PrometheusClient, selector: Selector | None = None) -> None:
        self.client, self._selector = client, selector or Selector()

    @property
    def url(self) -> str:
        """Where it is, fit to be shown."""
        return self.client.url

    async def points(self, window: Window, names: Sequence[str]) -> MeasuredSeries:
        """The points of `names` at each hour from the start of `window` to its end, both included, in one question.

        Raises: SourceError, RequestError.
        """
        query = self._selector.of_any(tuple(names))
        found = await self.client.range(query, window.start, window.end, HOUR, lookback=_LOOKBACK)
        points: dict[str, list[SeriesPoint]] = {}
        for series in found.series:
            labels = {label: value for label, value in series.labels.items() if label != "__name__"}
            of_metric = points.setdefault(series.labels.get("__name__", ""), [])
            of_metric += [SeriesPoint(round(at), value, labels) for at, value in series.points]
        asked = {name: tuple(points[name]) for name in names if name in points}
        return MeasuredSeries(window, asked, tuple(found.issues(self.url, window)))
