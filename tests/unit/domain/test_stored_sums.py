"""Rows and assets that were read are held against what was recorded of them."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from kubetally.domain.allocation import Kind
from kubetally.domain.booking import ComponentBalance
from kubetally.domain.component import Component, Costs
from kubetally.domain.row import Row
from kubetally.domain.stored_sums import compare_assets, compare_rows, sum_assets
from tests.cluster_days import cluster_day

FEW = settings(max_examples=30)
DAY = cluster_day("a", pods=3)
RECORDED = DAY.collection
ASSETS = list(DAY.assets)
amounts = st.integers(-(10**17), 10**17)
rows_of_any_kind = st.lists(
    st.builds(Row, st.sampled_from(Kind), costs=st.builds(Costs, amounts, amounts), details=st.none()), max_size=6
)


def compare(rows: list[Row]) -> str | None:
    return compare_rows(rows, RECORDED.rows, RECORDED.head.bill, RECORDED.balance)


def recorded(rows: list[Row]) -> tuple[int, Costs, dict[Component, ComponentBalance]]:
    booking = replace(RECORDED.head, rows=tuple(rows), bill=Costs.sum(row.costs for row in rows))
    return len(rows), booking.bill, booking.balance()


@FEW
@given(rows_of_any_kind)
def test_rows_in_any_order_are_what_was_recorded_of_them(rows: list[Row]) -> None:
    assert compare_rows(rows[::-1], *recorded(rows)) is None


@FEW
@given(rows_of_any_kind.filter(bool), st.data())
def test_a_changed_cost_or_kind_is_found(rows: list[Row], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(rows) - 1))
    row = rows[at]
    other_cost = row._replace(costs=row.costs._replace(ram=row.costs.ram + data.draw(st.sampled_from([-1, 1, 2**62]))))
    other_kind = row._replace(kind=data.draw(st.sampled_from([kind for kind in Kind if kind is not row.kind])))
    for changed in [other_cost, other_kind] if any(row.costs) else [other_cost]:
        assert compare_rows([*rows[:at], changed, *rows[at + 1 :]], *recorded(rows)) is not None


@FEW
@given(rows_of_any_kind.filter(bool))
def test_a_missing_or_doubled_row_is_found_though_it_cost_nothing(rows: list[Row]) -> None:
    assert compare_rows(rows[1:], *recorded(rows)) == f"{len(rows) - 1} rows instead of {len(rows)}"
    assert compare_rows([*rows, Row(Kind.WORKLOAD)], *recorded(rows)) is not None


def test_difference_is_named_with_both_amounts() -> None:
    row = DAY.rows[0]
    dearer = row._replace(costs=row.costs._replace(cpu=row.costs.cpu + 1))
    was, now = (
        sum(row.costs.cpu for row in rows if row.kind is Kind.WORKLOAD) for rows in (DAY.rows, [dearer, *DAY.rows[1:]])
    )
    expected = f"{now / 1e6:.6f} of cpu in workload instead of {was / 1e6:.6f}"
    assert compare([dearer, *DAY.rows[1:]]) == expected


def test_a_bill_that_is_not_the_balance_is_found() -> None:
    bill = RECORDED.head.bill._replace(network=RECORDED.head.bill.network + 1)
    assert "of network instead of" in (compare_rows(DAY.rows, RECORDED.rows, bill, RECORDED.balance) or "")


def test_assets_are_compared_by_number_costs_and_adjustment() -> None:
    first, second = ASSETS
    sums = sum_assets(ASSETS)
    assert compare_assets([second, first], sums) is None
    assert compare_assets([first], sums) == "1 assets instead of 2"
    assert compare_assets([], None) is None
    dearer = first._replace(costs=first.costs._replace(gpu=1))
    assert compare_assets([dearer, second], sums) == "assets with 0.000001 of gpu instead of 0.000000"
    adjusted = first._replace(adjustment=-2)
    assert compare_assets([adjusted, second], sums) == "assets with adjustments of -0.000002 instead of 0.000000"
