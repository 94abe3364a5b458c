"""Days that were just collected are compared once with the days around them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from kubetally.domain.asset import Asset, AssetType
from kubetally.domain.collection import Collection, window_of
from kubetally.domain.component import Costs
from kubetally.domain.issues import IssueKind
from kubetally.domain.status import DayState
from kubetally.ledger.collect.examine import Examination, compare_collected_days
from tests.cluster_days import DAY, cluster_day
from tests.kept import CoverageInMemory, LakeInMemory

LATER = datetime(2026, 12, 20, tzinfo=UTC)


def node(name: str, hours: float = 24) -> Asset:
    window = window_of(DAY)
    return Asset(AssetType.NODE, name, frozenset({name}), window, Costs(cpu=1_000_000), hours=hours)


def store(*nodes: list[Asset]) -> tuple[CoverageInMemory, LakeInMemory]:
    """One account's days on end, with these nodes."""
    coverage, lake = CoverageInMemory(), LakeInMemory()
    for number, assets in enumerate(nodes):
        day = cluster_day("a", day=DAY + timedelta(days=number), assets=assets)
        day = replace(day, collection=replace(day.collection, collected_at=LATER))
        coverage.intend([day.collection])
        coverage.confirm([day.collection.id], lake.put([day]))
    return coverage, lake


def held(coverage: CoverageInMemory) -> list[Collection]:
    return coverage.collections("a", DAY, end=DAY + timedelta(days=9))


def test_day_without_a_node_that_stayed_does_not_settle() -> None:
    coverage, lake = store([node("n1"), node("n2")], [node("n1"), node("n2", 6)], [node("n1"), node("n2")])
    assert {day.state for day in held(coverage)} == {DayState.SETTLED}
    assert compare_collected_days(coverage, lake) == Examination(examined=3, marked=1)
    assert [day.state for day in held(coverage)] == [DayState.SETTLED, DayState.PROVISIONAL, DayState.SETTLED]
    assert [issue.kind for issue in held(coverage)[1].head.issues] == [IssueKind.NODE_INCOMPLETE]


def test_each_day_is_compared_once() -> None:
    coverage, lake = store([node("n1")], [node("n1")])
    assert compare_collected_days(coverage, lake).examined == 2
    assert compare_collected_days(coverage, lake) == Examination()


def test_day_is_compared_again_once_the_day_beside_it_is_stored() -> None:
    coverage, lake = store([node("n1", 6)], [node("n1")])
    assert compare_collected_days(coverage, lake) == Examination(examined=2)
    before = cluster_day("a", day=DAY - timedelta(days=1), assets=[node("n1")])
    coverage.intend([before.collection])
    coverage.confirm([before.collection.id], lake.put([before]))
    assert compare_collected_days(coverage, lake) == Examination(examined=1, marked=1)
    assert held(coverage)[0].state is DayState.PROVISIONAL


def test_day_of_an_earlier_version_is_left_to_its_own_examination() -> None:
    coverage, lake = store([node("n1")], [node("n1", 6)], [node("n1")])
    old = replace(held(coverage)[1], examined_by=0)
    coverage.note_examined([old])
    compare_collected_days(coverage, lake)
    assert held(coverage)[1].examined_by == 0
