"""The known days of an account: which are stored, how sure they are, and what they lack."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from kubetally.domain.account import AnyAccount, ListedAccount, StoredDays
from kubetally.domain.booking import ComponentBalance
from kubetally.domain.collection import NO_DATA, CoveredDay, DayStatus
from kubetally.domain.collection_facts import FactSum
from kubetally.domain.component import Component
from kubetally.domain.issues import Issue
from kubetally.domain.status import DayState
from kubetally.domain.window import DAY, HOUR

_HOURS_OF_A_DAY = DAY / HOUR


class DayKind(StrEnum):
    """What is known of a day."""

    SETTLED = "settled"
    PROVISIONAL = "provisional"
    RUNNING = "running"
    PARTIAL = "partial"
    FAILED = "failed"
    DAMAGED = "damaged"
    ASSETS_DAMAGED = "assets_damaged"
    NOTHING = "nothing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class CoverageDetails:
    """Further facts about the days of an account.

    days: with their figures and attempts. balances, not_measured: of stored days, by the collection's id. facts: what
    was not measured and which issues there are, over all stored days.
    """

    days: Sequence[CoveredDay]
    balances: Mapping[str, Mapping[Component, ComponentBalance]]
    facts: Sequence[FactSum]
    not_measured: Mapping[str, frozenset[Component]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AccountCoverage:
    """The known days of an account; `begins` is the first day that its source has.

    missing: issues about missing data of stored days, by the collection's id.
    stored: days of whatever window; None where `days` has some.
    details: None unless they were asked for.
    """

    account: AnyAccount | ListedAccount
    days: Sequence[DayStatus]
    begins: date | None
    missing: Mapping[str, Sequence[Issue]] = field(default_factory=dict)
    details: CoverageDetails | None = None
    stored: StoredDays | None = None

    def missing_on(self, day: DayStatus | CoveredDay) -> Sequence[Issue]:
        """What a stored day lacks."""
        return self.missing.get(day.collection_id or "", ())

    def kind_of(self, day: DayStatus | CoveredDay) -> DayKind:
        """What is known of one of its days."""
        if day.is_damaged:
            return DayKind.ASSETS_DAMAGED if day.has_costs else DayKind.DAMAGED
        if not day.is_stored:
            if day.last_error is None:
                return DayKind.UNKNOWN
            return DayKind.NOTHING if day.last_error[0] == NO_DATA else DayKind.FAILED
        if day.is_running:
            return DayKind.RUNNING
        if day.hours_covered < _HOURS_OF_A_DAY or self.missing_on(day):
            return DayKind.PARTIAL
        return DayKind.SETTLED if day.state is DayState.SETTLED else DayKind.PROVISIONAL
