"""Issues of an answer: failures and what metrics lack, each stated once."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from kubetally.domain.booking import Booking
from kubetally.domain.component import Component
from kubetally.domain.errors import KubetallyError
from kubetally.domain.infrastructure import Infrastructure
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.window import Window, joined_spans, spans_without
from kubetally.domain.words import component_word
from kubetally.ledger.costs.live import LiveResult
from kubetally.ledger.ports.sources import About

_COMPONENTS = frozenset[str](Component)


def measured_issues(answers: LiveResult, window: Window) -> Iterator[Issue]:
    """Issues of the Prometheus metrics that bookings needed."""
    for issue in _issues_of_metrics(answers, window):
        left = _left_to_metrics(answers.bookings, issue.window or window)
        if issue.subject in _COMPONENTS:
            if issue.subject in left:
                yield issue
        elif left or not issue.is_missing_data or not _bookings_of(answers, issue.window or window):
            yield issue
        elif _is_whole(answers, issue.window or window):
            why = "nothing is missing for it, because the source itself has management fee, load balancers and traffic"
            yield replace(issue, kind=IssueKind.SOURCE_WARNING, message=f"{issue.message}; {why}")
        else:
            yield replace(issue, kind=IssueKind.SOURCE_WARNING)


def foreign_metrics(answers: LiveResult, about: About, window: Window) -> Iterator[Issue]:
    """A warning if the metrics name another cluster than the source, and the bill may contain some of them.

    It is only a warning because one cluster may have two names. A Prometheus returns the name only if no tenant selects
    its series; a cluster id set for the account applies to both.
    """
    measured, own = answers.measured, about.cluster_id
    if not isinstance(measured, Infrastructure) or measured.cluster_id is None or own is None:
        return
    if measured.cluster_id.casefold() != own.casefold() and _left_to_metrics(answers.bookings, window):
        message = (
            f"Prometheus reports cluster {measured.cluster_id!r}, the cost source {own!r}. If they differ, set "
            "--prometheus-url or --tenant"
        )
        yield Issue(IssueKind.SOURCE_WARNING, message, measured.source, window, "infrastructure")


def _bookings_of(answers: LiveResult, window: Window) -> list[Booking]:
    """Bookings of the window that have data."""
    return [booking for booking in answers.bookings if booking.covered and booking.window.overlap(window)]


def _is_whole(answers: LiveResult, window: Window) -> bool:
    """Whether the source answered for every requested hour of the window."""
    requested = [(part.wanted, answer) for part, answer in answers.parts if part.wanted.overlap(window)]
    return all(
        isinstance(answer, Booking) and not spans_without([want], cuts=answer.covered) for want, answer in requested
    )


def _left_to_metrics(bookings: Sequence[Booking], window: Window) -> frozenset[str]:
    """The components that any booking of the window takes from metrics."""
    return frozenset[str]().union(*(booking.left_to_metrics for booking in bookings if booking.window.overlap(window)))


def _issues_of_metrics(answers: LiveResult, window: Window) -> Sequence[Issue]:
    answer, url = answers.measured, answers.metrics_url
    if isinstance(answer, Infrastructure):
        return answer.issues
    if url is None or answer is None:
        return ()
    left = _left_to_metrics(answers.bookings, window)
    names = ", ".join(component_word(component) for component in Component if component in left)
    message = f"{names} can't be known without the metrics: {answer}" if names else f"the metrics: {answer}"
    return [failure_issue(url, message, answer, window=window, subject="infrastructure")]


def failure_issue(
    url: str, message: str, error: KubetallyError, *, window: Window | None = None, subject: str | None = None
) -> Issue:
    """The issue of a request that failed."""
    return Issue(IssueKind.SOURCE_FAILED, message, url, window, subject, {"code": error.code})


def merge_issues(issues: Sequence[Issue]) -> tuple[Issue, ...]:
    """The issues, with equal issues of adjacent days merged into one of their whole span."""
    by_text: dict[tuple[IssueKind, str, str | None], list[Issue]] = {}
    for issue in issues:
        by_text.setdefault((issue.kind, issue.message, issue.subject), []).append(issue)
    return tuple(issue for same in by_text.values() for issue in _merged(same))


def _merged(same: Sequence[Issue]) -> Iterator[Issue]:
    spans = joined_spans(issue.window for issue in same if issue.window is not None)
    return (replace(same[0], window=span) for span in spans) if spans else iter(same[:1])
