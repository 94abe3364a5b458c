"""Infrastructure cost compared with the full cost of a cluster, and the share of each component."""

from collections.abc import Sequence
from dataclasses import dataclass

from kubetally.domain.component import Component
from kubetally.domain.money import round_to_sum
from kubetally.domain.report import ClusterReport

INFRASTRUCTURE = (Component.MANAGEMENT, Component.LOAD_BALANCER, Component.NETWORK)
_WHOLE = 1000  # tenths of a percent


@dataclass(frozen=True, slots=True)
class Share:
    """A component's part of the total: micros, and tenths of a percent (None if the total is not above zero)."""

    component: Component
    cost: int
    permille: int | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Infrastructure cost (management, load balancers, network) and the full cost, in micros."""

    infrastructure: int
    full: int
    shares: tuple[Share, ...]

    @property
    def improvement(self) -> int:
        """The cost that infrastructure cost leaves out."""
        return self.full - self.infrastructure

    @property
    def infrastructure_permille(self) -> int | None:
        """Infrastructure cost in tenths of a percent of the full cost; None without shares."""
        parts = [share.permille for share in self.shares if share.component in INFRASTRUCTURE]
        return None if None in parts else sum(part for part in parts if part is not None)


def compare(costs: ClusterReport) -> Comparison:
    """The comparison of an answer; its shares add up to exactly 100 %."""
    bill = costs.bill
    amounts = [bill.of(component) for component in Component]
    shares = zip(Component, amounts, permilles(amounts), strict=True)
    dearest_first = sorted((Share(*share) for share in shares), key=lambda share: -share.cost)
    return Comparison(sum(bill.of(component) for component in INFRASTRUCTURE), bill.total, tuple(dearest_first))


def permilles(amounts: Sequence[int]) -> list[int | None]:
    """Shares of the sum in tenths of a percent that add up to 1000; all None if the sum is not above zero.

    Rounded by largest remainder. A credit has a negative share.
    """
    total = sum(amounts)
    if total <= 0:
        return [None] * len(amounts)
    return [*round_to_sum([amount * _WHOLE for amount in amounts], denominator=total, total=_WHOLE)]
