"""Further requests to a source, when a day alone does not show whether samples are missing."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from kubetally.domain.errors import KubetallyError
from kubetally.domain.evidence.examine import is_in_doubt
from kubetally.domain.evidence.hours import SeenHour
from kubetally.domain.evidence.sighting import NOTHING_AROUND, Around, Sighting, sighting_of
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.reading import Reading
from kubetally.domain.window import DAY, Window, midnight
from kubetally.ledger.ports.sources import CostSource
from kubetally.tasks import Calculate, calculate_here

_OfDay = Callable[[datetime], Awaitable[Sighting | None]]


async def look_around(
    source: CostSource,
    reading: Reading,
    now: datetime,
    deadline_seconds: float | None = None,
    calculate: Calculate = calculate_here,
) -> Around:
    """What the source saw on the days before and after; requested only if a reading is in doubt.

    Days that are not over, or could not be read by the deadline, are unknown. If the source saw nothing on the
    neighboring day, the next day is requested, because an outage may last longer than a day.
    """
    if not await calculate(0, is_in_doubt, reading):
        return NOTHING_AROUND
    start = midnight(reading.window.start)

    async def sighting(first: datetime) -> Sighting | None:
        day = Window(first, first + DAY)
        try:
            return None if day.end > now else await calculate(0, sighting_of, await source.read(day))
        except KubetallyError:
            return None

    try:
        async with asyncio.timeout(deadline_seconds):
            return Around(*await asyncio.gather(_neighbor(sighting, start, -DAY), _neighbor(sighting, start, DAY)))
    except TimeoutError:
        return NOTHING_AROUND


async def _neighbor(sighting: _OfDay, start: datetime, step: timedelta) -> Sighting | None:
    """When the source saw nodes and pods on the neighboring day, or on the one after if it saw nothing there."""
    first = await sighting(start + step)
    if first is None or first.either is not None:
        return first
    second = await sighting(start + 2 * step)
    return first if second is None or second.either is None else second


async def look_by_hour(
    source: CostSource, reading: Reading, deadline_seconds: float | None
) -> tuple[Sequence[SeenHour], Issue | None]:
    """What the source saw in each hour of a day (B10 f), or an issue that says why that is unknown."""
    try:
        async with asyncio.timeout(deadline_seconds):
            hours = await source.hours(reading.window, len(reading.allocations))
        why = "the source does not answer in hourly steps"
    except TimeoutError:
        hours, why = (), f"no answer within {deadline_seconds:g} s"
    except KubetallyError as error:
        hours, why = (), str(error)
    if hours:
        return hours, None
    message = f"the day could not be checked hour by hour, so that a gap within it would not show: {why}"
    return (), Issue(IssueKind.HOURS_NOT_CHECKED, message, reading.source, reading.window)
