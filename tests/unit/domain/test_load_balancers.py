"""Load balancers whose address changed: settled by Prometheus where it is there, told where two costs differ."""

from dataclasses import replace

import pytest

from kubetally.domain.allocation import Kind
from kubetally.domain.booking import book
from kubetally.domain.infrastructure import Infrastructure, LoadBalancerHour, MeasuredHour, clock_hours
from kubetally.domain.issues import IssueKind
from kubetally.domain.load_balancers import correct_load_balancers, differing_load_balancers
from kubetally.domain.metrics import Family
from kubetally.domain.reading import Reading
from kubetally.domain.window import HOUR, Window
from tests.unit.domain.clusters import METRICS, MIDNIGHT, TODAY, kinds_of, micros, reading

WEB, PRICE = "shop/web", 25_000


def measured(moved_at: float = 11.5, **more: object) -> Infrastructure:
    """A balancer of 0.025 an hour that has another address from an hour of the day on."""

    def at(hour: Window) -> MeasuredHour:
        part = min(1.0, max(0.0, moved_at - (hour.start - MIDNIGHT) / HOUR))
        seen = [
            LoadBalancerHour(WEB, address, round(PRICE * of), of)
            for address, of in (("a", part), ("b", 1 - part))
            if of
        ]
        return MeasuredHour(hour, load_balancer=PRICE, load_balancers=tuple(seen))

    return Infrastructure(TODAY, tuple(map(at, clock_hours(TODAY))), METRICS, **more)  # type: ignore[arg-type]


def answer(paid: str, charged: str, infrastructure: Infrastructure | None = None) -> Reading:
    """A day on which the source shows one cost of a balancer as an asset, and another in allocations."""
    text = f"""
        node n1 cpu 10
        balancer shop/web {paid}
        balancer shop/other 0.50
        pod shop/a @n1 cpu 4 lb:shop/web {charged}
        pod shop/b @n1 cpu 4 lb:shop/other 0.50
        idle @n1 cpu 2
    """
    return replace(reading(text), infrastructure=infrastructure)


@pytest.mark.parametrize(("paid", "charged"), [("0.575", "0.6333"), ("0.6333", "0.575"), ("0.575", "0.575")])
def test_cost_of_a_moved_balancer_is_the_one_measured(paid: str, charged: str) -> None:
    booking = book(answer(paid, charged, measured()))
    assert booking.bill.load_balancer == micros("1.10")
    assert [row.costs.load_balancer for row in booking.rows if row.kind is Kind.WORKLOAD] == [600_000, 500_000]
    assert not any(row.costs.load_balancer for row in booking.rows if row.kind is Kind.DIFFERENCE)
    assert booking.source_total == sum(row.total for row in answer(paid, charged).allocations)
    (issue,) = (issue for issue in booking.issues if issue.kind is IssueKind.BALANCER_CORRECTED)
    assert f"shop/web {float(paid):.4f}, measured 0.6000" in issue.message
    assert (issue.source, issue.is_missing_data) == (METRICS, False)
    assert IssueKind.BALANCER_DIFFERS not in kinds_of(booking.issues)


def test_balancer_of_one_address_is_left_as_the_source_has_it() -> None:
    found = answer("0.575", "0.575", measured(moved_at=24))
    assert correct_load_balancers(found) is found


def test_balancer_that_agrees_is_left() -> None:
    found = answer("0.6021", "0.6021", measured())
    assert correct_load_balancers(found) is found


def test_balancer_of_a_cloud_bill_is_left() -> None:
    found = answer("0.575", "0.575", measured())
    billed = [asset._replace(adjustment=-1) for asset in found.assets or ()]
    found = replace(found, assets=billed)
    assert correct_load_balancers(found) is found


def test_prometheus_that_lost_samples_settles_nothing() -> None:
    part = {Family.COST_MODEL: (Window(MIDNIGHT, MIDNIGHT + 20 * HOUR),)}
    found = answer("0.575", "0.575", measured(present=part))
    assert correct_load_balancers(found) is found


def test_part_of_a_day_is_settled_by_its_hours() -> None:
    half = Window(MIDNIGHT, MIDNIGHT + 12 * HOUR)
    found = correct_load_balancers(answer("0.575", "0.6333", measured()).within(half))
    assert sum(asset.costs.load_balancer for asset in found.assets or ()) == 300_000 + 250_000


def test_two_addresses_at_one_time_cost_once() -> None:
    at_once = LoadBalancerHour(WEB, "a", PRICE, 1.0), LoadBalancerHour(WEB, "b", PRICE, 1.0)
    assert MeasuredHour(clock_hours(TODAY)[0], load_balancers=at_once).load_balancer_costs() == {WEB: PRICE}


def test_two_costs_of_a_balancer_are_an_issue() -> None:
    (issue,) = differing_load_balancers(answer("0.575", "0.6333"))
    assert "shop/web 0.5750 as an asset, 0.6333 in allocations" in issue.message
    assert "--prometheus-url" in issue.message
    assert (issue.kind, issue.is_missing_data) == (IssueKind.BALANCER_DIFFERS, False)
    assert list(differing_load_balancers(answer("0.541875", "0.54188"))) == []
    assert [of.kind for of in book(answer("0.575", "0.6333")).issues].count(IssueKind.BALANCER_DIFFERS) == 1
