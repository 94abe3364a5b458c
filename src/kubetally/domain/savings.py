"""Savings per month that a source recommends: never a cost, never part of a balance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from kubetally.domain.money import CurrencyOrigin, to_decimal, to_micros

Facts = Mapping[str, str | None]
"""Facts of a source by their paths; numbers and words as it writes them, None for null."""

HOURS_PER_MONTH = 730
"""The month of every savings figure, whatever the calendar says (reference: sources.md 2.2)."""


@dataclass(frozen=True, slots=True)
class SavingsCategory:
    """One kind of recommendation.

    `per_month` is in the source's currency per month of 730 hours, on the grid of 1e-6; negative when following the
    advice costs more; None when the source gave no figure, which is not zero. `state` is the source's word, None where
    it has none. `counted` says whether it is in the sum: a figure is there and the source does not call it unfinished.
    `facts` is what else the source says of it.
    """

    name: str
    per_month: Decimal | None
    state: str | None
    counted: bool
    facts: Facts = field(default_factory=dict, hash=False)

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
        counted = [item.per_month for item in self.categories if item.counted and item.per_month is not None]
        return to_decimal(sum(map(to_micros, counted))) if counted else None

    def scaled_to(self, hours: int | Decimal) -> Decimal | None:
        """`per_month` over `hours` instead of 730, to the nearest 1e-6 (half to even); None as `per_month` is."""
        if self.per_month is None:
            return None
        return to_decimal(to_micros(self.per_month * hours / HOURS_PER_MONTH))


class SavingsSubject(NamedTuple):
    """The subject of a recommendation; None for what it does not concern or name."""

    namespace: str | None = None
    controller_kind: str | None = None
    controller: str | None = None
    pod: str | None = None
    container: str | None = None
    node: str | None = None
    volume: str | None = None


class SavingsItem(NamedTuple):
    """One recommendation. `key` tells it from others of its category; `per_month` as that of a category."""

    key: str
    per_month: Decimal | None
    subject: SavingsSubject
    facts: Facts


class SavingsItems(NamedTuple):
    """The recommendations of a category, in the source's order; `facts` is what the answer says of all of them."""

    items: tuple[SavingsItem, ...]
    facts: Facts


class SavingsRow(NamedTuple):
    """A category (`item_key` is None) or an item of one, as it is kept."""

    category: str
    item_key: str | None
    per_month: Decimal | None
    subject: SavingsSubject = SavingsSubject()
    state: str | None = None
    facts: Facts = MappingProxyType({})


class SavingsState(StrEnum):
    """The outcome of requesting the savings of an account and day."""

    COLLECTED = "collected"
    """All that the source offers is stored."""
    PARTIAL = "partial"
    """The categories are stored, but not the items of all of them."""
    NO_SAVINGS = "no_savings"
    """The source offers none, as an OpenCost."""
    FAILED = "failed"
    """The savings could not be read, or the source does not identify itself."""
    LOST = "lost"
    """They were stored, and damaged later."""


@dataclass(frozen=True, slots=True)
class CollectedSavings:
    """The savings of an account on the day that its source was asked, with where they come from."""

    id: str
    account_id: str
    day: date
    collected_at: datetime
    source: str
    cluster_id: str | None
    profile: str | None
    currency: str
    rows: Sequence[SavingsRow]

    @property
    def total(self) -> int:
        """Micros of all rows together; meaningless as an amount, it verifies that all rows are there."""
        return total_of(self.rows)

    def as_known(
        self,
        state: SavingsState,
        currency_origin: CurrencyOrigin | None,
        code: str | None = None,
        why: str | None = None,
    ) -> "SavingsDay":
        """The state of the day once these are stored."""
        stored = (self.id, self.currency, currency_origin, len(self.rows), self.total)
        return SavingsDay(self.account_id, self.day, state, self.collected_at, code, why, *stored)


@dataclass(frozen=True, slots=True)
class SavingsDay:
    """The state of the savings of an account and day.

    `code` and `why`: of a failure. The other fields are of stored savings; `total` is as `CollectedSavings.total`.
    """

    account_id: str
    day: date
    state: SavingsState
    asked_at: datetime
    code: str | None = None
    why: str | None = None
    collection_id: str | None = None
    currency: str | None = None
    currency_origin: CurrencyOrigin | None = None
    rows: int = 0
    total: int = 0


def total_of(rows: Sequence[SavingsRow]) -> int:
    """The micros of all rows together."""
    return sum(to_micros(row.per_month) for row in rows if row.per_month is not None)


def rows_of_category(category: SavingsCategory, items: SavingsItems | None) -> list[SavingsRow]:
    """The rows of a category and of its items; what the answer says of all items is a fact of the category."""
    of_items = {} if items is None else {f"items.{name}": value for name, value in items.facts.items()}
    rows = [
        SavingsRow(category.name, None, category.per_month, state=category.state, facts={**category.facts, **of_items})
    ]
    listed = () if items is None else items.items
    rows += [SavingsRow(category.name, item.key, item.per_month, item.subject, facts=item.facts) for item in listed]
    return rows


def compare_savings(rows: Sequence[SavingsRow], known: SavingsDay) -> str | None:
    """How stored rows differ from what was recorded; None if they do not."""
    if len(rows) != known.rows:
        return f"it has {len(rows)} rows of savings instead of {known.rows}"
    if total_of(rows) != known.total:
        return "the sum of its savings is not the recorded one"
    return None
