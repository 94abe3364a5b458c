"""Samples of an account's metrics, for those who read them as the first generation of the API showed them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.series import MAX_POINTS, MeasuredSeries, TooManyPoints
from kubetally.domain.window import Window
from kubetally.ledger.costs.requests import MAX_DAYS, clip_to_limit, elapsed
from kubetally.ledger.ports.sources import SeriesSource


async def series_of(
    metrics: SeriesSource, window: Window, names: Sequence[str], now: datetime, *, max_points: int = MAX_POINTS
) -> MeasuredSeries:
    """Samples an hour apart, both ends of the window included, of the newest days of a long one.

    That it was cut, or that there is no sample at all, is among the issues.

    Raises: TooManyPoints, SourceError, RequestError.
    """
    asked = clip_to_limit(elapsed(window, now))
    found = await metrics.points(asked, names)
    if found.count > max_points:
        raise TooManyPoints(found.count, max_points)
    return replace(found, issues=(*found.issues, *_told(found, metrics.url, window, asked, names)))


def _told(found: MeasuredSeries, url: str, window: Window, asked: Window, names: Sequence[str]) -> Iterator[Issue]:
    if asked.start > window.start:
        message = f"only the newest {MAX_DAYS} days of a window are requested; ask for older days by themselves"
        yield Issue(IssueKind.NOT_ASKED, message, url, Window(window.start, asked.start))
    if not found.count:
        message = (
            f"Prometheus has no sample of {', '.join(names)}: check that it scrapes them, and the "
            "account's tenant and cluster id (`kubetally doctor ACCOUNT`)"
        )
        yield Issue(IssueKind.NOT_MEASURED, message, url, window, "metrics")
