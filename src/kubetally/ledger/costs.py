"""Asking a source for a window, day by day, and answering what the cluster cost."""

import asyncio
import time
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import TypeVar

from kubetally import logs
from kubetally.domain.booking import Booking, book
from kubetally.domain.cluster_costs import ClusterCosts, SourceIdentity
from kubetally.domain.errors import HubError, RequestError, SourceError
from kubetally.domain.infrastructure import Infrastructure
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.money import DEFAULT_CURRENCY
from kubetally.domain.reading import Reading
from kubetally.domain.window import DAY, HOUR, Clock, Window, midnight, rfc3339, whole_hour
from kubetally.ledger.ports import About, CostSource, InfrastructureSource
from kubetally.tasks import task_group

T = TypeVar("T")
MOST_DAYS = 500
"""Days of a window that are asked of a source, the newest: more would take it hours, and hardly any holds them."""
_GRACE_SECONDS = 5.0  # for what describes the costs, once they are there


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a source (whole hours within one UTC day), and which part of it is wanted."""

    ask: Window
    want: Window


def questions(window: Window) -> list[Question]:
    """The questions that make up a window: one a UTC day, ragged edges in whole hours.

    An edge within an hour becomes a question of its own, of the whole hour, so that only that hour is prorated.
    The wanted parts are adjacent and add up to the window.
    """
    asked = []
    for day in window.days():
        first, last = whole_hour(day.start), whole_hour(day.end)
        cuts = [day.start]
        if first < day.start:  # a broken first hour
            cuts.append(min(first + HOUR, day.end))
        if last < day.end and last > cuts[-1]:  # a broken last hour
            cuts.append(last)
        if cuts[-1] < day.end:
            cuts.append(day.end)
        for start, end in pairwise(cuts):
            up = whole_hour(end) if whole_hour(end) == end else whole_hour(end) + HOUR
            asked.append(Question(Window(whole_hour(start), up), Window(start, end)))
    return asked


class DeadlinePassed(SourceError):
    """The overall deadline came before the source's answer."""

    code = "deadline_passed"

    def __init__(self, url: str, seconds: float) -> None:
        self.url, self.seconds = url, seconds
        super().__init__(
            f"{url} did not answer before the overall deadline of {seconds:g} s: ask for a shorter window, or set "
            "KUBETALLY_DEADLINE_SECONDS higher"
        )


class LateDescription(SourceError):
    """What only describes the costs was not there soon after them."""

    code = "late_description"

    def __init__(self, url: str, seconds: float) -> None:
        self.url, self.seconds = url, seconds
        super().__init__(f"{url} did not tell it within {seconds:g} s after its costs, which are complete without it")


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
    over = window.until(whole_hour(clock.now())) or Window(window.start, window.start)
    asked = newest(over)
    parts = questions(asked)
    issues = _about_the_window(window, over, asked, parts, source.url)
    ends = None if deadline_seconds is None else asyncio.get_running_loop().time() + deadline_seconds

    async def in_time(question: Awaitable[T]) -> T | SourceError:
        """The answer, or why there is none: one failure does not cancel the parts beside it."""
        try:
            async with asyncio.timeout_at(ends):
                return await question
        except TimeoutError:
            return DeadlinePassed(source.url, deadline_seconds or 0)
        except SourceError as error:
            return error

    async def measured() -> Infrastructure | HubError | None:
        if infrastructure is None or not parts:
            return None
        try:
            async with asyncio.timeout_at(ends):
                return await infrastructure.read(Window(parts[0].ask.start, parts[-1].ask.end))
        except TimeoutError:
            return DeadlinePassed(infrastructure.url, deadline_seconds or 0)
        except (SourceError, RequestError) as error:
            return error

    async def booked(part: Question) -> Booking | SourceError:
        reading = await in_time(source.read(part.ask))
        if isinstance(reading, SourceError):
            return reading
        beside = await measured_task
        return _booked(source.url, part, reading, beside if isinstance(beside, Infrastructure) else None)

    began = time.monotonic()
    async with task_group() as group:
        measured_task = group.create_task(measured())
        tasks = [(part, group.create_task(booked(part))) for part in parts]
        about_task = group.create_task(in_time(source.about()))
        savings_task = group.create_task(in_time(source.savings()))
        if tasks:
            await asyncio.wait([task for _, task in tasks])
        # What only describes the costs must not hold them.
        await asyncio.wait([about_task, savings_task], timeout=_GRACE_SECONDS)
        for task in (about_task, savings_task):
            task.cancel()
    answers, beside = [(part, task.result()) for part, task in tasks], measured_task.result()
    late = LateDescription(source.url, _GRACE_SECONDS)
    told = late if about_task.cancelled() else about_task.result()
    savings = late if savings_task.cancelled() else savings_task.result()
    _tell_of_cuts(source, (*(answer for _, answer in answers), beside), time.monotonic() - began)
    failures = [(part, answer) for part, answer in answers if isinstance(answer, SourceError)]
    if failures and len(failures) == len(answers):
        raise failures[0][1]
    issues += [_failed(source.url, str(error), error, window=part.want) for part, error in failures]
    bookings = [answer for _, answer in answers if isinstance(answer, Booking)]
    issues += [issue for booking in bookings for issue in booking.issues]
    issues += _measured_issues(infrastructure, beside, over)
    about = About() if isinstance(told, SourceError) else told
    if isinstance(savings, SourceError):
        issues.append(_failed(source.url, f"no savings: {savings}", savings, subject="savings"))
    return ClusterCosts(
        window=window,
        hours_asked=over.hours,
        bookings=tuple(booking for booking in bookings if booking.covered),
        currency=next((booking.currency for booking in bookings), about.currency or DEFAULT_CURRENCY),
        source=identity(source.url, about),
        savings=None if isinstance(savings, SourceError) else savings,
        issues=_each_once(issues),
    )


def _tell_of_cuts(source: CostSource, answers: Iterable[object], seconds: float) -> None:
    cut = sum(isinstance(answer, DeadlinePassed) for answer in answers)
    if cut:
        facts = {"account": source.account, "source": source.url, "questions": cut}
        logs.warning("deadline_passed", **facts, duration_seconds=round(seconds, 3))


def identity(url: str, about: About) -> SourceIdentity:
    """Who answered, from what a source tells of itself."""
    return SourceIdentity(url, about.product, about.version, about.cluster_id, about.cluster_name)


def _booked(url: str, part: Question, read: Reading, infrastructure: Infrastructure | None) -> Booking:
    reading = read.within(part.want)
    empty = [
        Issue(IssueKind.WINDOW_WITHOUT_DATA, "the source holds no data of this window", url, gap)
        for gap in _gaps(part.want, reading.covered)
    ]
    reading = replace(reading, issues=(*reading.issues, *empty))
    if not reading.covered:  # without rows there is no use to hold against the bill, whatever assets there were
        reading = replace(reading, allocations=(), assets=())
    elif infrastructure is not None:
        reading = replace(reading, infrastructure=infrastructure.within(part.want))
    return book(reading)


def _measured_issues(
    infrastructure: InfrastructureSource | None, answer: Infrastructure | HubError | None, window: Window
) -> Sequence[Issue]:
    if isinstance(answer, Infrastructure):
        return answer.issues
    if infrastructure is None or answer is None:
        return ()
    message = f"management fee, load balancers and traffic are missing as far as the source leaves them out: {answer}"
    return [_failed(infrastructure.url, message, answer, window=window, subject="infrastructure")]


def _gaps(window: Window, covered: Iterable[Window]) -> Iterator[Window]:
    """What of `window` is not in `covered`."""
    reached = window.start
    for span in sorted(covered):
        if span.start > reached:
            yield Window(reached, span.start)
        reached = max(reached, span.end)
    if reached < window.end:
        yield Window(reached, window.end)


def begun(window: Window, now: datetime) -> Window:
    """What of a window has passed; its first instant where nothing has."""
    return window.until(now) or Window(window.start, window.start)


def newest(window: Window) -> Window:
    """What of a window a source is asked for: its newest `MOST_DAYS` days."""
    first = window.end - MOST_DAYS * DAY
    return Window(max(window.start, midnight(first)), window.end)


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
