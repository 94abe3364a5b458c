"""A day of an account as it was collected: its facts beside the rows, and its state."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import NamedTuple, Protocol

from kubetally.domain.asset import Asset
from kubetally.domain.booking import Booking, ComponentBalance
from kubetally.domain.completeness import Completeness, measure_completeness
from kubetally.domain.component import Component
from kubetally.domain.evidence.days_around import rows_without
from kubetally.domain.evidence.stored import EXAMINED_ALONE
from kubetally.domain.idle_shares import IdleShares, order_rows, share_idle
from kubetally.domain.issues import Issue, IssueKind, any_missing
from kubetally.domain.machines import match_machines
from kubetally.domain.money import CurrencyOrigin
from kubetally.domain.row import Row
from kubetally.domain.source_identity import SourceIdentity
from kubetally.domain.status import DayState
from kubetally.domain.stored_sums import AssetSums, sum_assets
from kubetally.domain.window import DAY, Window, covered_hours

SETTLES_AFTER = timedelta(hours=72)
"""A source may correct a day for so long after its end; what is collected later is settled."""

RUNNING_DAY_MAX_AGE = timedelta(minutes=15)
"""How long the stored copy of a running day is used instead of its source."""

LAKE_VERSION = 2
"""The present version of the lake's columns; rows of an earlier version lack some of them."""

NO_DATA = "no_data"
"""The code of an attempt with an empty answer: the source has no data of that day."""

SUPERSEDED = "overtaken"
"""The code of an answer that a later one had replaced already, which is no failure."""

NOT_TRIED, NOT_BEGUN = "not_tried", "not_begun"
"""Codes of days that no source was asked for."""

DAMAGED, SET_ASIDE = "day_damaged", "day_set_aside"
"""Codes of an attempt that found a stored day damaged, and of one that found no copy of it."""
ASSETS_DAMAGED = "assets_damaged"
"""Code of an attempt that found the assets alone of a stored day damaged: its costs are in its rows."""
DAMAGE_CODES = frozenset({DAMAGED, SET_ASIDE, ASSETS_DAMAGED, "lake_damaged", "collection_gone"})
"""Codes of attempts that found a stored day unreadable."""


class RejectReason(StrEnum):
    """Why an answer does not replace the stored day."""

    FEWER_HOURS = "fewer_hours"
    ASSETS_FAILED = "assets_failed"
    METRICS_FAILED = "metrics_failed"
    LESS_COMPLETE = "less_complete"


NOT_REPLACED = frozenset[str]({*RejectReason, NO_DATA})
"""Codes of attempts whose answer had less data than the stored day."""


@dataclass(frozen=True, slots=True)
class Collection:
    """One collection of an (account, day); the last one is the stored one.

    collected_at: when it began. head: the booking without its rows, which lie in the lake under `id`; `rows` counts
    them.
    balance: of the whole booking. is_running: the day was not over, so that it lies in the table of running days.
    version: the first of that table with its rows; None before. last_version: the last one with them; None while it
    is the stored one.
    completeness: what another answer for the day has to reach to replace it; None if an earlier version stored it.
    examined_by: how far the day was examined (`evidence.stored.EXAMINED`); 0 if an earlier version stored it.
    asset_sums: of its assets; None if an earlier version stored it.
    lake_version: of the columns that its rows were written with.
    """

    id: str
    account_id: str
    day: date
    collected_at: datetime
    source: SourceIdentity
    head: Booking
    rows: int
    balance: Mapping[Component, ComponentBalance]
    is_running: bool = False
    version: int | None = None
    last_version: int | None = None
    completeness: Completeness | None = None
    examined_by: int = 0
    asset_sums: AssetSums | None = None
    lake_version: int = 1

    @property
    def state(self) -> DayState:
        """Settled, if the whole day was collected late enough, and no data is missing."""
        window = window_of(self.day)
        is_late = self.collected_at >= window.end + SETTLES_AFTER
        is_whole = self.hours_covered >= window.hours and not any_missing(self.head.issues)
        return DayState.SETTLED if is_late and is_whole else DayState.PROVISIONAL

    def state_at(self, now: datetime) -> DayState:
        """`state`, but provisional if it was collected in the future, by a clock that was ahead."""
        return DayState.PROVISIONAL if self.collected_at > now else self.state

    @property
    def hours_covered(self) -> float:
        """Hours of the day that the source answered for."""
        return covered_hours(self.head.covered)

    @property
    def has_assets(self) -> bool:
        """Whether the source returned assets of this day, which its bill is made of."""
        return has_assets(self.head.issues)

    def measured(self, rows: Sequence[Row], assets: Sequence[Asset]) -> Completeness:
        """The completeness of these rows and assets; a machine that an earlier version stored twice counts once."""
        once = match_machines([], list(assets)).assets
        return measure_completeness(self.hours_covered, rows, once, has_assets=self.has_assets)

    def with_rows(self, rows: Sequence[Row]) -> Booking:
        """The booking with its rows; usage or requests found missing later are unknown in them."""
        return replace(self.head, rows=rows_without(rows, self.head.issues))


@dataclass(frozen=True, slots=True)
class CollectedDay:
    """A collection on its way into the lake, with its rows and with the assets that its bill is made of.

    rows: in the order of the ledger. idle_shares: a share for each row; None if unknown.
    """

    collection: Collection
    rows: Sequence[Row]
    assets: Sequence[Asset]
    idle_shares: IdleShares | None = None


def new_collected_day(
    collection_id: str,
    *,
    account_id: str,
    day: date,
    collected_at: datetime,
    source: SourceIdentity,
    booking: Booking,
    assets: Sequence[Asset],
    is_running: bool = False,
) -> CollectedDay:
    """A booked day, ready for the lake."""
    head = replace(booking, rows=())
    count, balance = len(booking.rows), booking.balance()
    collection = Collection(
        *(collection_id, account_id, day, collected_at, source, head, count, balance),
        is_running=is_running,
        examined_by=EXAMINED_ALONE,
        asset_sums=sum_assets(assets),
        lake_version=LAKE_VERSION,
    )
    facts = booking.facts
    completeness = collection.measured(booking.rows, assets) if facts is None else facts.completeness
    collection = replace(collection, completeness=completeness)
    return day_to_store(collection, booking.rows, assets)


def day_to_store(collection: Collection, rows: Sequence[Row], assets: Sequence[Asset]) -> CollectedDay:
    """A collection with its rows and assets, to be stored for the first time or again.

    Its idle cost is shared, unless an earlier version stored the day without shares.
    """
    order = order_rows(rows)
    shares = None if collection.lake_version < LAKE_VERSION else share_idle(rows, order)
    return CollectedDay(collection, tuple(rows[at] for at in order), assets, shares)


def has_assets(issues: Iterable[Issue]) -> bool:
    """Whether a booking with these issues has a bill made of assets."""
    return all(issue.kind is not IssueKind.NOT_AUDITED for issue in issues)


class _Tried(Protocol):
    @property
    def collection_id(self) -> str | None: ...

    @property
    def last_error(self) -> tuple[str, str] | None: ...

    @property
    def is_stored(self) -> bool: ...

    @property
    def is_damaged(self) -> bool: ...

    @property
    def has_costs(self) -> bool: ...


class _KnownDay:
    """What follows from the stored collection of an (account, day) and its last attempt."""

    __slots__ = ()

    @property
    def is_stored(self: _Tried) -> bool:
        """Whether rows of it are in the lake."""
        return self.collection_id is not None

    @property
    def is_damaged(self: _Tried) -> bool:
        """Whether it is stored, and was damaged when it was last read or written."""
        return self.is_stored and self.last_error is not None and self.last_error[0] in DAMAGE_CODES

    @property
    def has_costs(self: _Tried) -> bool:
        """Whether its costs are readable as far as known: it is stored, and at most its assets are damaged."""
        return self.is_stored and not (self.is_damaged and self.last_error and self.last_error[0] != ASSETS_DAMAGED)

    @property
    def is_failed(self: _Tried) -> bool:
        """Whether its last attempt says why it has no readable costs."""
        return self.last_error is not None and not self.has_costs

    @property
    def is_missing(self: _Tried) -> bool:
        """Whether it has to be collected: it is not stored, or damaged."""
        return not self.is_stored or self.is_damaged


class _Covered(NamedTuple):
    account_id: str
    day: date
    collection_id: str | None = None
    state: DayState | None = None
    is_running: bool = False
    assets_complete: bool = False
    source: str | None = None
    rows: int = 0
    hours_covered: float = 0.0
    total: int = 0
    currency: str | None = None
    collected_at: datetime | None = None
    attempts: int = 0
    tried_at: datetime | None = None
    last_error: tuple[str, str] | None = None
    currency_origin: CurrencyOrigin | None = None


class CoveredDay(_Covered, _KnownDay):
    """The state of an (account, day), collected or tried; without figures if nothing is stored.

    hours_covered: of the stored collection. total: its micros. attempts: since it was last collected. last_error: code
    and message of the last attempt; None if it succeeded.
    """

    __slots__ = ()


class _Status(NamedTuple):
    account_id: str
    day: date
    collection_id: str | None
    state: DayState | None
    is_running: bool
    assets_complete: bool
    hours_covered: float
    last_error: tuple[str, str] | None


class DayStatus(_Status, _KnownDay):
    """The fields of a `CoveredDay` that a calendar shows, for reading many thousands at once."""

    __slots__ = ()


def window_of(day: date) -> Window:
    """The UTC day as a window."""
    start = datetime.combine(day, time(), UTC)
    return Window(start, start + DAY)


def is_copy_used(day: date, collected_at: datetime, *, now: datetime) -> bool:
    """Whether the stored copy of a running day is used instead of its source: while it is fresh.

    The copy of a day that ended more than a day ago is used too: later answers of its source had less data.
    """
    end = window_of(day).end
    is_fresh = now < end and timedelta() <= now - collected_at < RUNNING_DAY_MAX_AGE
    return is_fresh or now - end > DAY
