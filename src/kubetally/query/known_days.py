"""What the database knows of the days of a window, and what follows from it; kept while the database is unchanged."""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence, Set
from datetime import date, datetime
from functools import cached_property
from itertools import chain
from math import fsum
from threading import Lock
from typing import Self

import msgspec

from kubetally.cache import digest_of
from kubetally.domain.collection import CoveredDay, window_of
from kubetally.domain.collection_facts import FactSum
from kubetally.domain.money import CurrencyOrigin
from kubetally.domain.status import DayState
from kubetally.domain.window import DAY, HOUR, Window
from kubetally.ledger.ports.lake import StoredRows

_MAX_DAYS_KEPT = 40_000
_HOURS_PER_DAY = DAY / HOUR
KnownDay = tuple[CoveredDay, StoredRows | None]
"""A known day, and its rows in the lake if there are any to be read."""


class WindowDays:
    """The known days of accounts, stored or not. Of a year of a fleet, so what follows from them is worked out once.

    facts:  of the stored ones.
    stored: the rows of the lake that belong to them; by default those of the newest version.
    others: days of the same accounts that are left out, because of their currency.
    gone:   ids of accounts that are left out, because all their stored days are.
    left_out: the currencies of days that are left out.
    """

    def __init__(
        self,
        days: Sequence[CoveredDay],
        facts: Sequence[FactSum],
        stored: Sequence[StoredRows] | None = None,
        *,
        others: Sequence[CoveredDay] = (),
        gone: frozenset[str] = frozenset(),
        left_out: frozenset[str] = frozenset(),
    ) -> None:
        self.days, self.facts, self._stored = days, facts, stored
        self.others, self.gone, self._left_out = others, gone, left_out
        self._without = dict[frozenset[str], Self]()

    @classmethod
    def of_pairs(cls, pairs: Sequence[KnownDay], facts: Sequence[FactSum]) -> Self:
        """From days with the rows that are read of each."""
        return cls([day for day, _ in pairs], facts, [rows for _, rows in pairs if rows is not None])

    def pairs(self) -> list[KnownDay]:
        """The days with the rows that are read of each."""
        rows = {rows.id: rows for rows in self.stored}
        return [(day, rows.get(day.collection_id or "")) for day in self.days]

    @cached_property
    def digest(self) -> str:
        """Equal for equal days, facts and days left out only."""
        return digest_of(*map(msgspec.msgpack.encode, (self.days, self.facts, self.others, sorted(self._left_out))))

    @cached_property
    def readable(self) -> Sequence[CoveredDay]:
        """The days whose costs are in an answer."""
        return [day for day in self.days if day.is_stored and not day.is_failed]

    @cached_property
    def state(self) -> DayState | None:
        """That of the least certain day; None where nothing is stored."""
        states = {day.state for day in self.readable}
        if not states:
            return None
        return DayState.SETTLED if states == {DayState.SETTLED} else DayState.PROVISIONAL

    @cached_property
    def currencies(self) -> Sequence[str]:
        """Those of the readable days, in order."""
        return sorted({day.currency for day in self.readable if day.currency is not None})

    @cached_property
    def all_currencies(self) -> Sequence[str]:
        """Those of all known days, readable or not, and of days that are left out, in order."""
        return sorted({*self._left_out, *(day.currency for day in self.days if day.currency is not None)})

    @cached_property
    def is_currency_assumed(self) -> bool:
        """Whether the currency of any readable day is assumed."""
        return any(day.currency_origin is CurrencyOrigin.ASSUMED for day in self.readable)

    @cached_property
    def assets_complete(self) -> bool:
        """Whether every readable day is complete, and there is one."""
        return bool(self.readable) and all(day.assets_complete for day in self.readable)

    @cached_property
    def stored(self) -> Sequence[StoredRows]:
        """The rows in the lake of the readable days that have any."""
        if self._stored is not None:
            return self._stored
        return [
            StoredRows(day.collection_id, day.account_id, day.day, day.is_running)
            for day in self.readable
            if day.rows and day.collection_id is not None
        ]

    def without(self, currencies: frozenset[str]) -> Self:
        """What is left without the days in these currencies; days without data stay with their accounts.

        Of an account that has days of other currencies too, the facts have to be of one day each.
        """
        if not currencies:
            return self
        if currencies not in self._without:
            self._without[currencies] = self._left(currencies)
        return self._without[currencies]

    def _left(self, currencies: frozenset[str]) -> Self:
        others = {(day.account_id, day.day): day for day in self.days if day.currency in currencies}
        staying = {day.account_id for day in self.days if day.currency is not None and day.currency not in currencies}
        gone = frozenset(day.account_id for day in others.values()) - staying
        days = [day for day in self.days if day.account_id not in gone and day.currency not in currencies]
        facts = [
            fact
            for fact in self.facts
            if fact.account_id not in gone and not (fact.first == fact.last and (fact.account_id, fact.first) in others)
        ]
        ids = {day.collection_id for day in days}
        stored = None if self._stored is None else [rows for rows in self._stored if rows.id in ids]
        left_out = [day for day in others.values() if day.account_id in staying]
        return type(self)(days, facts, stored, others=left_out, gone=gone, left_out=currencies)

    @cached_property
    def latest(self) -> datetime | None:
        """When the last of them was collected."""
        return max((day.collected_at for day in self.days if day.collected_at is not None), default=None)

    def of(self, window: Window) -> list[CoveredDay]:
        """The known days in a part of the window."""
        return [day for its_date in window.dates() for day in self._by_date.get(its_date, ())]

    def readable_of(self, window: Window) -> list[CoveredDay]:
        """The readable days in a part of the window."""
        return [day for its_date in window.dates() for day in self._readable_by_date.get(its_date, ())]

    def hours_covered(self, window: Window) -> float:
        """Hours of a part of the window with data, summed over accounts."""
        return fsum(day.hours_covered for day in self.readable_of(window))

    def lacking(self, account_id: str, asked: Mapping[date, float]) -> dict[date, float]:
        """The hours of an account that have no data, by day; days that failed have an issue of their own.

        asked: the hours of each day.
        """
        hours = {its_date: asked[its_date] for its_date in asked.keys() - self.dates_of(account_id)}
        for day in self._incomplete.get(account_id, ()):
            if (missing := asked.get(day.day, 0.0) - day.hours_covered) > 0:
                hours[day.day] = missing
        return hours

    def hours_left_out(self, window: Window | None, *, but: Collection[str] = ()) -> float:
        """Hours of a part of the window that are of days left out. but: accounts that do not count."""
        if window is None:
            return 0.0
        spans = ((window_of(day.day), day.account_id) for day in self.others)
        return fsum(
            max((min(window.end, span.end) - max(window.start, span.start)) / HOUR, 0.0)
            for span, account_id in spans
            if account_id not in but
        )

    def dates_of(self, account_id: str) -> Set[date]:
        """The known days of an account, those that are left out too."""
        return self._dates.get(account_id, frozenset())

    @cached_property
    def _dates(self) -> Mapping[str, Set[date]]:
        dates = defaultdict[str, set[date]](set)
        for day in chain(self.days, self.others):
            dates[day.account_id].add(day.day)
        return dates

    @cached_property
    def _incomplete(self) -> Mapping[str, Sequence[CoveredDay]]:
        """The days by account that lack hours and did not fail."""
        incomplete = defaultdict[str, list[CoveredDay]](list)
        for day in self.days:
            if day.hours_covered < _HOURS_PER_DAY and not day.is_failed:
                incomplete[day.account_id].append(day)
        return incomplete

    @cached_property
    def _by_date(self) -> Mapping[date, Sequence[CoveredDay]]:
        return _by_date(self.days)

    @cached_property
    def _readable_by_date(self) -> Mapping[date, Sequence[CoveredDay]]:
        return _by_date(self.readable)


class WindowDaysCache:
    """Keeps known days for as long as nothing is written to the database. Threads may share it.

    revision: see `Coverage.revision`.
    """

    def __init__(self, revision: Callable[[], Hashable | None]) -> None:
        self._revision = revision
        self._kept: OrderedDict[Hashable, tuple[Hashable, WindowDays]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, now: datetime, read: Callable[[], WindowDays]) -> WindowDays:
        """The known days of a key, read again where they may differ from the last time.

        What was collected after `now`, by a clock that was ahead, is not kept: it is provisional until then.
        """
        revision = self._revision()  # before the days: what is committed in between is read again
        if revision is None:
            return read()
        with self._lock:
            of_revision, known = self._kept.get(key, (None, None))
        if known is None or of_revision != revision or _is_ahead(known, now):
            known = read()
            if not _is_ahead(known, now):
                self._keep(key, revision, known)
        return known

    def _keep(self, key: Hashable, revision: Hashable, known: WindowDays) -> None:
        with self._lock:
            self._kept[key] = revision, known
            self._kept.move_to_end(key)
            while len(self._kept) > 1 and sum(len(its.days) for _, its in self._kept.values()) > _MAX_DAYS_KEPT:
                self._kept.popitem(last=False)


def _is_ahead(known: WindowDays, now: datetime) -> bool:
    return known.latest is not None and known.latest > now


def _by_date(days: Iterable[CoveredDay]) -> Mapping[date, Sequence[CoveredDay]]:
    by_date = defaultdict[date, list[CoveredDay]](list)
    for day in days:
        by_date[day.day].append(day)
    return by_date
