"""Asks the source of a cluster for the part of a window that is not stored."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from kubetally.domain.booking import Booking
from kubetally.domain.currency import OriginatedCurrency
from kubetally.domain.errors import KubetallyError
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.live_costs import LiveCosts
from kubetally.domain.source_identity import SourceIdentity
from kubetally.domain.window import DAY, Clock, Window, midnight, rfc3339, spans_without, whole_hour
from kubetally.ledger.costs.issues import failure_issue, foreign_metrics, measured_issues, merge_issues
from kubetally.ledger.costs.live import DeadlinePassed, LiveFetch, LiveResult, compare_with_neighbors
from kubetally.ledger.costs.requests import MAX_DAYS, SourceRequest, elapsed, source_requests
from kubetally.ledger.ports.sources import About, CostSource, InfrastructureSource
from kubetally.tasks import Calculate, calculate_here


@dataclass(frozen=True, slots=True)
class Live:
    """The opened source of a cluster, and its Prometheus."""

    source: CostSource
    metrics: InfrastructureSource | None = None


_ONLY_WHOLE_DAYS = "only whole UTC days are stored; with --as-of begin and end the window at 00:00 UTC"
OpenLive = Callable[[], AbstractAsyncContextManager[Live]]


@dataclass(frozen=True, slots=True)
class MissingParts:
    """What of a window is not stored.

    over:        the part of the window that has passed.
    requests:    for what is missing of it. unrequested: older parts than are requested of a source.
    has_stored:  whether any part is stored.
    """

    window: Window
    over: Window
    requests: Sequence[SourceRequest]
    unrequested: Sequence[Window]
    has_stored: bool

    @classmethod
    def of(cls, window: Window, now: datetime, stored: Iterable[Window]) -> "MissingParts":
        """What is missing beside the stored windows; whole hours until `now`, if the window is not over."""
        over = elapsed(window, whole_hour(now))
        held = [span for span in stored if over.contains(span)]
        requested, unrequested = _split_at_limit(spans_without([over], cuts=held))
        requests = [request for gap in requested for request in source_requests(gap)]
        return cls(window, over, requests, unrequested, bool(held))

    def issues(self, url: str) -> list[Issue]:
        """What was not asked for, and what is not counted or prorated."""
        return [*self._unrequested_issues(url), *self._window_issues(url)]

    def _unrequested_issues(self, url: str) -> list[Issue]:
        """One issue for each span that is neither stored nor requested."""
        days = f"the newest {MAX_DAYS} days of a window" + (" that are not stored" if self.has_stored else "")
        message = f"only {days} are requested from a source; ask for older days by themselves"
        return [Issue(IssueKind.NOT_ASKED, message, url, gap) for gap in self.unrequested]

    def _window_issues(self, url: str) -> list[Issue]:
        issues = []
        if self.over.end < self.window.end:
            counted = f"the window is not over; counted are its whole hours until {rfc3339(self.over.end)}"
            message = "the window has not begun; nothing is counted" if self.over.is_empty else counted
            issues.append(Issue(IssueKind.WINDOW_NOT_OVER, message, url, self.window))
        if any(request.requested != request.wanted for request in self.requests):
            message = "the window begins or ends within an hour; the cost of that hour was prorated by time"
            issues.append(Issue(IssueKind.EDGES_PRORATED, message, url, self.window))
        return issues


async def ask_missing(
    stored: Iterable[Window],
    place: str,
    open_live: OpenLive,
    window: Window,
    *,
    clock: Clock,
    deadline_seconds: float | None,
    currency: OriginatedCurrency,
    calculate: Calculate = calculate_here,
) -> LiveCosts:
    """What a source answers for the part of a window that is not stored, without its savings.

    place: where the source is, without credentials. open_live: not called if the whole window is stored.
    Raises: KubetallyError of the source, if nothing is stored or can be read.
    """
    missing = MissingParts.of(window, clock.now(), stored)
    answers = LiveResult(place, None, (), None, About(), None)
    if missing.requests:
        answers = await fetch(
            missing, place, open_live, deadline_seconds, clock.now(), calculate=calculate, with_savings=False
        )
    return await calculate(0, _live_costs, missing, answers, currency)


def missing_as_of(
    stored: Iterable[Window], place: str, window: Window, as_of: datetime, currency: OriginatedCurrency
) -> LiveCosts:
    """What was not stored of a window at an instant; no source is queried.

    stored: the windows of the days that were. place: where the source is, without credentials.
    """
    over = elapsed(window, whole_hour(as_of))
    nothing = f"nothing was stored of it at {rfc3339(as_of)}"
    gaps = spans_without([over], cuts=(span for span in stored if over.contains(span)))
    issues = [
        Issue(IssueKind.NOT_HELD, _ONLY_WHOLE_DAYS if _is_cut(gap, window) else nothing, place, gap) for gap in gaps
    ]
    if over.is_empty:
        issues = [Issue(IssueKind.NOT_HELD, f"the window had not begun at {rfc3339(as_of)}", place, window)]
    return LiveCosts(SourceIdentity(place), currency, (), tuple(issues))


def _is_cut(gap: Window, window: Window) -> bool:
    """Whether the window begins or ends within a day of the gap, which may be stored."""
    return any(edge != midnight(edge) for edge in {gap.start, gap.end} & {window.start, window.end})


async def fetch(
    missing: MissingParts,
    place: str,
    open_live: OpenLive,
    deadline_seconds: float | None,
    now: datetime,
    *,
    calculate: Calculate,
    with_savings: bool,
) -> LiveResult:
    """The answers of the source, opened and read under one deadline. Raises KubetallyError, if no day is stored."""
    ends = None if deadline_seconds is None else asyncio.get_running_loop().time() + deadline_seconds
    why: KubetallyError
    try:
        async with asyncio.timeout_at(ends) as opening, open_live() as live:
            opening.reschedule(None)  # from here on each request has the deadline, and answers in time count
            reader = LiveFetch(
                live.source,
                live.metrics,
                ends=ends,
                seconds=deadline_seconds or 0,
                now=now,
                calculate=calculate,
                with_savings=with_savings,
            )
            return await reader.answers(missing.requests)
    except TimeoutError:
        why = DeadlinePassed(place, deadline_seconds or 0)
    except KubetallyError as error:
        why = error
    if not missing.has_stored:
        raise why
    return LiveResult(place, None, [(part, why) for part in missing.requests], None, why, None)


def issues_of_answers(
    answers: LiveResult, bookings: Sequence[Booking], over: Window, window_issues: Sequence[Issue]
) -> list[Issue]:
    """The issues of an answer, those of the window first. bookings: its own and those of stored days."""
    return [
        *window_issues,
        *(failure_issue(answers.url, str(error), error, window=part.wanted) for part, error in answers.failures),
        *(issue for booking in bookings for issue in booking.issues),
        *measured_issues(answers, over),
        *foreign_metrics(answers, about_of(answers), over),
    ]


def about_of(answers: LiveResult) -> About:
    """The description of the source; empty if it returned none."""
    return About() if isinstance(answers.about, KubetallyError) else answers.about


def identity(url: str, about: About) -> SourceIdentity:
    """The identity of a source, from its description."""
    return SourceIdentity(url, about.product, about.version, about.cluster_id, about.cluster_name)


def _live_costs(missing: MissingParts, answers: LiveResult, currency: OriginatedCurrency) -> LiveCosts:
    """Raises: KubetallyError of the first failed part, if nothing was answered and nothing is stored."""
    bookings = compare_with_neighbors(sorted(answers.bookings, key=lambda booking: booking.window))
    if answers.failures and not (bookings or missing.has_stored):
        raise answers.failures[0][1]
    issues = issues_of_answers(answers, bookings, missing.over, missing.issues(answers.url))
    return LiveCosts(
        identity(answers.url, about_of(answers)),
        currency,
        tuple(booking for booking in bookings if booking.covered or booking.rows),
        merge_issues(issues),
    )


def _split_at_limit(missing: Sequence[Window]) -> tuple[list[Window], list[Window]]:
    """The newest `MAX_DAYS` missing days, and the older ones; both in order."""
    newest, older, room = list[Window](), list[Window](), MAX_DAYS * DAY
    for gap in reversed(missing):
        first = max(gap.start, midnight(gap.end - room)) if room > timedelta() else gap.end
        room -= gap.end - first
        if first < gap.end:
            newest.insert(0, Window(first, gap.end))
        if gap.start < first:
            older.insert(0, Window(gap.start, first))
    return newest, older
