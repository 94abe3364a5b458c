"""A query that does not fit into memory uses the spill folder, and says so where even that does not help."""

from pathlib import Path

import ibis
import pyarrow as pa
import pytest
from ibis import ir

from kubetally.query.costs import MAX_GROUPS, check_groups
from kubetally.query.duck import DuckEngine
from tests.errors import raises_code

LITTLE = 30_000_000


@pytest.fixture(scope="module")
def groups() -> ir.Table:
    """Two million groups of text, which need more memory than there is."""
    numbers = pa.array(range(2_000_000), pa.int64())
    table = ibis.memtable(pa.table({"number": numbers}))
    name = ibis.literal("a pod with a rather long name ") + table.number.cast("string")
    sums = table.group_by(name=name).agg(total=table.number.sum())
    return sums.agg(total=sums.total.sum(), names=sums.name.nunique())


def test_query_too_large_for_memory_is_answered_from_spill(groups: ir.Table, tmp_path: Path) -> None:
    engine = DuckEngine(memory_bytes=LITTLE * 4, spill_folder=str(tmp_path))
    assert engine.run(groups)["names"].to_pylist() == [2_000_000]
    engine.close()
    assert not list(tmp_path.iterdir())


def test_without_spill_the_error_says_what_to_do(groups: ir.Table) -> None:
    engine = DuckEngine(memory_bytes=LITTLE)
    with raises_code("query_too_large", match="KUBETALLY_QUERY_MEMORY.*fewer days, group by less, or filter"):
        engine.run(groups)
    assert engine.run(ibis.memtable(pa.table({"a": [1]}))).num_rows == 1
    engine.close()


def test_answer_with_too_many_rows_says_what_to_do() -> None:
    check_groups(MAX_GROUPS)
    with raises_code("query_too_large", match="300,000 rows: ask for fewer days"):
        check_groups(MAX_GROUPS + 1)
