"""Filters of which a part is known already."""

from collections.abc import Callable
from typing import Final

from kubetally.domain.question.filter import AllOf, AnyOf, Condition, Filter

EVERY_ROW: Final = AllOf(())
NO_ROW: Final = AnyOf(())


def decide(condition: Filter, known: Callable[[Condition], bool | None]) -> Filter:
    """The filter that is left once `known` has decided some conditions; it returns None for the others.

    `EVERY_ROW` and `NO_ROW` where nothing is left to decide.
    """
    match condition:
        case Condition():
            decided = known(condition)
            if decided is None:
                return condition
            return EVERY_ROW if decided else NO_ROW
        case AllOf(parts):
            reduced = [part for part in (decide(part, known) for part in parts) if part != EVERY_ROW]
            if NO_ROW in reduced:
                return NO_ROW
            return reduced[0] if len(reduced) == 1 else AllOf(tuple(reduced))
        case AnyOf(parts):
            reduced = [part for part in (decide(part, known) for part in parts) if part != NO_ROW]
            if EVERY_ROW in reduced:
                return EVERY_ROW
            return reduced[0] if len(reduced) == 1 else AnyOf(tuple(reduced))


def conditions_of(condition: Filter) -> list[Condition]:
    """All comparisons of a filter, in order."""
    if isinstance(condition, Condition):
        return [condition]
    return [inner for part in condition.parts for inner in conditions_of(part)]
