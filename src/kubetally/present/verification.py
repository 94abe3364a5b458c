"""Compares our total with the one that the source itself shows, by component."""

from dataclasses import dataclass
from decimal import Decimal

from kubetally.domain.allocation import Kind
from kubetally.domain.component import Component
from kubetally.domain.money import to_decimal
from kubetally.domain.report import ClusterReport
from kubetally.domain.row import Cause


@dataclass(frozen=True, slots=True)
class ComponentCheck:
    """A component in micros: its bill, what the source shows for it, and its balance."""

    component: Component
    bill: int
    source_shows: int
    workload: int
    idle: int
    unmounted: int
    overhead: int
    difference: int
    causes: tuple[tuple[Cause, int], ...]


@dataclass(frozen=True, slots=True)
class Verification:
    """Both totals of a window, in micros, and each component."""

    ours: int
    source_shows: int
    tolerance: float
    components: tuple[ComponentCheck, ...]

    @property
    def difference(self) -> float | None:
        """Ours minus the source's, as a fraction of the source's; None if the source shows nothing."""
        return (self.ours - self.source_shows) / self.source_shows if self.source_shows else None

    @property
    def is_within(self) -> bool:
        """Whether the totals differ by no more than the tolerance, compared without rounding."""
        allowed = abs(to_decimal(self.source_shows)) * Decimal(repr(self.tolerance))
        return abs(to_decimal(self.ours - self.source_shows)) <= allowed


def verify(costs: ClusterReport, tolerance: float) -> Verification:
    """The comparison of `costs` with the source's own figures: its allocations with idle, before balancing.

    Units: `tolerance` is a fraction, 0.05 for 5 %.
    """
    balance = costs.balance
    difference = costs.line(Kind.DIFFERENCE)
    checks = []
    for component in Component:
        sheet = balance[component]
        causes = tuple((cause, amounts.of(component)) for cause, amounts in difference.causes if amounts.of(component))
        checks.append(ComponentCheck(component, sheet.bill, sheet.source_shows(causes), *sheet[1:], causes=causes))
    return Verification(costs.bill.total, costs.source_total, tolerance, tuple(checks))
