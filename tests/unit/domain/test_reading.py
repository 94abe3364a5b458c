"""A reading cut in two is the same reading: rows, assets and covered hours of the parts add up to the micro."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.allocation import Allocation, Kind, LoadBalancerCost, VolumeCost
from kubetally.domain.asset import Asset, AssetType
from kubetally.domain.component import Costs, NetworkClasses
from kubetally.domain.efficiency import Hours
from kubetally.domain.reading import Reading, without_requests, without_usage
from kubetally.domain.window import HOUR, Window, covered_hours
from tests.unit.domain.clusters import MIDNIGHT, SOURCE, TODAY, allocations, micros, reading, readings

cuts = st.lists(
    st.one_of(st.timedeltas(timedelta(), timedelta(days=1)), st.integers(0, 24).map(lambda hour: hour * HOUR)),
    max_size=4,
)


def parts_of(whole: Reading, at: list[timedelta]) -> list[Reading]:
    points = [TODAY.start, *(TODAY.start + offset for offset in sorted(at)), TODAY.end]
    return [whole.within(Window(start, end)) for start, end in pairwise(points) if start < end]


def pieces(rows: Iterable[Allocation]) -> dict[str, int]:
    found: dict[str, int] = {}
    for piece in (piece for row in rows for piece in (*row.volumes, *row.load_balancers)):
        found[piece.resource] = found.get(piece.resource, 0) + piece.cost
    return {name: amount for name, amount in found.items() if amount}


@given(readings(), cuts)
def test_the_parts_of_a_reading_add_up_to_it_to_the_micro(whole: Reading, at: list[timedelta]) -> None:
    parts = parts_of(whole, at)
    rows = [row for part in parts for row in part.allocations]
    assert Costs.sum(row.costs for row in rows) == Costs.sum(row.costs for row in whole.allocations)
    assert sum(row.total for row in rows) == sum(row.total for row in whole.allocations)
    assert NetworkClasses.sum(row.network_classes for row in rows) == NetworkClasses.sum(
        row.network_classes for row in whole.allocations
    )
    assert pieces(rows) == pieces(whole.allocations)
    assert all(part.window.contains(row.step) for part in parts for row in part.allocations)


@given(readings(), cuts)
def test_the_assets_and_the_covered_hours_of_the_parts_add_up_too(whole: Reading, at: list[timedelta]) -> None:
    parts = parts_of(whole, at)
    assert all((part.assets is None) == (whole.assets is None) for part in parts)
    assets = [asset for part in parts for asset in part.assets or ()]
    assert Costs.sum(asset.costs for asset in assets) == Costs.sum(asset.costs for asset in whole.assets or ())
    assert sum(asset.adjustment for asset in assets) == sum(asset.adjustment for asset in whole.assets or ())
    assert sum(asset.hours for asset in assets) == pytest.approx(sum(asset.hours for asset in whole.assets or ()))
    covered = [span for part in parts for span in part.covered]
    assert covered_hours(covered) == covered_hours(whole.covered)
    assert sum(span.hours for span in covered) == pytest.approx(covered_hours(covered))


@given(allocations(), cuts)
def test_the_hours_of_a_row_are_shared_out_by_time(row: Allocation, at: list[timedelta]) -> None:
    whole = Reading(TODAY, [row], None, (TODAY,), "USD", SOURCE)
    rows = [part for item in parts_of(whole, at) for part in item.allocations]
    assert sum(part.minutes for part in rows) == pytest.approx(row.minutes)
    for field, amount in zip(Hours._fields, Hours.sum(part.hours for part in rows), strict=True):
        assert amount == pytest.approx(getattr(row.hours, field))


def test_a_quarter_of_an_hour_is_a_quarter_of_what_the_hour_cost() -> None:
    hour = Window(MIDNIGHT, MIDNIGHT + HOUR)
    row = Allocation(Kind.WORKLOAD, hour, minutes=60.0, costs=Costs(cpu=1_000_001), total=1_000_001)
    row = row._replace(
        volumes=(VolumeCost("pvc-1", 8),),
        load_balancers=(LoadBalancerCost("shop/web", 4),),
        hours=Hours(cpu_core_hours=2.0),
    )
    quarter = row.within(Window(MIDNIGHT + HOUR / 4, MIDNIGHT + HOUR / 2))
    assert quarter is not None
    assert quarter.costs.cpu == 250_000
    assert quarter.minutes == 15
    assert quarter.hours.cpu_core_hours == 0.5
    assert (quarter.volumes, quarter.load_balancers) == ((VolumeCost("pvc-1", 2),), (LoadBalancerCost("shop/web", 1),))
    assert quarter.step == Window(MIDNIGHT + HOUR / 4, MIDNIGHT + HOUR / 2)


def test_part_of_a_reading_keeps_rows_inside_and_drops_others() -> None:
    row = Allocation(Kind.IDLE, Window(MIDNIGHT, MIDNIGHT + HOUR), costs=Costs(cpu=1))
    asset = Asset(AssetType.NODE, "n1", frozenset({"n1"}), Window(MIDNIGHT, MIDNIGHT + HOUR))
    later = Window(MIDNIGHT + HOUR, MIDNIGHT + 2 * HOUR)
    assert row.within(TODAY) is row
    assert asset.within(TODAY) is asset
    assert row.within(later) is None
    assert asset.within(later) is None


def test_a_reading_within_its_own_window_is_itself() -> None:
    whole = reading("node n1 cpu 8")
    assert whole.within(TODAY) is whole


def test_parts_do_not_cover_more_than_their_reading() -> None:
    morning = Window(MIDNIGHT, MIDNIGHT + 6 * HOUR)
    whole = replace(reading("pod shop/web-1 @n1 cpu 1"), covered=(morning,))
    noon: datetime = MIDNIGHT + 12 * HOUR
    assert whole.within(Window(noon, TODAY.end)).covered == ()
    assert whole.within(Window(MIDNIGHT, noon)).covered == (morning,)


def test_running_totals_of_balancers_are_scaled_to_the_charge() -> None:
    charged = Costs(load_balancer=micros("0.30"))
    row = Allocation(
        Kind.WORKLOAD,
        TODAY,
        costs=charged,
        load_balancers=(LoadBalancerCost("a", micros(2)), LoadBalancerCost("b", micros(1))),
    )
    assert row.scaled_load_balancers() == (LoadBalancerCost("a", micros("0.20")), LoadBalancerCost("b", micros("0.10")))


def test_balancers_that_fit_what_the_row_was_charged_stay() -> None:
    row = Allocation(
        Kind.WORKLOAD,
        TODAY,
        costs=Costs(load_balancer=3),
        load_balancers=(LoadBalancerCost("a", 2), LoadBalancerCost("b", 1)),
    )
    assert row.scaled_load_balancers() == row.load_balancers
    assert row._replace(costs=Costs(load_balancer=9)).scaled_load_balancers() == row.load_balancers
    assert row._replace(load_balancers=(LoadBalancerCost("a", 0),), costs=Costs()).scaled_load_balancers() == (
        LoadBalancerCost("a", 0),
    )


@given(allocations())
def test_balancers_never_come_to_more_than_the_row_was_charged(row: Allocation) -> None:
    shown = sum(piece.cost for piece in row.load_balancers)
    scaled = sum(piece.cost for piece in row.scaled_load_balancers())
    assert scaled == (min(shown, row.costs.load_balancer) if shown > 0 else shown)


@given(readings())
def test_usage_or_requests_can_be_marked_unknown(whole: Reading) -> None:
    for row, marked in zip(whole.allocations, without_usage(whole).allocations, strict=True):
        expected = {"cpu_core_usage_hours": None, "ram_byte_usage_hours": None} if row.kind is Kind.WORKLOAD else {}
        assert marked == row._replace(hours=row.hours._replace(**expected))
    for row, marked in zip(whole.allocations, without_requests(whole).allocations, strict=True):
        expected = {"cpu_core_request_hours": None, "ram_byte_request_hours": None} if row.kind is Kind.WORKLOAD else {}
        assert marked == row._replace(hours=row.hours._replace(**expected))
