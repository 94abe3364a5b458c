"""What is told beside the costs: failures, what metrics lacked, and each of it once."""

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
    """What is wrong with what a Prometheus told, as far as anything was left to it."""
    for issue in _told_by_metrics(answers, window):
        left = _left_to_metrics(answers.bookings, issue.window or window)
        if issue.subject in _COMPONENTS:
            if issue.subject in left:
                yield issue
        elif left or not issue.is_missing_data or not _answers_of(answers, issue.window or window):
            yield issue
        elif _is_whole(answers, issue.window or window):
            why = "nothing is missing for it, because the source itself has management fee, load balancers and traffic"
            yield replace(issue, kind=IssueKind.SOURCE_WARNING, message=f"{issue.message}; {why}")
        else:
            yield replace(issue, kind=IssueKind.SOURCE_WARNING)


def foreign_metrics(answers: LiveResult, about: About, window: Window) -> Iterator[Issue]:
    """That the metrics name another cluster than the source does, where something of theirs may be on the bill.

    One cluster may have two names, so that it is no more than a warning. A Prometheus tells the name only where
    no tenant chose its series; a stated cluster id is that of both.
    """
    found, own = answers.measured, about.cluster_id
    if not isinstance(found, Infrastructure) or found.cluster_id is None or own is None:
        return
    if found.cluster_id.casefold() != own.casefold() and _left_to_metrics(answers.bookings, window):
        message = (
            f"Prometheus reports cluster {found.cluster_id!r}, the cost source {own!r}. If they differ, set "
            "--prometheus-url or --tenant"
        )
        yield Issue(IssueKind.SOURCE_WARNING, message, found.source, window, "infrastructure")


def _answers_of(answers: LiveResult, window: Window) -> list[Booking]:
    """What the source answered of that time."""
    return [booking for booking in answers.bookings if booking.covered and booking.window.overlap(window)]


def _is_whole(answers: LiveResult, window: Window) -> bool:
    """Whether the source answered for every hour of that time that it was asked for."""
    asked = [(part.wanted, answer) for part, answer in answers.parts if part.wanted.overlap(window)]
    return all(isinstance(answer, Booking) and not spans_without([want], cuts=answer.covered) for want, answer in asked)


def _left_to_metrics(bookings: Sequence[Booking], window: Window) -> frozenset[str]:
    """The components that any booking of that time left to the metrics."""
    return frozenset[str]().union(*(one.left_to_metrics for one in bookings if one.window.overlap(window)))


def _told_by_metrics(answers: LiveResult, window: Window) -> Sequence[Issue]:
    answer, url = answers.measured, answers.metrics_url
    if isinstance(answer, Infrastructure):
        return answer.issues
    if url is None or answer is None:
        return ()
    left = _left_to_metrics(answers.bookings, window)
    names = ", ".join(component_word(one) for one in Component if one in left)
    message = f"{names} can't be known without the metrics: {answer}" if names else f"the metrics: {answer}"
    return [failed(url, message, answer, window=window, subject="infrastructure")]


def failed(
    url: str, message: str, error: KubetallyError, *, window: Window | None = None, subject: str | None = None
) -> Issue:
    """That something could not be had."""
    return Issue(IssueKind.SOURCE_FAILED, message, url, window, subject, {"code": error.code})


def each_once(issues: Sequence[Issue]) -> tuple[Issue, ...]:
    """What adjacent days say alike is said once, of their whole span; days apart keep an issue each."""
    by_words: dict[tuple[IssueKind, str, str | None], list[Issue]] = {}
    for issue in issues:
        by_words.setdefault((issue.kind, issue.message, issue.subject), []).append(issue)
    return tuple(issue for same in by_words.values() for issue in _joined(same))


def _joined(same: Sequence[Issue]) -> Iterator[Issue]:
    spans = joined_spans(issue.window for issue in same if issue.window is not None)
    return (replace(same[0], window=span) for span in spans) if spans else iter(same[:1])
