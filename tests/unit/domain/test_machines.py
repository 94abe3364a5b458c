"""What makes two assets one machine, and what does not."""

import pytest

from kubetally.domain.allocation import Allocation, Kind
from kubetally.domain.asset import Asset, AssetType
from kubetally.domain.component import Costs
from kubetally.domain.machines import machine_id, match_machines
from kubetally.domain.window import HOUR, Window
from tests.unit.domain.clusters import MIDNIGHT, TODAY

INSTANCE = "i-0abc12345678def90"


def node(name: str, id_: str | None, hours: tuple[float, float] | None = (0, 24), cost: int = 3_700_000) -> Asset:
    life = None if hours is None else Window(MIDNIGHT + hours[0] * HOUR, MIDNIGHT + hours[1] * HOUR)
    costs = Costs(cpu=cost)
    return Asset(AssetType.NODE, name, frozenset({name}), TODAY, costs, provider_id=id_, life=life, hours=24.0)


def disk(name: str, id_: str | None, *, is_local: bool = False, volume: str = "") -> Asset:
    costs = Costs(node_disk=50_000) if is_local else Costs(pv=200_000)
    names = frozenset(filter(None, (name, volume)))
    return Asset(AssetType.DISK, name, names, TODAY, costs, provider_id=id_, life=TODAY, hours=24.0)


def balancer(name: str, id_: str | None) -> Asset:
    costs = Costs(load_balancer=600_000)
    return Asset(AssetType.LOAD_BALANCER, name, frozenset({name}), TODAY, costs, provider_id=id_, life=TODAY, hours=24)


def row(node: str, id_: str | None = None, pod: str = "web") -> Allocation:
    return Allocation(Kind.WORKLOAD, TODAY, namespace="shop", pod=pod, node=node, provider_id=id_)


ONE = {
    "name and address": [node("a", "vm-1"), node("10.0.0.1:10250", "vm-1")],
    "name and address of six bytes": [node("a", "vm-1"), node("fd00::1", "vm-1")],
    "name and domain": [node("a", "vm-1"), node("a.eu.internal", "vm-1")],
    "address with and without port": [node("10.0.0.1", "vm-1"), node("10.0.0.1:9100", "vm-1")],
    "name twice": [node("a", "vm-1"), node("a", "vm-2")],
    "name twice without id": [node("a", None), node("a", "")],
    "id that is given once": [node("a", f"aws:///eu-1a/{INSTANCE}"), node("b", INSTANCE)],
    "most of the shorter time": [node("a", "vm-1"), node("a", "vm-2", (12, 24))],
    "lives that are not told": [node("a", "vm-1", None), node("a", "vm-2", None)],
    "nothing ran on it": [node("used", "vm-1"), node("b", "vm-1")],
    "volume by name": [disk("pvc-1", "d-1"), disk("pvc-1", "d-2")],
    "volume by its volume name": [disk("vol-1", "d-1", volume="pvc-1"), disk("pvc-1", "d-2")],
    "volume by id": [disk("pvc-1", "vol-0123456789abcdef0"), disk("x", "vol-0123456789abcdef0")],
    "balancer by name and id": [balancer("shop/web", "lb-1"), balancer("shop/web", "lb-1")],
}
TWO = {
    "one name after the other": [node("a", "vm-1", (0, 11)), node("a", "vm-2", (11, 24))],
    "lives that touch": [node("a", "vm-1", (0, 11.1)), node("a", "vm-2", (11, 24))],
    "id of a pool": [node("a", "pool"), node("b", "pool")],
    "id of a pool, addresses": [node("10.0.0.1:9100", "pool"), node("10.0.0.2:9100", "pool")],
    "id of a pool and an address": [node("a", "pool"), node("b", "pool"), node("10.0.0.2", "pool")],
    "names alike": [node("a", "pool"), node("a1", "pool")],
    "no ids": [node("a", None), node("b", None)],
    "empty ids": [node("a", ""), node("b", "")],
    "unknown ids": [node("a", "__undefined__"), node("b", "__undefined__")],
    "last parts of paths": [node("a", "azure:///vmss/x/0"), node("b", "azure:///vmss/y/0")],
    "volumes of one file system": [disk("pvc-1", "fs-1"), disk("pvc-2", "fs-1")],
    "local disks of a node": [disk("a", "dev-1", is_local=True), disk("a", "dev-2", is_local=True)],
    "local disk and volume": [disk("a", "a", is_local=True), disk("a", "a")],
    "addresses of a balancer": [balancer("shop/web", "lb-1"), balancer("shop/web", "lb-2")],
    "balancers without id": [balancer("shop/web", ""), balancer("shop/web", "")],
}


@pytest.mark.parametrize("assets", ONE.values(), ids=ONE)
def test_same_thing_at_the_same_time_counts_once(assets: list[Asset]) -> None:
    for listed in (assets, assets[::-1]):
        matched = match_machines([row("used")], listed)
        assert len(matched.assets) == len(matched.twins) == 1
        assert matched.assets[0].names == assets[0].names | assets[1].names
        assert matched.assets[0].total >= matched.twins[0].total


@pytest.mark.parametrize("assets", TWO.values(), ids=TWO)
def test_two_machines_count_twice(assets: list[Asset]) -> None:
    rows = [row("a"), row("b"), row("a1")]
    matched = match_machines(rows, assets)
    assert (matched.assets, matched.twins, matched.allocations) == (assets, (), rows)


def test_machine_with_two_names_has_its_disk_once() -> None:
    nodes = [node("a", "vm-1"), node("10.0.0.1:10250", "vm-1")]
    disks = [disk("a", "a", is_local=True), disk("10.0.0.1:10250", "10.0.0.1:10250", is_local=True)]
    assert match_machines([row("a")], [*nodes, *disks]).assets[1:] == disks[:1]


@pytest.mark.parametrize("name", ["10.0.0.1:10250", "a.eu.internal", "other"])
def test_rows_find_their_machine_by_its_id(name: str) -> None:
    matched = match_machines([row(name, "aws:///eu-1a/vm-1")], [node("a", "vm-1")])
    assert [found.node for found in matched.allocations] == ["a"]
    assert matched.renamed == {name: "a"}


@pytest.mark.parametrize(
    "rows",
    [
        [row("fargate-1", "pool"), row("fargate-2", "pool")],
        [row("fargate-1", "pool"), row("a", "pool")],
        [row("fargate-1"), row("fargate-2", "")],
    ],
)
def test_rows_on_other_machines_keep_their_node(rows: list[Allocation]) -> None:
    assert match_machines(rows, [node("a", "pool")]).allocations == rows


def test_id_of_several_listed_nodes_matches_no_row() -> None:
    rows = [row("10.0.0.9:9100", "pool")]
    assert match_machines(rows, [node("a", "pool"), node("b", "pool")]).allocations == rows


def test_ids_are_compared_without_the_path_of_a_cloud() -> None:
    assert machine_id(f"aws:///eu-1a/{INSTANCE}") == machine_id(INSTANCE) == INSTANCE
    assert machine_id("gce://project/zone/vm") == "vm"
    assert machine_id(" ") is machine_id(None) is machine_id("__undefined__") is None
