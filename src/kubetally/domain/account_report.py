"""What is known of accounts and of their days, over a window."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from kubetally.domain.account import AccountPlace, ListedAccount
from kubetally.domain.collection import CoveredDay
from kubetally.domain.component import Component
from kubetally.domain.coverage import DayKind
from kubetally.domain.issues import Issue
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.status import Coverage


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSummary:
    """An account over a window.

    place:          where its source is; None for a removed account.
    total:          micros; None where no hour is covered, or where its days have several currencies.
    not_measured:   components that no stored day measured.
    last_collected: when its newest collection began. last_error: code and message of the newest attempt that failed.
    days_failing:   days without a stored collection whose last attempt failed.
    """

    account: ListedAccount
    place: AccountPlace | None
    coverage: Coverage
    currencies: Sequence[str]
    total: int | None
    assets_complete: bool
    not_measured: frozenset[Component]
    last_collected: datetime | None
    last_error: tuple[str, str] | None
    days_stored: int
    days_failing: int


@dataclass(frozen=True, slots=True)
class AccountsReport:
    """The accounts by name. total: micros; None where no hour is covered, or where days have several currencies."""

    question: CostQuestion
    clusters: tuple[ClusterSummary, ...]
    coverage: Coverage
    currencies: Sequence[str]
    total: int | None
    issues: tuple[Issue, ...]


NOTHING_KNOWN = CoveredDay("", date.min)
"""Of a day for which no collection was tried."""


class AccountDay(NamedTuple):
    """A day of an account. hours_asked: those that are over. known: None where no collection was tried.

    are_costs_shown: whether who asks may see what the whole account cost.
    """

    account: ListedAccount
    day: date
    kind: DayKind
    hours_asked: float
    known: CoveredDay | None
    are_costs_shown: bool = True


@dataclass(frozen=True, slots=True)
class CoverageReport:
    """The days of a window that have begun, by account and day; of a removed account those that are known."""

    question: CostQuestion
    days: Sequence[AccountDay]
    coverage: Coverage
    issues: tuple[Issue, ...]
