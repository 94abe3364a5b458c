"""What could be saved: a monthly upper bound, never a cost."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.savings import Savings, SavingsCategory

# These figures come from Kubecost's documentation, not from a recording.
DOCUMENTED = ("9.69", "44.31", "63.07", "14.02", "52.14", "0.00")

amounts = st.integers(-(10**12), 10**12).map(lambda micros: Decimal(micros).scaleb(-6))


def of(*figures: str | Decimal) -> Savings:
    return Savings(tuple(SavingsCategory(str(n), Decimal(one), None, counted=True) for n, one in enumerate(figures)))


def test_the_documented_categories_sum_to_their_total() -> None:
    assert of(*DOCUMENTED).per_month == Decimal("183.23")


def test_uncounted_categories_are_not_in_the_sum() -> None:
    pending = SavingsCategory("requestSizing", Decimal("44.31"), "pending", counted=False)
    unknown = SavingsCategory("pvSizing", None, "ready", counted=False)
    ready = SavingsCategory("localDisks", Decimal("52.14"), "ready", counted=True)
    assert Savings((pending, unknown, ready)).per_month == Decimal("52.14")


def test_savings_without_counted_categories_are_unknown() -> None:
    pending = SavingsCategory("requestSizing", Decimal("44.31"), "pending", counted=False)
    for nothing in (Savings(()), Savings((pending,))):
        assert nothing.per_month is None
        assert nothing.scaled_to(24) is None


def test_a_known_zero_stays_zero() -> None:
    assert of("0").per_month == 0
    assert of("0").scaled_to(24) == 0


def test_a_month_is_730_hours() -> None:
    assert of("730").scaled_to(24) == 24
    assert of("183.23").scaled_to(730) == Decimal("183.23")
    assert of("183.23").scaled_to(24) == Decimal("6.024")
    assert of("183.23").scaled_to(Decimal("0.5")) == Decimal("0.125500")
    assert of("1").scaled_to(0) == 0


def test_a_figure_that_is_not_there_can_not_be_counted() -> None:
    with pytest.raises(ValueError, match="pvSizing"):
        SavingsCategory("pvSizing", None, "ready", counted=True)


@given(st.lists(amounts, min_size=1, max_size=8), st.integers(0, 10_000))
def test_the_sum_is_exact_in_any_order_and_scaling_is_on_the_grid(figures: list[Decimal], hours: int) -> None:
    assert of(*figures).per_month == of(*reversed(figures)).per_month == sum(figures)
    scaled = of(*figures).scaled_to(hours)
    assert scaled is not None
    assert scaled.as_tuple().exponent == -6
    assert abs(scaled - sum(figures, Decimal()) * hours / 730) <= Decimal("0.0000005000001")
