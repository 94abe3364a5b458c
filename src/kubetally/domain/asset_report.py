"""What assets cost over a window: each merged over its days, or grouped."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from kubetally.domain.component import Component, Costs
from kubetally.domain.errors import RequestError
from kubetally.domain.issues import Issue
from kubetally.domain.nearest import suggestion
from kubetally.domain.question.filter import Filter
from kubetally.domain.question.partial import EVERY_ROW
from kubetally.domain.question.scope import Scope, both
from kubetally.domain.status import Coverage
from kubetally.domain.window import Window

IDENTITY: Final = ("cluster", "asset_type", "name", "provider_id")
"""What distinguishes an asset from all others; those that are not grouped are rows by these."""
ATTRIBUTES: Final = (
    "node_type",
    "pool",
    "region",
    "zone",
    "storage_class",
    "volume_name",
    "claim_namespace",
    "claim_name",
)
"""What else is known of an asset; the last word of its days counts."""
GROUPABLE: Final = ("cluster", "asset_type", "node_type", "pool", "region", "zone", "storage_class")


@dataclass(frozen=True, slots=True)
class AssetQuestion:
    """Which assets are added up, and how.

    group: dimensions of `GROUPABLE`; none for each asset by itself. scope: as of a `CostQuestion`.
    """

    window: Window
    group: tuple[str, ...] = ()
    filter: Filter = EVERY_ROW
    scope: Scope | None = None

    @property
    def asked_filter(self) -> Filter:
        """The filter as it was asked, which answers show."""
        return self.filter if self.scope is None else self.scope.asked

    def limited_to(self, rows: Filter) -> "AssetQuestion":
        """The question for those of its assets that pass another filter too, once."""
        if rows == EVERY_ROW:
            return self
        return replace(self, filter=both(self.filter, rows), scope=Scope(rows, self.filter))


class AssetHours(NamedTuple):
    """How long assets existed, and what they offered meanwhile; None where unknown."""

    hours: float | None
    cpu_core_hours: float | None
    ram_byte_hours: float | None
    gpu_hours: float | None
    byte_hours: float | None
    byte_hours_used: float | None


@dataclass(frozen=True, slots=True)
class AssetRow:
    """An asset over its days, or a group of assets.

    key:         a value for each dimension of the group, else of `IDENTITY`; None where an asset has none.
    attributes:  in the order of `ATTRIBUTES`, of an asset by itself.
    account_id:  where rows are grouped by cluster, or not at all.
    costs:       micros by component; None where no day measured it.
    adjustment:  part of the costs, in micros. outside: what assets of the type `other` cost, which is in no component.
    discount:    fraction that was taken off CPU and RAM; None where it differs.
    days:        of assets: how many asset-days are in it.
    """

    key: tuple[str | None, ...]
    attributes: tuple[str | None, ...]
    account_id: str | None
    costs: tuple[int | None, ...]
    adjustment: int
    outside: int | None
    discount: float | None
    hours: AssetHours
    days: int

    @property
    def total(self) -> int:
        """Micros of all components."""
        return sum(amount for amount in self.costs if amount is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetReport:
    """The rows, highest cost first. bill: the total of the components, which the rows add up to.

    not_measured: components that no day measured; they are zero in the bill.
    """

    question: AssetQuestion
    currency: str | None
    rows: Sequence[AssetRow]
    bill: Costs
    coverage: Coverage
    assets_complete: bool
    not_measured: frozenset[Component]
    issues: tuple[Issue, ...]


def parse_asset_group(text: str) -> tuple[str, ...]:
    """The dimensions in a comma list such as `cluster,node_type`; none in an empty text. Raises RequestError."""
    names = [item.strip() for item in text.split(",")] if text.strip() else []
    for name in names:
        if name not in GROUPABLE:
            problem = f"has the unknown dimension {name!r}{suggestion(name, GROUPABLE)}"
        elif names.count(name) > 1:
            problem = f"has {name!r} twice"
        else:
            continue
        raise RequestError(f"the group {problem}: use a comma list of {', '.join(GROUPABLE)}", code="unknown_dimension")
    return tuple(names)
