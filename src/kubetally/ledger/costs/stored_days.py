"""Reads stored days, as of now or an earlier instant."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from kubetally import logs
from kubetally.domain.account import StoredDays
from kubetally.domain.booking import Booking
from kubetally.domain.collection import NOT_REPLACED, Collection, is_copy_used, window_of
from kubetally.domain.damage import CollectionGone, DayDamaged
from kubetally.domain.errors import RequestError, StoreError
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.source_identity import SourceIdentity
from kubetally.domain.status import DayState
from kubetally.domain.window import DAY, Window, rfc3339
from kubetally.ledger.costs.issues import merge_issues
from kubetally.ledger.ports.coverage import Coverage, HistoryGone, Progress
from kubetally.ledger.ports.lake import HISTORY_KEPT, Lake
from kubetally.ledger.stores import Ledger
from kubetally.tasks import run_blocking

_log = logs.get_logger(__name__)
_Unreadable = tuple[Collection, StoreError]


class InvalidAsOf(RequestError):
    """An `--as-of` in the future."""

    code = "invalid_as_of"

    def __init__(self, as_of: datetime, *, now: datetime) -> None:
        self.as_of, self.now = as_of, now
        super().__init__(
            f"--as-of {rfc3339(as_of)} is in the future (now {rfc3339(now)}): give an earlier one, or none for now"
        )


@dataclass(frozen=True, slots=True)
class StoredDay:
    """A stored day with its rows, its source, and how certain it is."""

    booking: Booking
    source: SourceIdentity
    state: DayState


@dataclass(frozen=True, slots=True)
class StoredWindow:
    """The stored days of a window, and issues of those that could not be read or were not replaced."""

    days: Sequence[StoredDay] = ()
    issues: tuple[Issue, ...] = ()


class History:
    """Reads stored days. All calls block.

    lake: opened when there is something to read. keep: retention of replaced days.
    """

    def __init__(self, coverage: Coverage, lake: Callable[[], Lake], keep: timedelta = HISTORY_KEPT) -> None:
        self._coverage, self._lake, self._keep = coverage, lake, keep

    @classmethod
    def of(cls, ledger: Ledger) -> "History":
        """The history of a ledger; its lake is opened when the first day is read."""
        return cls(ledger.coverage, lambda: ledger.lake, ledger.retention)

    def stored(self, account_id: str, window: Window, now: datetime) -> StoredWindow:
        """The stored whole UTC days of the window; the running day too if its copy is fresh.

        An issue takes the place of a day whose rows can't be read; another says if a later answer did
        not replace a day.
        Raises: StoreError, if several days are stored and none can be read.
        """
        days, unreadable = self._read_days(account_id, window, now)
        issues = [
            *(_unreadable_issue(day, error, ", so it was requested from the source") for day, error in unreadable),
            *self._not_replaced(account_id, days),
        ]
        return StoredWindow(days, merge_issues(issues))

    def days(self, account_id: str, window: Window, now: datetime, *, as_of: datetime | None = None) -> list[StoredDay]:
        """The stored whole UTC days of the window; the running day too if its copy is fresh.

        as_of: the days stored at that instant, without a running day. A day whose rows can't be read covers nothing,
        and an issue says why: no source has it as it was.
        Raises: HistoryGone, InvalidAsOf; StoreError, if no day can be read.
        """
        if as_of is None:
            return list(self.stored(account_id, window, now).days)
        self.check_instant(as_of, now=now)
        days, unreadable = self._read_days(account_id, window, now, as_of)
        empty = [_without_rows(day, error) for day, error in unreadable]
        return sorted([*days, *empty], key=lambda day: day.booking.window)

    def check_instant(self, as_of: datetime, *, now: datetime) -> None:
        """Raises HistoryGone or InvalidAsOf, if what was stored at that instant has expired, or it is in the future."""
        if as_of > now:
            raise InvalidAsOf(as_of, now=now)
        if as_of < now - self._keep:
            raise HistoryGone(as_of, earliest=now - self._keep)

    def span(self, account_id: str) -> StoredDays:
        """The first and the last stored day of an account. Raises StoreError."""
        return self._coverage.stored_days([account_id])

    def progress(self, account_ids: Sequence[str], now: datetime) -> Progress:
        """The progress of collecting these accounts up to yesterday. Raises: StoreError."""
        return self._coverage.progress(account_ids, now.date() - DAY)

    def _read_days(
        self, account_id: str, window: Window, now: datetime, as_of: datetime | None = None
    ) -> tuple[list[StoredDay], list[_Unreadable]]:
        """The days that can be read, and those that can't.

        Raises: StoreError, if none of several can be read; with as_of also if the only one can't.
        """
        collections = self._collections(account_id, window, now, as_of)
        days, unreadable = self._readable(collections, now)
        if any(isinstance(error, CollectionGone) for _, error in unreadable):
            # With a short retention, days may be replaced and removed while they are read: read what is stored now.
            newer = self._collections(account_id, window, now, as_of)
            if newer != collections:
                days, unreadable = self._readable(newer, now)
        if as_of is None:
            self._note_damage(unreadable, now)
        if not days and (len(unreadable) > 1 or (unreadable and as_of is not None)):  # the lake is at fault, not a day
            raise unreadable[0][1]
        return days, unreadable

    def _note_damage(self, unreadable: Sequence[_Unreadable], now: datetime) -> None:
        """Note stored days whose rows are damaged, for coverage and the collector; no answer depends on it."""
        for collection, error in unreadable:
            if not isinstance(error, DayDamaged) or collection.is_running:
                continue
            try:
                known = self._coverage.days(
                    collection.day, end=collection.day + DAY, account_ids=[collection.account_id]
                )
                stored = self._coverage.collections_on(collection.day, [collection.account_id]).get(
                    collection.account_id
                )
                if (
                    stored is None
                    or stored.id != collection.id
                    or any(day.is_damaged and not day.has_costs for day in known)
                ):
                    continue
                self._coverage.failed(
                    collection.account_id,
                    collection.day,
                    now,
                    code=error.code,
                    message=str(error.of(collection.account_id)),
                )
            except StoreError as failure:
                _log.warning(
                    "damage_not_noted", account=collection.account_id, day=str(collection.day), error=str(failure)
                )
                return
            _log.warning("stored_day_damaged", account=collection.account_id, day=str(collection.day), error=str(error))

    def _readable(self, collections: Sequence[Collection], now: datetime) -> tuple[list[StoredDay], list[_Unreadable]]:
        """The days that can be read, and those that can't. If they can't be read at once, halves are read.

        Raises: StoreError of the whole lake, for example if it is unreachable.
        """
        lake = self._lake() if collections else None
        return ([], []) if lake is None else _read(lake, collections, now)

    def _not_replaced(self, account_id: str, days: Sequence[StoredDay]) -> Iterator[Issue]:
        """An issue for each day whose last collection was rejected because it had less data than the stored day."""
        stored = {day.booking.window.start.date(): day for day in days}
        known = self._coverage.days(min(stored), end=max(stored) + DAY, account_ids=[account_id]) if stored else ()
        for day in known:
            code, message = day.last_error or ("", "")
            if day.day in stored and code in NOT_REPLACED:
                url = stored[day.day].source.url
                yield Issue(IssueKind.NOT_REPLACED, message, url, window_of(day.day), "history", {"code": code})

    def _collections(self, account_id: str, window: Window, now: datetime, as_of: datetime | None) -> list[Collection]:
        last = window.end + DAY if window.end > window.start else window.start
        collections = self._coverage.collections(account_id, window.start.date(), end=last.date(), as_of=as_of)
        return list(_usable(collections, window, now))


async def stored_days(
    history: History | None, executor: Executor | None, account_id: str, window: Window, now: datetime
) -> StoredWindow:
    """The stored days of a window; no days and an issue if the stores can't be read."""
    if history is None:
        return StoredWindow()
    call = partial(history.stored, account_id, window, now)
    try:
        return await run_blocking(executor, call)
    except StoreError as error:
        message = f"stored days could not be read, so all were requested from the source: {error}"
        return StoredWindow(
            (), (Issue(IssueKind.SOURCE_WARNING, message, None, window, "history", {"code": error.code}),)
        )


def _read(lake: Lake, collections: Sequence[Collection], now: datetime) -> tuple[list[StoredDay], list[_Unreadable]]:
    """The days that can be read, and those that can't, both in order. Raises StoreError if the lake is unreachable."""
    try:
        rows = lake.rows(collections)
    except StoreError as error:
        if error.retryable:  # the next read would wait as long
            raise
        if len(collections) == 1:
            return [], [(collections[0], error)]
        middle = len(collections) // 2
        older, newer = _read(lake, collections[:middle], now), _read(lake, collections[middle:], now)
        return [*older[0], *newer[0]], [*older[1], *newer[1]]
    days = [
        StoredDay(collection.with_rows(rows[collection.id]), collection.source, collection.state_at(now))
        for collection in collections
    ]
    return days, []


def _unreadable_issue(
    collection: Collection, error: StoreError, consequence: str = "", kind: IssueKind = IssueKind.SOURCE_WARNING
) -> Issue:
    message = f"the stored day could not be read{consequence}: {error}"
    return Issue(kind, message, None, window_of(collection.day), "history", {"code": error.code})


def _without_rows(collection: Collection, error: StoreError) -> StoredDay:
    """A stored day that can't be read, with an issue that says why."""
    issue = _unreadable_issue(collection, error, kind=IssueKind.SOURCE_FAILED)
    return StoredDay(replace(collection.head, covered=(), issues=(issue,)), collection.source, DayState.PROVISIONAL)


def _usable(collections: Iterable[Collection], window: Window, now: datetime) -> Iterator[Collection]:
    """Collections of whole days of the window, and copies of running days that are used instead of the source."""
    for collection in collections:
        if not window.contains(collection.head.window):
            continue
        if not collection.is_running or is_copy_used(collection.day, collection.collected_at, now=now):
            yield collection
