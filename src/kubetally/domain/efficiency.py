"""How well what was requested was used: ratios of sums, never averages of ratios."""

from collections.abc import Iterable, Sequence
from math import copysign, floor, fsum, isfinite, log10
from typing import Final, NamedTuple

SIGNIFICANT_DIGITS: Final = 8
"""Of hours in an answer: an engine adds doubles in any order, and their last digits depend on it."""
RELIABLE_DIGITS: Final = 13
"""Of a sum of many doubles, in whatever order."""
MIN_EXPONENT: Final = RELIABLE_DIGITS - 1 - 22
MAX_EXPONENT: Final = SIGNIFICANT_DIGITS - 1 + 22
"""Of amounts that are rounded by exact powers of ten; no hours or bytes are outside."""


class Hours(NamedTuple):
    """Resource-hours and traffic of a row; they add up over rows, steps and days.

    Units: core-hours, byte-hours (bytes, not GiB), GPU-hours; traffic in bytes of all classes.
    None:  a request or usage that nobody measured; 0 is one that was measured.
    """

    cpu_core_hours: float = 0.0
    cpu_core_request_hours: float | None = 0.0
    cpu_core_usage_hours: float | None = 0.0
    ram_byte_hours: float = 0.0
    ram_byte_request_hours: float | None = 0.0
    ram_byte_usage_hours: float | None = 0.0
    gpu_hours: float = 0.0
    gpu_request_hours: float | None = 0.0
    gpu_usage_hours: float | None = 0.0
    pv_byte_hours: float = 0.0
    network_transfer_bytes: float = 0.0
    network_receive_bytes: float = 0.0

    def plus(self, other: "Hours") -> "Hours":
        """The sum of what is known, field by field."""
        return Hours.sum([self, other])

    def times(self, part: float) -> "Hours":
        """A part of each; what is unknown stays unknown."""
        return Hours(*[None if amount is None else amount * part for amount in self])  # type: ignore[arg-type]

    def rounded(self) -> "Hours":
        """To `SIGNIFICANT_DIGITS`; what is unknown stays unknown."""
        return Hours(*[None if amount is None else round_amount(amount) for amount in self])  # type: ignore[arg-type]

    @classmethod
    def sum(cls, many: Iterable["Hours"]) -> "Hours":
        """The sum of what is known of many, field by field; unknown where nothing is known, zero of none.

        The same digits in any order, and on every Python.
        """
        rows = [*many]
        if not rows:
            return NO_HOURS
        try:
            return cls(*map(fsum, zip(*rows, strict=True)))
        except TypeError:  # some are None, which is rare
            return cls(*map(sum_of_known, zip(*rows, strict=True)))  # type: ignore[arg-type]

    @classmethod
    def merged(cls, parts: Sequence["Hours"]) -> "Hours":
        """The sum of the parts of one thing: a request or usage that one part lacks is unknown of the whole."""
        try:
            return cls(*map(fsum, zip(*parts, strict=True)))
        except TypeError:
            columns = zip(*parts, strict=True)
            return cls(*(None if None in column else fsum(column) for column in columns))  # type: ignore[arg-type]


NO_HOURS = Hours()


class RatedHours(NamedTuple):
    """Requests and usage of the rows that have both; they add up like `Hours`.

    Usage without any request counts too: its request is known, and 0.
    """

    cpu_core_request_hours: float = 0.0
    cpu_core_usage_hours: float = 0.0
    ram_byte_request_hours: float = 0.0
    ram_byte_usage_hours: float = 0.0

    def rounded(self) -> "RatedHours":
        """To `SIGNIFICANT_DIGITS`."""
        return RatedHours(*map(round_amount, self))

    @classmethod
    def of(cls, rows: Iterable[Hours]) -> "RatedHours":
        """The sums of rows; zero of none."""
        hours = [*rows]
        return cls(
            *_rated([(row.cpu_core_request_hours, row.cpu_core_usage_hours) for row in hours]),
            *_rated([(row.ram_byte_request_hours, row.ram_byte_usage_hours) for row in hours]),
        )

    @classmethod
    def sum(cls, many: Iterable["RatedHours"]) -> "RatedHours":
        """The sum of many, field by field; zero of none."""
        rows = [*many]
        return cls(*map(fsum, zip(*rows, strict=True))) if rows else cls()


class Efficiency(NamedTuple):
    """Usage over request per resource, and of both weighted by their cost; None where it has no meaning."""

    cpu: float | None
    ram: float | None
    total: float | None


def efficiency(hours: RatedHours, *, cpu_cost: int, ram_cost: int) -> Efficiency:
    """What of the requests was used, from summed hours and the workloads' own costs (without idle).

    Units:  ratios, not percent, not clamped: usage above the request gives more than 1. Costs in micros.
    None:   a resource without requests, with almost none, or without any row that has both figures; the total if no
            resource with a ratio cost anything. A negative cost weighs nothing.
    """
    cpu = _ratio(hours.cpu_core_usage_hours, hours.cpu_core_request_hours)
    ram = _ratio(hours.ram_byte_usage_hours, hours.ram_byte_request_hours)
    weighed = [(ratio, max(cost, 0)) for ratio, cost in ((cpu, cpu_cost), (ram, ram_cost)) if ratio is not None]
    weight = sum(cost for _, cost in weighed)
    total = _finite(sum(ratio * cost for ratio, cost in weighed) / weight) if weight > 0 else None
    return Efficiency(cpu, ram, total)


def sum_of_known(column: Sequence[float | None]) -> float | None:
    """The sum of what is known; None where nothing is."""
    known = [amount for amount in column if amount is not None]
    return fsum(known) if known else None


def round_amount(amount: float) -> float:
    """To `SIGNIFICANT_DIGITS`, a half away from zero, so that no order of addition shows.

    Sums of hours with few digits often lie halfway between two: the digits that depend on the order are cut off first.
    `query.rounding` does the same to many at once.
    """
    if not amount:
        return 0.0
    size = floor(log10(abs(amount)))
    if not MIN_EXPONENT <= size <= MAX_EXPONENT:
        return float(f"{amount:.{SIGNIFICANT_DIGITS}g}")
    digits = round(_times_power(abs(amount), RELIABLE_DIGITS - 1 - size))
    kept = floor(digits / 10 ** (RELIABLE_DIGITS - SIGNIFICANT_DIGITS) + 0.5)
    return copysign(_times_power(kept, size + 1 - SIGNIFICANT_DIGITS), amount)


def _times_power(number: float, exponent: int) -> float:
    """Times a power of ten, rounded once, as powers up to 10 ** 22 are exact."""
    return float(number * 10.0**exponent if exponent >= 0 else number / 10.0**-exponent)


def _rated(pairs: Sequence[tuple[float | None, float | None]]) -> tuple[float, float]:
    """Request and usage, each summed over the pairs that have both."""
    known = [(request, usage) for request, usage in pairs if request is not None and usage is not None]
    return fsum(request for request, _ in known), fsum(usage for _, usage in known)


def _ratio(used: float, requested: float) -> float | None:
    return _finite(used / requested) if requested > 0 else None


def _finite(ratio: float) -> float | None:
    """An infinite ratio, of a request of almost nothing, has no meaning either."""
    return ratio if isfinite(ratio) else None
