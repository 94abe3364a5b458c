"""The engine chooses the same top as rows put in order."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ibis import ir

from kubetally.domain.component import Component, Costs
from kubetally.domain.question.arrange import Order, arrange, keep_top, split_lines
from kubetally.domain.question.cost_question import Idle
from kubetally.domain.question.top import with_top
from kubetally.domain.question.v2 import parse_v2
from kubetally.domain.report import REST, CostRow
from kubetally.query.costs import cost_rows
from tests.integration.test_query_costs import ACCOUNTS, ledger, query
from tests.unit.domain.clusters import booked_days

GROUPS = ["pod", "namespace,pod", "label:team", "container,namespace", "node,kind", "controller_kind,controller"]
FILTERS = ["", 'namespace:"shop"', 'cluster:"prod"', 'kind!:"idle"', 'component:"cpu","ram"']


@pytest.fixture(scope="module")
def run() -> Iterator[Callable[[ir.Table], pa.Table]]:
    engine = ibis.duckdb.connect(threads=1)
    yield engine.to_pyarrow
    engine.disconnect()


def figures(row: CostRow) -> tuple[object, ...]:
    return row.key, row.kind, row.account_id, row.costs, row.waste, row.count if row.kind == REST else 1


@given(
    days=booked_days(),
    others=booked_days(),
    group=st.sampled_from(GROUPS),
    text=st.sampled_from(FILTERS),
    idle=st.sampled_from(Idle),
    top=st.integers(1, 4),
    by=st.sampled_from(["total_cost", *(f"{component}_cost" for component in Component)]),
)
@settings(max_examples=30)
def test_top_of_the_engine_is_that_of_rows_in_order(
    run: Callable[[ir.Table], pa.Table],
    days: list[object],
    others: list[object],
    group: str,
    text: str,
    idle: Idle,
    top: int,
    by: str,
) -> None:
    rows = ibis.memtable(pa.concat_tables([ledger(days), ledger(others, "b" * 8)]))  # type: ignore[arg-type]
    question, order = query(group, filter=parse_v2(text), idle=idle), (Order(by, is_descending=True),)
    ranked = with_top(question, order, top)
    assert ranked.top is not None
    lines, every = split_lines(cost_rows(run, rows, question, ACCOUNTS, "USD"))
    lines_of_top, of_top = split_lines(cost_rows(run, rows, ranked, ACCOUNTS, "USD"))
    kept = arrange(keep_top(every, top, question.group, order), question.group, order)
    assert [figures(row) for row in arrange(of_top, question.group, order)] == [figures(row) for row in kept]
    assert sorted(map(repr, map(figures, lines_of_top))) == sorted(map(repr, map(figures, lines)))
    assert Costs.sum(row.costs for row in of_top) == Costs.sum(row.costs for row in every)


@pytest.mark.parametrize("group", ["", "kind", "cluster,pod", "component,pod", "organization,pod"])
def test_other_groups_are_put_in_order_here(group: str) -> None:
    assert with_top(query(group), (Order("total_cost", is_descending=True),), 3).top is None


def test_other_orders_and_steps_are_put_in_order_here() -> None:
    question, by_cost = query("pod"), Order("total_cost", is_descending=True)
    for order in ((Order("pod", is_descending=True),), (Order("total_cost", is_descending=False),), (by_cost, by_cost)):
        assert with_top(question, order, 3).top is None
    assert with_top(replace(question, step="day"), (by_cost,), 3).top is None  # type: ignore[arg-type]
    assert with_top(question, (by_cost,), None).top is None
