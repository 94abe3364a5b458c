"""What Prometheus measured of a cluster's management fee, load balancers and traffic, by clock hour.

Hours are the atoms: each is measured for itself, so that adjacent windows add up to the whole, to the micro.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from kubetally.domain.component import NetworkClasses
from kubetally.domain.issues import Issue
from kubetally.domain.metrics import Family
from kubetally.domain.money import prorate, sum_of_known
from kubetally.domain.window import HOUR, Window, spans_without

BYTES_PER_GIB = 2**30


class NetworkBytes(NamedTuple):
    """Bytes sent, by where they went; traffic inside a zone costs nothing and is in none of them."""

    internet: float = 0.0
    region: float = 0.0
    zone: float = 0.0


class LoadBalancerHour(NamedTuple):
    """A load balancer at one of its addresses: micros for the part of an hour (from 0 to 1) in which it was there."""

    name: str
    address: str
    cost: int
    part: float


class MeasuredHour(NamedTuple):
    """A clock hour, or the part of one that falls into a window; what has no sample in it is None, never zero.

    management:    micros that accrued: the whole hour's, wherever in it the samples are.
    load_balancer: micros of all balancers, each for the part of the hour in which it was there.
    network:       micros by class; `network_bytes` is what they are made of.
    load_balancers: each load balancer at each address, by `namespace/service`.
    """

    span: Window
    management: int | None = None
    load_balancer: int | None = None
    network: NetworkClasses | None = None
    network_bytes: NetworkBytes | None = None
    load_balancers: tuple[LoadBalancerHour, ...] = ()

    def within(self, window: Window) -> "MeasuredHour | None":
        """The share of it that falls into `window`, prorated by time; None where nothing does."""
        if window.contains(self.span):
            return self
        common = window.overlap(self.span)
        if common is None:
            return None
        since, until = self.span.fractions_of(common)
        network, sent = self.network, self.network_bytes
        return MeasuredHour(
            common,
            None if self.management is None else prorate(self.management, start=since, end=until),
            None if self.load_balancer is None else prorate(self.load_balancer, start=since, end=until),
            None
            if network is None
            else NetworkClasses(*(prorate(amount, start=since, end=until) for amount in network)),
            None if sent is None else NetworkBytes(*(amount * (until - since) for amount in sent)),
            tuple(hour._replace(cost=prorate(hour.cost, start=since, end=until)) for hour in self.load_balancers),
        )

    def load_balancer_costs(self) -> dict[str, int]:
        """Micros of each load balancer over its addresses; at no time does it cost more than at one of them."""
        costs: dict[str, int] = {}
        parts: dict[str, float] = {}
        for balancer in self.load_balancers:
            costs[balancer.name] = costs.get(balancer.name, 0) + balancer.cost
            parts[balancer.name] = parts.get(balancer.name, 0.0) + balancer.part
        return {name: round(cost / max(1.0, parts[name])) for name, cost in costs.items()}


class ContainerKey(NamedTuple):
    """Which container; its lives have the same key."""

    namespace: str
    pod: str
    container: str

    def __str__(self) -> str:
        return "/".join(self)


class UsedHour(NamedTuple):
    """What all lives of a container used in a clock hour, or in the part of one that falls into a window.

    cpu_core_hours: None where too few samples tell.
    ram_bytes:      the mean of the samples, None without any; `ram_samples` says how many there are.
    """

    span: Window
    cpu_core_hours: float | None = None
    ram_bytes: float | None = None
    ram_samples: float = 0.0

    def within(self, window: Window) -> "UsedHour | None":
        """The share of it that falls into `window`, prorated by time; None where nothing does."""
        common = window.overlap(self.span)
        if common is None:
            return None
        if common == self.span:
            return self
        since, until = self.span.fractions_of(common)
        part, cpu = until - since, self.cpu_core_hours
        return UsedHour(common, None if cpu is None else cpu * part, self.ram_bytes, self.ram_samples * part)


@dataclass(frozen=True, slots=True)
class Infrastructure:
    """What was measured over `window`: hours in their order; an hour in which nothing was measured is not among them.

    `source`: which server, fit to be shown. `issues`: what is wrong with what it answered; gaps among them.
    `cluster_id`: which cluster the samples say they are of, where neither it nor a tenant was chosen.
    `present`: the spans, inside the window, in which each family of metrics has samples, to five minutes; gaps of less
               than 15 minutes are not counted. Empty: no sample in the window, but in the days around it. A family that
               is not a key is unknown: the server does not have it at all, or was not asked.
    `since`:   the first sample of any family, where the server has none in the days before the window. Earlier hours
               may be from before its retention or before the cluster: nothing is known of them.
    `usage`:   what containers used that had several lives (they restarted or moved), hours in their order.
    """

    window: Window
    hours: tuple[MeasuredHour, ...]
    source: str
    issues: tuple[Issue, ...] = ()
    cluster_id: str | None = None
    present: Mapping[Family, tuple[Window, ...]] = field(default_factory=dict)
    since: datetime | None = None
    usage: Mapping[ContainerKey, tuple[UsedHour, ...]] = field(default_factory=dict)

    def missing(self, family: Family) -> tuple[Window, ...]:
        """The spans of the window in which a family that the server holds has no sample."""
        if family not in self.present:
            return ()
        start = self.window.start if self.since is None else max(self.window.start, self.since)
        if start >= self.window.end:
            return ()
        return tuple(spans_without([Window(start, self.window.end)], cuts=self.present[family]))

    @property
    def management(self) -> int | None:
        """Micros of the management fee; None where no hour has a sample of it."""
        return sum_of_known(hour.management for hour in self.hours)

    @property
    def load_balancer(self) -> int | None:
        """Micros of all load balancers; None where no hour has a sample of any."""
        return sum_of_known(hour.load_balancer for hour in self.hours)

    @property
    def network(self) -> NetworkClasses | None:
        """Micros of traffic by class; None where no hour has a sample of it."""
        measured = [hour.network for hour in self.hours if hour.network is not None]
        return NetworkClasses.sum(measured) if measured else None

    @property
    def network_bytes(self) -> NetworkBytes | None:
        """Bytes sent by class; None where no hour has a sample of them."""
        measured = [hour.network_bytes for hour in self.hours if hour.network_bytes is not None]
        return NetworkBytes(*map(sum, zip(*measured, strict=True))) if measured else None

    def within(self, window: Window) -> "Infrastructure":
        """The share that falls into `window`, prorated by time inside an hour; adjacent shares add up exactly.

        Its issues stay behind with the whole, which tells them once.
        """
        first = bisect_right(self.hours, window.start, key=lambda hour: hour.span.end)
        last = bisect_left(self.hours, window.end, key=lambda hour: hour.span.start)
        shares = (hour.within(window) for hour in self.hours[first:last])
        return replace(
            self,
            window=window,
            hours=tuple(hour for hour in shares if hour is not None),
            issues=(),
            present={family: clipped(spans, window) for family, spans in self.present.items()},
            usage={
                key: tuple(part for hour in used if (part := hour.within(window)) is not None)
                for key, used in self.usage.items()
            },
        )


def clipped(spans: Iterable[Window], window: Window) -> tuple[Window, ...]:
    """The parts of `spans` inside `window`, in their order."""
    parts = (span.overlap(window) for span in spans)
    return tuple(part for part in parts if part is not None)


def clock_hours(window: Window) -> Sequence[Window]:
    """The clock hours of a window of whole hours."""
    count = round((window.end - window.start) / HOUR)
    return [Window(window.start + n * HOUR, window.start + (n + 1) * HOUR) for n in range(count)]
