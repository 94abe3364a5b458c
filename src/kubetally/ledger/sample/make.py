"""A made-up fleet, put into database and lake as if it had been collected."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from uuid import NAMESPACE_URL, uuid5

from kubetally.domain.account import Account, AccountType
from kubetally.domain.collection import CollectedDay, window_of
from kubetally.domain.money import CurrencyOrigin
from kubetally.domain.savings import CollectedSavings, SavingsDay, SavingsState
from kubetally.domain.source_url import SourceUrl
from kubetally.domain.window import midnight
from kubetally.ledger.accounts.reconcile import list_accounts
from kubetally.ledger.sample.fleet import SampleCluster
from kubetally.ledger.stores import Ledger

_DAYS_WITH_SAVINGS = 7


@dataclass(frozen=True, slots=True)
class SampleFleet:
    """What is made: clusters, pods of each, and days up to `last`."""

    clusters: int
    pods: int
    days: int
    last: date
    seed: int = 0


def make_fleet(ledger: Ledger, fleet: SampleFleet, on_day: Callable[[], None]) -> int:
    """Make the fleet; returns the number of rows. on_day: called after each day. Raises StoreError."""
    clusters = [SampleCluster(number, fleet.pods, fleet.seed) for number in range(1, fleet.clusters + 1)]
    with_ids = [(cluster, _add_account(ledger, cluster)) for cluster in clusters]
    first, rows = fleet.last - timedelta(days=fleet.days - 1), 0
    now = ledger.clock.now()
    today = midnight(now)
    for sample_days in zip(*(cluster.days(id_, first, fleet.days) for cluster, id_ in with_ids), strict=True):
        days = [_collected_by(day, today) for day in sample_days]
        collections = [day.collection for day in days]
        ledger.coverage.intend(collections)
        version = ledger.lake.put(days)
        ledger.coverage.confirm([collection.id for collection in collections], version)
        rows += sum(len(day.rows) for day in days)
        on_day()
    for age in reversed(range(min(fleet.days, _DAYS_WITH_SAVINGS))):
        day = fleet.last - timedelta(days=age)
        _put_savings(ledger, day, {id_: cluster.savings(id_, day) for cluster, id_ in with_ids})
    list_accounts(ledger.accounts.listed, ledger.lake, ledger.leases)
    ledger.log_files.note(ledger.lake.new_log_files({}))
    for _, id_ in with_ids:
        ledger.coverage.note_history(id_, first, now)
    return rows


def sample_account_id(cluster: SampleCluster) -> str:
    """The id of the account of a sample cluster: the same whenever the fleet is made."""
    return str(uuid5(NAMESPACE_URL, f"sample://{cluster.seed}/{cluster.name}"))


def _put_savings(ledger: Ledger, day: date, savings: Mapping[str, CollectedSavings | None]) -> None:
    """Put the savings of a day into the lake as if they had been collected; None: the account has none."""
    collected = [answer for answer in savings.values() if answer is not None]
    ledger.lake.replace_savings([ledger.lake.pack_savings(answer) for answer in collected])
    ledger.savings.note([answer.as_known(SavingsState.COLLECTED, CurrencyOrigin.ASSUMED) for answer in collected])
    without = [account_id for account_id, answer in savings.items() if answer is None]
    start = window_of(day).start
    ledger.savings.note([SavingsDay(account_id, day, SavingsState.NO_SAVINGS, start) for account_id in without])


def _collected_by(day: CollectedDay, now: datetime) -> CollectedDay:
    """The day as it would have been collected by `now`: the last ones have not settled."""
    at = min(day.collection.collected_at, now)
    return replace(day, collection=replace(day.collection, collected_at=at))


def _add_account(ledger: Ledger, cluster: SampleCluster) -> str:
    account = Account(
        id=sample_account_id(cluster),
        organization_id=ledger.accounts.organization().id,
        name=cluster.name,
        type=AccountType.KUBERNETES_CNR,
        # Nothing listens there, which is noticed at once.
        kubecost_url=SourceUrl.parse(f"http://127.0.0.1:9/{cluster.name}"),
    )
    return ledger.accounts.add(account).id
