"""The files that a query reads have the rows of the stored collections, each once."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from kubetally.domain.collection import CollectedDay
from kubetally.domain.damage import CollectionGone
from kubetally.ledger.ports.lake import Scan, StoredRows
from kubetally.query.duck import DuckEngine
from kubetally.store.lake.delta import DeltaLake
from kubetally.store.lake.schema import COST_COLUMNS
from tests.cluster_days import DAY, cluster_day

ALL = frozenset("ab")
NEXT_DAY = DAY + timedelta(days=1)


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckEngine]:
    engine = DuckEngine(threads=1)
    yield engine
    engine.close()


@pytest.fixture
def lake(tmp_path: Path) -> DeltaLake:
    return DeltaLake(str(tmp_path / "lake"))


def stored(*days: CollectedDay, version: int | None = None, last_version: int | None = None) -> list[StoredRows]:
    rows = [StoredRows.of(day.collection) for day in days]
    return [row._replace(version=version, last_version=last_version) for row in rows]


def total(engine: DuckEngine, scans: Sequence[Scan]) -> Decimal:
    """What all rows of scans cost."""
    rows = engine.rows(scans)
    answer = engine.run(rows.agg(total=sum(rows[name].sum().fill_null(0) for name in COST_COLUMNS)))
    amount: Decimal = answer["total"][0].as_py()
    return amount


def cost_of(*days: CollectedDay) -> Decimal:
    return sum((Decimal(day.collection.head.bill.total).scaleb(-6) for day in days), Decimal())


def test_days_of_one_snapshot_are_read_whole(engine: DuckEngine, lake: DeltaLake) -> None:
    days = [cluster_day(account, day=day) for day in (DAY, NEXT_DAY) for account in "ab"]
    lake.put(days[:2])
    lake.put(days[2:])
    scans = lake.scans(stored(*days), ALL)
    assert [(len(scan.paths), scan.ids) for scan in scans] == [(2, None)]
    assert total(engine, scans) == cost_of(*days)


def test_rows_of_unstored_collections_do_not_count(engine: DuckEngine, lake: DeltaLake) -> None:
    first, second = cluster_day("a"), cluster_day("b")
    lake.put([first, second])
    scans = lake.scans(stored(second), ALL)
    assert [scan.ids for scan in scans] == [{second.collection.id}]
    assert total(engine, scans) == cost_of(second)


def test_rows_of_other_accounts_do_not_count(engine: DuckEngine, lake: DeltaLake) -> None:
    days = [cluster_day(account, day=day) for day in (DAY, NEXT_DAY) for account in "ab"]
    lake.put(days[:2])
    lake.put(days[2:])
    scans = lake.scans(stored(days[1], days[3]), frozenset("b"))
    assert [(len(scan.paths), scan.accounts, scan.ids) for scan in scans] == [(2, {"b"}, None)]
    assert total(engine, scans) == cost_of(days[1], days[3])


def test_replaced_collection_is_read_where_it_was_last(engine: DuckEngine, lake: DeltaLake) -> None:
    old, beside, new = cluster_day("a"), cluster_day("b"), cluster_day("a", 1)
    version = lake.put([old, beside])
    lake.put([new])
    scans = lake.scans([*stored(old, last_version=version), *stored(beside)], ALL)
    assert total(engine, scans) == cost_of(old, beside)
    assert total(engine, lake.scans(stored(new, beside), ALL)) == cost_of(new, beside)


def test_running_day_is_read_from_its_own_table(engine: DuckEngine, lake: DeltaLake) -> None:
    over, running = cluster_day("a"), cluster_day("a", day=NEXT_DAY, is_running=True)
    lake.put([over])
    lake.put([running])
    assert total(engine, lake.scans(stored(over, running), ALL)) == cost_of(over, running)


def test_missing_collection_is_an_error(lake: DeltaLake) -> None:
    lake.put([cluster_day("a")])
    with pytest.raises(CollectionGone):
        lake.scans(stored(cluster_day("b")), ALL)


def test_nothing_stored_is_no_row(engine: DuckEngine, lake: DeltaLake) -> None:
    assert lake.scans([], ALL) == []
    rows = engine.rows([])
    assert engine.run(rows).num_rows == 0
