"""Whatever a row or an asset holds, the lake's columns hold."""

import struct
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.allocation import Kind, LoadBalancerCost, VolumeCost
from kubetally.domain.asset import NO_ASSET_DETAILS, Asset, AssetDetails, AssetType, Breakdown
from kubetally.domain.collection import window_of
from kubetally.domain.component import ZERO, Component, Costs, NetworkClasses
from kubetally.domain.efficiency import Hours
from kubetally.domain.errors import StoreError
from kubetally.domain.row import Cause, Row, RowDetails
from kubetally.domain.window import Window
from kubetally.store.lake.arrays import ValueBeyondLake, decimals, micros
from kubetally.store.lake.decode import (
    FIGURES,
    assets_of,
    collection_of,
    row_sums_of,
    rows_of,
)
from kubetally.store.lake.schema import ALLOCATIONS, ASSETS, COST_COLUMNS, IDLE_COLUMNS, MONEY
from kubetally.store.lake.upgrade import ADDED, unlike_columns
from tests.cluster_days import DAY, cluster_day
from tests.lake_tables import allocation_table, asset_table

MOST = 10**18 - 1
AMOUNTS = st.integers(-MOST, MOST)
# Ten of an asset's costs have a sum that is a column too.
PARTS = st.integers(-MOST // 10, MOST // 10)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
MAYBE = st.none() | TEXTS
LABELS = st.none() | st.dictionaries(TEXTS, TEXTS, max_size=4)
FLOATS = st.floats(allow_nan=False)
SUMMABLE = st.floats(-1e24, 1e24)  # a row's hours, of which a source can answer no more and days make sums
MEASURABLE = [name for name in Hours._fields if name.endswith(("request_hours", "usage_hours"))]
INSTANTS = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
LIVES = st.none() | st.tuples(INSTANTS, INSTANTS).map(lambda pair: Window(min(pair), max(pair)))
FIGURES_OR_NONE = st.none() | FLOATS
DETAILS = st.builds(
    RowDetails,
    provider_id=MAYBE,
    life=LIVES,
    annotations=LABELS,
    namespace_annotations=LABELS,
    cpu_core_usage_max=FIGURES_OR_NONE,
    ram_byte_usage_max=FIGURES_OR_NONE,
    adjustments=st.builds(
        Costs,
        **dict.fromkeys(("cpu", "ram", "gpu", "pv", "network", "load_balancer"), AMOUNTS),
        **dict.fromkeys(("node_disk", "management", "shared", "external"), st.just(0)),
    ),
    volumes=st.lists(st.builds(VolumeCost, TEXTS, AMOUNTS, FLOATS, MAYBE, AMOUNTS), max_size=2).map(tuple),
    load_balancers=st.lists(
        st.builds(LoadBalancerCost, TEXTS, AMOUNTS, FLOATS, st.none() | st.booleans(), MAYBE, AMOUNTS), max_size=2
    ).map(tuple),
    error_bound=st.none() | AMOUNTS,
)
ROWS = st.builds(
    Row,
    kind=st.sampled_from(Kind),
    cause=st.none() | st.sampled_from(Cause),
    namespace=MAYBE,
    controller_kind=MAYBE,
    controller=MAYBE,
    pod=MAYBE,
    container=MAYBE,
    node=MAYBE,
    containers=st.integers(0, 2**31 - 1),
    minutes=SUMMABLE,
    hours=st.builds(Hours, *(st.none() | SUMMABLE if name in MEASURABLE else SUMMABLE for name in Hours._fields)),
    costs=st.builds(Costs, *[AMOUNTS] * len(Costs._fields)),
    network_classes=st.builds(NetworkClasses, AMOUNTS, AMOUNTS, AMOUNTS),
    services=st.lists(TEXTS, max_size=3).map(tuple),
    labels=LABELS,
    namespace_labels=LABELS,
    details=st.none() | DETAILS,
)
BREAKDOWNS_OR_NONE = st.none() | st.builds(Breakdown, *[FIGURES_OR_NONE] * 4)
ASSET_DETAILS = st.builds(
    AssetDetails,
    amount=st.none(),  # only of the type `other`
    **dict.fromkeys(
        (
            "source_type", "pool", "region", "zone", "storage_class", "volume_name", "claim_name", "claim_namespace",
            "ip",
        ),
        MAYBE,
    ),
    **dict.fromkeys(("preemptible", "private"), st.none() | st.booleans()),
    **dict.fromkeys(
        ("cpu_core_hours", "ram_byte_hours", "gpu_hours", "byte_hours", "byte_hours_used", "byte_usage_max"),
        FIGURES_OR_NONE,
    ),
    **dict.fromkeys(("cpu_breakdown", "ram_breakdown", "breakdown"), BREAKDOWNS_OR_NONE),
)  # fmt: skip
ASSETS_OF_ANY_KIND = st.builds(
    Asset,
    type=st.sampled_from([type_ for type_ in AssetType if type_ is not AssetType.OTHER]),
    name=TEXTS,
    names=st.frozensets(TEXTS, max_size=3),
    window=st.tuples(INSTANTS, INSTANTS).map(lambda pair: Window(min(pair), max(pair))),
    costs=st.builds(Costs, *[PARTS] * len(Costs._fields)),
    cluster_id=MAYBE,
    provider_id=MAYBE,
    node_type=MAYBE,
    labels=LABELS,
    hours=FLOATS,
    discount=FLOATS,
    adjustment=AMOUNTS,
    life=LIVES,
    cpu_cores=FIGURES_OR_NONE,
    details=ASSET_DETAILS.map(lambda details: None if details == NO_ASSET_DETAILS else details),
)


def chopped(table: pa.Table, at: int) -> pa.Table:
    """The same rows in two chunks that begin inside of their buffers."""
    padded = pa.concat_tables([table.slice(0, 1), table]).combine_chunks().slice(1)
    return pa.concat_tables([padded.slice(0, at), padded.slice(at)])


@given(st.lists(ROWS, max_size=6), st.integers(0, 6))
def test_any_row_comes_back_equal_and_in_its_place(rows: list[Row], at: int) -> None:
    rows = [row._replace(costs=Costs(*(amount // 10 for amount in row.costs))) for row in rows]  # idle may add up
    day = cluster_day("a", rows=rows)
    table = allocation_table(day)
    assert sorted(map(repr, day.rows)) == sorted(map(repr, rows))
    assert rows_of(table) == tuple(day.rows)
    assert rows_of(chopped(table, at)) == tuple(day.rows)


@given(st.lists(ASSETS_OF_ANY_KIND, max_size=6), st.integers(0, 6))
def test_any_asset_comes_back_equal_and_in_its_place(assets: list[Asset], at: int) -> None:
    table = asset_table(cluster_day("a", assets=assets))
    assert assets_of(table) == tuple(assets)
    assert assets_of(chopped(table, at)) == tuple(assets)


@given(st.lists(AMOUNTS, min_size=1, max_size=9), st.integers(0, 9))
def test_micros_are_decimals_of_the_same_amount_and_back(amounts: list[int], at: int) -> None:
    column = decimals(pa.array([0, *amounts], pa.int64()).slice(1))
    assert column.type == pa.decimal128(18, 6)
    assert column.to_pylist() == [Decimal(amount).scaleb(-6) for amount in amounts]
    assert micros(pa.chunked_array([column.slice(0, at), column.slice(at)], MONEY)) == amounts


def test_rows_keep_the_class_of_their_parts() -> None:
    row = rows_of(allocation_table(cluster_day("a")))[0]
    assert isinstance(row.kind, Kind)
    assert (type(row.hours), type(row.costs), type(row.network_classes)) == (Hours, Costs, NetworkClasses)
    assert isinstance(row.costs.cpu, int)
    assert isinstance(row.services, tuple)


def test_labels_that_are_not_known_are_not_empty() -> None:
    rows = [Row(Kind.WORKLOAD, labels=None, namespace_labels={}), Row(Kind.WORKLOAD, labels={}, namespace_labels=None)]
    table = allocation_table(cluster_day("a", rows=rows))
    assert table["labels"].null_count == 1
    assert [(row.labels, row.namespace_labels) for row in rows_of(table)] == [(None, {}), ({}, None)]


def test_unknown_usage_and_requests_are_null_and_zero_is_not() -> None:
    unknown = Hours(cpu_core_usage_hours=None, ram_byte_request_hours=None)
    table = allocation_table(cluster_day("a", rows=[Row(Kind.WORKLOAD, hours=unknown), Row(Kind.WORKLOAD)]))
    nulls = {name: table[name].null_count for name in Hours._fields if table[name].null_count}
    assert nulls == {"cpu_core_usage_hours": 1, "ram_byte_request_hours": 1}
    assert [row.hours for row in rows_of(table)] == [unknown, Hours()]


@pytest.mark.parametrize("value", [float("nan"), -0.0, float("inf"), 5e-324])
def test_a_float_keeps_every_bit(value: float) -> None:
    (row,) = rows_of(allocation_table(cluster_day("a", rows=[Row(Kind.WORKLOAD, minutes=value)])))
    assert struct.pack("d", row.minutes) == struct.pack("d", value)


@pytest.mark.parametrize("amount", [10**18, -(10**18), 2**63])
def test_an_amount_beyond_the_column_is_an_error_that_names_it(amount: int) -> None:
    day = cluster_day("a", rows=[Row(Kind.WORKLOAD, costs=Costs(ram=amount))])
    with pytest.raises(ValueBeyondLake, match="ram_cost of this day"):
        allocation_table(day)


def test_more_containers_than_the_column_holds_are_an_error() -> None:
    with pytest.raises(ValueBeyondLake, match="containers"):
        allocation_table(cluster_day("a", rows=[Row(Kind.WORKLOAD, containers=2**31)]))


def test_word_of_a_later_version_is_an_error_that_names_it() -> None:
    table = allocation_table(cluster_day("a", rows=[Row(Kind.IDLE)]))
    at = table.schema.get_field_index("kind")
    table = table.set_column(at, table.schema.field(at), pa.array(["dark_matter"]))
    with pytest.raises(StoreError, match="dark_matter") as caught:
        rows_of(table)
    assert caught.value.code == "value_unknown_here"


@given(st.lists(ROWS, max_size=6))
def test_idle_shares_come_back(rows: list[Row]) -> None:
    rows = [row._replace(costs=Costs(*(amount // 10 for amount in row.costs))) for row in rows]
    day = cluster_day("a", rows=rows)
    assert day.idle_shares is not None
    shares = [
        tuple(share) if row.kind is Kind.WORKLOAD else (None,) * len(IDLE_COLUMNS)
        for row, share in zip(day.rows, day.idle_shares.of_rows(), strict=True)
    ]
    table = allocation_table(day).sort_by("ordinal")
    assert list(zip(*(micros(table[name]) for name in IDLE_COLUMNS), strict=True)) == shares


@given(st.lists(ROWS, max_size=3))
def test_rows_can_be_read_without_their_details(rows: list[Row]) -> None:
    rows = [row._replace(costs=Costs(*(amount // 10 for amount in row.costs))) for row in rows]
    day = cluster_day("a", rows=rows)
    found = rows_of(allocation_table(day).select(FIGURES))
    assert found == tuple(row._replace(details=None) for row in day.rows)


def test_amount_of_an_unknown_asset_is_in_no_component() -> None:
    asset = Asset(AssetType.OTHER, "db", frozenset(), window_of(DAY), details=AssetDetails("CloudSQL", 7_000_000))
    table = asset_table(cluster_day("a", assets=[asset]))
    assert table["total_cost"].to_pylist() == [Decimal("7.000000")]
    assert assets_of(table) == (asset,)


def test_rows_lie_by_namespace_and_lines_last() -> None:
    namespaces = allocation_table(cluster_day("a", pods=40))["namespace"].to_pylist()
    assert namespaces[-1] is None
    assert namespaces[:-1] == sorted(namespaces[:-1])


def test_a_row_carries_where_it_comes_from() -> None:
    day = cluster_day("a")
    (first, *_) = allocation_table(day).select(["account_id", "cluster_id", "collection_id", "currency"]).to_pylist()
    assert first == {
        "account_id": "a",
        "cluster_id": "cluster-of-a",
        "collection_id": day.collection.id,
        "currency": "USD",
    }
    assert allocation_table(day)["window_start"][0].as_py() == window_of(DAY).start


def test_every_component_has_a_column_and_every_column_a_comment() -> None:
    assert list(COST_COLUMNS) == [
        *("cpu_cost", "ram_cost", "gpu_cost", "pv_cost", "node_disk_cost", "load_balancer_cost"),
        *("network_cost", "management_cost", "shared_cost", "external_cost"),
    ]
    for schema in (ALLOCATIONS, ASSETS):
        assert all(field.metadata[b"comment"] for field in schema)
        assert {field.type for field in schema if field.name in COST_COLUMNS} == {pa.decimal128(18, 6)}


def test_component_that_nobody_measured_is_null() -> None:
    day = cluster_day("a", rows=[Row(Kind.WORKLOAD, namespace="shop", costs=Costs(cpu=5))])
    head = replace(day.collection.head, not_measured=frozenset({Component.MANAGEMENT}))
    day = replace(day, collection=replace(day.collection, head=head))
    table = allocation_table(day)
    assert table["management_cost"].to_pylist() == [None]
    assert table["network_cost"].to_pylist() == [Decimal(0)]
    assert rows_of(table) == tuple(day.rows)
    assert Component.MANAGEMENT in collection_of(table).head.not_measured


@pytest.mark.parametrize("amount", [10**18, 10**25])
def test_amount_of_a_volume_beyond_the_column_is_named(amount: int) -> None:
    details = RowDetails(volumes=(VolumeCost("pvc", 1, adjustment=amount),))
    with pytest.raises(ValueBeyondLake, match="volumes"):
        allocation_table(cluster_day("a", rows=[Row(Kind.WORKLOAD, details=details)]))


def test_table_of_version_1_needs_all_columns_it_had() -> None:
    version_1 = pa.schema([field for field in ALLOCATIONS if field.name not in ADDED])
    assert unlike_columns(version_1, ours=ALLOCATIONS, version=1) == []
    without = pa.schema([field for field in version_1 if field.name != "cpu_cost"])
    assert unlike_columns(without, ours=ALLOCATIONS, version=1) == ["cpu_cost"]
    assert "container" in unlike_columns(version_1, ours=ALLOCATIONS, version=2)


def test_sums_of_columns_are_those_of_rows() -> None:
    table = pa.table(
        {
            "kind": ["workload", "difference", "workload"],
            **{
                name: pa.array([Decimal("999999999999.999999"), None, Decimal("999999999999.999999")], MONEY)
                for name in COST_COLUMNS
            },
        }
    )
    sums = row_sums_of(table)
    assert sums.number == 3
    assert set(sums.costs[Kind.WORKLOAD]) == {2 * (10**18 - 1)}
    assert sums.costs[Kind.DIFFERENCE] == ZERO
