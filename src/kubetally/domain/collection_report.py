"""The outcomes of a round of collecting."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from kubetally.domain.collection import NO_DATA, NOT_BEGUN, NOT_TRIED, SUPERSEDED

_NO_FAILURES = frozenset({NO_DATA, SUPERSEDED, NOT_BEGUN})


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether an (account, day) was committed, or why not.

    code, why: None if it was. total: in micros. account: the name of the account, if it was looked up.
    """

    account_id: str
    day: date
    code: str | None = None
    why: str | None = None
    total: int = 0
    rows: int = 0
    account: str = ""

    @property
    def is_collected(self) -> bool:
        """Whether it is in the lake now."""
        return self.code is None


@dataclass(slots=True)
class Report:
    """The outcomes of a round, in the order in which they came.

    planned: days that were due. accounts: clusters that are collected.
    first_days: the first stored day of each account that has any; None if they were not looked up.
    """

    planned: int = 0
    accounts: int = 0
    outcomes: list[Outcome] = field(default_factory=list)
    first_days: Mapping[str, date] | None = None

    @property
    def collected(self) -> list[Outcome]:
        """The days that are now in the lake, each once."""
        return [outcome for outcome in self._last() if outcome.is_collected]

    @property
    def failed(self) -> list[Outcome]:
        """The days that were not collected, each once, without those before the source's first day."""
        return [outcome for outcome in self._last() if not outcome.is_collected and not self._is_probe(outcome)]

    @property
    def failed_days(self) -> set[tuple[str, date]]:
        """The account and day of each that could not be read, although the source may have data."""
        return {(outcome.account_id, outcome.day) for outcome in self.failed if outcome.code not in _NO_FAILURES}

    def _last(self) -> Iterable[Outcome]:
        """The last outcome of each day; that a day was skipped does not replace why it failed before."""
        last: dict[tuple[str, date], Outcome] = {}
        for outcome in self.outcomes:
            key = outcome.account_id, outcome.day
            before = last.get(key)
            if before is None or outcome.is_collected or not (before.is_collected or outcome.code == NOT_TRIED):
                last[key] = outcome
        return last.values()

    def _is_probe(self, outcome: Outcome) -> bool:
        """Whether the day was only read to find the source's first day."""
        first = None if self.first_days is None else self.first_days.get(outcome.account_id)
        return outcome.code == NO_DATA and first is not None and outcome.day < first
