"""Ratios come from sums: usage over request of what was added up, never a mean of ratios."""

import random
from functools import reduce
from math import fsum, inf, isfinite
from operator import add

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.efficiency import NO_HOURS, Efficiency, Hours, RatedHours, round_amount
from kubetally.domain.efficiency import efficiency as rated_efficiency
from kubetally.domain.money import MICROS
from tests.unit.domain.clusters import hours_of_rows

costs = st.integers(-(10**12), 10**15)


Pair = tuple[float | None, float | None]


def efficiency(hours: Hours, cpu_cost: int, ram_cost: int) -> Efficiency:
    """Of one row."""
    return rated_efficiency(RatedHours.of([hours]), cpu_cost=cpu_cost, ram_cost=ram_cost)


def hours(cpu: Pair, ram: Pair = (0.0, 0.0)) -> Hours:
    """Usage and request of each."""
    return Hours(
        cpu_core_usage_hours=cpu[0],
        cpu_core_request_hours=cpu[1],
        ram_byte_usage_hours=ram[0],
        ram_byte_request_hours=ram[1],
    )


def test_merged_efficiency_is_that_of_the_sums_and_not_the_mean() -> None:
    small, large = hours((1, 1)), hours((10, 100))
    assert efficiency(small, 1, 0).cpu == 1.0
    assert efficiency(large, 1, 0).cpu == 0.1
    assert efficiency(small.plus(large), 2, 0).cpu == pytest.approx(11 / 101)  # the mean would be 0.55


def test_without_requests_there_is_no_efficiency() -> None:
    assert efficiency(hours((3, 0)), MICROS, MICROS) == Efficiency(None, None, None)
    assert efficiency(NO_HOURS, 0, 0) == Efficiency(None, None, None)


def test_nothing_used_of_a_request_is_zero_and_that_is_not_unknown() -> None:
    assert efficiency(hours((0, 4), (0, 8)), MICROS, MICROS) == Efficiency(0.0, 0.0, 0.0)


def test_more_used_than_requested_is_more_than_one() -> None:
    assert efficiency(hours((3, 1)), MICROS, 0) == Efficiency(3.0, None, 3.0)


def test_the_total_weighs_cpu_and_ram_by_their_cost() -> None:
    assert efficiency(hours((1, 2), (1, 10)), 3 * MICROS, 1 * MICROS).total == pytest.approx((0.5 * 3 + 0.1 * 1) / 4)


def test_a_resource_without_requests_does_not_weigh() -> None:
    assert efficiency(hours((1, 2), (5, 0)), MICROS, 9 * MICROS) == Efficiency(0.5, None, 0.5)


def test_a_total_of_what_cost_nothing_is_unknown() -> None:
    assert efficiency(hours((1, 2), (1, 2)), 0, 0) == Efficiency(0.5, 0.5, None)
    assert efficiency(hours((1, 2), (5, 0)), 0, MICROS).total is None


def test_a_negative_cost_weighs_nothing() -> None:
    assert efficiency(hours((1, 2), (1, 10)), 3 * MICROS, -2 * MICROS).total == 0.5
    assert efficiency(hours((1, 2), (1, 10)), -3 * MICROS, -2 * MICROS).total is None


@given(hours_of_rows, costs, costs)
def test_the_total_lies_between_its_parts(row: Hours, cpu_cost: int, ram_cost: int) -> None:
    cpu, ram, total = efficiency(row, cpu_cost, ram_cost)
    known = [ratio for ratio in (cpu, ram) if ratio is not None]
    assert all(ratio >= 0 for ratio in known)
    if total is not None:
        assert min(known) * (1 - 1e-9) <= total <= max(known) * (1 + 1e-9)


@given(st.lists(hours_of_rows, min_size=1, max_size=8), costs, costs, st.data())
def test_hours_add_up_to_the_same_digits_in_any_order(
    rows: list[Hours], cpu_cost: int, ram_cost: int, data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(rows))
    assert Hours.sum(shuffled) == Hours.sum(rows)
    whole = rated_efficiency(RatedHours.of(rows), cpu_cost=cpu_cost, ram_cost=ram_cost)
    assert rated_efficiency(RatedHours.of(shuffled), cpu_cost=cpu_cost, ram_cost=ram_cost) == whole
    known = [(row.cpu_core_request_hours, row.cpu_core_usage_hours) for row in rows]
    known = [(request, usage) for request, usage in known if request is not None and usage is not None]
    requested, used = fsum(request for request, _ in known), fsum(usage for _, usage in known)
    ratio = used / requested if requested else inf
    assert whole.cpu == (ratio if isfinite(ratio) else None), "of next to no requests"


@given(st.lists(hours_of_rows, min_size=2, max_size=8), st.integers(1, 7))
def test_hours_added_in_groups_are_the_hours_added_at_once(rows: list[Hours], cut: int) -> None:
    cut = min(cut, len(rows) - 1)
    grouped = Hours.sum(rows[:cut]).plus(Hours.sum(rows[cut:]))
    assert list(grouped) == pytest.approx(list(Hours.sum(rows)))


def test_tiny_request_has_no_efficiency() -> None:
    hours = Hours(cpu_core_usage_hours=1.0, cpu_core_request_hours=5e-324, ram_byte_usage_hours=1.0)
    assert efficiency(hours, 1, 1) == Efficiency(None, None, None)


def test_sum_is_of_what_is_known() -> None:
    known, unknown = hours((1, 2), (3, 4)), hours((None, 2), (3, None))
    total = Hours.sum([known, unknown])
    assert (total.cpu_core_usage_hours, total.cpu_core_request_hours) == (1, 4)
    assert (total.ram_byte_usage_hours, total.ram_byte_request_hours) == (6, 4)
    assert Hours.sum([unknown, unknown]).cpu_core_usage_hours is None


def test_merged_parts_are_unknown_where_one_part_is() -> None:
    whole = Hours.merged([hours((1, 2), (3, 4)), hours((None, 2), (3, None))])
    assert (whole.cpu_core_usage_hours, whole.cpu_core_request_hours) == (None, 4)
    assert (whole.ram_byte_usage_hours, whole.ram_byte_request_hours) == (6, None)


def test_part_of_unknown_hours_is_unknown() -> None:
    assert hours((None, 2), (3, None)).times(0.5) == hours((None, 1), (1.5, None))


@pytest.mark.parametrize("unknown", [hours((None, 9)), hours((9, None)), hours((None, None))])
def test_row_without_usage_or_request_does_not_rate(unknown: Hours) -> None:
    rated = RatedHours.of([hours((1, 2)), unknown])
    assert rated_efficiency(rated, cpu_cost=1, ram_cost=0).cpu == 0.5
    assert efficiency(unknown, 1, 0) == Efficiency(None, None, None)


def test_usage_without_a_request_still_counts() -> None:
    assert rated_efficiency(RatedHours.of([hours((1, 2)), hours((1, 0))]), cpu_cost=1, ram_cost=0).cpu == 1.0


@given(st.lists(hours_of_rows, max_size=8), st.integers(0, 8))
def test_rated_hours_added_in_groups_are_those_added_at_once(rows: list[Hours], cut: int) -> None:
    grouped = RatedHours.sum([RatedHours.of(rows[:cut]), RatedHours.of(rows[cut:])])
    assert list(grouped) == pytest.approx(list(RatedHours.of(rows)))


@given(st.lists(st.integers(10**6, 4 * 10**6), min_size=50, max_size=100), st.randoms())
def test_rounded_sums_are_the_same_in_any_order(hundred_thousandths: list[int], chance: random.Random) -> None:
    hours = [5 * part / 1e5 for part in hundred_thousandths]  # sums that lie halfway between two of eight digits
    shuffled = chance.sample(hours, len(hours))
    assert round_amount(reduce(add, hours)) == round_amount(reduce(add, shuffled))


def test_rounded_hours_have_eight_digits_and_unknown_stays() -> None:
    rounded = Hours(0.1 + 0.2, None, 123456789.4).rounded()
    assert rounded[:3] == (0.3, None, 123456790.0)
    assert RatedHours(2 / 3).rounded() == RatedHours(0.66666667)
