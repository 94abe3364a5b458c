"""A filter keeps the same rows in a query as in the matcher."""

from collections.abc import Callable, Iterator, Sequence

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ibis import ir

from kubetally.domain.question.filter import Condition, Field, Filter, Op
from kubetally.domain.question.matching import matches
from kubetally.domain.question.partial import decide
from kubetally.query.duck import DuckEngine
from kubetally.query.predicate import predicate
from kubetally.store.lake.schema import ALLOCATIONS
from tests.filters import Row, conditions, filters, rows, source_fields
from tests.integration.spark_cluster import ON_SPARK

pytestmark = ON_SPARK
in_rows = tuple(field for field in source_fields if field is not Field.CLUSTER)


@pytest.fixture(scope="module", params=["duckdb", "spark"])
def run(request: pytest.FixtureRequest) -> Iterator[Callable[[ir.Table], pa.Table]]:
    """Runs an expression, on each engine in turn."""
    if request.param == "spark":
        yield request.getfixturevalue("spark").run
        return
    engine = DuckEngine(threads=1)
    yield engine.run
    engine.close()


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


def kept(run: Callable[[ir.Table], pa.Table], many: Sequence[Row], conditions: Sequence[Filter]) -> list[list[int]]:
    """The places of the rows that each filter keeps, by one query."""
    table = workloads(many)
    tests = {f"filter_{number}": predicate(condition, table) for number, condition in enumerate(conditions)}
    answer = run(table.select("place", **tests)).to_pylist()
    return [sorted(row["place"] for row in answer if row[name]) for name in tests]


def matching(many: Sequence[Row], conditions: Sequence[Filter]) -> list[list[int]]:
    return [[place for place, row in enumerate(many) if matches(condition, row)] for condition in conditions]


@given(
    st.lists(rows, min_size=1, max_size=20), st.lists(filters(conditions(tuple(Op), in_rows)), min_size=5, max_size=15)
)
@settings(max_examples=12)  # each of many filters, because a query takes Spark long
def test_query_keeps_the_rows_that_match(
    run: Callable[[ir.Table], pa.Table], many: list[Row], conditions: list[Filter]
) -> None:
    assert kept(run, many, conditions) == matching(many, conditions)


ODD = [
    "it's",
    'say "so"',
    "a\\b",
    "\\",
    "a\nb",
    "a\tb",
    "%",
    "_",
    "a%",
    "`",
    "$1",
    "${env:HOME}",
    "ü",
    "日本",
    "😀",
    " a ",
    "--",
    "{}",
]
"""Texts that a language of queries may take for more than text."""


@pytest.mark.parametrize("op", [Op.EQUALS, Op.NOT_CONTAINS, Op.PREFIX, Op.NOT_SUFFIX])
def test_odd_texts_are_texts(run: Callable[[ir.Table], pa.Table], op: Op) -> None:
    many = [Row(namespace=text, labels={"app": text, "team": "a"}, services=(text,)) for text in ODD]
    conditions = [
        condition
        for text in ODD
        for condition in (
            Condition(Field.NAMESPACE, op, (text, "a")),
            Condition(Field.LABEL, op, (text,), "app"),
            Condition(Field.SERVICES, op, (text,)),
        )
    ]
    assert kept(run, many, conditions) == matching(many, conditions)


@given(filters(conditions(tuple(Op), source_fields)), rows)
def test_what_is_decided_before_does_not_change_the_meaning(condition: Filter, row: Row) -> None:
    def known(part: Filter) -> bool | None:
        return matches(part, row) if getattr(part, "field", None) in (Field.CLUSTER, Field.NODE) else None

    assert matches(decide(condition, known), row) == matches(condition, row)
