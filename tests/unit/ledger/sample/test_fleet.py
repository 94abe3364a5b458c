"""The days of a sample fleet are such as a source would give: they balance, and rows and assets fit together."""

from datetime import date, timedelta

import pytest

from kubetally.domain.allocation import Kind, stands_for_volumes
from kubetally.domain.asset import Asset, AssetType
from kubetally.domain.collection import CollectedDay
from kubetally.domain.component import Component, Costs
from kubetally.domain.row import Cause, Row
from kubetally.ledger.sample.fleet import SampleCluster
from tests.lake_tables import asset_table

FIRST = date(2026, 11, 16)
KUBECOST, OPENCOST = SampleCluster(1, 400), SampleCluster(2, 400)
COSTS_OF_OTHER_PRODUCTS = {"shared_cost", "external_cost"}


def days_of(cluster: SampleCluster, count: int = 2) -> list[CollectedDay]:
    return list(cluster.days("account", FIRST, count))


@pytest.fixture(scope="module")
def kubecost_day() -> CollectedDay:
    return days_of(KUBECOST)[0]


@pytest.fixture(scope="module")
def opencost_day() -> CollectedDay:
    return days_of(OPENCOST)[0]


@pytest.fixture(scope="module")
def both(kubecost_day: CollectedDay, opencost_day: CollectedDay) -> list[CollectedDay]:
    return [kubecost_day, opencost_day]


def assets_of(day: CollectedDay, kind: AssetType) -> list[Asset]:
    return [asset for asset in day.assets if asset.type is kind]


def rows_of(day: CollectedDay, kind: Kind) -> list[Row]:
    return [row for row in day.rows if row.kind is kind]


def details_of(row: Row) -> tuple[Costs, int, int]:
    assert row.details is not None
    on_volumes = sum(piece.adjustment for piece in row.details.volumes)
    return row.details.adjustments, on_volumes, sum(piece.adjustment for piece in row.details.load_balancers)


@pytest.mark.parametrize("pods", [1, 40, 400])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_rows_and_assets_are_the_bill_of_every_day(number: int, pods: int) -> None:
    for day in days_of(SampleCluster(number, pods), 9):
        bill = day.collection.head.bill
        assert Costs.sum(row.costs for row in day.rows) == bill
        unlisted = bill.minus(Costs.sum(asset.costs for asset in day.assets))
        assert unlisted == (Costs() if number % 2 else Costs(network=bill.network))
        assert min(min(asset.costs) for asset in day.assets) >= 0
        assert min(min(row.costs) for row in day.rows if row.kind is not Kind.DIFFERENCE) >= 0
        for row in rows_of(day, Kind.DIFFERENCE):
            assert row.cause is not Cause.ROUNDING or abs(row.costs.total) <= 5 * len(day.rows)


def test_same_seed_makes_the_same_days() -> None:
    assert days_of(SampleCluster(6, 30))[0].rows == days_of(SampleCluster(6, 30))[0].rows
    assert days_of(SampleCluster(6, 30))[0].assets == days_of(SampleCluster(6, 30))[0].assets
    assert days_of(SampleCluster(6, 30))[0].rows != days_of(SampleCluster(6, 30, seed=1))[0].rows


def test_every_column_of_assets_has_values(both: list[CollectedDay]) -> None:
    for day in both:
        table = asset_table(day)
        empty = {name for name in table.schema.names if table[name].null_count == table.num_rows}
        assert empty == {"source_type"}, "set for assets of an unknown type only"
    table = asset_table(both[0])
    amounts = [name for name in table.schema.names if name.endswith("_cost") and name not in COSTS_OF_OTHER_PRODUCTS]
    assert [name for name in (*amounts, "adjustment", "gpu_hours") if not any(table[name].to_pylist())] == []


def test_rows_join_nodes_by_name_and_by_provider_id(both: list[CollectedDay]) -> None:
    for day in both:
        nodes = {asset.name: asset.provider_id for asset in assets_of(day, AssetType.NODE)}
        assert len(set(nodes.values())) == len(nodes)
        on_nodes = [row for row in rows_of(day, Kind.WORKLOAD) if row.node is not None]
        assert len(on_nodes) >= 400
        assert all(row.details and row.details.provider_id == nodes[row.node or ""] for row in on_nodes)


def test_pods_of_a_node_fit_on_it(both: list[CollectedDay]) -> None:
    for day in both:
        for node in assets_of(day, AssetType.NODE):
            rows = [row for row in day.rows if row.node == node.name]
            assert rows
            assert node.details is not None
            assert node.cpu_cores is not None
            assert node.details.cpu_core_hours == 24 * node.cpu_cores
            assert sum(row.hours.cpu_core_hours for row in rows) <= node.details.cpu_core_hours
            assert sum(row.hours.ram_byte_hours for row in rows) <= (node.details.ram_byte_hours or 0)
            assert sum(row.hours.gpu_hours for row in rows) <= (node.details.gpu_hours or 0)
            for component in (Component.CPU, Component.RAM, Component.GPU):
                assert sum(row.costs.of(component) for row in rows) <= node.costs.of(component)


def test_nodes_have_few_types_in_zones_of_one_region(both: list[CollectedDay]) -> None:
    for day in both:
        nodes = assets_of(day, AssetType.NODE)
        assert len({(node.node_type, node.cpu_cores) for node in nodes}) == len({node.node_type for node in nodes}) <= 4
        regions = {node.details.region for node in nodes if node.details}
        zones = {node.details.zone for node in nodes if node.details}
        assert len(regions) == 1
        assert {zone and zone[:-1] for zone in zones} == regions
        assert len(zones) == 3
        for node in nodes:
            assert node.labels is not None
            assert node.details is not None
            assert node.labels["topology_kubernetes_io_zone"] == node.details.zone
            assert node.labels["eks_amazonaws_com_nodegroup"] == node.details.pool
        assert {node.details.preemptible for node in nodes if node.details} == {True, False}


def test_breakdowns_add_up_to_one(both: list[CollectedDay]) -> None:
    for asset in (asset for day in both for asset in day.assets):
        assert asset.details is not None
        given = (asset.details.cpu_breakdown, asset.details.ram_breakdown, asset.details.breakdown)
        kinds = {AssetType.NODE: (True, True, False), AssetType.DISK: (False, False, True)}
        assert tuple(part is not None for part in given) == kinds.get(asset.type, (False, False, False))
        for part in filter(None, given):
            assert sum(fraction or 0 for fraction in part) == pytest.approx(1, abs=1e-9)
            assert all(0 <= (fraction or 0) <= 1 for fraction in part)


def test_volumes_of_rows_are_disks_with_class_and_claim(both: list[CollectedDay]) -> None:
    for day in both:
        disks = {asset.details.volume_name: asset for asset in assets_of(day, AssetType.DISK) if asset.details}
        volumes = [(row, piece) for row in day.rows if row.details for piece in row.details.volumes]
        assert len(volumes) > 5
        for row, piece in volumes:
            disk = disks[piece.resource]
            assert disk.details is not None
            assert disk.provider_id == piece.provider_id
            assert disk.details.storage_class in {"gp3", "io2", "st1"}
            assert disk.details.claim_namespace == row.namespace
            assert (disk.details.claim_name is None) == (row.kind is Kind.UNMOUNTED)
            assert abs(sum(volume.cost for volume in (row.details.volumes if row.details else ())) - row.costs.pv) <= 5


def test_load_balancers_of_rows_are_assets_with_ip(both: list[CollectedDay]) -> None:
    for day in both:
        balancers = {asset.name: asset for asset in assets_of(day, AssetType.LOAD_BALANCER)}
        pieces = [piece for row in day.rows if row.details for piece in row.details.load_balancers]
        assert {piece.resource for piece in pieces} == set(balancers)
        for piece in pieces:
            details = balancers[piece.resource].details
            assert details is not None
            assert piece.ip
            assert (details.ip, details.private) == (piece.ip, piece.private)
        assert len({piece.ip for piece in pieces}) == len(pieces)


def test_every_fifth_cluster_has_gpus(kubecost_day: CollectedDay, opencost_day: CollectedDay) -> None:
    assert [number for number in range(1, 12) if SampleCluster(number, 1).has_gpus] == [1, 6, 11]
    rows = [row for row in kubecost_day.rows if row.hours.gpu_hours]
    assert rows
    for row in rows:
        hours = row.hours
        assert row.costs.gpu > 0
        assert 0 < (hours.gpu_usage_hours or 0) < (hours.gpu_request_hours or 0) == hours.gpu_hours
    assert not opencost_day.collection.head.bill.gpu
    (day,) = days_of(SampleCluster(1, 1), 1)
    assert day.collection.head.bill.gpu > 0, "the first pod of such a cluster uses one"


def test_a_share_of_kubecost_rows_is_adjusted(kubecost_day: CollectedDay, opencost_day: CollectedDay) -> None:
    adjusted = [row for row in rows_of(kubecost_day, Kind.WORKLOAD) if row.details and any(row.details.adjustments)]
    assert 0.1 < len(adjusted) / len(kubecost_day.rows) < 0.6
    total = Costs.sum(row.details.adjustments for row in kubecost_day.rows if row.details)
    assert all(total.of(component) for component in (Component.CPU, Component.RAM, Component.GPU))
    assert total.load_balancer < 0 < total.pv
    for row in adjusted:
        adjustments, on_volumes, on_balancers = details_of(row)
        assert (adjustments.pv, adjustments.load_balancer) == (on_volumes, on_balancers)
    on_nodes = sum(asset.adjustment for asset in assets_of(kubecost_day, AssetType.NODE))
    assert on_nodes <= total.cpu + total.ram + total.gpu < 0, "that of idle cost is part of a node's"
    assert not any(any(row.details.adjustments) for row in opencost_day.rows if row.details)
    assert not any(asset.adjustment for asset in opencost_day.assets)


def test_volumes_that_no_pod_mounts_are_on_rows(kubecost_day: CollectedDay, opencost_day: CollectedDay) -> None:
    for day in (kubecost_day, opencost_day):
        (row,) = [row for row in rows_of(day, Kind.WORKLOAD) if stands_for_volumes(row.namespace, pod=row.pod)]
        assert (row.node, row.container, row.controller) == (None, None, None)
        assert row.costs == Costs(pv=row.costs.pv)
        assert row.costs.pv > 0
    (line,) = rows_of(kubecost_day, Kind.UNMOUNTED)
    assert line.costs.pv > 0
    assert line.details is not None
    assert len(line.details.volumes) == 2
    assert not rows_of(opencost_day, Kind.UNMOUNTED)


def test_savings_name_volumes_of_the_same_day(kubecost_day: CollectedDay) -> None:
    savings = KUBECOST.savings("account", FIRST + timedelta(days=1))
    assert savings is not None
    named = {(row.category, row.subject.volume) for row in savings.rows if row.subject.volume}
    disks = {asset.name for asset in assets_of(kubecost_day, AssetType.DISK)}
    assert {category for category, _ in named} == {"persistentVolumeSizing", "unclaimedVolumes"}
    assert {volume for _, volume in named} <= disks
