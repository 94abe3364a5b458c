"""Management fee, load balancers and traffic that accrue in a clock hour (B1)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kubetally.domain.component import NetworkClasses
from kubetally.domain.infrastructure import BYTES_PER_GIB, LoadBalancerHour, MeasuredHour, NetworkBytes
from kubetally.domain.money import to_micros
from kubetally.domain.window import Window


class PricedPart(NamedTuple):
    """A price per hour, and the part of the hour (from 0 to 1) that it applies to."""

    price: float
    part: float


@dataclass(frozen=True, slots=True)
class HourSamples:
    """What samples show of one clock hour. Several prices of one thing are those of jobs that all show it.

    fee_prices:    of the cluster, per hour; none where there is no sample.
    load_balancers: by `namespace/service` and address.
    sent:          bytes by class, None if there is no sample. unknown_bytes: bytes of an unknown class.
    egress_prices: per GiB, by class.
    """

    span: Window
    fee_prices: Sequence[float] = ()
    load_balancers: Mapping[tuple[str, str], Sequence[PricedPart]] = field(default_factory=dict)
    sent: NetworkBytes | None = None
    unknown_bytes: float = 0.0
    egress_prices: Mapping[str, Sequence[float]] = field(default_factory=dict)


def accrue_hour(samples: HourSamples) -> MeasuredHour | None:
    """The hour in micros; None without a sample.

    The fee accrues for every hour that has a sample of it. A load balancer costs its price for the part of the hour in
    which it was there, traffic its bytes times the price of its class. Several jobs that show one thing are averaged,
    so that it counts once.
    """
    fee, balancers = average(samples.fee_prices), tuple(_balancers(samples.load_balancers))
    if fee is None and not balancers and samples.sent is None:
        return None
    hour = MeasuredHour(
        samples.span, None if fee is None else to_micros(fee), None, _network(samples), samples.sent, balancers
    )
    return hour._replace(load_balancer=sum(hour.load_balancer_costs().values())) if balancers else hour


def average(prices: Sequence[float]) -> float | None:
    """The mean; None without prices."""
    return sum(prices) / len(prices) if prices else None


def _balancers(balancers: Mapping[tuple[str, str], Sequence[PricedPart]]) -> Iterator[LoadBalancerHour]:
    for (name, address), parts in balancers.items():
        if parts:
            cost = to_micros(sum(price * part for price, part in parts) / len(parts))
            yield LoadBalancerHour(name, address, cost, sum(part for _, part in parts) / len(parts))


def _network(samples: HourSamples) -> NetworkClasses | None:
    """Micros of each class that has a price; None if there is traffic without any price."""
    if samples.sent is None:
        return None
    prices = [average(samples.egress_prices.get(name, ())) for name in NetworkBytes._fields]
    with_bytes = [price for price, amount in zip(prices, samples.sent, strict=True) if amount]
    if (with_bytes and all(price is None for price in with_bytes)) or (samples.unknown_bytes and not with_bytes):
        return None
    amounts = zip(samples.sent, prices, strict=True)
    return NetworkClasses(*(to_micros(amount / BYTES_PER_GIB * (price or 0.0)) for amount, price in amounts))
