"""What of a question's rows whoever asks may see."""

from dataclasses import dataclass

from kubetally.domain.question.filter import AllOf, Field, Filter
from kubetally.domain.question.partial import EVERY_ROW, conditions_of

_OF_ACCOUNTS = frozenset({Field.CLUSTER, Field.ORGANIZATION})


@dataclass(frozen=True, slots=True)
class Scope:
    """The rows that whoever asks may see. asked: the filter of the question, before it was limited to them."""

    rows: Filter
    asked: Filter

    @property
    def is_of_accounts(self) -> bool:
        """Whether it has all rows of some accounts, and none of the others."""
        return are_whole_accounts(self.rows)


def are_whole_accounts(condition: Filter) -> bool:
    """Whether a filter keeps all rows of some accounts, and none of the others."""
    return all(its.field in _OF_ACCOUNTS for its in conditions_of(condition))


def both(condition: Filter, other: Filter) -> Filter:
    """What passes both filters."""
    parts = tuple(part for part in (condition, other) if part != EVERY_ROW)
    return parts[0] if len(parts) == 1 else AllOf(parts)
