"""A made-up fleet in a home folder of its own: accounts, coverage and lake, as if it had been collected."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from kubetally.domain.account import Account, AccountType
from kubetally.domain.collection import CollectedDay, window_of
from kubetally.domain.errors import RequestError
from kubetally.domain.money import CurrencyOrigin
from kubetally.domain.savings import CollectedSavings, SavingsDay, SavingsState
from kubetally.domain.window import midnight
from kubetally.ledger.collect.reconcile import list_accounts
from kubetally.ledger.sample.fleet import SampleCluster
from kubetally.ledger.stores import Ledger
from kubetally.settings import Settings
from kubetally.store.reach import is_in_use
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.ledger import open_ledger

_DAYS_OF_SAVINGS = 7


class FolderNotEmpty(RequestError):
    """A made-up fleet would stand among what somebody keeps."""

    code = "folder_not_empty"

    def __init__(self, folder: str) -> None:
        self.folder = folder
        super().__init__(f"{folder} is not empty: name a folder that is not there yet with --out, or remove it")


@dataclass(frozen=True, slots=True)
class Fleet:
    """What is made: so many clusters of so many pods over so many days, the last of which is `last`."""

    clusters: int
    pods: int
    days: int
    last: date
    seed: int = 0


def make_sample(fleet: Fleet, folder: Path, done: Callable[[], None] = lambda: None) -> int:
    """Make the fleet in `folder`, which becomes a home folder; how many rows there are. `done` is called for each day.

    Raises: FolderNotEmpty, PlaceRefused, StoreError.
    """
    if is_in_use(folder):
        raise FolderNotEmpty(str(folder))
    settings = replace(Settings(), home=str(folder))
    with open_ledger(settings) as ledger:
        return _filled(ledger, fleet, done)


def _filled(ledger: Ledger, fleet: Fleet, done: Callable[[], None]) -> int:
    clusters = [SampleCluster(number, fleet.pods, fleet.seed) for number in range(1, fleet.clusters + 1)]
    accounts = [_remembered(ledger, cluster) for cluster in clusters]
    first, rows = fleet.last - timedelta(days=fleet.days - 1), 0
    of_accounts = list(zip(clusters, accounts, strict=True))
    running = zip(*(cluster.days(account, first, fleet.days) for cluster, account in of_accounts), strict=True)
    today = midnight(SystemClock().now())
    for made in running:
        days = [_collected_by(day, today) for day in made]
        collections = [day.collection for day in days]
        ledger.coverage.intend(collections)
        version = ledger.lake.put(days)
        ledger.coverage.confirm([one.id for one in collections], version)
        rows += sum(len(day.rows) for day in days)
        done()
    for day in (fleet.last - timedelta(days=number) for number in reversed(range(min(fleet.days, _DAYS_OF_SAVINGS)))):
        _save(ledger, day, {account: cluster.savings(account, day) for cluster, account in of_accounts})
    list_accounts(ledger.accounts.listed, ledger.lake, ledger.leases)
    for account in accounts:
        ledger.coverage.note_history(account, first, SystemClock().now())
    return rows


def _save(ledger: Ledger, day: date, savings: Mapping[str, CollectedSavings | None]) -> None:
    """Put the savings of a day into the lake, as if they had been collected; None of an account without any."""
    collected = [answer for answer in savings.values() if answer is not None]
    ledger.lake.replace_savings([ledger.lake.pack_savings(answer) for answer in collected])
    ledger.savings.note([answer.as_known(SavingsState.COLLECTED, CurrencyOrigin.ASSUMED) for answer in collected])
    without = [account for account, answer in savings.items() if answer is None]
    ledger.savings.note([SavingsDay(name, day, SavingsState.NO_SAVINGS, window_of(day).start) for name in without])


def _collected_by(day: CollectedDay, now: datetime) -> CollectedDay:
    """The day as it would have been collected by then: the last ones have not settled."""
    at = min(day.collection.collected_at, now)
    return replace(day, collection=replace(day.collection, collected_at=at))


def account_id(cluster: SampleCluster) -> str:
    """The id of the account that a cluster of a fleet is remembered as: the same each time that the fleet is made."""
    return str(uuid5(NAMESPACE_URL, f"sample://{cluster.seed}/{cluster.name}"))


def _remembered(ledger: Ledger, cluster: SampleCluster) -> str:
    account = Account(
        id=account_id(cluster),
        organization_id=ledger.accounts.organization().id,
        name=cluster.name,
        type=AccountType.KUBERNETES_CNR,
        kubecost_url=f"http://127.0.0.1:9/{cluster.name}",  # nobody answers there, and says so at once,
    )
    return ledger.accounts.add(account).id
