"""Shared namespaces and labels move cost from workloads to others of their day, and the sum stays."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from math import floor
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ibis import ir

from kubetally.domain.allocation import Kind
from kubetally.domain.booking import Booking
from kubetally.domain.component import Costs
from kubetally.domain.question.cost_question import NOTHING_SHARED, Idle, Sharing, Split
from kubetally.domain.question.filter import negated
from kubetally.domain.question.steps import Step
from kubetally.domain.question.v2 import parse_v2
from kubetally.domain.report import CostRow
from kubetally.query.costs import cost_rows
from kubetally.store.lake.schema import ALLOCATIONS, COST_COLUMNS
from tests.integration.test_query_costs import ACCOUNTS, FILTERS, GROUPS, ledger, query, total
from tests.unit.domain.clusters import booked, booked_days

Run = Callable[[ir.Table], pa.Table]
Row = dict[str, Any]
POD = ("account_id", "namespace", "controller", "pod", "node", "day")
sharings = st.builds(
    Sharing,
    st.sampled_from([(), ("shop",), ("batch",), ("shop", "batch"), ("none",)]),
    st.sampled_from([(), (("team", "web"),), (("team", "ops"), ("tier", "1"))]),
    st.sampled_from(Split),
).filter(lambda sharing: not sharing.is_nothing)
ledgers = booked_days().map(lambda days: labelled(pa.concat_tables([ledger(days), ledger(days[:1], "b" * 8)])))


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    engine = ibis.duckdb.connect(threads=1)
    yield engine.to_pyarrow
    engine.disconnect()


def labelled(table: pa.Table) -> pa.Table:
    """The same rows with labels: some of each team, some without."""
    labels = [_LABELS[(row["ordinal"] * 5 + row["day"].day) % len(_LABELS)] for row in table.to_pylist()]
    place = table.column_names.index("labels")
    return table.set_column(place, "labels", pa.array(labels, ALLOCATIONS.field("labels").type))


_LABELS: list[list[tuple[str, str]] | None] = [
    [("team", "web")], None, [("team", "ops"), ("tier", "1")], [], [("team", "web"), ("tier", "2")],
]  # fmt: skip


def costs(run: Run, table: pa.Table, group: str, **more: Any) -> list[CostRow]:
    return cost_rows(run, ibis.memtable(table), query(group, **more), ACCOUNTS, "USD")


# ------------------------------------------------------------------------------- the rule, written a second time


def micros(row: Row, columns: Sequence[str]) -> int:
    return sum(int(row[name].scaleb(6)) for name in columns if row[name] is not None)


def total_of(row: Row, idle: Idle) -> int:
    """What a row costs, with its shares in idle."""
    shares = [f"idle_{name}_{idle}" for name in ("cpu", "ram", "gpu")] if idle in (Idle.WEIGHTED, Idle.EVEN) else []
    return micros(row, [*COST_COLUMNS, *shares])


def parts_of(amount: int, weights: Sequence[int]) -> list[int]:
    """An amount by weight, else equally."""
    weights = weights if any(weights) else [1] * len(weights)
    whole, end, given, parts = sum(weights), 0, 0, []
    for weight in weights:
        end += weight
        upto = amount if end == whole else floor(amount * (end / whole) + 0.5)
        parts.append(upto - given)
        given = upto
    return parts


def expected(table: pa.Table, sharing: Sharing, idle: Idle) -> dict[tuple[Any, ...], list[int]]:
    """Cost without and with sharing of the workloads that are left, by pod and day."""
    found = defaultdict[tuple[Any, ...], list[int]](lambda: [0, 0])
    workloads = [row for row in table.to_pylist() if row["kind"] == "workload"]
    workloads.sort(key=lambda row: (row["account_id"], row["day"], row["namespace"] or "~", row["ordinal"]))
    for _, of_day in groupby(workloads, key=lambda row: (row["account_id"], row["day"])):
        day = list(of_day)
        others = [row for row in day if not is_shared(row, sharing)]
        leaving = sum(total_of(row, idle) for row in day if is_shared(row, sharing)) if others else 0
        namespaces = [list(rows) for _, rows in groupby(others or day, key=lambda row: row["namespace"])]
        sums = [max(sum(total_of(row, idle) for row in rows), 0) for rows in namespaces]
        given = parts_of(leaving, sums if sharing.split is Split.WEIGHTED else [0] * len(sums))
        for rows, amount in zip(namespaces, given, strict=True):
            weights = [max(total_of(row, idle), 0) for row in rows]
            for row, part in zip(rows, parts_of(amount, weights), strict=True):
                sums_of_pod = found[tuple(row[name] for name in POD)]
                sums_of_pod[0] += total_of(row, idle)
                sums_of_pod[1] += part + micros(row, ["shared_cost"])
    return {key: [cost + shared - 0, shared] for key, (cost, shared) in found.items()}


def is_shared(row: Row, sharing: Sharing) -> bool:
    labels = dict(row["labels"] or ())
    return row["namespace"] in sharing.namespaces or any(labels.get(key) == value for key, value in sharing.labels)


# ------------------------------------------------------------------------------------------------------------ tests


@settings(max_examples=15)
@given(table=ledgers, sharing=sharings, idle=st.sampled_from(Idle))
def test_every_pod_gets_its_part_to_the_micro(run: Run, table: pa.Table, sharing: Sharing, idle: Idle) -> None:
    rows = costs(run, table, "cluster,namespace,controller,pod,node", sharing=sharing, idle=idle, step=Step.DAY)
    assert {
        (row.account_id, *row.key[1:], row.start and row.start.date()): row.costs.shared
        for row in rows
        if row.kind is Kind.WORKLOAD
    } == {key: shared for key, (_, shared) in expected(table, sharing, idle).items()}


@settings(max_examples=15)
@given(
    table=ledgers,
    sharing=sharings,
    group=st.sampled_from(GROUPS),
    idle=st.sampled_from(Idle),
    step=st.sampled_from([None, *Step]),
)
def test_sharing_moves_cost_and_keeps_the_sum(
    run: Run, table: pa.Table, sharing: Sharing, group: str, idle: Idle, step: Step | None
) -> None:
    before = total(costs(run, table, group, idle=idle, step=step))
    after = total(costs(run, table, group, idle=idle, step=step, sharing=sharing))
    assert after.total == before.total


@settings(max_examples=15)
@given(table=ledgers, sharing=sharings, idle=st.sampled_from(Idle))
def test_pods_add_up_to_namespaces_and_these_to_clusters(
    run: Run, table: pa.Table, sharing: Sharing, idle: Idle
) -> None:
    more = {"sharing": sharing, "idle": idle, "step": Step.DAY, "filter": parse_v2('kind:"workload"')}
    clusters, namespaces, pods = (
        costs(run, table, group, **more)
        for group in ("cluster", "cluster,namespace", "cluster,namespace,pod,label:team")
    )
    assert summed(pods, 2) == summed(namespaces, 2)
    assert summed(namespaces, 1) == summed(clusters, 1)


def summed(rows: Sequence[CostRow], dimensions: int) -> dict[Any, Costs]:
    by_key = defaultdict[Any, list[Costs]](list)
    for row in rows:
        by_key[row.account_id, row.start, row.key[:dimensions]].append(row.costs)
    return {key: Costs.sum(parts) for key, parts in by_key.items()}


@settings(max_examples=15)
@given(
    table=ledgers,
    sharing=sharings,
    text=st.sampled_from(FILTERS),
    idle=st.sampled_from(Idle),
    group=st.sampled_from(GROUPS[:6]),
)
def test_filter_and_complement_have_the_sum_after_sharing(
    run: Run, table: pa.Table, sharing: Sharing, text: str, idle: Idle, group: str
) -> None:
    whole, passed, rest = (
        total(costs(run, table, group, filter=chosen, idle=idle, sharing=sharing))
        for chosen in (parse_v2(""), parse_v2(text), negated(parse_v2(text)))
    )
    assert passed.plus(rest) == whole


def by_namespace(run: Run, day: Booking, sharing: Sharing, text: str = "") -> dict[str | None, Costs]:
    rows = costs(run, ledger([day]), "namespace", sharing=sharing, filter=parse_v2(text))
    return {row.key[0]: row.costs for row in rows if row.kind is Kind.WORKLOAD}


def test_shared_namespace_returns_by_cost_or_evenly(run: Run) -> None:
    day = booked("pod infra/dns cpu 3\npod shop/web cpu 4 ram 2\npod batch/job cpu 3", without_assets=True)
    weighted = by_namespace(run, day, Sharing(("infra",)))
    assert {name: cost.shared for name, cost in weighted.items()} == {"batch": 1_000_000, "shop": 2_000_000}
    even = by_namespace(run, day, Sharing(("infra",), split=Split.EVEN))
    assert {name: cost.shared for name, cost in even.items()} == {"batch": 1_500_000, "shop": 1_500_000}


def test_shared_workloads_without_another_one_stay(run: Run) -> None:
    day = booked("pod infra/dns cpu 3\nidle cpu 2", without_assets=True)
    assert by_namespace(run, day, Sharing(("infra",))) == by_namespace(run, day, NOTHING_SHARED)


def test_workloads_that_cost_nothing_share_equally(run: Run) -> None:
    day = booked("pod infra/dns cpu 3\npod a/1 cpu 0\npod a/2 cpu 0\npod b/1 cpu 0", without_assets=True)
    shared = by_namespace(run, day, Sharing(("infra",)))
    assert {name: cost.shared for name, cost in shared.items()} == {"a": 1_500_000, "b": 1_500_000}
    rows = costs(run, ledger([day]), "pod", sharing=Sharing(("infra",)))
    assert {row.key[0]: row.costs.shared for row in rows if row.kind is Kind.WORKLOAD} == {"1": 2_250_000, "2": 750_000}


def test_shared_workloads_that_take_back_are_exact(run: Run) -> None:
    day = booked("pod infra/dns cpu -1.000001\npod a/1 cpu 1\npod b/1 cpu 1\npod c/1 cpu 1", without_assets=True)
    shared = by_namespace(run, day, Sharing(("infra",)))
    assert sum(cost.shared for cost in shared.values()) == -1_000_001
    assert {cost.shared for cost in shared.values()} == {-333_334, -333_333}


def test_share_passes_a_filter_with_its_workload(run: Run) -> None:
    day = booked("pod infra/dns cpu 3\npod shop/web cpu 2\npod batch/job cpu 1", without_assets=True)
    sharing = Sharing(("infra",))
    assert by_namespace(run, day, sharing, 'namespace:"shop"')["shop"].shared == 2_000_000
    assert by_namespace(run, day, sharing, 'namespace:"infra"') == {}
    assert by_namespace(run, day, sharing, 'component:"cpu"')["shop"].shared == 0
    assert by_namespace(run, day, sharing, 'component:"shared"')["shop"].total == 2_000_000
