"""How well what was requested was used: ratios of sums, never averages of ratios."""

from collections.abc import Iterable
from math import fsum, isfinite
from typing import NamedTuple


class Hours(NamedTuple):
    """Resource-hours and traffic of a row; they add up over rows, steps and days.

    Units: core-hours, byte-hours (bytes, not GiB), GPU-hours; traffic in bytes of all classes.
    """

    cpu_core_hours: float = 0.0
    cpu_core_request_hours: float = 0.0
    cpu_core_usage_hours: float = 0.0
    ram_byte_hours: float = 0.0
    ram_byte_request_hours: float = 0.0
    ram_byte_usage_hours: float = 0.0
    gpu_hours: float = 0.0
    pv_byte_hours: float = 0.0
    network_transfer_bytes: float = 0.0
    network_receive_bytes: float = 0.0

    def plus(self, other: "Hours") -> "Hours":
        """The sum, field by field."""
        return Hours(*[a + b for a, b in zip(self, other, strict=True)])

    @classmethod
    def sum(cls, many: Iterable["Hours"]) -> "Hours":
        """The sum of many, field by field; zero of none. The same digits in any order, and on every Python."""
        rows = [*many]
        return cls(*map(fsum, zip(*rows, strict=True))) if rows else NO_HOURS


NO_HOURS = Hours()


class Efficiency(NamedTuple):
    """Usage over request per resource, and of both weighted by their cost; None where it has no meaning."""

    cpu: float | None
    ram: float | None
    total: float | None


def efficiency(hours: Hours, cpu_cost: int, ram_cost: int) -> Efficiency:
    """What of the requests was used, from summed hours and the workloads' own costs (without idle).

    Units:  ratios, not percent, not clamped: usage above the request gives more than 1. Costs in micros.
    None:   a resource without requests, or with next to none; the total where no resource with requests cost
            anything. A negative cost weighs nothing.
    """
    cpu = _ratio(hours.cpu_core_usage_hours, hours.cpu_core_request_hours)
    ram = _ratio(hours.ram_byte_usage_hours, hours.ram_byte_request_hours)
    weighed = [(ratio, max(cost, 0)) for ratio, cost in ((cpu, cpu_cost), (ram, ram_cost)) if ratio is not None]
    weight = sum(cost for _, cost in weighed)
    total = _finite(sum(ratio * cost for ratio, cost in weighed) / weight) if weight > 0 else None
    return Efficiency(cpu, ram, total)


def _ratio(used: float, requested: float) -> float | None:
    return _finite(used / requested) if requested > 0 else None


def _finite(ratio: float) -> float | None:
    """A ratio beyond every number, of a request next to nothing, has no meaning either."""
    return ratio if isfinite(ratio) else None
