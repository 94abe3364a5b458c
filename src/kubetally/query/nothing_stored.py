"""The stores of clusters without accounts, which have nothing."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Never

from kubetally.domain.component import Component
from kubetally.domain.issues import IssueKind


class NothingStored:
    """What is known of clusters without accounts: nothing."""

    def revision(self) -> None:
        return None

    def days(self, first: date, *, end: date, account_ids: Iterable[str] | None = None) -> Sequence[Never]:
        return ()

    def days_as_of(self, as_of: datetime, first: date, *, end: date, account_ids: Iterable[str]) -> Sequence[Never]:
        return ()

    def collections_on(self, day: date, account_ids: Iterable[str] | None = None) -> Mapping[str, Never]:
        return {}

    def fact_sums(self, first: date, *, end: date, account_ids: Iterable[str] | None = None) -> Sequence[Never]:
        return ()

    def issues(
        self, first: date, *, end: date, kinds: Iterable[IssueKind], account_ids: Iterable[str] | None = None
    ) -> Mapping[str, Sequence[Never]]:
        return {}

    def not_measured(self, first: date, *, end: date, account_ids: Iterable[str]) -> Mapping[str, frozenset[Component]]:
        return {}


def no_lake() -> Never:
    raise AssertionError("nothing is stored")
