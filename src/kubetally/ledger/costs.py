"""Asking a source for a window, day by day, and answering what the cluster cost."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from kubetally.domain.booking import Booking
from kubetally.domain.cluster_costs import ClusterCosts, SourceIdentity
from kubetally.domain.component import Component
from kubetally.domain.errors import HubError, SourceError
from kubetally.domain.infrastructure import Infrastructure
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.money import DEFAULT_CURRENCY
from kubetally.domain.window import Clock, Window, rfc3339, whole_hour
from kubetally.ledger.asking import Answers, Asking
from kubetally.ledger.ports import About, CostSource, InfrastructureSource
from kubetally.ledger.questions import MOST_DAYS, Question, begun, newest, questions
from kubetally.ledger.words import component_word

_COMPONENTS = frozenset[str](Component)


async def get_cluster_costs(
    source: CostSource,
    window: Window,
    *,
    clock: Clock,
    infrastructure: InfrastructureSource | None = None,
    deadline_seconds: float | None = None,
) -> ClusterCosts:
    """What the cluster behind `source` cost over `window`, with every cent accounted for.

    Of a window that is not over, the whole hours that are over are asked. Parts that can't be had by the deadline are
    issues of a partial answer; when none can be had, the first part's error is raised. `infrastructure` is asked for
    what the source leaves out, beside it and for the whole window; if it fails, that is what is missing.

    Raises: SourceError, RequestError.
    """
    over = begun(window, whole_hour(clock.now()))
    asked = newest(over)
    parts = questions(asked)
    answers = await Asking(source, infrastructure, deadline_seconds).answers(parts)
    told = _about_the_window(window, over, asked, parts, source.url)
    return _assembled(window, over, answers, told)


def _assembled(window: Window, over: Window, answers: Answers, told: Sequence[Issue]) -> ClusterCosts:
    """The costs that the answers make; `told` are the issues of the window itself, before all others.

    Raises: SourceError, the first part's, when no part was answered.
    """
    url, bookings, failures = answers.url, answers.bookings, answers.failures
    if failures and not bookings:
        raise failures[0][1]
    about = About() if isinstance(answers.about, SourceError) else answers.about
    issues = [
        *told,
        *(_failed(url, str(error), error, window=part.want) for part, error in failures),
        *(issue for booking in bookings for issue in booking.issues),
        *_measured_issues(answers, over),
        *_foreign_metrics(answers, about, over),
    ]
    savings = answers.savings
    if isinstance(savings, SourceError):
        issues.append(_failed(url, f"no savings: {savings}", savings, subject="savings"))
        savings = None
    return ClusterCosts(
        window=window,
        hours_asked=over.hours,
        bookings=tuple(booking for booking in bookings if booking.covered),
        currency=next((booking.currency for booking in bookings), about.currency or DEFAULT_CURRENCY),
        source=identity(url, about),
        savings=savings,
        issues=_each_once(issues),
    )


def identity(url: str, about: About) -> SourceIdentity:
    """Who answered, from what a source tells of itself."""
    return SourceIdentity(url, about.product, about.version, about.cluster_id, about.cluster_name)


def _measured_issues(answers: Answers, window: Window) -> Iterator[Issue]:
    """What is wrong with what a server of metrics told, as far as anything was left to it."""
    for issue in _told_by_metrics(answers, window):
        left = _left_to_metrics(answers.bookings, issue.window or window)
        if issue.subject in _COMPONENTS:
            if issue.subject in left:
                yield issue
        elif left or not issue.is_missing_data:
            yield issue
        else:
            why = "nothing is missing for it, because the source itself tells of fee, balancers and traffic"
            yield replace(issue, kind=IssueKind.SOURCE_WARNING, message=f"{issue.message}; {why}")


def _foreign_metrics(answers: Answers, about: About, window: Window) -> Iterator[Issue]:
    """That the metrics name another cluster than the source does, where something of theirs may be on the bill.

    One cluster may have two names, so that it is no more than a warning. A server of metrics tells the name only where
    no tenant chose its series; a stated cluster id is that of both.
    """
    found, own = answers.measured, about.cluster_id
    if not isinstance(found, Infrastructure) or found.cluster_id is None or own is None:
        return
    if found.cluster_id.casefold() != own.casefold() and _left_to_metrics(answers.bookings, window):
        message = (
            f"the metrics are of a cluster {found.cluster_id!r}, and the costs of {own!r}: if these are two, the fee "
            "and what else the metrics tell is of the wrong one: state the server of metrics or the --tenant of it"
        )
        yield Issue(IssueKind.SOURCE_WARNING, message, found.source, window, "infrastructure")


def _left_to_metrics(bookings: Sequence[Booking], window: Window) -> frozenset[str]:
    """The components that any booking of that time left to the metrics."""
    return frozenset[str]().union(*(one.left_to_metrics for one in bookings if one.window.overlap(window)))


def _told_by_metrics(answers: Answers, window: Window) -> Sequence[Issue]:
    answer, url = answers.measured, answers.metrics_url
    if isinstance(answer, Infrastructure):
        return answer.issues
    if url is None or answer is None:
        return ()
    left = _left_to_metrics(answers.bookings, window)
    names = ", ".join(component_word(one) for one in Component if one in left)
    message = f"{names} can't be known without the metrics: {answer}" if names else f"the metrics: {answer}"
    return [_failed(url, message, answer, window=window, subject="infrastructure")]


def _about_the_window(window: Window, over: Window, asked: Window, parts: Sequence[Question], url: str) -> list[Issue]:
    issues = []
    if asked != over:
        message = f"the newest {MOST_DAYS} days of a window are asked of a source: ask for older ones by themselves"
        issues.append(Issue(IssueKind.NOT_ASKED, message, url, Window(over.start, asked.start)))
    if over.end < window.end:
        message = f"the window is not over: counted are its whole hours until {rfc3339(over.end)}"
        issues.append(Issue(IssueKind.WINDOW_NOT_OVER, message, url, window))
    if any(part.ask != part.want for part in parts):
        message = "the window begins or ends within an hour: what that whole hour cost was prorated by time"
        issues.append(Issue(IssueKind.EDGES_PRORATED, message, url, window))
    return issues


def _failed(
    url: str, message: str, error: HubError, *, window: Window | None = None, subject: str | None = None
) -> Issue:
    return Issue(IssueKind.SOURCE_FAILED, message, url, window, subject, {"code": error.code})


def _each_once(issues: Sequence[Issue]) -> tuple[Issue, ...]:
    """What adjacent days say alike is said once, of their whole span; days apart keep an issue each."""
    by_words: dict[tuple[IssueKind, str, str | None], list[Issue]] = {}
    for issue in issues:
        by_words.setdefault((issue.kind, issue.message, issue.subject), []).append(issue)
    return tuple(issue for same in by_words.values() for issue in _joined(same))


def _joined(same: Sequence[Issue]) -> Iterator[Issue]:
    spans: list[Window] = []
    for window in sorted(issue.window for issue in same if issue.window is not None):
        if spans and window.start <= spans[-1].end:
            spans[-1] = Window(spans[-1].start, max(spans[-1].end, window.end))
        else:
            spans.append(window)
    return (replace(same[0], window=span) for span in spans) if spans else iter(same[:1])
