"""Days that are held, read back as they were booked, now or at an instant before."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from kubetally.domain.booking import Booking
from kubetally.domain.cluster_costs import DayState, SourceIdentity
from kubetally.domain.collection import Collection, window_of
from kubetally.domain.errors import NotFound, RequestError, StoreError
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.window import DAY, Window, rfc3339
from kubetally.ledger.stored import CollectionGone, Coverage, Lake

RUNNING_KEPT = timedelta(minutes=15)
"""How long the copy of a running day stands for what its source would answer."""


HISTORY_KEPT = timedelta(days=400)
"""How long what was replaced can be asked for, unless a setting says otherwise."""


class HistoryGone(NotFound):
    """What held at an instant is no longer kept."""

    code = "history_gone"

    def __init__(self, as_of: datetime, earliest: datetime) -> None:
        self.as_of, self.earliest = as_of, earliest
        super().__init__(
            f"what held at {rfc3339(as_of)} is gone: what was replaced before {rfc3339(earliest)} is not kept; ask for "
            "a later instant, and set KUBETALLY_HISTORY_DAYS higher to keep more from now on"
        )


class InvalidAsOf(RequestError):
    """An instant at which nothing can have been reported yet."""

    code = "invalid_as_of"

    def __init__(self, as_of: datetime, now: datetime) -> None:
        self.as_of, self.now = as_of, now
        super().__init__(f"{rfc3339(as_of)} is yet to come (it is {rfc3339(now)}): ask as of an instant that is over")


@dataclass(frozen=True, slots=True)
class HeldDay:
    """A collected day with its rows, who told it, and how sure it is."""

    booking: Booking
    source: SourceIdentity
    state: DayState


class History:
    """Reads what was collected. All calls block.

    lake: opened when there is something to be read. keep: how long what was replaced is kept.
    """

    def __init__(self, coverage: Coverage, lake: Callable[[], Lake], keep: timedelta = HISTORY_KEPT) -> None:
        self._coverage, self._lake, self._keep = coverage, lake, keep

    def days(self, account_id: str, window: Window, now: datetime, as_of: datetime | None = None) -> list[HeldDay]:
        """The whole UTC days of the window that are held; the running one where its copy is fresh.

        as_of: those that held at that instant, which no running day is kept for.
        Raises: HistoryGone, InvalidAsOf, StoreError.
        """
        if as_of is not None:
            if as_of > now:
                raise InvalidAsOf(as_of, now)
            if as_of < now - self._keep:
                raise HistoryGone(as_of, now - self._keep)
        collections = self._collections(account_id, window, now, as_of)
        try:
            return self._read(collections)
        except CollectionGone:
            # Replaced and cleared away since we looked, if the horizon is short: what holds now is to be had.
            return self._read(self._collections(account_id, window, now, as_of))

    def _collections(self, account_id: str, window: Window, now: datetime, as_of: datetime | None) -> list[Collection]:
        last = window.end + DAY if window.end > window.start else window.start
        found = self._coverage.held(account_id, window.start.date(), last.date(), as_of)
        return list(_usable(found, window, now))

    def _read(self, collections: Sequence[Collection]) -> list[HeldDay]:
        rows = self._lake().rows(collections) if collections else {}
        return [HeldDay(one.booked(rows[one.id]), one.source, one.state) for one in collections]


@dataclass(frozen=True, slots=True)
class Held:
    """The held days of a window, and what is to be told where they could not be read."""

    days: Sequence[HeldDay] = ()
    issues: tuple[Issue, ...] = ()


async def held_days(
    history: History | None, executor: Executor | None, account_id: str, window: Window, now: datetime
) -> Held:
    """The days that need not be asked for; none where what is kept can't be read, and the source has to tell them."""
    if history is None:
        return Held()
    call = partial(history.days, account_id, window, now)
    try:
        return Held(await asyncio.get_running_loop().run_in_executor(executor, call))
    except StoreError as error:
        message = f"what was collected could not be read, and the source was asked for all of it: {error}"
        return Held((), (Issue(IssueKind.SOURCE_WARNING, message, None, window, "history", {"code": error.code}),))


def _usable(collections: Iterable[Collection], window: Window, now: datetime) -> Iterable[Collection]:
    for one in collections:
        if not window.contains(one.head.window):
            continue
        if one.is_running:
            is_fresh = timedelta() <= now - one.collected_at < RUNNING_KEPT
            if is_fresh and now < window_of(one.day).end:
                yield one
        else:
            yield one
