"""What could be saved by a month's run rate, as a source recommends it: never a cost, never part of a balance."""

from dataclasses import dataclass
from decimal import Decimal

from kubetally.domain.money import to_decimal, to_micros

HOURS_PER_MONTH = 730
"""The month of every savings figure, whatever the calendar says (reference: sources.md 2.2)."""


@dataclass(frozen=True, slots=True)
class SavingsCategory:
    """One kind of recommendation.

    `per_month` is in the source's currency per month of 730 hours, on the grid of 1e-6; negative when following the
    advice costs more; None when the source gave no figure, which is not zero. `state` is the source's word, None where
    it has none. `counted` says whether it is in the sum: a figure is there and the source does not call it unfinished.
    """

    name: str
    per_month: Decimal | None
    state: str | None
    counted: bool

    def __post_init__(self) -> None:
        if self.counted and self.per_month is None:
            raise ValueError(f"{self.name} is counted without a figure")


@dataclass(frozen=True, slots=True)
class Savings:
    """All recommendations of one answer, in the source's order, and whose they are.

    `profile` and `cluster_id` are what the figures were read for; None where the answer does not tell them apart
    (for clusters: all of them together).
    """

    categories: tuple[SavingsCategory, ...]
    profile: str | None = None
    cluster_id: str | None = None

    @property
    def per_month(self) -> Decimal | None:
        """The sum of the counted categories, per month of 730 hours; None when none is counted.

        An upper bound: categories overlap (a smaller cluster presumes smaller requests), so following all of them
        saves less. Never add it to a window's cost, nor compare it with one; `scaled_to` the window first.
        """
        counted = [one.per_month for one in self.categories if one.counted and one.per_month is not None]
        return to_decimal(sum(map(to_micros, counted))) if counted else None

    def scaled_to(self, hours: int | Decimal) -> Decimal | None:
        """`per_month` over `hours` instead of 730, to the nearest 1e-6 (half to even); None as `per_month` is."""
        if self.per_month is None:
            return None
        return to_decimal(to_micros(self.per_month * hours / HOURS_PER_MONTH))
