"""How a booking that is made again from its answers is held against the stored one."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from kubetally.domain.allocation import Kind
from kubetally.domain.booking import Booking, book
from kubetally.domain.booking_comparison import Beside, BookingComparison, Difference, Figure, compare_bookings
from kubetally.domain.component import Component
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.money import CurrencyOrigin
from kubetally.domain.row import Row
from kubetally.domain.window import HOUR, Window
from tests.cluster_days import cluster_day
from tests.unit.domain.clusters import METRICS, SOURCE, TODAY, measured, reading

DAY = cluster_day("a", pods=4)
STORED = replace(DAY.collection.head, rows=tuple(DAY.rows))
FIRST = next(row for row in STORED.rows if row.kind is Kind.WORKLOAD)
CLUSTER = """
    node node-1 cpu 20 ram 4
    pod  web/a @node-1 cpu 10 ram 1
    idle cpu 10 ram 3
"""


def with_first(change: Callable[[Row], Row]) -> Booking:
    return replace(STORED, rows=tuple(change(row) if row is FIRST else row for row in STORED.rows))


def with_hours(**hours: float | None) -> Booking:
    return with_first(lambda row: row._replace(hours=row.hours._replace(**hours)))  # type: ignore[arg-type]


def figures(comparison: BookingComparison) -> set[Figure]:
    assert not comparison.elsewhere
    return {difference.figure for difference in comparison.differences}


def test_a_booking_is_as_stored_whatever_the_order_of_its_rows() -> None:
    assert compare_bookings(replace(STORED, rows=STORED.rows[::-1]), stored=STORED) == BookingComparison()


def test_renamed_namespaces_differ() -> None:
    renamed = tuple(row._replace(namespace=row.namespace and f"x-{row.namespace}") for row in STORED.rows)
    found = compare_bookings(replace(STORED, rows=renamed), stored=STORED)
    assert figures(found) == {Figure.NAMESPACE_COST, Figure.POD_COST}
    assert Difference(Figure.NAMESPACE_COST, "x-team-00", FIRST_COST["team-00"], None) in found.differences
    assert Difference(Figure.NAMESPACE_COST, "team-00", None, FIRST_COST["team-00"]) in found.differences


FIRST_COST = {row.namespace: row.costs.total for row in STORED.rows if row.kind is Kind.WORKLOAD}


def test_cost_that_moved_to_another_pod_differs_by_a_micro() -> None:
    def dearer(row: Row, micros: int) -> Row:
        return row._replace(namespace="one", costs=row.costs._replace(cpu=row.costs.cpu + micros))

    pods = [row for row in STORED.rows if row.kind is Kind.WORKLOAD]
    was = replace(STORED, rows=tuple(dearer(row, 0) for row in pods))
    now = replace(STORED, rows=(dearer(pods[0], 1), dearer(pods[1], -1), *was.rows[2:]))
    assert figures(compare_bookings(now, stored=was)) == {Figure.POD_COST}


def test_cost_that_moved_to_another_component_is_named() -> None:
    moved = with_first(lambda row: row._replace(costs=row.costs._replace(cpu=row.costs.ram, ram=row.costs.cpu)))
    found = [
        difference
        for difference in compare_bookings(moved, stored=STORED).differences
        if difference.figure is Figure.POD_COST
    ]
    assert [(item.component, item.replayed, item.stored) for item in found] == [
        (Component.CPU, FIRST.costs.ram, FIRST.costs.cpu)
    ]


def test_cost_of_another_kind_differs() -> None:
    moved = tuple(row._replace(kind=Kind.UNMOUNTED) if row.kind is Kind.IDLE else row for row in STORED.rows)
    assert figures(compare_bookings(replace(STORED, rows=moved), stored=STORED)) == {Figure.KIND_COST}


def test_bill_differs_by_component() -> None:
    bill = STORED.bill._replace(network=STORED.bill.network + 1)
    found = compare_bookings(replace(STORED, bill=bill), stored=STORED)
    assert found.differences == (
        Difference(Figure.COMPONENT_COST, Component.NETWORK, bill.network, STORED.bill.network),
    )


@pytest.mark.parametrize(
    "figure", [figure for figure in Figure if figure.value.endswith(("request_hours", "usage_hours"))]
)
def test_requests_and_usage_differ_beyond_the_tolerance(figure: Figure) -> None:
    hours = getattr(FIRST.hours, figure)
    assert compare_bookings(with_hours(**{figure.value: hours * (1 + 1e-12)}), stored=STORED) == BookingComparison()
    for other in (hours * (1 + 1e-8), None):
        found = compare_bookings(with_hours(**{figure.value: other}), stored=STORED)
        assert found.differences == (Difference(figure, f"{FIRST.namespace}/{FIRST.pod}", other, hours),)


def test_rows_currency_and_hours_covered_differ() -> None:
    half = (Window(STORED.window.start, STORED.window.start + 12 * HOUR),)
    now = replace(
        STORED,
        rows=(*STORED.rows, FIRST._replace(costs=FIRST.costs._replace(cpu=0))),
        currency="EUR",
        covered=half,
        currency_origin=CurrencyOrigin.SOURCE,
    )
    found = compare_bookings(now, stored=STORED)
    assert found.differences[:3] == (
        Difference(Figure.CURRENCY, None, "EUR", "USD"),
        Difference(Figure.ROWS, None, 8 + 1, 8),
        Difference(Figure.HOURS_COVERED, None, 12.0, 24.0),
    )


def test_kinds_of_issues_differ_and_their_words_do_not() -> None:
    def with_issue(kind: IssueKind, message: str) -> Booking:
        return replace(STORED, issues=(Issue(kind, message, STORED.source, STORED.window),))

    now, was = with_issue(IssueKind.UNKNOWN_COST, "now"), with_issue(IssueKind.UNKNOWN_COST, "before")
    assert compare_bookings(now, stored=was) == BookingComparison()
    assert compare_bookings(now, stored=with_issue(IssueKind.TOTAL_FELL, "before")).differences == (
        Difference(Figure.ISSUE, IssueKind.UNKNOWN_COST, IssueKind.UNKNOWN_COST, None),
    )


def test_measurements_of_prometheus_are_no_difference() -> None:
    hours = "\n".join(f"hour {hour} fee 0.1 lb 0.2 internet 0.3" for hour in range(24))
    stored = book(replace(reading(CLUSTER), infrastructure=measured(hours)))
    found = compare_bookings(book(reading(CLUSTER)), stored=stored)
    assert found.differences == ()
    assert {item.name for item in found.elsewhere} == {Component.MANAGEMENT, Component.LOAD_BALANCER, Component.NETWORK}


def test_load_balancer_that_the_source_lost_differs() -> None:
    stored = book(reading(f"{CLUSTER}\n balancer web/lb 2"))
    found = compare_bookings(book(reading(CLUSTER)), stored=stored)
    assert Difference(Figure.COMPONENT_COST, Component.LOAD_BALANCER, 0, 2_000_000) in found.differences


def test_usage_that_prometheus_corrected_is_no_difference() -> None:
    corrected = Issue(IssueKind.USAGE_CORRECTED, "1 container", METRICS, TODAY)
    found = compare_bookings(with_hours(cpu_core_usage_hours=1.0), stored=replace(STORED, issues=(corrected,)))
    assert found.differences == ()
    assert [item.figure for item in found.elsewhere] == [Figure.CPU_USAGE]
    requests = compare_bookings(with_hours(cpu_core_request_hours=1.0), stored=replace(STORED, issues=(corrected,)))
    assert [difference.figure for difference in requests.differences] == [Figure.CPU_REQUEST]


def test_hours_that_others_found_missing_are_no_difference() -> None:
    gap = Issue(IssueKind.SAMPLES_MISSING, "no samples", STORED.source, STORED.window, "pods")
    lacking = replace(STORED, covered=(Window(STORED.window.start, STORED.window.start + 12 * HOUR),), issues=(gap,))
    found = compare_bookings(STORED, stored=lacking)
    assert found.differences == ()
    assert [item.figure for item in found.elsewhere] == [Figure.HOURS_COVERED, Figure.ISSUE]
    back = compare_bookings(lacking, stored=STORED)
    assert [difference.figure for difference in back.differences] == [Figure.HOURS_COVERED, Figure.ISSUE]
    assert compare_bookings(lacking, stored=STORED, lacks=frozenset(Beside)).differences == ()


def test_issue_of_prometheus_is_no_difference() -> None:
    told = Issue(IssueKind.SOURCE_WARNING, "1 series dropped", METRICS, TODAY)
    assert compare_bookings(STORED, stored=replace(STORED, issues=(told,))) == BookingComparison()
    assert compare_bookings(
        STORED, stored=replace(STORED, source=SOURCE, issues=(replace(told, source=SOURCE),))
    ).differences
