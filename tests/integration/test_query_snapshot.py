"""An answer is read from confirmed collections at one version of the lake, in one currency."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kubetally.domain.account import ListedAccount
from kubetally.domain.collection import CollectedDay
from kubetally.domain.damage import CollectionGone
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.question.v2 import parse_v2
from kubetally.domain.window import DAY as ONE_DAY
from kubetally.domain.window import Window, parse_instant
from kubetally.ledger.ports.lake import Scan, StoredRows
from kubetally.query.snapshot import SnapshotReader
from kubetally.store.lake.delta import DeltaLake
from tests.cluster_days import cluster_day
from tests.errors import raises_code
from tests.kept import CoverageInMemory
from tests.served import NOON_AFTER

START = parse_instant("2026-11-20")
WINDOW = Window(START, START + ONE_DAY)
ACCOUNTS = {id_: ListedAccount(id_, name, "acme") for id_, name in (("a", "prod"), ("b", "test"))}


class Home:
    """A lake, and the coverage of what is in it."""

    def __init__(self, folder: Path) -> None:
        self.lake, self.coverage = DeltaLake(str(folder / "lake")), CoverageInMemory()
        self.reader = SnapshotReader(self.coverage, lambda: self.lake)

    def store(self, *days: CollectedDay, is_confirmed: bool = True) -> None:
        self.coverage.intend([day.collection for day in days])
        version = self.lake.put(days)
        if is_confirmed:
            self.coverage.confirm([day.collection.id for day in days], version)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def in_euros(day: CollectedDay) -> CollectedDay:
    collection = replace(day.collection, head=replace(day.collection.head, currency="EUR"))
    return replace(day, collection=collection)


def question(text: str = "") -> CostQuestion:
    return CostQuestion(WINDOW, filter=parse_v2(text))


def test_only_confirmed_collections_are_read(home: Home) -> None:
    first = cluster_day("a")
    home.store(first)
    home.store(cluster_day("b"), is_confirmed=False)
    snapshot = home.reader.read(question(), ACCOUNTS, NOON_AFTER)
    assert [scan.ids for scan in snapshot.scans] == [{first.collection.id}]
    assert [day.account_id for day in snapshot.readable] == ["a"]
    assert snapshot.hours_covered(WINDOW) == 24


def test_filter_on_clusters_leaves_other_accounts_unread(home: Home) -> None:
    home.store(cluster_day("a"), cluster_day("b"))
    snapshot = home.reader.read(question('cluster:"test"'), ACCOUNTS, NOON_AFTER)
    assert snapshot.accounts.keys() == {"b"}
    assert [day.account_id for day in snapshot.days] == ["b"]


def test_two_currencies_are_an_error_unless_filtered(home: Home) -> None:
    home.store(cluster_day("a"), in_euros(cluster_day("b")))
    with raises_code("unlike_currencies", match="EUR and USD"):
        home.reader.read(question(), ACCOUNTS, NOON_AFTER)
    for text, currency in (('currency:"EUR"', "EUR"), ('cluster:"prod"', "USD"), ('currency!:"EUR"', "USD")):
        assert home.reader.read(question(text), ACCOUNTS, NOON_AFTER).currency == currency


def test_commit_between_two_readings_is_read_again(home: Home) -> None:
    home.store(cluster_day("a"))

    class Busy:
        """A lake in which a collector commits after the database was read."""

        def __init__(self) -> None:
            self.count = 0

        def scans(self, stored: Sequence[StoredRows], accounts: frozenset[str]) -> Sequence[Scan]:
            self.count += 1
            if self.count == 1:
                home.store(cluster_day("a", 1))
            return home.lake.scans(stored, accounts)

    busy = Busy()
    snapshot = SnapshotReader(home.coverage, lambda: busy).read(question(), ACCOUNTS, NOON_AFTER)
    assert busy.count == 2
    assert [day.collection_id for day in snapshot.days] == [cluster_day("a", 1).collection.id]


def test_lost_rows_are_an_error_and_not_less(home: Home) -> None:
    home.store(cluster_day("a"))
    lost = cluster_day("b")
    home.coverage.intend([lost.collection])
    home.coverage.confirm([lost.collection.id], 0)
    with pytest.raises(CollectionGone):
        home.reader.read(question(), ACCOUNTS, NOON_AFTER)


def test_nothing_stored_has_no_currency_and_no_state(home: Home) -> None:
    snapshot = home.reader.read(question(), ACCOUNTS, NOON_AFTER)
    assert (snapshot.currency, snapshot.state, list(snapshot.scans)) == (None, None, [])
