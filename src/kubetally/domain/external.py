"""The rest of a row's total beyond its known parts (B5)."""

from kubetally.domain.component import Costs

TOTAL_TOLERANCE = 100
"""Micros. A total is rounded once, its parts one by one: they differ by less than this for a sound source."""


def assign_rest(costs: Costs, total: int, *, has_unknown_part: bool) -> tuple[Costs, int]:
    """The costs with what `total` exceeds them by as external, and the difference: 0 where it is rounding.

    has_unknown_part: a known component has no figure; it may be what the total has beyond the others, which then stays
    unassigned. Below zero, the parts hold.
    Units:  micros.
    """
    rest = total - costs.total
    if -TOTAL_TOLERANCE <= rest <= TOTAL_TOLERANCE or (rest > 0 and has_unknown_part):
        return costs, 0
    return (costs._replace(external=costs.external + rest) if rest > 0 else costs), rest
