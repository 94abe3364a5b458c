"""Many amounts are rounded as one is."""

from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.efficiency import SIGNIFICANT_DIGITS, round_amount
from kubetally.query.rounding import round_amounts

MANY = 500
HALVES = st.integers(0, 10**9).map(lambda number: number / 2**3)
AMOUNTS = st.none() | HALVES | st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(AMOUNTS, max_size=50))
def test_many_are_rounded_as_one_is(amounts: list[float | None]) -> None:
    expected = [None if amount is None else round_amount(amount) for amount in amounts]
    assert round_amounts(amounts) == expected
    assert round_amounts(amounts + [1.0] * MANY) == expected + [1.0] * MANY


@given(st.floats(1e-9, 1e20) | HALVES)
def test_rounded_amount_has_few_digits_and_is_near(amount: float) -> None:
    rounded = round_amount(amount)
    digits = repr(rounded).partition("e")[0].replace(".", "").strip("0")
    assert len(digits) <= SIGNIFICANT_DIGITS
    assert abs(rounded - amount) <= 0.50001 * 10.0 ** (1 - SIGNIFICANT_DIGITS) * amount
    assert (round_amount(rounded), round_amount(-amount)) == (rounded, -rounded)


def test_half_is_rounded_away_from_zero() -> None:
    assert [round_amount(amount) for amount in (1.00000005, -1.00000005, 0.0)] == [1.0000001, -1.0000001, 0.0]
