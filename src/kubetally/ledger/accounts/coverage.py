"""Which days of accounts are stored, with their state."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from kubetally.domain.account import AccountType, AnyAccount
from kubetally.domain.booking import ComponentBalance
from kubetally.domain.collection import CoveredDay
from kubetally.domain.collection_facts import FactSum
from kubetally.domain.component import Component
from kubetally.domain.coverage import AccountCoverage, CoverageDetails
from kubetally.domain.issues import MISSING_DATA
from kubetally.domain.window import DAY, Window, midnight
from kubetally.ledger.accounts.lookup import find_cluster
from kubetally.ledger.stores import Ledger


def find_coverage(
    ledger: Ledger, names: Sequence[str], window: Window, *, with_details: bool = False
) -> list[AccountCoverage]:
    """Coverage of the days that overlap the window, for these accounts, or for all clusters.

    Raises: AccountNotFound, NotACluster, StoreError.
    """
    clusters: list[AnyAccount] = [find_cluster(ledger.accounts, name) for name in names]
    if not names:
        clusters += [place for place in ledger.accounts.places() if place.type is AccountType.KUBERNETES_CNR]
    end = window.end if window.end == midnight(window.end) else midnight(window.end) + DAY
    first, end_day = window.start.date(), end.date()
    ids = [account.id for account in clusters] if names else None  # a query for all is quicker without a list
    statuses = ledger.coverage.statuses(first, end=end_day, account_ids=ids)
    missing = ledger.coverage.issues(first, end=end_day, kinds=MISSING_DATA, account_ids=ids)
    days = defaultdict[str, list[CoveredDay]](list)
    facts = defaultdict[str, list[FactSum]](list)
    balances: Mapping[str, Mapping[Component, ComponentBalance]] = {}
    not_measured: Mapping[str, frozenset[Component]] = {}
    if with_details:
        for day in ledger.coverage.days(first, end=end_day, account_ids=ids):
            days[day.account_id].append(day)
        for fact in ledger.coverage.fact_sums(first, end=end_day, account_ids=ids):
            facts[fact.account_id].append(fact)
        cluster_ids = [account.id for account in clusters]
        balances = ledger.coverage.balances(first, end=end_day, account_ids=cluster_ids)
        not_measured = ledger.coverage.not_measured(first, end=end_day, account_ids=cluster_ids)
    return [
        AccountCoverage(
            account,
            statuses.get(account.id, ()),
            ledger.coverage.history_begins(account.id),
            missing,
            CoverageDetails(days[account.id], balances, facts[account.id], not_measured) if with_details else None,
            None if account.id in statuses else ledger.coverage.stored_days([account.id]),
        )
        for account in clusters
    ]
