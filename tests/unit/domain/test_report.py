"""Every view of a cluster's costs has the same sum, and unknown is not zero in any."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given

from kubetally.domain.allocation import Kind
from kubetally.domain.booking import Booking
from kubetally.domain.component import Component, Costs
from kubetally.domain.efficiency import Efficiency, Hours, RatedHours, efficiency
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.pods import merge_pods
from kubetally.domain.question.cost_question import WORKLOAD
from kubetally.domain.report import ClusterReport, Sums
from kubetally.domain.row import Cause
from kubetally.domain.status import Status
from kubetally.domain.window import DAY, HOUR, Window
from tests.errors import raises_code
from tests.unit.domain.clusters import MIDNIGHT, TODAY, answers, booked, booked_days, cluster_costs, micros

SOUND = """
    node n1              cpu 8 ram 2
    disk pvc-1           1.20
    fee fee              2.40
    pod shop/web-1 @n1   deploy:web cpu 2 ram 1 pv:pvc-1 1.20
    pod shop/web-2 @n1   deploy:web cpu 3
    pod batch/job-1 @n1  cpu 1
    idle @n1             cpu 2 ram 1
"""
ALL_NAMESPACES = (None, "batch", "shop")


def added(groups: Iterable[Sums]) -> Costs:
    return Costs.sum(group.costs for group in groups)


def hours_added(groups: Iterable[Sums]) -> object:
    return pytest.approx(list(Hours.sum(group.hours for group in groups)))


@given(booked_days())
def test_namespaces_and_lines_add_up_to_the_bill(days: list[Booking]) -> None:
    costs = cluster_costs(*days)
    assert added([*costs.by("namespace"), *costs.lines]) == costs.bill
    assert costs.bill == Costs.sum(booking.bill for booking in days)
    assert sum(amount or 0 for amount in costs.summary.values()) == costs.bill.total
    assert sum(costs.network_classes) == costs.bill.network


@given(answers())
def test_workloads_add_up_to_namespaces_and_pods_to_workloads(costs: ClusterReport) -> None:
    workloads = costs.by(*WORKLOAD)
    for group in costs.by("namespace"):
        mine = [workload for workload in workloads if workload.key[0] == group.key[0]]
        assert added(mine) == group.costs
        assert list(group.hours) == hours_added(mine)
    assert added(workloads) == added(costs.by("namespace"))
    for workload in workloads:
        pods = [row for row in costs.rows if row.key[:3] == workload.key]
        assert added(pods) == workload.costs
        assert list(workload.hours) == hours_added(pods)
        assert len({pod.key for pod in pods}) == len(pods) == workload.count


@given(answers())
def test_the_causes_of_the_unexplained_line_add_up_to_it(costs: ClusterReport) -> None:
    lines = costs.lines
    assert [line.kind for line in lines] == [Kind.IDLE, Kind.UNMOUNTED, Kind.OVERHEAD, Kind.DIFFERENCE]
    difference = lines[-1]
    assert Costs.sum(amounts for _, amounts in difference.causes) == difference.costs
    assert all(line.causes == () for line in lines[:-1])


@given(answers())
def test_balance_of_days_is_their_sum_and_agrees_with_the_lines(costs: ClusterReport) -> None:
    sheets = costs.balance
    lines = {line.kind: line.costs for line in costs.lines}
    for component, sheet in sheets.items():
        assert sheet.bill == costs.bill.of(component)
        assert sheet.bill == sheet.workload + sheet.idle + sheet.unmounted + sheet.overhead + sheet.difference
        assert sheet.workload == added(costs.by("namespace")).of(component)
        assert [sheet.idle, sheet.unmounted, sheet.overhead, sheet.difference] == [
            lines[kind].of(component) for kind in (Kind.IDLE, Kind.UNMOUNTED, Kind.OVERHEAD, Kind.DIFFERENCE)
        ]


@given(booked_days())
def test_days_in_another_order_give_the_same_views(days: list[Booking]) -> None:
    costs, backwards = cluster_costs(*days), cluster_costs(*days[::-1])
    assert backwards.by("namespace") == costs.by("namespace")
    assert backwards.by(*WORKLOAD) == costs.by(*WORKLOAD)
    assert (backwards.bill, backwards.lines, backwards.balance) == (costs.bill, costs.lines, costs.balance)
    assert backwards.coverage.hours_covered == costs.coverage.hours_covered


@given(booked_days())
def test_efficiency_is_that_of_the_summed_rows(days: list[Booking]) -> None:
    costs = cluster_costs(*days)
    workloads = [row for day in days for row in merge_pods(day.rows)]
    spent = Costs.sum(row.costs for row in workloads)
    assert costs.efficiency == efficiency(
        RatedHours.of(row.hours for row in workloads), cpu_cost=spent.cpu, ram_cost=spent.ram
    )
    for group in costs.by("namespace"):
        rows = [row for row in workloads if row.namespace == group.key[0]]
        mine = Costs.sum(row.costs for row in rows)
        whole = efficiency(RatedHours.of(row.hours for row in rows), cpu_cost=mine.cpu, ram_cost=mine.ram)
        assert group.efficiency == pytest.approx(whole)


@given(booked_days())
def test_assets_are_complete_when_those_of_all_days_are(days: list[Booking]) -> None:
    costs = cluster_costs(*days)
    assert costs.assets_complete == all(booking.assets_complete for booking in days)
    assert costs.source_total == sum(booking.source_total for booking in days)


def test_views_of_a_small_cluster() -> None:
    costs = cluster_costs(booked(SOUND))
    assert [(group.key[0], group.costs.total) for group in costs.by("namespace")] == [
        ("shop", micros("7.20")),
        ("batch", micros(1)),
    ]
    assert [group.key for group in costs.by(*WORKLOAD)] == [
        ("shop", "deployment", "web"),
        ("batch", None, None),
    ]
    web = [row for row in costs.rows if row.key[2] == "web"]
    assert [(pod.key[3], pod.costs.total, pod.nodes, pod.minutes) for pod in web] == [
        ("web-1", micros("4.20"), ("n1",), 1440),
        ("web-2", micros(3), ("n1",), 1440),
    ]
    assert {line.kind: line.costs.total for line in costs.lines} == {
        Kind.IDLE: micros(3),
        Kind.UNMOUNTED: 0,
        Kind.OVERHEAD: micros("2.40"),
        Kind.DIFFERENCE: 0,
    }


def test_equal_costs_are_ordered_by_name() -> None:
    costs = cluster_costs(booked("pod b/x cpu 1\npod a/y cpu 1\npod a/x cpu 0\npod c/x cpu 1", without_assets=True))
    assert [group.key[0] for group in costs.by("namespace")] == ["a", "b", "c"]


def test_a_pod_that_moved_is_one_pod_of_two_nodes() -> None:
    costs = cluster_costs(booked("pod shop/db-0 @n2 cpu 1\npod shop/db-0 @n1 cpu 2", without_assets=True))
    (pod,) = costs.rows
    assert (pod.nodes, pod.costs.cpu, pod.minutes) == (("n1", "n2"), micros(3), 2880)


def test_the_same_workload_of_two_days_is_one() -> None:
    second = replace(
        booked(SOUND), window=Window(TODAY.end, TODAY.end + DAY), covered=(Window(TODAY.end, TODAY.end + DAY),)
    )
    costs = cluster_costs(booked(SOUND), second)
    assert costs.by("namespace")[0].costs.total == micros("14.40")
    assert len(costs.by(*WORKLOAD)) == 2
    assert costs.coverage.hours_covered == costs.coverage.hours_asked == 48


def test_efficiency_of_days_is_of_their_sums_without_idle() -> None:
    def day(used: int, requested: int) -> str:
        hours = f"cpu_core_usage_hours {used} cpu_core_request_hours {requested}"
        return f"node n1 cpu 50\npod shop/web-1 @n1 cpu 1 {hours}\nidle @n1 cpu 49"

    costs = cluster_costs(booked(day(1, 1)), booked(day(10, 100)))
    assert costs.efficiency == Efficiency(11 / 101, None, pytest.approx(11 / 101))
    assert costs.by("namespace")[0].efficiency == costs.efficiency


def test_causes_of_several_days_are_added_in_their_order() -> None:
    over = "node n1 cpu 1\npod a/x @n1 cpu 2\nidle @n1 cpu -1"
    costs = cluster_costs(booked(over), booked("node n1 cpu 3"), booked(over))
    assert costs.lines[-1].causes == (
        (Cause.OVER_COMMIT, Costs(cpu=micros(-2))),
        (Cause.UNKNOWN, Costs(cpu=micros(3))),
    )


# ------------------------------------------------------------------------------------------------ unknown is not zero


def test_without_data_every_figure_is_unknown() -> None:
    nothing = cluster_costs()
    assert nothing.status is Status.NO_DATA
    assert nothing.summary == dict.fromkeys(Component)
    assert nothing.efficiency == Efficiency(None, None, None)
    assert not nothing.assets_complete
    assert nothing.coverage.hours_covered == 0


def test_what_nobody_measured_is_none_and_a_measured_zero_is_zero() -> None:
    summary = cluster_costs(booked("node n1 cpu 8\npod shop/web-1 @n1 cpu 8")).summary
    assert summary[Component.MANAGEMENT] is None
    assert summary[Component.GPU] == 0
    assert summary[Component.CPU] == micros(8)
    measured = cluster_costs(booked("node n1 cpu 8\nfee fee 0\npod shop/web-1 @n1 cpu 8")).summary
    assert measured[Component.MANAGEMENT] == 0


def test_what_one_day_measured_is_known() -> None:
    with_fee, without = booked(SOUND), booked("pod shop/web-1 cpu 1", without_assets=True)
    assert cluster_costs(with_fee, without).not_measured == frozenset()
    assert cluster_costs(with_fee, without).summary[Component.MANAGEMENT] == micros("2.40")
    assert cluster_costs(without, without).not_measured == {Component.MANAGEMENT, Component.NODE_DISK}
    assert not cluster_costs(with_fee, without).assets_complete


def test_what_no_source_measures_leaves_the_status_alone() -> None:
    day = booked("node n1 cpu 8\npod shop/web-1 @n1 cpu 8")
    costs = cluster_costs(day, issues=day.issues)
    assert costs.not_measured
    assert costs.status is Status.OK


@pytest.mark.parametrize("kind", IssueKind)
def test_a_failure_makes_an_answer_partial_and_a_remark_does_not(kind: IssueKind) -> None:
    issue = Issue(kind, "as a test says")
    assert cluster_costs(booked(SOUND), issues=[issue]).status is (
        Status.PARTIAL if issue.is_missing_data else Status.OK
    )


def test_fewer_hours_than_asked_make_an_answer_partial() -> None:
    costs = cluster_costs(booked(SOUND), window=Window(TODAY.start, TODAY.end + DAY))
    assert (costs.coverage.hours_covered, costs.coverage.hours_asked, costs.status) == (24, 48, Status.PARTIAL)


def test_hours_in_odd_pieces_are_all_the_hours() -> None:
    cuts = [MIDNIGHT, *(MIDNIGHT + HOUR * minutes / 60 for minutes in (7, 19, 60, 61, 100)), TODAY.end]
    parts = [Window(start, end) for start, end in pairwise(cuts)]
    day = booked(SOUND)
    costs = cluster_costs(*(replace(day, window=part, covered=(part,)) for part in parts))
    assert costs.status is Status.OK


def test_hours_that_two_parts_cover_count_once() -> None:
    assert cluster_costs(booked(SOUND), booked(SOUND)).coverage.hours_covered == 24


def test_a_window_of_no_length_costs_nothing_and_misses_nothing() -> None:
    assert cluster_costs(window=Window(MIDNIGHT, MIDNIGHT)).status is Status.OK


def test_unlike_currencies_are_never_summed() -> None:
    with raises_code("unlike_currencies", match="USD and EUR"):
        cluster_costs(booked(SOUND), replace(booked(SOUND), currency="EUR"))
