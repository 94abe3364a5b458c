"""Every view of the ledger has the same sum."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from math import floor
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ibis import ir

from kubetally.domain.account import ListedAccount
from kubetally.domain.allocation import Kind
from kubetally.domain.booking import Booking
from kubetally.domain.collection import new_collected_day
from kubetally.domain.component import Costs
from kubetally.domain.question.cost_question import CostQuestion, Idle
from kubetally.domain.question.filter import negated
from kubetally.domain.question.group import parse_group
from kubetally.domain.question.steps import Step
from kubetally.domain.question.v2 import parse_v2
from kubetally.domain.report import CostRow
from kubetally.domain.source_identity import SourceIdentity
from kubetally.domain.window import DAY, Window
from kubetally.query.costs import cost_rows
from kubetally.store.lake.encode import allocation_tables
from tests.unit.domain.clusters import MIDNIGHT, SOURCE, booked, booked_days

ACCOUNTS = {id_: ListedAccount(id_, name, "acme") for id_, name in (("a" * 8, "prod"), ("b" * 8, "test"))}
GROUPS = [
    "", "cluster", "organization", "kind", "component", "namespace", "controller_kind", "controller", "pod", "node",
    "service", "label:team", "cluster,component", "namespace,label:app", "cluster,namespace,pod", "namespace,component",
    "label:none", "cluster,organization,kind",
]  # fmt: skip
FILTERS = [
    'namespace:"shop"', 'namespace<~:"s"', 'label[team]:"web"', 'label[team]:"__unallocated__"', 'cluster:"prod"',
    'component:"cpu"', 'kind:"workload"', 'kind:"idle"+cluster:"prod"', 'namespace:"shop"|component:"ram"',
    '(namespace:"shop"|kind:"idle")+cluster:"test"', 'services:"web"', 'label:"team"', 'organization:"acme"',
    'currency:"USD"', 'node~:"1"', 'department:"x"', 'services<~:"w"',
]  # fmt: skip
WINDOW = Window(MIDNIGHT, MIDNIGHT + 3 * DAY)


@pytest.fixture(scope="module")
def run() -> Iterator[Callable[[ir.Table], pa.Table]]:
    engine = ibis.duckdb.connect(threads=1)
    yield engine.to_pyarrow
    engine.disconnect()


def ledger(days: Sequence[Booking], account_id: str = "a" * 8) -> pa.Table:
    """The rows of days as a query reads them: those of the lake, with their day."""
    tables = []
    for number, booking in enumerate(days):
        day = (MIDNIGHT + number * DAY).date()
        collected = new_collected_day(
            f"c{number}",
            account_id=account_id,
            day=day,
            collected_at=datetime(2026, 11, 29, tzinfo=UTC),
            source=SourceIdentity(SOURCE),
            booking=booking,
            assets=[],
        )
        (table,) = allocation_tables([collected])
        tables.append(table.append_column("day", pa.array([day] * table.num_rows, pa.date32())))
    return pa.concat_tables(tables)


def query(group: str = "", **more: object) -> CostQuestion:
    return CostQuestion(WINDOW, parse_group(group), **more)  # type: ignore[arg-type]


def total(rows: Sequence[CostRow]) -> Costs:
    return Costs.sum(row.costs for row in rows)


@given(
    days=booked_days(), group=st.sampled_from(GROUPS), step=st.sampled_from([None, *Step]), idle=st.sampled_from(Idle)
)
def test_rows_of_any_grouping_have_the_sum_of_the_bill(
    run: Callable[[ir.Table], pa.Table], days: list[Booking], group: str, step: Step | None, idle: Idle
) -> None:
    rows = cost_rows(run, ibis.memtable(ledger(days)), query(group, step=step, idle=idle), ACCOUNTS, "USD")
    bill = Costs.sum(day.bill for day in days)
    if idle is Idle.NONE:
        bill = bill.minus(Costs.sum(day.kind_costs(Kind.IDLE) for day in days))
    assert total(rows) == bill
    identities = [(row.key, row.kind, row.start, row.account_id) for row in rows]
    assert len(set(identities)) == len(identities)


@given(days=booked_days(), text=st.sampled_from(FILTERS), idle=st.sampled_from(Idle), group=st.sampled_from(GROUPS[:6]))
def test_filter_and_its_complement_have_the_sum_of_all(
    run: Callable[[ir.Table], pa.Table], days: list[Booking], text: str, idle: Idle, group: str
) -> None:
    rows = ibis.memtable(pa.concat_tables([ledger(days), ledger(days[:1], "b" * 8)]))
    condition = parse_v2(text)
    whole, passed, rest = (
        total(cost_rows(run, rows, query(group, filter=chosen, idle=idle), ACCOUNTS, "USD"))
        for chosen in (parse_v2(""), condition, negated(condition))
    )
    assert passed.plus(rest) == whole


def unused(row: dict[str, Any]) -> int:
    """Micros of what a row requested and did not use."""
    waste = 0.0
    for cost, name in (("cpu_cost", "cpu_core"), ("ram_cost", "ram_byte")):
        hours, requested, used = (row[f"{name}{suffix}"] for suffix in ("_hours", "_request_hours", "_usage_hours"))
        if hours > 0 and None not in (requested, used, row[cost]):
            waste += max(min(max(requested - used, 0.0), hours) / hours * float(row[cost]), 0.0)
    return floor(waste * 1_000_000 + 0.5)


@given(days=booked_days(), group=st.sampled_from(GROUPS), step=st.sampled_from([None, *Step]))
def test_waste_of_rows_is_whole_and_the_same_in_any_grouping(
    run: Callable[[ir.Table], pa.Table], days: list[Booking], group: str, step: Step | None
) -> None:
    table = ledger(days)
    rows = cost_rows(run, ibis.memtable(table), query(group, step=step), ACCOUNTS, "USD")
    wasted = 0 if "component" in group else sum(map(unused, table.to_pylist()))
    assert sum(row.waste for row in rows) == wasted


@settings(max_examples=30)
@given(days=booked_days(), group=st.sampled_from(GROUPS), idle=st.sampled_from(Idle))
def test_order_of_rows_shows_in_no_figure(
    run: Callable[[ir.Table], pa.Table], days: list[Booking], group: str, idle: Idle
) -> None:
    table = ledger(days)
    backwards = pa.concat_tables([table.slice(0, 0), *(table.slice(at, 1) for at in reversed(range(table.num_rows)))])
    one, other = (
        cost_rows(run, ibis.memtable(rows), query(group, idle=idle), ACCOUNTS, "USD") for rows in (table, backwards)
    )
    assert sorted(one, key=repr) == sorted(other, key=repr)


def test_condition_on_currency_reads_no_column(run: Callable[[ir.Table], pa.Table]) -> None:
    day = booked("pod shop/web cpu 3\nidle cpu 2", without_assets=True)
    rows = ibis.memtable(ledger([day]).drop_columns(["currency"]))
    for text, cost in (
        ('currency:"USD"', 5_000_000),
        ('currency!:"USD"', 0),
        ('currency:"EUR"|kind:"idle"', 2_000_000),
    ):
        found = cost_rows(run, rows, query("namespace", filter=parse_v2(text)), ACCOUNTS, "USD")
        assert total(found).total == cost
