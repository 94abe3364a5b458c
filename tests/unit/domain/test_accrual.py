"""Fee, load balancers and traffic accrue by the clock hour."""

from kubetally.domain.accrual import HourSamples, PricedPart, accrue_hour
from kubetally.domain.component import NetworkClasses
from kubetally.domain.infrastructure import BYTES_PER_GIB, NetworkBytes
from kubetally.domain.window import HOUR, Window
from tests.unit.domain.clusters import TODAY

SPAN = Window(TODAY.start, TODAY.start + HOUR)
GIB = float(BYTES_PER_GIB)


def test_hour_without_samples_is_unknown() -> None:
    assert accrue_hour(HourSamples(SPAN, load_balancers={("shop/web", "10.0.0.1"): []})) is None


def test_fee_accrues_for_the_whole_hour_and_once_for_several_jobs() -> None:
    hour = accrue_hour(HourSamples(SPAN, fee_prices=[0.1, 0.1]))
    assert hour is not None
    assert (hour.management, hour.load_balancer, hour.network) == (100_000, None, None)


def test_load_balancer_costs_its_price_for_its_part_of_the_hour() -> None:
    parts = {("shop/web", "10.0.0.1"): [PricedPart(0.04, 0.5), PricedPart(0.04, 0.5)]}
    hour = accrue_hour(HourSamples(SPAN, load_balancers=parts))
    assert hour is not None
    assert (hour.load_balancer, hour.load_balancers[0].part) == (20_000, 0.5)


def test_addresses_of_one_load_balancer_cost_no_more_than_the_hour() -> None:
    parts = {("shop/web", address): [PricedPart(0.04, 1.0)] for address in ("10.0.0.1", "10.0.0.2")}
    hour = accrue_hour(HourSamples(SPAN, load_balancers=parts))
    assert hour is not None
    assert hour.load_balancer == 40_000


def test_traffic_costs_its_bytes_times_the_price_of_its_class() -> None:
    sent = NetworkBytes(internet=2 * GIB, zone=GIB)
    hour = accrue_hour(HourSamples(SPAN, sent=sent, egress_prices={"internet": [0.12], "zone": [0.01]}))
    assert hour is not None
    assert hour.network == NetworkClasses(internet=240_000, zone=10_000)


def test_traffic_without_any_price_is_unknown() -> None:
    hour = accrue_hour(HourSamples(SPAN, sent=NetworkBytes(internet=GIB), egress_prices={"zone": [0.01]}))
    assert hour is not None
    assert (hour.network, hour.network_bytes) == (None, NetworkBytes(internet=GIB))
    unknown = accrue_hour(HourSamples(SPAN, sent=NetworkBytes(), unknown_bytes=GIB))
    assert unknown is not None
    assert unknown.network is None
