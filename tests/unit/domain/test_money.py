"""Money is exact: the parts of a sum add up to it, in any order and grouping."""

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kubetally.domain.component import Component, Costs, NetworkClasses
from kubetally.domain.money import (
    Money,
    prorate,
    round_to_sum,
    split,
    to_decimal,
    to_micros,
    to_number,
    total,
    unlike_currencies,
)
from tests.errors import raises_code

EIGHT_BILLION = 8 * 10**15
micros = st.integers(-EIGHT_BILLION, EIGHT_BILLION)
weights = st.lists(st.one_of(st.integers(-5, 10**9), st.floats(-1, 1e12)), min_size=1, max_size=12)
costs = st.builds(Costs, *(micros for _ in Component))


def some_above_zero(ratios: list[float]) -> bool:
    return any(ratio > 0 for ratio in ratios)


@given(micros)
@example(4_296_076_912_567_719)  # multiplied as a float this one lands half a micro away
@example(EIGHT_BILLION - 1)
def test_an_amount_comes_back_from_a_number_and_from_a_decimal(amount: int) -> None:
    assert to_micros(to_number(amount)) == amount
    assert to_micros(to_decimal(amount)) == amount
    assert Decimal(repr(to_number(amount))) == to_decimal(amount)


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(70368744.5015415)  # the product of two doubles is itself rounded
def test_number_is_rounded_to_the_nearest_point_of_the_grid(amount: float) -> None:
    exact = Fraction(amount) * 10**6
    assert abs(to_micros(amount) - exact) <= Fraction(1, 2) + abs(exact) / 2**53


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (0.1, 100_000),
        (-0.1, -100_000),
        (0, 0),
        (29.86, 29_860_000),
        (0.0000005, 0),
        (0.0000015, 2),
        (Decimal("0.0000005"), 0),
        (Decimal("0.0000015"), 2),
        (Decimal("-1.25"), -1_250_000),
        (6e9, 6 * 10**15),
    ],
)
def test_amounts_go_to_the_nearest_micro_half_to_even(amount: float | Decimal, expected: int) -> None:
    assert to_micros(amount) == expected


@pytest.mark.parametrize(
    "amount", [float("nan"), float("inf"), float("-inf"), Decimal("NaN"), Decimal("Infinity"), Decimal("1e99")]
)
def test_invalid_amount_is_a_value_error(amount: float | Decimal) -> None:
    with pytest.raises(ValueError, match="is not an amount of money"):
        to_micros(amount)


@given(st.lists(costs, max_size=6), st.data())
def test_sums_depend_neither_on_order_nor_on_grouping(many: list[Costs], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(many))
    cut = data.draw(st.integers(0, len(many)))
    whole = Costs.sum(many)
    assert Costs.sum(shuffled) == whole
    assert Costs.sum(shuffled[:cut]).plus(Costs.sum(shuffled[cut:])) == whole
    assert whole.minus(whole) == Costs()
    assert whole.total == sum(whole.of(component) for component in Component)
    assert Costs.from_mapping({component: whole.of(component) for component in Component}) == whole


@given(st.lists(st.builds(NetworkClasses, micros, micros, micros), max_size=5), st.data())
def test_network_classes_add_up_in_any_order(many: list[NetworkClasses], data: st.DataObject) -> None:
    whole = NetworkClasses.sum(many)
    assert NetworkClasses.sum(data.draw(st.permutations(many))) == whole
    assert whole.plus(NetworkClasses(1, 2, 3)).plus(NetworkClasses(-1, -2, -3)) == whole


@given(micros, weights.filter(some_above_zero))
def test_parts_of_a_split_add_up_within_a_micro_each(amount: int, ratios: list[float]) -> None:
    parts = split(amount, ratios)
    assert sum(parts) == amount
    assert len(parts) == len(ratios)
    exact = [Fraction(max(ratio, 0)) for ratio in ratios]
    for part, ratio, share in zip(parts, ratios, exact, strict=True):
        assert abs(part - amount * share / sum(exact)) < 1
        assert part == 0 or (ratio > 0 and (part > 0) == (amount > 0))


@given(micros, weights.filter(some_above_zero))
def test_largest_remainders_get_the_rest_and_ties_the_earlier(amount: int, ratios: list[float]) -> None:
    exact = [Fraction(max(ratio, 0)) for ratio in ratios]
    shares = [abs(amount) * share / sum(exact) for share in exact]
    given_up = [(-(share % 1), place) for place, share in enumerate(shares)]
    extra = {place for _, place in sorted(given_up)[: abs(amount) - sum(int(share) for share in shares)]}
    expected = [int(share) + (place in extra) for place, share in enumerate(shares)]
    assert [abs(part) for part in split(amount, ratios)] == expected


def test_a_split_teaches_by_example() -> None:
    assert split(100, [1, 1, 1]) == [34, 33, 33]
    assert split(-100, [1, 1, 1]) == [-34, -33, -33]
    assert split(10, [0.7, 0.2, 0.1]) == [7, 2, 1]
    assert split(1, [1, 2, 2]) == [0, 1, 0]
    assert split(5, [0, -3, 2]) == [0, 0, 5]
    assert split(0, [1, 2]) == [0, 0]


def test_rounding_prefers_larger_remainders_then_earlier_parts() -> None:
    assert round_to_sum([15, 25, 28], denominator=10, total=7) == [2, 2, 3]
    assert round_to_sum([15, 25, 28], denominator=10, total=6) == [1, 2, 3]
    assert round_to_sum([-15, 35], denominator=10, total=2) == [-1, 3]
    assert round_to_sum([], denominator=10, total=0) == []


@pytest.mark.parametrize("ratios", [[], [0], [0.0, -1.0]])
def test_without_a_weight_above_zero_nothing_can_be_split(ratios: list[float]) -> None:
    with raises_code("no_weight", match="no weight is above zero"):
        split(7, ratios)


@given(micros, st.lists(st.floats(0, 1), max_size=6))
def test_adjacent_shares_of_a_span_add_up_to_the_whole(amount: int, cuts: list[float]) -> None:
    points = [0.0, *sorted(cuts), 1.0]
    shares = [prorate(amount, start=since, end=until) for since, until in pairwise(points)]
    assert sum(shares) == amount


@given(st.integers(-(10**12), 10**12), st.floats(0, 1), st.floats(0, 1))
def test_a_share_of_a_span_is_within_a_micro_of_the_exact_one(amount: int, one: float, other: float) -> None:
    since, until = sorted((one, other))
    exact = amount * (Fraction(until) - Fraction(since))
    assert abs(prorate(amount, start=since, end=until) - exact) <= 1 + Fraction(1, 1000)


@given(st.lists(st.integers().map(lambda amount: Money(amount, "EUR")), max_size=6), st.data())
def test_money_adds_up_in_any_order(amounts: list[Money], data: st.DataObject) -> None:
    assert total(data.draw(st.permutations(amounts))) == total(amounts)
    assert total(amounts) == (Money(sum(item.micros for item in amounts), "EUR") if amounts else None)
    assert all(item - item == Money(0, "EUR") for item in amounts)


def test_unlike_currencies_are_never_added() -> None:
    for refuse in (
        lambda: Money(1, "EUR") + Money(1, "USD"),
        lambda: Money(1, "EUR") - Money(1, "USD"),
        lambda: total([Money(0, "EUR"), Money(0, "USD")]),
    ):
        with raises_code("unlike_currencies", match="EUR and USD can't be added"):
            refuse()
    assert str(unlike_currencies("EUR", "GBP", "USD")).startswith(
        'EUR, GBP and USD can\'t be added: ask for one currency at a time, with the filter currency:"EUR"'
    )


def test_money_prints_with_six_places() -> None:
    assert str(Money(1_500_000, "EUR")) == "1.500000 EUR"
    assert str(-Money(1, "USD")) == "-0.000001 USD"
