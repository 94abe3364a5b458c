"""Roll-ups: sums of stored rows, which answer coarse questions faster; without them, the rows are added up."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, Protocol

Key = tuple[str, date]
"""The account and the day of a collection."""


class Grain(StrEnum):
    """What rows are summed by, beside their kind: collections, their namespaces too, or namespaces over a month.

    Those of days also by the cause of differences.
    """

    ACCOUNT = "account"
    NAMESPACE = "namespace"
    MONTH = "month"


@dataclass(frozen=True)
class RollUp:
    """A file with the sums of some collections, which never change.

    collections: whose sums it has, by id.
    """

    path: str
    collections: Mapping[str, Key]

    @cached_property
    def ids(self) -> frozenset[str]:
        """The ids of the collections."""
        return frozenset(self.collections)

    @cached_property
    def days(self) -> tuple[date, date]:
        """The first and the last day of any collection."""
        days = {day for _, day in self.collections.values()}
        return min(days), max(days)

    @property
    def month(self) -> date:
        """Its first day."""
        return self.days[0].replace(day=1)

    @cached_property
    def accounts(self) -> frozenset[str]:
        """The accounts of the collections."""
        return frozenset(account_id for account_id, _ in self.collections.values())


class RollUps(Protocol):
    """The roll-ups of a lake: one file for each month and grain. What is damaged or missing is left out.

    Raises: StoreError.
    """

    def files(self, grain: Grain) -> Sequence[RollUp]:
        """The undamaged files, by month; files without collections are left out."""

    def sums(self, file: RollUp) -> Any:
        """The sums of a file, as an Arrow table."""

    def replace(
        self,
        grain: Grain,
        month: date,
        sums: Any,
        collections: Mapping[str, Key],
        *,
        keep: Collection[str],
        at: datetime,
    ) -> None:
        """Write the file of a month with new sums, an Arrow table, and those of the present file for `keep`."""

    def drop(self, account_id: str, *, keep: Collection[str] = ()) -> int:
        """Remove the sums of an account but for these collections, at once; returns how many files were rewritten."""

    def remove_replaced(self, before: datetime) -> int:
        """Remove files that were replaced before this instant; returns how many. Queries may still read later ones."""
