"""The bill of a day (B1, B4, B5): what was paid by component, from assets, and what enters it without one."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.allocation import Allocation, Kind
from kubetally.domain.asset import Asset, AssetType
from kubetally.domain.booking import book
from kubetally.domain.component import Component, Costs, NetworkClasses
from kubetally.domain.infrastructure import Infrastructure, MeasuredHour, NetworkBytes
from kubetally.domain.issues import IssueKind
from kubetally.domain.reading import Reading
from kubetally.domain.window import HOUR, Window
from tests.unit.domain.clusters import (
    METRICS,
    SOURCE,
    TODAY,
    allocations,
    assets,
    booked,
    each_once,
    kinds_of,
    ledger,
    micros,
    reading,
    readings,
    written,
)

FEE = Asset(AssetType.MANAGEMENT, "fee", frozenset({"fee"}), TODAY)


def infrastructure_of(answer: Reading) -> Infrastructure:
    return answer.infrastructure or Infrastructure(TODAY, (), METRICS)


def listed(answer: Reading, kind: AssetType) -> list[Asset]:
    return [asset for asset in answer.assets or () if asset.type is kind]


def test_a_sound_cluster_balances_without_anything_unexplained() -> None:
    day = booked("""
        node n1            cpu 8 ram 2 gpu 1
        local n1-root      0.30
        disk d1            1.20 volume:pvc-1
        balancer shop/web  0.60
        fee fee            2.40
        pod shop/web-1 @n1 cpu 3 ram 1 gpu 1 pv:pvc-1 1.20 lb:shop/web 0.60 net 0.05
        idle @n1           cpu 5 ram 1
    """)
    assert ledger(day) == written("""
        bill      cpu 8 ram 2 gpu 1 pv 1.2 node_disk 0.3 lb 0.6 net 0.05 management 2.4
        workload  cpu 3 ram 1 gpu 1 pv 1.2 lb 0.6 net 0.05
        idle      cpu 5 ram 1
        overhead  node_disk 0.3 management 2.4
        assets_complete
    """)
    assert day.issues == ()
    assert day.not_measured == frozenset()


def test_local_disks_are_overhead_of_nodes() -> None:
    day = booked("""
        node n1     cpu 1
        local n1    0.30
        local n2    0.20
        idle @n1    cpu 1
    """)
    assert ledger(day) == written("""
        bill      cpu 1 node_disk 0.5
        idle      cpu 1
        overhead  node_disk 0.5
        assets_complete
    """)


def test_management_fee_is_known_from_an_asset_only() -> None:
    with_fee = booked("""
        node n1   cpu 1
        fee a     2.40
        idle @n1  cpu 1
    """)
    assert ledger(with_fee)[2:] == ["overhead management 2.4", "assets_complete"]
    assert with_fee.not_measured == frozenset()
    without = booked("""
        node n1             cpu 1
        pod shop/web-1 @n1  cpu 1
    """)
    assert without.not_measured == {Component.MANAGEMENT}
    (issue,) = without.issues
    assert (issue.kind, issue.subject) == (IssueKind.NOT_MEASURED, Component.MANAGEMENT)
    assert not issue.is_missing_data, "what no source measures leaves the status alone"


# ------------------------------------------------------------------------------------------------ network


def test_network_asset_wins_over_charges_of_rows() -> None:
    day = booked("""
        network net        0.10
        pod shop/web-1     net 0.04 internet 0.04
        pod shop/api-1     net 0.03 region 0.03
    """)
    assert ledger(day) == written("""
        bill      net 0.1
        workload  net 0.07
        difference network_asset_differs net 0.03
        assets_complete
    """)
    # 0.10 in the proportion 4 to 3, the odd micro to the larger remainder.
    assert day.bill_network_classes == NetworkClasses(micros("0.057143"), micros("0.042857"), 0)


def test_network_asset_of_zero_leaves_network_to_rows() -> None:
    day = booked("""
        network net      0
        pod shop/web-1   net 0.04 internet 0.01 zone 0.03
    """)
    assert ledger(day) == written("""
        bill      net 0.04
        workload  net 0.04
        assets_complete
    """)
    assert day.bill_network_classes == NetworkClasses(micros("0.01"), 0, micros("0.03"))


def test_network_without_a_class_is_internet() -> None:
    assert booked("network net 0.10").bill_network_classes == NetworkClasses(internet=micros("0.10"))


@given(readings())
def test_network_comes_from_the_asset_or_the_rows(answer: Reading) -> None:
    day = book(answer)
    paid = sum(asset.costs.network for asset in listed(answer, AssetType.NETWORK))
    used = sum(row.costs.network for row in each_once(answer.allocations))
    sent = sum(infrastructure_of(answer).network or ())
    assert day.bill.network == (paid if paid > 0 else used or sent)
    assert sum(day.bill_network_classes) == day.bill.network


# ------------------------------------------------------------------------------------------------ without an asset


def test_a_serverless_node_enters_at_its_own_amount_and_is_named() -> None:
    day = booked("""
        node n1                   cpu 8 ram 2
        fee fee                   1
        pod shop/web-1 @n1        cpu 8 ram 2
        pod batch/job-1 @fargate-1  cpu 1.5 ram 0.5 gpu 0.25
    """)
    assert ledger(day) == written("""
        bill      cpu 9.5 ram 2.5 gpu 0.25 management 1
        workload  cpu 9.5 ram 2.5 gpu 0.25
        overhead  management 1
        assets_incomplete
    """)
    (issue,) = day.issues
    assert issue.kind is IssueKind.RESOURCE_WITHOUT_ASSET
    assert "node fargate-1" in issue.message
    assert issue.facts["resources"] == ("node fargate-1",)


def test_a_row_without_node_ran_on_one_of_them_and_stays_out() -> None:
    day = booked("""
        node n1         cpu 8
        pod shop/web-1  cpu 3
        idle            cpu 5
    """)
    assert ledger(day) == written("""
        bill      cpu 8
        workload  cpu 3
        idle      cpu 5
        assets_complete
    """)


def test_free_row_on_an_unknown_node_changes_nothing() -> None:
    day = booked("""
        node n1              cpu 8
        pod shop/web-1 @gone ram 0
        idle @n1             cpu 8
    """)
    assert day.assets_complete
    assert IssueKind.RESOURCE_WITHOUT_ASSET not in kinds_of(day.issues)


def test_volume_without_a_disk_enters_the_bill() -> None:
    day = booked("""
        disk d1              1.20 volume:pvc-1
        pod shop/web-1 @n1   pv:pvc-1 1.20 pv:nfs-7 0.40
    """)
    assert ledger(day) == written("""
        bill      pv 1.6
        workload  pv 1.6
        assets_incomplete
    """)
    assert [name for issue in day.issues for name in issue.facts.get("resources", ())] == ["volume nfs-7"]


def test_load_balancer_without_asset_counts_once_for_all_rows() -> None:
    day = booked("""
        balancer shop/web    0.60
        pod shop/web-1       lb:shop/web 0.60
        pod shop/api-1       lb:shop/api 0.20
        pod shop/api-2       lb:shop/api 0.10
    """)
    assert ledger(day) == written("""
        bill      lb 0.9
        workload  lb 0.9
        assets_incomplete
    """)


def test_unlisted_balancer_enters_at_the_charge_of_its_row() -> None:
    answer = reading("""
        node n1               cpu 1
        idle @n1              cpu 1
        pod shop/api-1        lb:shop/api 0.20 lb:shop/web 0.60
    """)
    idle, row = answer.allocations
    running_totals = row._replace(costs=Costs(load_balancer=micros("0.40")))
    day = book(replace(answer, allocations=[idle, running_totals]))
    assert day.bill.load_balancer == micros("0.40")


def test_the_same_name_in_another_namespace_is_another_balancer() -> None:
    day = booked("""
        balancer shop/web  0.60
        pod shop/web-1     lb:shop/web 0.60
        pod batch/web-1    lb:batch/web 0.10
    """)
    assert day.bill.load_balancer == micros("0.70")


def test_unmounted_balancer_with_an_asset_does_not_enter() -> None:
    day = booked("""
        balancer shop/web  0.60
        fee fee            1
        pod shop/web-1     lb:shop/web 0.60
        unmounted          lb 0.60 services:web,web
    """)
    assert ledger(day) == written("""
        bill       lb 0.6 management 1
        workload   lb 0.6
        unmounted  lb 0.6
        overhead   management 1
        difference balancer_charged_twice lb -0.6
        assets_complete
    """)


def test_unmounted_balancer_without_an_asset_enters() -> None:
    day = booked("""
        balancer shop/web  0.60
        pod shop/web-1     lb:shop/web 0.60
        unmounted          lb 0.20 services:gone,gone
    """)
    assert ledger(day) == written("""
        bill       lb 0.8
        workload   lb 0.6
        unmounted  lb 0.2
        assets_incomplete
    """)
    assert any("load balancer gone" in issue.message for issue in day.issues)


def test_ten_resources_without_asset_are_named_and_all_are_facts() -> None:
    rows = "\n".join(f"pod shop/web-{n} @fargate-{n} cpu 1" for n in range(12))
    (issue,) = [
        issue for issue in booked(f"fee fee 1\n{rows}").issues if issue.kind is IssueKind.RESOURCE_WITHOUT_ASSET
    ]
    assert issue.message.endswith("node fargate-9 and 2 more")
    assert len(issue.facts["resources"]) == 12


@given(st.lists(allocations(), max_size=6), assets())
def test_listed_balancers_are_billed_once(rows: list[Allocation], mine: Sequence[Asset]) -> None:
    balancers = [asset for asset in mine if asset.type is AssetType.LOAD_BALANCER]
    names = {asset.name for asset in balancers}
    services = {name.rpartition("/")[2] for name in names}
    known = [
        row
        for row in rows
        if (row.load_balancers and {piece.resource for piece in row.load_balancers} <= names)
        or (not row.load_balancers and services & set(row.services))
    ]
    day = book(Reading(TODAY, known, [*mine, FEE], (TODAY,), "USD", SOURCE))
    assert day.bill.load_balancer == sum(asset.costs.load_balancer for asset in balancers)


@given(readings())
def test_bill_without_rows_is_that_of_assets(answer: Reading) -> None:
    if not answer.assets:
        return
    day = book(replace(answer, infrastructure=None))
    for component in (Component.NODE_DISK, Component.MANAGEMENT):
        assert day.bill.of(component) == sum(asset.costs.of(component) for asset in answer.assets)
    assert (Component.MANAGEMENT in day.not_measured) == (not listed(answer, AssetType.MANAGEMENT))
    assert day.assets_complete == (IssueKind.RESOURCE_WITHOUT_ASSET not in kinds_of(day.issues))


# ------------------------------------------------------------------------------------------------ without any asset

ROWS = """
    pod shop/web-1 @n1   cpu 3 ram 1 pv:pvc-1 1.20 lb:shop/web 0.60 net 0.05 shared 0.5 external 0.25
    idle @n1             cpu 5 ram 1
    unmounted            pv:pvc-2 0.40
"""
FROM_ROWS = """
    bill       cpu 8 ram 2 pv 1.6 lb 0.6 net 0.05 external 0.25
    workload   cpu 3 ram 1 pv 1.2 lb 0.6 net 0.05 shared 0.5 external 0.25
    idle       cpu 5 ram 1
    unmounted  pv 0.4
    overhead   shared -0.5
    assets_incomplete
"""


@pytest.mark.parametrize("without_assets", [True, False])
def test_bill_without_assets_is_the_sum_of_rows(*, without_assets: bool) -> None:
    day = booked(ROWS, without_assets=without_assets)  # no answer, or an empty one beside rows that cost
    assert ledger(day) == written(FROM_ROWS)
    assert kinds_of(day.issues) == {IssueKind.NOT_AUDITED}
    assert day.not_measured == {Component.NODE_DISK, Component.MANAGEMENT}


def test_empty_assets_are_incomplete_if_costs_cancel_out() -> None:
    day = booked("""
        pod shop/web-1  cpu 1
        idle            cpu -1
    """)
    assert not day.assets_complete
    assert IssueKind.NOT_AUDITED in kinds_of(day.issues)


def test_empty_cluster_costs_nothing_with_complete_assets() -> None:
    day = booked("")
    assert ledger(day) == ["bill", "assets_complete"]
    assert day.not_measured == {Component.MANAGEMENT}


def test_assets_without_rows_are_a_bill_that_nothing_explains() -> None:
    assert ledger(booked("node n1 cpu 8 ram 2")) == written("""
        bill  cpu 8 ram 2
        difference unknown cpu 8 ram 2
        assets_complete
    """)


@given(readings())
def test_without_assets_each_component_is_that_of_the_rows(answer: Reading) -> None:
    day = book(replace(answer, assets=None, infrastructure=None))
    assert not day.assets_complete
    assert day.bill == Costs.sum(row.costs for row in each_once(answer.allocations))._replace(shared=0)


# ------------------------------------------------------------------------------------------------ shared, external


def test_shared_costs_never_add_to_the_bill() -> None:
    day = booked("""
        node n1              cpu 2
        fee fee              0.50
        pod shop/web-1 @n1   cpu 1 shared 0.30
        pod shop/api-1 @n1   cpu 1 shared 0.20
    """)
    assert ledger(day) == written("""
        bill      cpu 2 management 0.5
        workload  cpu 2 shared 0.5
        overhead  management 0.5 shared -0.5
        assets_complete
    """)
    assert day.bill.total == micros("2.50")


def test_external_costs_are_what_rows_carry_with_or_without_assets() -> None:
    day = booked("""
        node n1              cpu 1
        pod shop/web-1 @n1   cpu 1 external 0.30
        overhead             external 4
    """)
    assert ledger(day) == written("""
        bill      cpu 1 external 4.3
        workload  cpu 1 external 0.3
        overhead  external 4
        assets_complete
    """)


@given(readings())
def test_shared_is_never_billed_and_external_is_that_of_rows(answer: Reading) -> None:
    day = book(answer)
    assert day.bill.shared == 0
    assert sum(row.costs.shared for row in day.rows) == 0
    assert day.bill.external == sum(row.costs.external for row in each_once(answer.allocations))


# ------------------------------------------------------------------------------------------------ metrics


def test_a_measured_fee_is_overhead_and_no_longer_unknown() -> None:
    day = booked("""
        node n1             cpu 1
        pod shop/web-1 @n1  cpu 1
        hour 0              fee 0.10 internet 0
        hour 5              fee 0.10
    """)
    assert ledger(day) == written("""
        bill      cpu 1 management 0.2
        workload  cpu 1
        overhead  management 0.2
        assets_complete
    """)
    assert (day.not_measured, day.issues) == (frozenset(), ())


def test_fee_measured_as_zero_is_zero_not_unknown() -> None:
    assert Component.MANAGEMENT not in booked("node n1 cpu 1\nidle @n1 cpu 1\nhour 0 fee 0").not_measured
    assert Component.MANAGEMENT in booked("node n1 cpu 1\nidle @n1 cpu 1\nhour 0 lb 1").not_measured


@pytest.mark.parametrize("without_assets", [True, False])
def test_network_without_samples_in_metrics_is_unknown(*, without_assets: bool) -> None:
    day = booked("node n1 cpu 1\npod shop/web-1 @n1 cpu 1\nhour 0 fee 0.10", without_assets=without_assets)
    assert Component.NETWORK in day.not_measured
    assert day.bill.network == 0
    (issue,) = [issue for issue in day.issues if issue.kind is IssueKind.NOT_MEASURED]
    assert (issue.subject, issue.window, issue.is_missing_data) == (Component.NETWORK, TODAY, False)
    assert "kubecost_pod_network_egress_bytes_total" in issue.message


def test_network_without_a_price_is_unknown() -> None:
    unpriced = MeasuredHour(Window(TODAY.start, TODAY.start + HOUR), network_bytes=NetworkBytes(internet=1e9))
    answer = replace(
        reading("node n1 cpu 1\nidle @n1 cpu 1"), infrastructure=Infrastructure(TODAY, (unpriced,), METRICS)
    )
    day = book(answer)
    assert Component.NETWORK in day.not_measured
    (issue,) = [issue for issue in day.issues if issue.subject == Component.NETWORK]
    assert "kubecost_network_..._egress_cost" in issue.message
    assert "kubecost_pod_network_egress_bytes_total" not in issue.message


def test_zero_network_is_zero_if_measured_or_without_prometheus() -> None:
    assert booked("node n1 cpu 1\nidle @n1 cpu 1\nhour 0 fee 0.10 internet 0").not_measured == frozenset()
    assert booked("node n1 cpu 1\nidle @n1 cpu 1").not_measured == {Component.MANAGEMENT}
    assert booked("network net 0.10\nfee a 1\nhour 0 lb 1").not_measured == frozenset()


def test_components_without_a_source_are_left_to_metrics() -> None:
    told = booked("fee a 1\nbalancer shop/web 0.60\nnetwork net 0.10")
    assert told.left_to_metrics == frozenset()
    of_metrics = {Component.MANAGEMENT, Component.LOAD_BALANCER, Component.NETWORK}
    assert booked("node n1 cpu 1\nidle @n1 cpu 1").left_to_metrics == of_metrics
    assert booked("node n1 cpu 1\nidle @n1 cpu 1\nhour 0 fee 1 lb 1 internet 1").left_to_metrics == of_metrics
    rows = booked("pod shop/web-1 cpu 1 lb:shop/web 0.60 net 0.05", without_assets=True)
    assert rows.left_to_metrics == {Component.MANAGEMENT}


def test_an_asset_of_the_fee_wins_over_what_was_measured() -> None:
    assert booked("fee fee 2.40\nhour 0 fee 0.10").bill.management == micros("2.40")


def test_measured_balancers_and_traffic_are_overhead() -> None:
    day = booked("""
        node n1   cpu 1
        idle @n1  cpu 1
        hour 3    lb 0.05 internet 0.03 zone 0.01
        hour 4    lb 0.05 region 0.02
    """)
    assert ledger(day) == written("""
        bill      cpu 1 lb 0.1 net 0.06
        idle      cpu 1
        overhead  lb 0.1 net 0.06
        assets_complete
    """)
    assert day.bill_network_classes == NetworkClasses(micros("0.03"), micros("0.02"), micros("0.01"))
    (overhead,) = [row for row in day.rows if row.kind is Kind.OVERHEAD]
    assert overhead.network_classes == day.bill_network_classes


def test_balancers_and_traffic_of_the_source_count_once() -> None:
    listed_balancer = booked("balancer shop/web 0.60\npod shop/web-1 net 0.05\nhour 3 lb 0.05 internet 0.02")
    assert (listed_balancer.bill.load_balancer, listed_balancer.bill.network) == (micros("0.60"), micros("0.05"))
    charged = booked("fee fee 1\npod shop/web-1 lb:shop/web 0.40\nnetwork net 0.10\nhour 3 lb 0.05 internet 0.02")
    assert (charged.bill.load_balancer, charged.bill.network) == (micros("0.40"), micros("0.10"))


def test_without_assets_what_was_measured_still_counts() -> None:
    day = booked("pod shop/web-1 @n1 cpu 1\nhour 3 fee 0.10 lb 0.05 internet 0.02", without_assets=True)
    assert ledger(day) == written("""
        bill      cpu 1 lb 0.05 net 0.02 management 0.1
        workload  cpu 1
        overhead  lb 0.05 net 0.02 management 0.1
        assets_incomplete
    """)
    assert day.not_measured == {Component.NODE_DISK}
    (issue,) = day.issues
    assert "management" not in issue.message


@given(readings())
def test_component_has_one_source_and_metrics_come_last(answer: Reading) -> None:
    day, without = book(answer), book(replace(answer, infrastructure=None))
    found = infrastructure_of(answer)
    measured = {
        Component.MANAGEMENT: found.management,
        Component.LOAD_BALANCER: found.load_balancer,
        Component.NETWORK: None if found.network is None else sum(found.network),
    }
    for component in Component:
        before, after = without.bill.of(component), day.bill.of(component)
        assert after == before or (before == 0 and after == measured.get(component)), component
        if before:
            assert after == before, component
    assert day.not_measured - without.not_measured <= {Component.NETWORK}
    assert (Component.NETWORK in day.not_measured) == (
        answer.infrastructure is not None and found.network is None and not without.bill.network
    )
    assert (Component.MANAGEMENT in without.not_measured - day.not_measured) == (
        Component.MANAGEMENT in without.not_measured and found.management is not None
    )
