"""The lake lost what the database tells of: what that means for answers that come later, and for history."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable, write_deltalake

from kubetally.domain.collection import CollectedDay, window_of
from kubetally.domain.errors import StoreError
from kubetally.ledger.collect.committer import Committer
from kubetally.ledger.collect.damage import check_days
from kubetally.ledger.collect.repair import Repairer
from kubetally.ledger.costs.stored_days import History
from kubetally.ledger.writing.writer import LakeWriter
from kubetally.store.lake.delta import DeltaLake
from kubetally.store.meta.metadata import Metadata
from tests.cluster_days import DAY, cluster_day
from tests.integration.collected_days import SetClock, opener_of

NEXT = DAY + timedelta(days=1)
FEWER = "less_complete"


class Home:
    """A lake and a database of two accounts."""

    def __init__(self, folder: Path, meta: Metadata, clock: SetClock) -> None:
        self.folder, self.meta, self.clock = folder, meta, clock
        self.open("lake")

    def open(self, name: str) -> None:
        """Go on with the lake of this name."""
        self.lake = DeltaLake(str(self.folder / name))
        self.committer = Committer(LakeWriter(self.lake, self.meta.coverage, self.meta.leases, self.clock))

    def commit(self, *days: CollectedDay, force: bool = False, replace_damaged: bool = False) -> list[str | None]:
        self.clock.forward(60)
        return [
            outcome.code
            for outcome in self.committer.commit(self.lake.pack(days), force=force, replace_damaged=replace_damaged)
        ]

    def match(self) -> list[tuple[str, object]]:
        with self.committer.writer.hold_lease():
            return self.committer.writer.match().missing

    def held(self) -> list[str]:
        return [day.id for day in self.meta.coverage.collections("b", DAY, end=NEXT + timedelta(days=1))]

    def cost(self, as_of: datetime) -> list[int]:
        history = History(self.meta.coverage, lambda: self.lake)
        return [day.booking.bill.total for day in history.days("b", window_of(DAY), self.clock.now(), as_of=as_of)]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    for opener in opener_of(f"sqlite:///{tmp_path / 'kubetally.db'}"):
        opener.clock.at = datetime.now(UTC)
        yield Home(tmp_path, opener(), opener.clock)


def newest_file(lake: Path) -> Path:
    return max((lake / "allocations").glob("day=*/*.parquet"), key=lambda path: path.stat().st_mtime_ns)


def test_day_in_several_files_has_the_collections_of_all_of_them(home: Home) -> None:
    home.commit(cluster_day("a"), cluster_day("b"))
    table = home.folder / "lake" / "allocations"
    earlier = DeltaTable(table).to_pyarrow_table()
    home.commit(cluster_day("a", 1), cluster_day("b", 1), force=True)
    write_deltalake(table, earlier, mode="append")
    both = {name: {f"{name}-{DAY}-{generation}" for generation in (0, 1)} for name in ("a", "b")}
    assert DeltaLake(home.lake.url).stored_ids(is_running=False).by_day == {DAY: both}


@pytest.mark.parametrize("is_set_aside", [False, True])
def test_poorer_answer_does_not_replace_a_matched_damaged_day(home: Home, is_set_aside: bool) -> None:
    home.commit(cluster_day("a"), cluster_day("b", pods=9))
    before, held = home.clock.at, home.held()
    file = newest_file(home.folder / "lake")
    file.write_bytes(file.read_bytes()[:99])
    assert home.commit(cluster_day("a", 1), force=True, replace_damaged=True) == [None]
    if is_set_aside:
        Repairer(home.committer.writer).set_aside(
            [day.pair for day in check_days(home.meta.coverage, home.lake).damaged]
        )
    assert home.match() == []
    assert home.commit(cluster_day("b", 1, pods=1, nodes=1)) == [FEWER]
    assert home.held() == held
    (known,) = home.meta.coverage.days(DAY, end=NEXT, account_ids=["b"])
    assert known.is_damaged
    with pytest.raises(StoreError):
        home.cost(before)
    assert home.commit(cluster_day("b", 2, pods=9)) == [None]
    assert home.held() == [f"b-{DAY}-2"]


def test_poorer_answer_does_not_replace_a_day_that_the_lake_lost(home: Home) -> None:
    home.commit(cluster_day("b"))
    shutil.copytree(home.folder / "lake", home.folder / "earlier")
    home.commit(cluster_day("b", day=NEXT, pods=9))
    home.open("earlier")
    assert home.match() == [("b", NEXT)]
    assert home.commit(cluster_day("b", 1, day=NEXT, pods=1, nodes=1)) == [FEWER]
    assert home.held() == [f"b-{DAY}-0"]
    (known,) = home.meta.coverage.days(NEXT, end=NEXT + timedelta(days=1))
    assert (known.is_stored, known.total) == (False, 0)
    assert known.last_error is not None
    assert "was kept" not in known.last_error[1]
    assert home.commit(cluster_day("b", 2, day=NEXT, pods=9)) == [None]
    assert home.held() == [f"b-{DAY}-0", f"b-{NEXT}-2"]


def test_history_of_a_lost_day_is_an_error(home: Home) -> None:
    instants = []
    for generation in range(2):
        home.commit(cluster_day("b", generation, pods=9 - generation), force=True)
        instants.append(home.clock.at)
        if not generation:
            shutil.copytree(home.folder / "lake", home.folder / "earlier")
    first, second = home.cost(instants[0]), home.cost(instants[1])
    assert first != second
    home.open("earlier")
    home.clock.forward(60)
    assert home.match() == [("b", DAY)]
    assert home.held() == [f"b-{DAY}-0"], "the lake's day holds again"
    assert home.cost(instants[0]) == home.cost(home.clock.at) == first
    with pytest.raises(StoreError):
        home.cost(instants[1])
    home.open("lake")
    home.clock.forward(60)
    home.match()
    assert (home.cost(instants[0]), home.cost(instants[1]), home.cost(home.clock.at)) == (first, second, second)
