"""The answer of a source for one cluster and one window, ready to be booked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from kubetally.domain.allocation import Allocation, Kind
from kubetally.domain.asset import Asset
from kubetally.domain.component import Component
from kubetally.domain.efficiency import Hours
from kubetally.domain.infrastructure import Infrastructure, clipped
from kubetally.domain.issues import Issue
from kubetally.domain.money import CurrencyOrigin
from kubetally.domain.window import Window


@dataclass(frozen=True, slots=True)
class Reading:
    """The rows of one cluster for `window`, and its assets.

    `covered`: the spans, inside the window, that the source answered for; none where it holds no data.
    `assets`:  None where the source returned none for this window (it failed, has no such answer, or returned another
               window's): then there are no assets to make the bill of.
    `missing`: components with a figure that the source could not compute.
    `figure_rounding`: how far each figure may be from what the source computed, in micros.
    `has_machine_twice`: whether the source took one machine for two, which its idle cost then counts twice.
    `other_assets`: assets of an unknown type, which stay out of the bill.
    `currency`: the one the account states or the source does. `currency_origin`: who states it; None where not known.
    `infrastructure`: what Prometheus measured of what the source leaves out, in the same currency; None where no
               Prometheus is configured, or it failed.
    """

    window: Window
    allocations: Sequence[Allocation]
    assets: Sequence[Asset] | None
    covered: tuple[Window, ...]
    currency: str
    source: str
    issues: tuple[Issue, ...] = ()
    missing: frozenset[Component] = frozenset()
    has_machine_twice: bool = False
    other_assets: tuple[Asset, ...] = ()
    collected_at: datetime | None = None
    infrastructure: Infrastructure | None = None
    currency_origin: CurrencyOrigin | None = None
    figure_rounding: int = 0

    def within(self, window: Window) -> "Reading":
        """The share of it that falls into `window`, prorated by time; adjacent shares add up to the whole exactly."""
        if window == self.window:
            return self
        allocations = (row.within(window) for row in self.allocations)
        assets = None if self.assets is None else (asset.within(window) for asset in self.assets)
        return replace(
            self,
            window=window,
            allocations=[row for row in allocations if row is not None],
            assets=None if assets is None else [asset for asset in assets if asset is not None],
            other_assets=tuple(part for asset in self.other_assets if (part := asset.within(window)) is not None),
            covered=clipped(self.covered, window),
            infrastructure=None if self.infrastructure is None else self.infrastructure.within(window),
        )


def without_requests(reading: Reading) -> Reading:
    """The same reading with the requests of all workloads unknown: nobody measured them."""
    return _with_hours(reading, lambda hours: hours._replace(cpu_core_request_hours=None, ram_byte_request_hours=None))


def without_usage(reading: Reading) -> Reading:
    """The same reading with the usage of all workloads unknown: nobody measured it."""
    return _with_hours(reading, lambda hours: hours._replace(cpu_core_usage_hours=None, ram_byte_usage_hours=None))


def _with_hours(reading: Reading, change: Callable[[Hours], Hours]) -> Reading:
    allocations = [
        row._replace(hours=change(row.hours)) if row.kind is Kind.WORKLOAD else row for row in reading.allocations
    ]
    return replace(reading, allocations=allocations)
