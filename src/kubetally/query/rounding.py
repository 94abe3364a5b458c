"""Rounds many sums of hours at once, each as `domain.efficiency.round_amount` does."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kubetally.domain.efficiency import (
    MAX_EXPONENT,
    MIN_EXPONENT,
    RELIABLE_DIGITS,
    SIGNIFICANT_DIGITS,
    round_amount,
)

_POWERS = pa.array([10.0**exponent for exponent in range(23)])
_MANY = 400
"""Fewer are rounded faster one by one."""


def round_amounts(amounts: Sequence[float | None]) -> list[float | None]:
    """To `SIGNIFICANT_DIGITS`; what is unknown stays unknown."""
    return _one_by_one(amounts) if len(amounts) < _MANY else _at_once(amounts)


def _one_by_one(amounts: Sequence[float | None]) -> list[float | None]:
    return [None if amount is None else round_amount(amount) for amount in amounts]


def _at_once(amounts: Sequence[float | None]) -> list[float | None]:
    given = pa.array(amounts, pa.float64())
    sizes = pc.floor(pc.log10(pc.if_else(pc.equal(given, 0.0), 1.0, pc.abs(given)))).cast(pa.int64())
    ends = pc.min_max(sizes)
    if not MIN_EXPONENT <= (ends["min"].as_py() or 0) <= (ends["max"].as_py() or 0) <= MAX_EXPONENT:
        return _one_by_one(amounts)
    digits = pc.round(_times_power(pc.abs(given), pc.subtract(RELIABLE_DIGITS - 1, sizes)))
    kept = pc.floor(pc.add(pc.divide(digits, 10.0 ** (RELIABLE_DIGITS - SIGNIFICANT_DIGITS)), 0.5))
    rounded = _times_power(kept, pc.subtract(sizes, SIGNIFICANT_DIGITS - 1))
    return pc.if_else(pc.less(given, 0.0), pc.negate(rounded), rounded).to_pylist()  # type: ignore[no-any-return]


def _times_power(numbers: Any, exponents: Any) -> Any:
    """One of the two powers is 1, so that each number is rounded once."""
    up = _POWERS.take(pc.max_element_wise(exponents, 0, skip_nulls=False))
    down = _POWERS.take(pc.max_element_wise(pc.negate(exponents), 0, skip_nulls=False))
    return pc.divide(pc.multiply(numbers, up), down)
