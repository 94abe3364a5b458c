"""What is known of the days of accounts."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from kubetally.domain.account import Account, AccountType
from kubetally.domain.booking import ComponentBalance
from kubetally.domain.cluster_costs import DayState
from kubetally.domain.collection import CoveredDay
from kubetally.domain.component import Component
from kubetally.domain.issues import Issue
from kubetally.domain.window import DAY, Window, midnight
from kubetally.ledger.collect.collector import cluster_named
from kubetally.ledger.stored import Coverage
from kubetally.settings import Settings
from kubetally.wiring.ledger import open_ledger


@dataclass(frozen=True, slots=True)
class Covered:
    """The days of an account of which something is known; `begins` is the first that its source holds.

    balances: of held days, by the collection's id, where they were asked for.
    missing: what stored days lack, by the collection's id; days that lack nothing are not there.
    """

    account: Account
    days: Sequence[CoveredDay]
    begins: date | None
    balances: Mapping[str, Mapping[Component, ComponentBalance]]
    missing: Mapping[str, Sequence[Issue]] = field(default_factory=dict)


def coverage_of(
    settings: Settings, names: Sequence[str], window: Window, *, with_balances: bool = False
) -> list[Covered]:
    """What is known of the days that the window touches, of the accounts named, or of all clusters.

    Raises: AccountNotFound, NotACluster, StoreError.
    """
    with open_ledger(settings) as ledger:
        all_of = [one for one in ledger.accounts.all() if one.type is AccountType.KUBERNETES_CNR]
        clusters = [cluster_named(ledger.accounts, name) for name in names] or all_of
        end = window.end if window.end == midnight(window.end) else midnight(window.end) + DAY
        of_window = window.start.date(), end.date(), [one.id for one in clusters]
        days = defaultdict[str, list[CoveredDay]](list)
        for day in ledger.coverage.days(*of_window):
            days[day.account_id].append(day)
        balances = ledger.coverage.balances(*of_window) if with_balances else {}
        return [
            Covered(
                account,
                days[account.id],
                ledger.coverage.history_begins(account.id),
                balances,
                _missing(ledger.coverage, days[account.id]),
            )
            for account in clusters
        ]


def _missing(coverage: Coverage, days: Sequence[CoveredDay]) -> dict[str, Sequence[Issue]]:
    """What these stored days lack; a settled day lacks nothing."""
    unsettled = [day for day in days if day.is_held and day.state is not DayState.SETTLED]
    if not unsettled:
        return {}
    first, last = min(day.day for day in unsettled), max(day.day for day in unsettled)
    collections = coverage.held(unsettled[0].account_id, first, last + DAY)
    missing = {one.id: [issue for issue in one.head.issues if issue.is_missing_data] for one in collections}
    return {id_: issues for id_, issues in missing.items() if issues}
