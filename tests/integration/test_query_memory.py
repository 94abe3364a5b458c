"""A query that does not fit into memory uses the spill folder, and says so where even that does not help."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ibis
import pyarrow as pa
import pytest
from ibis import ir

from kubetally.query.duck import DuckEngine
from kubetally.query.groups import MANY_GROUPS, MAX_GROUPS, GroupReader, check_groups
from tests.errors import raises_code
from tests.integration.test_query_costs import query

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
    with raises_code("query_too_large", match="100,000 rows: ask for fewer days"):
        check_groups(MAX_GROUPS + 1)


def read(table: pa.Table, rows_per_group: int = 1) -> int:
    with GroupReader(query("pod"), rows_per_group) as reader:
        return len([*reader.read(table)])


def test_groups_count_as_the_rows_that_they_become() -> None:
    pods = pa.table({"key_0": ["web"] * (MAX_GROUPS // 9 + 1)})
    assert read(pods) == len(pods)
    with raises_code("query_too_large"):
        read(pods, rows_per_group=9)


def test_many_groups_are_read_of_one_question_at_a_time() -> None:
    many = pa.table({"key_0": ["web"] * (MANY_GROUPS + 1)})
    few = many.slice(1)
    with ThreadPoolExecutor(1) as thread:
        with GroupReader(query("pod")) as first:
            assert [len([*first.read(many)]) for _ in range(2)] == [len(many)] * 2
            waiting = thread.submit(read, many)
            assert [read(few) for _ in range(10)] == [len(few)] * 10
            assert not waiting.done()
        assert waiting.result() == len(many)
