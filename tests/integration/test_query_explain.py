"""The rows that make a figure add up to it."""

from collections.abc import Callable, Iterator

import ibis
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ibis import ir

from kubetally.domain.booking import Booking
from kubetally.domain.component import Costs
from kubetally.domain.explanation import largest_first
from kubetally.domain.question.cost_question import Idle
from kubetally.domain.question.v2 import parse_v2
from kubetally.query.costs import cost_rows
from kubetally.query.ledger_lines import ledger_lines
from tests.integration.test_query_costs import ACCOUNTS, FILTERS, ledger, query, total
from tests.unit.domain.clusters import booked_days

Run = Callable[[ir.Table], pa.Table]
MANY = 10_000


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    engine = ibis.duckdb.connect(threads=1)
    yield engine.to_pyarrow
    engine.disconnect()


@given(days=booked_days(), text=st.sampled_from(["", *FILTERS]), idle=st.sampled_from(Idle), limit=st.integers(1, 5))
def test_rows_of_any_figure_add_up_to_it(run: Run, days: list[Booking], text: str, idle: Idle, limit: int) -> None:
    rows = ibis.memtable(pa.concat_tables([ledger(days), ledger(days[:1], "b" * 8)]))
    question = query(filter=parse_v2(text), idle=idle)
    figure = total(cost_rows(run, rows, question, ACCOUNTS, "USD"))
    lines, sums = ledger_lines(run, rows, question, ACCOUNTS, "USD", limit=MANY)
    assert Costs.sum(line.costs for line in lines) == figure == Costs.sum(account.costs for account in sums)
    assert len(lines) == sum(account.rows for account in sums)
    assert all(any(line.costs) and line.rules for line in lines)
    few, _ = ledger_lines(run, rows, question, ACCOUNTS, "USD", limit=limit)
    amounts, largest = ([abs(line.costs.total) for line in largest_first(some)] for some in (lines, few))
    assert largest[:limit] == amounts[:limit]


@given(days=booked_days())
def test_shared_idle_is_named_in_the_rows_that_bear_it(run: Run, days: list[Booking]) -> None:
    rows = ibis.memtable(ledger(days))
    alone, shared = (
        ledger_lines(run, rows, query(idle=idle), ACCOUNTS, "USD", limit=MANY)[0]
        for idle in (Idle.SEPARATE, Idle.WEIGHTED)
    )
    own = {line[:11]: line.costs.total for line in alone}
    for line in shared:
        if line.idle_share is not None:
            assert line.costs.total - line.idle_share == own.get(line[:11], 0)
