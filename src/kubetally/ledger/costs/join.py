"""Joins stored days and live answers of a source into the costs of a cluster."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from kubetally.domain.booked_report import report_bookings
from kubetally.domain.booking import Booking
from kubetally.domain.currency import OriginatedCurrency
from kubetally.domain.errors import KubetallyError, SourceError
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.money import DEFAULT_CURRENCY, CurrencyOrigin
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.report import ClusterReport
from kubetally.domain.savings import Savings
from kubetally.domain.source_identity import KUBECOST, OPENCOST
from kubetally.domain.status import DayState
from kubetally.domain.window import Clock, Window, whole_hour
from kubetally.ledger.costs.issues import failure_issue, merge_issues
from kubetally.ledger.costs.live import LiveResult, compare_with_neighbors, late_description
from kubetally.ledger.costs.missing import (
    MissingParts,
    OpenLive,
    about_of,
    fetch,
    identity,
    issues_of_answers,
    missing_as_of,
)
from kubetally.ledger.costs.requests import elapsed
from kubetally.ledger.costs.stored_days import StoredDay
from kubetally.ledger.ports.sources import About
from kubetally.tasks import Calculate, calculate_here

UNSTATED: OriginatedCurrency = (DEFAULT_CURRENCY, CurrencyOrigin.ASSUMED)
_SAVINGS_SECONDS = 5.0  # for a source that is opened for its savings only


async def join_costs(
    stored: Sequence[StoredDay],
    place: str,
    open_live: OpenLive,
    window: Window,
    *,
    clock: Clock,
    deadline_seconds: float | None = None,
    history_issues: Sequence[Issue] = (),
    currency: OriginatedCurrency = UNSTATED,
    calculate: Calculate = calculate_here,
) -> ClusterReport:
    """What a cluster cost over a window, from stored days and from its source for the rest.

    If the window is not over, its elapsed whole hours are requested. Parts that did not arrive by the deadline are
    issues of a partial answer. Prometheus is queried for what the source leaves out, for the whole window.

    place: where the source is, without credentials. open_live: if the whole window is stored, called only for a
    Kubecost's savings. If it fails and days are stored, these are the answer, and the rest is missing.
    history_issues: issues of stored days, such as unreadable ones. currency: of an answer without data.
    calculate: runs the booking of answers.

    Raises: KubetallyError of the source, if nothing is stored or can be read.
    """
    try:
        costs = await _join(stored, place, open_live, window, clock, deadline_seconds, currency, calculate)
    except SourceError as error:
        if unread := [issue.message for issue in history_issues if issue.kind is not IssueKind.NOT_REPLACED]:
            raise SourceError("; ".join([str(error), *unread]), code="source_and_history_failed") from error
        raise
    return replace(costs, issues=(*costs.issues, *history_issues))


async def _join(
    stored: Sequence[StoredDay],
    place: str,
    open_live: OpenLive,
    window: Window,
    clock: Clock,
    deadline_seconds: float | None,
    currency: OriginatedCurrency,
    calculate: Calculate,
) -> ClusterReport:
    now = clock.now()
    missing = MissingParts.of(window, now, [day.booking.window for day in stored])
    days = [day for day in stored if missing.over.contains(day.booking.window)]
    savings_issues: list[Issue] = []
    if missing.requests:
        with_savings = _newest_product(days) != OPENCOST
        answers = await fetch(
            missing, place, open_live, deadline_seconds, now, calculate=calculate, with_savings=with_savings
        )
    else:
        savings, savings_issues = await _read_savings(days, place, open_live, deadline_seconds)
        answers = LiveResult(place, None, (), None, About(), savings)
    issues = [*missing.issues(answers.url), *savings_issues]
    return await calculate(0, _build_report, CostQuestion(window), missing.over, days, answers, issues, currency)


def get_costs_as_of(
    stored: Sequence[StoredDay],
    place: str,
    window: Window,
    as_of: datetime,
    *,
    currency: OriginatedCurrency = UNSTATED,
) -> ClusterReport:
    """The costs of a window from the days that were stored at an instant; no source is queried.

    place: where the source is, without credentials. currency: of an answer without data.
    """
    over = elapsed(window, whole_hour(as_of))
    days = [day for day in stored if over.contains(day.booking.window)]
    issues = missing_as_of([day.booking.window for day in days], place, window, as_of, currency).issues
    question = CostQuestion(window, as_of=as_of)
    return _build_report(question, over, days, LiveResult(place, None, (), None, About(), None), issues, currency)


async def _read_savings(
    stored: Sequence[StoredDay], place: str, open_live: OpenLive, deadline_seconds: float | None
) -> tuple[Savings | None, list[Issue]]:
    """The savings of a Kubecost whose days are all stored; costs are complete without them."""
    if _newest_product(stored) != KUBECOST:
        return None, []
    seconds = _SAVINGS_SECONDS if deadline_seconds is None else min(_SAVINGS_SECONDS, deadline_seconds)
    why: KubetallyError
    try:
        async with asyncio.timeout(seconds), open_live() as live:
            return await live.source.savings(), []
    except TimeoutError:
        why = late_description(place, seconds)
    except KubetallyError as error:
        why = error
    issue = failure_issue(place, f"no savings: {why}", why, subject="savings")
    return None, [replace(issue, kind=IssueKind.SOURCE_WARNING)]


def _newest_product(stored: Sequence[StoredDay]) -> str | None:
    """The product of the source of the newest stored day."""
    return max(stored, key=lambda day: day.booking.window).source.product if stored else None


def _build_report(
    question: CostQuestion,
    over: Window,
    stored: Sequence[StoredDay],
    answers: LiveResult,
    window_issues: Sequence[Issue],
    currency: OriginatedCurrency,
) -> ClusterReport:
    """The costs of stored days and of the answers; `window_issues` come before all others.

    currency: of an answer without bookings.

    Raises: KubetallyError of the first failed part, if there is no booking at all.
    """
    url, failures = answers.url, answers.failures
    relabelled = _relabel_currency(stored, answers.bookings)
    bookings = compare_with_neighbors(sorted((*relabelled, *answers.bookings), key=lambda booking: booking.window))
    if failures and not bookings:
        raise failures[0][1]
    about = about_of(answers)
    source = identity(url, about) if answers.bookings or not stored else stored[-1].source
    issues = issues_of_answers(answers, bookings, over, window_issues)
    savings = answers.savings
    if isinstance(savings, SourceError):
        # A source that is down is not known to have savings, and its failure is an issue already.
        if about.product is not None or not failures:
            issues.append(failure_issue(url, f"no savings: {savings}", savings, subject="savings"))
        savings = None
    if bookings:
        currency = bookings[0].currency, bookings[0].currency_origin or CurrencyOrigin.STATED
    return report_bookings(
        question,
        [booking for booking in bookings if booking.covered or booking.rows],
        hours_asked=over.hours,
        state=_state(stored, answers),
        currency=currency[0],
        currency_origin=currency[1],
        source=source,
        savings=savings,
        issues=merge_issues(issues),
    )


def _relabel_currency(stored: Sequence[StoredDay], live: Sequence[Booking]) -> list[Booking]:
    """The bookings of stored days; those whose source states no currency get the current one.

    The current currency is that of the live answer, else of the newest stored day. It comes from the account, a setting
    or an assumption, which may have been corrected since a day was stored. Amounts stay the same.
    """
    unstated = [booking for booking in live if booking.currency_origin is not CurrencyOrigin.SOURCE]
    newest = unstated or [day.booking for day in stored if _lacks_currency(day)]
    if not newest:
        return [day.booking for day in stored]
    label = {"currency": newest[-1].currency, "currency_origin": newest[-1].currency_origin}
    return [replace(day.booking, **label) if _lacks_currency(day) else day.booking for day in stored]  # type: ignore[arg-type]


def _lacks_currency(day: StoredDay) -> bool:
    """Whether the source of a stored day states no currency. Earlier versions did not store that for an OpenCost."""
    origin = day.booking.currency_origin
    return day.source.product == OPENCOST if origin is None else origin is not CurrencyOrigin.SOURCE


def _state(stored: Sequence[StoredDay], answers: LiveResult) -> DayState:
    """The least certain state of all days; a live answer may still be corrected."""
    is_settled = stored and not answers.parts and all(day.state is DayState.SETTLED for day in stored)
    return DayState.SETTLED if is_settled else DayState.PROVISIONAL
