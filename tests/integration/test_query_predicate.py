"""A filter keeps the same rows in a query as in the matcher."""

from collections.abc import Callable, Iterator, Sequence

import ibis
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ibis import ir

from kubetally.domain.question.filter import Field, Filter, Op
from kubetally.domain.question.matching import matches
from kubetally.domain.question.partial import decide
from kubetally.query.predicate import predicate
from kubetally.store.lake.schema import ALLOCATIONS
from tests.filters import Row, conditions, filters, rows, source_fields

in_rows = tuple(field for field in source_fields if field is not Field.CLUSTER)


@pytest.fixture(scope="module")
def run() -> Iterator[Callable[[ir.Table], pa.Table]]:
    engine = ibis.duckdb.connect(threads=1)
    yield engine.to_pyarrow
    engine.disconnect()


def workloads(many: Sequence[Row]) -> ir.Table:
    """Rows as workloads of the ledger."""
    texts = ("node", "namespace", "controller_kind", "controller", "pod", "container", "provider_id")
    columns = {name: [getattr(row, name) for row in many] for name in texts}
    columns |= {name: [list(getattr(row, name).items()) for row in many] for name in ("labels", "annotations")}
    columns |= {"services": [list(row.services) for row in many], "kind": ["workload"] * len(many)}
    fields = [ALLOCATIONS.field(name) for name in columns]
    return ibis.memtable(
        pa.table({**columns, "place": list(range(len(many)))}, pa.schema([*fields, ("place", pa.int64())]))
    )


@given(st.lists(rows, min_size=1, max_size=8), filters(conditions(tuple(Op), in_rows)))
def test_query_keeps_the_rows_that_match(
    run: Callable[[ir.Table], pa.Table], many: list[Row], condition: Filter
) -> None:
    table = workloads(many)
    kept = run(table.filter(predicate(condition, table)).select("place"))["place"].to_pylist()
    assert sorted(kept) == [place for place, row in enumerate(many) if matches(condition, row)]


@given(filters(conditions(tuple(Op), source_fields)), rows)
def test_what_is_decided_before_does_not_change_the_meaning(condition: Filter, row: Row) -> None:
    def known(part: Filter) -> bool | None:
        return matches(part, row) if getattr(part, "field", None) in (Field.CLUSTER, Field.NODE) else None

    assert matches(decide(condition, known), row) == matches(condition, row)
