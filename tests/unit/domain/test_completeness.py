"""How complete a day is, and when an answer holds less of it than another."""

from dataclasses import fields, replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.allocation import Kind
from kubetally.domain.asset import Asset, AssetType
from kubetally.domain.completeness import TOLERANCE, Completeness, find_shortfalls, measure_completeness
from kubetally.domain.component import Costs
from kubetally.domain.efficiency import Hours
from kubetally.domain.row import Row
from kubetally.domain.window import DAY, Window

START = datetime(2026, 11, 21, tzinfo=UTC)
WHOLE = Window(START, START + DAY)
FULL = Completeness(24, 96, 1344, 1080, 1344)
NAMES = [field.name for field in fields(Completeness)]


def pod(minutes: float = 1440, *, containers: int = 1, request: float = 1, usage: float = 1, name: str = "web") -> Row:
    hours = Hours(cpu_core_request_hours=request, ram_byte_usage_hours=usage)
    return Row(Kind.WORKLOAD, namespace="shop", pod=name, containers=containers, minutes=minutes, hours=hours)


def node(hours: float = 24, cost: int = 1000, kind: AssetType = AssetType.NODE) -> Asset:
    return Asset(kind, "n1", frozenset({"n1"}), WHOLE, Costs(cpu=cost), hours=hours)


def test_hours_are_those_of_pods_and_of_priced_nodes() -> None:
    rows = [
        pod(1440, containers=2),
        pod(720, request=0, name="batch"),
        pod(60, usage=0, name="job"),
        pod(1440, name="shop-unmounted-pvcs"),
        Row(Kind.IDLE, minutes=1440),
    ]
    assets = [node(24), node(12), node(24, cost=0), node(24, kind=AssetType.DISK)]
    assert measure_completeness(24, rows, assets, has_assets=True) == Completeness(24, 36, 61, 49, 60)


def test_without_an_answer_for_assets_node_hours_are_unknown() -> None:
    assert measure_completeness(24, [], [], has_assets=True).node_hours == 0
    assert measure_completeness(24, [], [], has_assets=False).node_hours is None


def test_negative_minutes_take_nothing_away() -> None:
    rows = [pod(60), pod(-600, name="b"), pod(float("nan"), name="c")]
    assert measure_completeness(24, rows, [], has_assets=True).container_hours == 1


@pytest.mark.parametrize("name", NAMES)
def test_each_figure_that_is_lower_is_a_shortfall(name: str) -> None:
    less = replace(FULL, **{name: getattr(FULL, name) * (1 - 2 * TOLERANCE)})
    assert [shortfall.name for shortfall in find_shortfalls(less, stored=FULL)] == [name]
    assert find_shortfalls(FULL, stored=less) == []
    a_little_less = replace(FULL, **{name: getattr(FULL, name) * (1 - TOLERANCE / 2)})
    assert find_shortfalls(a_little_less, stored=FULL) == []


def test_a_shortfall_names_both_figures() -> None:
    (shortfall,) = find_shortfalls(replace(FULL, node_hours=48.0), stored=FULL)
    assert str(shortfall) == "48 node-hours where 96 are stored"


def test_unknown_node_hours_are_not_compared() -> None:
    unknown = replace(FULL, node_hours=None)
    assert find_shortfalls(unknown, stored=FULL) == find_shortfalls(FULL, stored=unknown) == []


def test_duplicates_of_the_stored_day_may_be_missing() -> None:
    found, twice = replace(FULL, container_hours=1320), Completeness(0, 0, 24, 24, 24)
    assert find_shortfalls(found, stored=FULL)
    assert find_shortfalls(found, stored=FULL, counted_twice=twice) == []
    assert find_shortfalls(replace(found, container_hours=1300), stored=FULL, counted_twice=twice)


figures = st.floats(0, 1e6)
measures = st.builds(Completeness, figures, st.none() | figures, figures, figures, figures)


@given(measures, measures)
def test_the_greater_of_two_is_below_neither(one: Completeness, other: Completeness) -> None:
    most = one.maximum(other)
    assert find_shortfalls(most, stored=one) == find_shortfalls(most, stored=other) == []
    assert most == other.maximum(one)
    assert one.maximum(one) == one


@given(
    st.lists(st.builds(pod, st.floats(0, 1440), containers=st.integers(1, 3), request=st.floats(0, 1)), max_size=8),
    st.lists(st.builds(node, st.floats(0, 24)), max_size=4),
    st.data(),
)
def test_rows_or_nodes_taken_away_never_make_a_day_more_complete(
    rows: list[Row], assets: list[Asset], data: st.DataObject
) -> None:
    whole = measure_completeness(24, rows, assets, has_assets=True)
    kept_rows = [row for row in rows if data.draw(st.booleans())]
    kept_assets = [asset for asset in assets if data.draw(st.booleans())]
    less = measure_completeness(24, kept_rows, kept_assets, has_assets=True)
    assert find_shortfalls(whole, stored=less) == []
    if less.container_hours < whole.container_hours * (1 - 2 * TOLERANCE):
        assert find_shortfalls(less, stored=whole)
