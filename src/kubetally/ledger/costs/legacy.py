"""Adds the old sums of infrastructure metrics to costs, for comparison during a migration."""

from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime

from kubetally.domain.errors import KubetallyError, RequestError, SourceError
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.metrics import INFRASTRUCTURE
from kubetally.domain.report import ClusterReport
from kubetally.domain.series import LegacySums, legacy_sum
from kubetally.domain.window import Window
from kubetally.ledger.costs.live import DeadlinePassed
from kubetally.ledger.costs.requests import clip_to_limit, elapsed
from kubetally.ledger.ports.sources import SeriesSource


async def with_legacy(
    costs: ClusterReport,
    open_metrics: AbstractAsyncContextManager[SeriesSource | None],
    now: datetime,
    *,
    url: str,
    deadline_seconds: float | None,
    samples: Window | None = None,
) -> ClusterReport:
    """The costs with the old sums of their window; unavailable sums are None, and an issue says why.

    open_metrics: the Prometheus, or None; raises TimeoutError at the deadline. url: stands for the Prometheus until it
    is open. deadline_seconds: the overall deadline, for the message. samples: the window of the samples, both ends
    included, if it differs from that of the costs: a window that ends on second 59 excludes the midnight after it.
    Warnings of Prometheus are among the issues.
    """
    try:
        async with open_metrics as metrics:
            if metrics is None:
                message = "the old sums need a Prometheus, and this cluster has none"
                return _without(costs, Issue(IssueKind.NOT_MEASURED, message, None, costs.window, "legacy"))
            url = metrics.url
            window = clip_to_limit(elapsed(samples or costs.window, now))
            series = await metrics.points(window, tuple(INFRASTRUCTURE.values()))
    except TimeoutError:
        late = DeadlinePassed(url, deadline_seconds or 0, is_divisible=costs.coverage.hours_asked > 24)
        return _failed(costs, url, late)
    except (SourceError, RequestError) as error:
        return _failed(costs, url, error)
    warnings = (replace(issue, subject="legacy") for issue in series.issues)
    return replace(costs, legacy=legacy_sum(series.points), issues=(*costs.issues, *warnings))


def _failed(costs: ClusterReport, url: str, error: KubetallyError) -> ClusterReport:
    facts = {"code": error.code}
    is_reported = any(issue.source == url and issue.facts.get("code") == error.code for issue in costs.issues)
    why = "their samples are of the same Prometheus, which failed" if is_reported else str(error)
    return _without(costs, Issue(IssueKind.SOURCE_FAILED, f"no old sums: {why}", url, costs.window, "legacy", facts))


def _without(costs: ClusterReport, issue: Issue) -> ClusterReport:
    return replace(costs, legacy=LegacySums(), issues=(*costs.issues, issue))
