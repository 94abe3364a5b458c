"""Reads all requests of a window from a source and its Prometheus, under one deadline."""

import asyncio
import time
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from kubetally import logs
from kubetally.domain.booking import Booking, book
from kubetally.domain.collection import has_assets
from kubetally.domain.completeness import measure_completeness
from kubetally.domain.errors import KubetallyError, RequestError, SourceError
from kubetally.domain.evidence.days_around import DayFacts, compare_days, facts_of, new_issues, rows_without
from kubetally.domain.evidence.examine import examine
from kubetally.domain.evidence.hours import SeenHour
from kubetally.domain.evidence.sighting import NOTHING_AROUND, Around
from kubetally.domain.infrastructure import Infrastructure
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.reading import Reading
from kubetally.domain.savings import Savings
from kubetally.domain.window import Window, covered_hours, spans_without
from kubetally.garbage import gc_paused
from kubetally.ledger.costs.examination import look_around
from kubetally.ledger.costs.requests import SourceRequest
from kubetally.ledger.ports.sources import About, CostSource, InfrastructureSource
from kubetally.tasks import Calculate, calculate_here, task_group

T = TypeVar("T")
_GRACE_SECONDS = 5.0  # for savings and version, once the costs have arrived


class DeadlinePassed(SourceError):
    """The source did not answer within the overall deadline.

    is_divisible: whether a shorter window takes less time: there were several requests, or one of more than a day.
    """

    code = "deadline_passed"

    def __init__(self, url: str, seconds: float, *, is_divisible: bool = False) -> None:
        self.url, self.seconds, self.is_divisible = url, seconds, is_divisible
        todo = "ask for a shorter window" if is_divisible else "check whether it hangs"
        super().__init__(
            f"{url} did not answer within the overall deadline of {seconds:g} s; {todo}, or raise "
            "KUBETALLY_DEADLINE_SECONDS"
        )


def late_description(url: str, seconds: float) -> SourceError:
    """The error of a source whose savings or version came too late."""
    message = f"{url} did not return its savings or version within {seconds:g} s. Costs are complete"
    return SourceError(message, code="late_description")


@dataclass(frozen=True, slots=True)
class LiveResult:
    """The answers of a source and its Prometheus; an error stands in the place of its answer.

    url, metrics_url: of the source and its Prometheus, without credentials.
    parts:            the booking of each request, in order.
    measured:         None if no Prometheus was queried.
    """

    url: str
    metrics_url: str | None
    parts: Sequence[tuple[SourceRequest, Booking | KubetallyError]]
    measured: Infrastructure | KubetallyError | None
    about: About | KubetallyError
    savings: Savings | SourceError | None

    @property
    def bookings(self) -> list[Booking]:
        """The bookings of the parts that were answered."""
        return [answer for _, answer in self.parts if isinstance(answer, Booking)]

    @property
    def failures(self) -> list[tuple[SourceRequest, KubetallyError]]:
        """The parts that failed, each with its error."""
        return [(part, answer) for part, answer in self.parts if isinstance(answer, KubetallyError)]


class LiveFetch:
    """Requests to a source and its Prometheus at `now`.

    ends: the deadline in the loop's time, `seconds` after the start. calculate: runs the booking of answers.
    with_savings: whether the source may have any.
    """

    def __init__(
        self,
        source: CostSource,
        infrastructure: InfrastructureSource | None,
        *,
        ends: float | None,
        seconds: float,
        now: datetime,
        calculate: Calculate = calculate_here,
        with_savings: bool = True,
    ) -> None:
        self._source, self._infrastructure, self._ends, self._seconds = source, infrastructure, ends, seconds
        self._several = False
        self._now, self._calculate, self._with_savings = now, calculate, with_savings

    async def answers(self, parts: Sequence[SourceRequest]) -> LiveResult:
        """The answers to all parts, requested concurrently; a failure does not cancel the others."""
        started, self._several = time.monotonic(), len(parts) > 1
        async with task_group() as group:
            measured = group.create_task(self._read_metrics(parts))
            tasks = [group.create_task(self._read_part(part, measured)) for part in parts]
            about = group.create_task(self._in_time(self._source.about()))
            savings = group.create_task(self._read_savings())
            if tasks:
                await asyncio.wait(tasks)
            # Savings and version must not delay the costs.
            await asyncio.wait([about, savings], timeout=_GRACE_SECONDS)
            about.cancel()
            savings.cancel()
        booked = [task.result() for task in tasks]
        self._log_cuts((*booked, measured.result()), time.monotonic() - started)
        late = late_description(self._source.url, _GRACE_SECONDS)
        return LiveResult(
            self._source.url,
            None if self._infrastructure is None else self._infrastructure.url,
            list(zip(parts, booked, strict=True)),
            measured.result(),
            late if about.cancelled() else about.result(),
            late if savings.cancelled() else savings.result(),
        )

    async def _in_time(self, request: Awaitable[T]) -> T | SourceError:
        """The answer to a request, or its error."""
        try:
            async with asyncio.timeout_at(self._ends):
                return await request
        except TimeoutError:
            return DeadlinePassed(self._source.url, self._seconds, is_divisible=self._several)
        except SourceError as error:
            return error

    async def _read_savings(self) -> Savings | SourceError | None:
        return await self._in_time(self._source.savings()) if self._with_savings else None

    async def _read_metrics(self, parts: Sequence[SourceRequest]) -> Infrastructure | KubetallyError | None:
        if self._infrastructure is None or not parts:
            return None
        try:
            async with asyncio.timeout_at(self._ends):
                return await self._infrastructure.read(Window(parts[0].requested.start, parts[-1].requested.end))
        except TimeoutError:
            return DeadlinePassed(self._infrastructure.url, self._seconds, is_divisible=self._several)
        except (SourceError, RequestError) as error:
            return error

    async def _read_part(
        self, part: SourceRequest, measured: Awaitable[Infrastructure | KubetallyError | None]
    ) -> Booking | SourceError:
        reading = await self._in_time(self._source.read(part.requested))
        if isinstance(reading, SourceError):
            return reading
        around = await self._in_time(look_around(self._source, reading, self._now, calculate=self._calculate))
        infrastructure = await measured
        return await self._calculate(
            0,
            book_request,
            self._source.url,
            part,
            reading,
            infrastructure if isinstance(infrastructure, Infrastructure) else None,
            NOTHING_AROUND if isinstance(around, SourceError) else around,
        )

    def _log_cuts(self, answers: Iterable[object], seconds: float) -> None:
        cut = sum(isinstance(answer, DeadlinePassed) for answer in answers)
        if cut:
            logs.warning("deadline_passed", source=self._source.url, questions=cut, duration_seconds=round(seconds, 3))


@gc_paused()
def book_request(
    url: str,
    part: SourceRequest,
    read: Reading,
    infrastructure: Infrastructure | None,
    around: Around = NOTHING_AROUND,
    hours: Sequence[SeenHour] = (),
) -> Booking:
    """The booking of the wanted part of a reading, with issues of spans that lack data or evidence."""
    reading = read.within(part.wanted)
    empty = [
        Issue(IssueKind.WINDOW_WITHOUT_DATA, "the source holds no data of this window", url, gap)
        for gap in spans_without([part.wanted], cuts=reading.covered)
    ]
    reading = replace(reading, issues=(*reading.issues, *empty))
    if not reading.covered:  # without allocations the assets can't be balanced
        reading = replace(reading, allocations=(), assets=())
    elif infrastructure is not None:
        reading = replace(reading, infrastructure=infrastructure.within(part.wanted))
    booking = book(examine(reading, around, hours))
    assets = reading.assets or ()
    completeness = measure_completeness(
        covered_hours(booking.covered), booking.rows, assets, has_assets=has_assets(booking.issues)
    )
    return replace(booking, facts=facts_of(booking.window, url, completeness, assets))


def compare_with_neighbors(bookings: Sequence[Booking]) -> list[Booking]:
    """The bookings in order, each with issues of what it lacks compared with the neighboring days."""
    checked = []
    for before, booking, after in zip((None, *bookings), bookings, (*bookings[1:], None), strict=False):
        issues = (
            () if booking.facts is None else compare_days(before=_facts(before), day=booking.facts, after=_facts(after))
        )
        new = new_issues(issues, booking.issues)
        rows = rows_without(booking.rows, new)
        checked.append(replace(booking, rows=rows, issues=(*booking.issues, *new)) if new else booking)
    return checked


def _facts(booking: Booking | None) -> DayFacts | None:
    return None if booking is None else booking.facts
