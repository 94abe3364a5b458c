"""DuckDB runs several questions at once, over any number of files."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ibis import ir

from kubetally.domain.errors import StoreError
from kubetally.ledger.ports.lake import Scan
from kubetally.query.duck import DuckEngine

FILES = 150
"""More than an engine keeps views of."""


def hours() -> ir.Table:
    return ibis.range(10**6).unnest().name("hour").as_table()


def hours_in_memory() -> ir.Table:
    return ibis.memtable(pa.table({"hour": range(10**6)}))


@pytest.mark.parametrize("hours", [hours(), hours_in_memory()], ids=["computed", "in memory"])
def test_long_question_holds_up_no_short_one_and_ends_with_the_engine(hours: ir.Table) -> None:
    engine = DuckEngine()
    endless = hours.cross_join(hours.rename(second="hour")).cross_join(hours.rename(third="hour")).count().as_table()
    short = ibis.range(3).unnest().name("hour").as_table()
    few = ibis.memtable(pa.table({"hour": range(3)}))
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(engine.run, endless)
        answers = [engine.run(table).num_rows for _ in range(25) for table in (short, few)]
        assert not running.done()
        engine.close()
        with pytest.raises(StoreError, match="DuckDB"):
            running.result()
    assert answers == [3] * 50
    with pytest.raises(StoreError, match="DuckDB"):
        engine.run(few)


def test_batches_have_the_rows_of_tables_in_memory() -> None:
    engine = DuckEngine()
    rows = pa.table({"hour": range(10_000)})
    assert pa.Table.from_batches(engine.batches(ibis.memtable(rows))) == rows
    assert list(engine.batches(ibis.memtable(rows.slice(0, 0)))) == []
    engine.close()


@pytest.fixture
def scans(tmp_path: Path) -> Sequence[Scan]:
    """Files of a row each, with their number."""
    for number in range(FILES):
        pq.write_table(pa.table({"number": [number]}), tmp_path / f"{number}.parquet")
    return [Scan((str(tmp_path / f"{number}.parquet"),)) for number in range(FILES)]


def views(engine: DuckEngine) -> int:
    known = ibis.table({"internal": "bool"}, name="duckdb_views")
    return engine.run(known.filter(~known.internal)).num_rows


def read(engine: DuckEngine, scan: Scan) -> int:
    """The number in a file, asked as most questions are and in another way."""
    rows = engine.rows([scan])
    prepared = engine.run_prepared(rows, "all", lambda table: table)["number"].to_pylist()
    assert engine.run(rows)["number"].to_pylist() == prepared
    return int(prepared[0])


def test_any_number_of_sets_of_files_is_read(scans: Sequence[Scan]) -> None:
    engine = DuckEngine()
    early = engine.rows(scans[:1])
    for _ in range(2):
        assert [read(engine, scan) for scan in scans] == list(range(FILES))
    assert engine.run(early)["number"].to_pylist() == [0]
    del early
    read(engine, scans[-1])
    assert views(engine) < FILES
    engine.close()


def test_threads_drop_no_view_that_another_reads(scans: Sequence[Scan]) -> None:
    engine = DuckEngine()
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda scan: read(engine, scan), scans * 2)) == [*range(FILES)] * 2
    engine.close()
