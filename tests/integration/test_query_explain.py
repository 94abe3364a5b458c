"""The rows that make a figure add up to it."""

from collections.abc import Callable, Iterator

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ibis import ir

from kubetally.domain.booking import Booking
from kubetally.domain.component import Costs
from kubetally.domain.explanation import largest_first
from kubetally.domain.question.cost_question import NOTHING_SHARED, Idle, Sharing, Split
from kubetally.domain.question.v2 import parse_v2
from kubetally.query.costs import cost_rows
from kubetally.query.ledger_lines import ledger_lines
from tests.integration.test_query_costs import ACCOUNTS, FILTERS, ledger, query, total
from tests.unit.domain.clusters import booked_days

Run = Callable[[ir.Table], pa.Table]
MANY = 10_000
SHARINGS = [Sharing(("shop",), split=split) for split in Split] + [
    Sharing(("shop", "data"), (("team", "web"),)),
    Sharing(labels=(("team", "web"),)),
]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    engine = ibis.duckdb.connect(threads=1)
    yield engine.to_pyarrow
    engine.disconnect()


@settings(max_examples=25)
@given(
    days=booked_days(),
    text=st.sampled_from(["", *FILTERS]),
    idle=st.sampled_from(Idle),
    sharing=st.sampled_from([NOTHING_SHARED, *SHARINGS]),
)
def test_rows_of_any_figure_add_up_to_it(
    run: Run, days: list[Booking], text: str, idle: Idle, sharing: Sharing
) -> None:
    rows = ibis.memtable(pa.concat_tables([ledger(days), ledger(days[:1], "b" * 8)]))
    question = query(filter=parse_v2(text), idle=idle, sharing=sharing)
    figure = total(cost_rows(run, rows, question, ACCOUNTS, "USD"))
    lines, sums = ledger_lines(run, rows, question, ACCOUNTS, "USD", limit=MANY)
    assert Costs.sum(line.costs for line in lines) == figure == Costs.sum(account.costs for account in sums)
    assert len(lines) == sum(account.rows for account in sums)
    assert all(any(line.costs) and line.rules for line in lines)


@settings(max_examples=10)
@given(days=booked_days(), limit=st.integers(1, 5))
def test_rows_are_the_largest(run: Run, days: list[Booking], limit: int) -> None:
    rows = ibis.memtable(ledger(days))
    many, few = (ledger_lines(run, rows, query(), ACCOUNTS, "USD", limit=most)[0] for most in (MANY, limit))
    amounts, largest = ([abs(line.costs.total) for line in largest_first(some)] for some in (many, few))
    assert largest == amounts[:limit]


@settings(max_examples=15)
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
