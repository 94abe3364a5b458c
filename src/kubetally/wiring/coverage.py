"""What is known of the days of accounts."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from kubetally.domain.account import Account, AccountType
from kubetally.domain.booking import ComponentBalance
from kubetally.domain.collection import CoveredDay
from kubetally.domain.component import Component
from kubetally.domain.window import DAY, Window, midnight
from kubetally.ledger.collect.collector import cluster_named
from kubetally.settings import Settings
from kubetally.wiring.ledger import open_ledger


@dataclass(frozen=True, slots=True)
class Covered:
    """The days of an account of which something is known; `begins` is the first that its source holds.

    balances: of held days, by the collection's id, where they were asked for.
    """

    account: Account
    days: Sequence[CoveredDay]
    begins: date | None
    balances: Mapping[str, Mapping[Component, ComponentBalance]]


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
        return [Covered(one, days[one.id], ledger.coverage.history_begins(one.id), balances) for one in clusters]
