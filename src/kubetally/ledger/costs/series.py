"""Samples of an account's metrics, for clients of the first generation of the API."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.series import MAX_POINTS, MeasuredSeries, TooManyPoints
from kubetally.domain.window import Window
from kubetally.ledger.costs.requests import MAX_DAYS, clip_to_limit, elapsed
from kubetally.ledger.ports.sources import SeriesSource


async def read_series(
    metrics: SeriesSource, window: Window, names: Sequence[str], now: datetime, *, max_points: int = MAX_POINTS
) -> MeasuredSeries:
    """Hourly samples, both ends of the window included; of a long window those of its newest days.

    Issues say if the window was cut, and if there is no sample at all.

    Raises: TooManyPoints, SourceError, RequestError.
    """
    requested = clip_to_limit(elapsed(window, now))
    series = await metrics.points(requested, names)
    if series.count > max_points:
        raise TooManyPoints(series.count, max_points=max_points)
    return replace(series, issues=(*series.issues, *_issues_of(series, metrics.url, window, requested, names)))


def _issues_of(
    series: MeasuredSeries, url: str, window: Window, requested: Window, names: Sequence[str]
) -> Iterator[Issue]:
    if requested.start > window.start:
        message = f"only the newest {MAX_DAYS} days of a window are requested; ask for older days by themselves"
        yield Issue(IssueKind.NOT_ASKED, message, url, Window(window.start, requested.start))
    if not series.count:
        message = (
            f"Prometheus has no sample of {', '.join(names)}: check that it scrapes them, and the "
            "account's tenant and cluster id (`kubetally doctor ACCOUNT`)"
        )
        yield Issue(IssueKind.NOT_MEASURED, message, url, window, "metrics")
