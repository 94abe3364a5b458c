"""An account-day has the rows and assets of one cluster."""

import pytest

from kubetally.domain.allocation import Allocation, Kind
from kubetally.domain.asset import Asset, AssetType
from kubetally.domain.cluster_choice import ClusterNotThere, choose_cluster
from kubetally.domain.component import Costs
from tests.errors import raises_code
from tests.unit.domain.clusters import TODAY

URL = "http://source"


def row(cluster_id: str | None, cpu: int = 1) -> Allocation:
    return Allocation(Kind.WORKLOAD, TODAY, cluster_id=cluster_id, costs=Costs(cpu=cpu))


def node(cluster_id: str | None) -> Asset:
    return Asset(AssetType.NODE, "n", frozenset({"n"}), TODAY, Costs(cpu=1), cluster_id=cluster_id)


def test_only_cluster_needs_no_choice() -> None:
    rows, assets = [row("a"), row(None)], [node("a")]
    assert choose_cluster(rows, assets, None, source=URL) == (rows, assets, 0)


def test_several_clusters_need_a_choice() -> None:
    with raises_code("several_clusters", "a, b with --cluster-id"):
        choose_cluster([row("b"), row("a")], None, None, source=URL)
    with raises_code("several_clusters"):  # a cluster that ran nothing has assets all the same
        choose_cluster([row("a")], [node("b")], None, source=URL)


def test_chosen_cluster_has_its_own_rows_and_assets() -> None:
    chosen = choose_cluster([row("a"), row("b")], [node("a"), node("b")], "a", source=URL)
    assert chosen == ([row("a")], [node("a")], 0)


def test_rows_without_cluster_belong_to_the_only_one() -> None:
    assert choose_cluster([row("a"), row(None)], None, "a", source=URL) == ([row("a"), row(None)], None, 0)


def test_rows_without_cluster_are_left_out_beside_several() -> None:
    chosen = choose_cluster([row("a"), row("b"), row(None), row(None, cpu=0)], None, "a", source=URL)
    assert chosen == ([row("a")], None, 1)


def test_cluster_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ClusterNotThere, match="'c', only of a, b"):
        choose_cluster([row("a"), row("b")], None, "c", source=URL)
    assert choose_cluster([], [], "c", source=URL) == ([], [], 0)
