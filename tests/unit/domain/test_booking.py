"""Every cluster-day balances, whatever a source answers (B2, B3, B6), and booking twice changes nothing."""

from copy import deepcopy
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.allocation import Kind, LoadBalancerCost, VolumeCost
from kubetally.domain.booking import Booking, ComponentBalance, book
from kubetally.domain.component import Component, Costs
from kubetally.domain.issues import IssueKind
from kubetally.domain.pods import merge_pods
from kubetally.domain.question.cost_question import WORKLOAD
from kubetally.domain.reading import Reading
from kubetally.domain.row import CAUSE_IN_WORDS, Cause
from tests.unit.domain.clusters import (
    TODAY,
    booked,
    cluster_costs,
    kinds_of,
    ledger,
    micros,
    reading,
    readings,
    written,
)


def views(day: Booking) -> tuple[object, ...]:
    """All that a reader sees of a day."""
    costs = cluster_costs(day)
    return (
        costs.by("namespace"),
        costs.by(*WORKLOAD),
        costs.lines,
        costs.summary,
        costs.efficiency,
        costs.network_classes,
    )


@given(readings())
def test_the_bill_is_the_sum_of_the_rows_component_by_component(answer: Reading) -> None:
    day = book(answer)
    assert Costs.sum(row.costs for row in day.rows) == day.bill
    for component, sheet in day.balance().items():
        assert sheet.bill == day.bill.of(component)
        assert sheet.bill == sheet.workload + sheet.idle + sheet.unmounted + sheet.overhead + sheet.difference
    assert Costs.sum(day.kind_costs(kind) for kind in Kind) == day.bill
    assert not day.assets_complete or answer.assets is not None


@given(readings())
def test_rows_are_containers_and_a_line_a_kind_and_cause(answer: Reading) -> None:
    rows = book(answer).rows
    containers = [row for row in rows if row.kind is Kind.WORKLOAD]
    lines = [row for row in rows if row.kind is not Kind.WORKLOAD]
    names = [
        (row.namespace, row.controller_kind, row.controller, row.pod, row.container, row.node) for row in containers
    ]
    assert len(set(names)) == len(names)
    assert len({(row.kind, row.cause) for row in lines}) == len(lines)
    assert all((row.cause is not None) == (row.kind is Kind.DIFFERENCE) for row in rows)
    assert all(row.namespace is None and (any(row.costs) or any(row.hours)) for row in lines)


@given(readings())
def test_idle_is_never_negative_and_nothing_cancels_out(answer: Reading) -> None:
    day = book(answer)
    assert all(amount >= 0 for amount in day.kind_costs(Kind.IDLE))
    below_zero = {Cause.OVER_COMMIT, Cause.CREDIT, Cause.NODE_WITHOUT_ASSET, Cause.NODE_WITHOUT_PRICE}
    named = [row.costs for row in day.rows if row.cause in below_zero]
    assert all(amount <= 0 for costs in named for amount in costs)
    whole = day.kind_costs(Kind.DIFFERENCE)
    assert all(amount >= min(all_of, 0) for amount, all_of in zip(Costs.sum(named), whole, strict=True))


@given(readings())
def test_booking_the_same_reading_twice_gives_equal_ledgers(answer: Reading) -> None:
    first = book(answer)
    assert book(deepcopy(answer)) == first


@given(readings(), st.data())
def test_order_of_rows_and_assets_changes_no_figure(answer: Reading, data: st.DataObject) -> None:
    rows = data.draw(st.permutations(list(answer.allocations)))
    assets = None if answer.assets is None else data.draw(st.permutations(list(answer.assets)))
    day, shuffled = book(answer), book(replace(answer, allocations=rows, assets=assets))
    assert shuffled.balance() == day.balance()
    assert (shuffled.assets_complete, shuffled.not_measured) == (day.assets_complete, day.not_measured)
    assert views(shuffled) == views(day)


@given(readings())
def test_rows_that_come_twice_count_once(answer: Reading) -> None:
    day = book(answer)
    twice = book(replace(answer, allocations=[*answer.allocations, *answer.allocations]))
    assert twice.balance() == day.balance()
    assert twice.source_total == day.source_total
    assert views(twice) == views(day)
    assert not answer.allocations or IssueKind.DUPLICATE_ROWS in kinds_of(twice.issues)


def test_equal_rows_count_once_and_different_ones_all() -> None:
    one, other = "pod shop/web-1 @n1 cpu 1", "pod shop/web-1 @n1 cpu 2"
    for order in ([one, other, other], [other, other, one], [other, one, other, one]):
        day = booked("\n".join(order), without_assets=True)
        assert day.bill.cpu == micros(3)
        (issue,) = [issue for issue in day.issues if issue.kind is IssueKind.DUPLICATE_ROWS]
        assert issue.facts == {"equal": len(order) - 2, "unlike": 1}


def test_containers_nodes_and_steps_distinguish_rows() -> None:
    day = booked(
        """
        pod shop/web-1 @n1 container:main cpu 1
        pod shop/web-1 @n1 container:proxy cpu 1
        pod shop/web-1 @n2 cpu 1
        pod shop/web-1 @n1 hour:3 cpu 1
        """,
        without_assets=True,
    )
    assert day.bill.cpu == micros(4)
    assert IssueKind.DUPLICATE_ROWS not in kinds_of(day.issues)
    assert sorted((row.node, row.container, row.costs.cpu) for row in day.rows) == [
        ("n1", "main", micros(2)),
        ("n1", "proxy", micros(1)),
        ("n2", "main", micros(1)),
    ]


# ------------------------------------------------------------------------------------------------ use


def test_pod_lives_as_long_as_its_longest_container() -> None:
    answer = reading("""
        pod shop/web-1 @n1 hour:0 container:main  cpu 1 cpu_core_hours 1
        pod shop/web-1 @n1 hour:0 container:proxy cpu 1 cpu_core_hours 2
        pod shop/web-1 @n1 hour:1 container:main  cpu 1 cpu_core_hours 4
    """)
    lived = [row._replace(minutes=minutes) for row, minutes in zip(answer.allocations, (60, 20, 30), strict=True)]
    rows = book(replace(answer, allocations=lived)).rows
    assert [(row.container, row.minutes) for row in rows if row.kind is Kind.WORKLOAD] == [("main", 90), ("proxy", 20)]
    (pod,) = merge_pods(rows)
    assert (pod.minutes, pod.containers, pod.hours.cpu_core_hours) == (90, 2, 7)


def test_unmounted_volumes_belong_to_their_namespace_or_a_line() -> None:
    day = booked("""
        disk d1                              1
        disk d2                              2
        pod shop/shop-unmounted-pvcs         pv:d1 1
        unmounted                            pv:d2 2
    """)
    assert ledger(day) == written("""
        bill       pv 3
        workload   pv 1
        unmounted  pv 2
        assets_complete
    """)


def test_negative_idle_of_a_node_is_over_commit() -> None:
    day = booked("""
        node n1              cpu 4 ram 1
        node n2              cpu 4
        pod shop/web-1 @n1   cpu 5
        pod shop/web-2 @n2   cpu 2
        idle @n1             cpu -1 ram 1
        idle @n2             cpu 2
    """)
    assert ledger(day) == written("""
        bill      cpu 8 ram 1
        workload  cpu 7
        idle      cpu 2 ram 1
        difference over_commit cpu -1
        assets_complete
    """)


def test_idle_of_a_node_is_that_of_its_steps_together() -> None:
    day = booked("""
        node n1              cpu 4
        pod shop/web-1 @n1   cpu 3
        idle @n1 hour:0      cpu 2
        idle @n1 hour:1      cpu -1
    """)
    assert ledger(day)[1:] == ["workload cpu 3", "idle cpu 1", "assets_complete"]


def test_negative_idle_on_a_node_without_asset_still_balances() -> None:
    day = booked("""
        fee fee                    1
        pod shop/web-1 @fargate-1  cpu 5
        idle @fargate-1            cpu -1
    """)
    assert ledger(day) == written("""
        bill      cpu 4 management 1
        workload  cpu 5
        overhead  management 1
        difference node_without_asset cpu -1
        assets_incomplete
    """)


# ------------------------------------------------------------------------------------------------ differences


def test_only_small_differences_are_rounding() -> None:
    day = booked("""
        node n1              cpu 8
        pod shop/web-1 @n1   cpu 3
        idle @n1             cpu 4.999985
    """)
    assert ledger(day)[3] == "difference rounding cpu 0.000015"  # three figures, each half of a fifth decimal off
    day = booked("""
        node n1              cpu 8
        pod shop/web-1 @n1   cpu 3
        idle @n1             cpu 4.999984
    """)
    assert ledger(day)[3] == "difference unknown cpu 0.000016"


def test_partial_and_duplicate_load_balancers_are_both_found() -> None:
    day = booked("""
        balancer shop/web   1
        balancer shop/api   1
        pod shop/web-1      lb:shop/web 0.40
        pod shop/api-1      lb:shop/api 1
        unmounted           lb 0.50 services:api
    """)
    assert ledger(day) == written("""
        bill       lb 2
        workload   lb 1.4
        unmounted  lb 0.5
        difference balancer_charged_twice lb -0.5
        difference balancer_booked_in_part lb 0.6
        assets_complete
    """)


def test_a_balancer_charged_in_part_says_so() -> None:
    day = booked("""
        balancer shop/web   0.60
        pod shop/web-1      lb:shop/web 0.25
    """)
    assert ledger(day)[2] == "difference balancer_booked_in_part lb 0.35"


def test_unmounted_balancers_are_split_over_their_services() -> None:
    day = booked("""
        balancer shop/web   3
        balancer batch/web  1
        pod shop/web-1      lb:shop/web 3
        pod batch/web-1     lb:batch/web 1
        unmounted           lb 0.40 services:web
    """)
    assert ledger(day)[3] == "difference balancer_charged_twice lb -0.4"


def test_volumes_beyond_and_below_their_disk_have_own_causes() -> None:
    day = booked("""
        disk d1           1 volume:pvc-1
        disk d2           1 volume:pvc-2
        pod shop/web-1    pv:pvc-1 1.50
        pod shop/web-2    pv:pvc-2 0.20
    """)
    assert ledger(day) == written("""
        bill      pv 2
        workload  pv 1.7
        difference volume_charged_beyond_its_disk pv -0.5
        difference volume_booked_in_part pv 0.8
        assets_complete
    """)


def test_volume_without_disk_is_not_a_nameless_disk() -> None:
    answer = reading("""
        disk none          1 volume:pvc-1
        pod shop/web-1     pv:pvc-1 0.40 pv:nfs 9
    """)
    (disk,) = answer.assets or ()
    day = book(replace(answer, assets=[disk._replace(name="", names=frozenset({"pvc-1"}))]))
    assert ledger(day)[2] == "difference volume_booked_in_part pv 0.6"


def test_difference_without_a_cause_is_unknown() -> None:
    day = booked("""
        node n1              cpu 8 ram 2
        pod shop/web-1 @n1   cpu 3 ram 2.50
    """)
    assert ledger(day)[2:] == ["difference unknown cpu 5 ram -0.5", "assets_complete"]


def test_source_shows_amounts_below_zero_and_no_other_cause() -> None:
    sheet = ComponentBalance(bill=103, workload=100, idle=5, unmounted=1, overhead=7, difference=-10)
    causes = [(Cause.OVER_COMMIT, -4), (Cause.CREDIT, -2), (Cause.NEGATIVE_FIGURE, -1), (Cause.ROUNDING, -3)]
    assert sheet.source_shows(causes) == 100 + 5 + 1 - 7


def test_every_cause_has_words() -> None:
    assert set(CAUSE_IN_WORDS) == set(Cause)


# ------------------------------------------------------------------------------------------------ what is odd


def test_costs_without_pods_may_be_a_failed_query() -> None:
    assert IssueKind.NO_WORKLOADS in kinds_of(booked("node n1 cpu 8\nidle @n1 cpu 8").issues)
    assert IssueKind.NO_WORKLOADS not in kinds_of(booked("pod shop/web-1 @n1 cpu 1").issues)
    assert IssueKind.NO_WORKLOADS not in kinds_of(booked("").issues)


def test_unpriced_traffic_is_an_issue() -> None:
    sent = "pod shop/web-1 @n1 cpu 1 network_transfer_bytes 5e9"
    assert IssueKind.NETWORK_UNPRICED in kinds_of(booked(sent).issues)
    assert IssueKind.NETWORK_UNPRICED not in kinds_of(booked(f"{sent} net 0.01").issues)


def test_traffic_that_metrics_have_a_cost_of_did_cost_something() -> None:
    sent = "pod shop/web-1 @n1 cpu 1 network_transfer_bytes 5e9"
    assert IssueKind.NETWORK_UNPRICED not in kinds_of(booked(f"{sent}\nhour 3 internet 0.02").issues)
    assert IssueKind.NETWORK_UNPRICED in kinds_of(booked(f"{sent}\nhour 3 internet 0").issues)


def test_issues_of_the_reading_stay_and_say_where_they_are_from() -> None:
    answer = reading("pod shop/web-1 @n1 cpu 1", without_assets=True)
    seen = book(answer).issues
    assert all((issue.source, issue.window) == (answer.source, TODAY) for issue in seen)
    again = book(replace(answer, issues=seen))
    assert again.issues[: len(seen)] == seen


@given(readings())
def test_unmeasured_components_are_zero_in_sums(answer: Reading) -> None:
    day = book(answer)
    assert all(day.bill.of(component) == 0 for component in day.not_measured)
    assert day.not_measured <= {Component.NODE_DISK, Component.MANAGEMENT, Component.NETWORK}


def test_rows_of_one_container_keep_what_any_of_them_says() -> None:
    answer = reading("""
        pod shop/web-1 @n1 hour:0 cpu 1
        pod shop/web-1 @n1 hour:1 cpu 1
    """)
    first, second = answer.allocations
    first = first._replace(
        annotations={"k": "1"}, volumes=(VolumeCost("pvc", 3, 5.0),), cpu_core_usage_max=1.0, labels={"a": "1"}
    )
    second = second._replace(
        annotations={"k": "2", "l": "3"},
        provider_id="i-1",
        volumes=(VolumeCost("pvc", 4, None, "vol"),),
        labels={"b": "2"},
    )
    (row,) = [row for row in book(replace(answer, allocations=[first, second])).rows if row.kind is Kind.WORKLOAD]
    assert row.labels == {"a": "1", "b": "2"}
    assert row.details is not None
    assert (row.details.provider_id, row.details.annotations) == ("i-1", {"k": "1", "l": "3"})
    assert row.details.volumes == (VolumeCost("pvc", 7, 5.0, "vol"),)
    assert row.details.cpu_core_usage_max == 1.0


def test_load_balancers_of_a_row_come_to_what_it_was_charged() -> None:
    answer = reading("pod shop/web-1 @n1 cpu 1")
    (row,) = answer.allocations
    balancers = (LoadBalancerCost("shop/web", micros(5), 24.0, adjustment=micros(1)),)
    charged = row._replace(costs=row.costs._replace(load_balancer=micros(1)), load_balancers=balancers)
    booked_row = next(row for row in book(replace(answer, allocations=[charged])).rows if row.kind is Kind.WORKLOAD)
    assert booked_row.details is not None
    assert booked_row.details.load_balancers == (
        LoadBalancerCost("shop/web", micros(1), 24.0, adjustment=micros("0.2")),
    )
