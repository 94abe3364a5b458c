"""What a node costs by component (B1): list costs after discount, scaled to its total."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.asset import node_costs, node_parts
from kubetally.domain.component import Component, Costs
from kubetally.domain.money import to_micros
from tests.unit.domain.clusters import micros

prices = st.floats(0, 1e6, allow_subnormal=False)


def node(cpu: str, ram: str, gpu: str = "0") -> Costs:
    return Costs(cpu=micros(cpu), ram=micros(ram), gpu=micros(gpu))


def test_node_without_discount_costs_its_list_price() -> None:
    assert node_costs(cpu=8.0, ram=2.0, gpu=5.0, discount=0.0, total=15.0) == node("8", "2", "5")


def test_the_discount_holds_for_cpu_and_ram_and_never_for_gpu() -> None:
    assert node_costs(cpu=8.0, ram=2.0, gpu=5.0, discount=0.3, total=12.0) == node("5.6", "1.4", "5")
    assert node_costs(cpu=8.0, ram=2.0, gpu=5.0, discount=0.3, total=None) == node("5.6", "1.4", "5")


def test_an_adjustment_is_spread_over_the_parts_in_proportion() -> None:
    # Parts of 5.6, 1.4 and 5 and an adjustment of -3: each is scaled by 9 / (9 + 3).
    assert node_costs(cpu=8.0, ram=2.0, gpu=5.0, discount=0.3, total=9.0) == node("4.2", "1.05", "3.75")
    assert node_costs(cpu=8.0, ram=2.0, gpu=5.0, discount=0.3, total=18.0) == node("8.4", "2.1", "7.5")


def test_absurd_parts_with_their_adjustment_add_up_to_the_total() -> None:
    # As Kubecost documents it: parts of 59016 beside a total of 29.86.
    costs = node_costs(cpu=44_262.0, ram=14_754.0, gpu=0.0, discount=0.0, total=29.86)
    assert costs == node("22.395", "7.465")
    assert costs.total == micros("29.86")


def test_a_total_without_parts_is_cpu() -> None:
    assert node_costs(cpu=0.0, ram=0.0, gpu=0.0, discount=0.0, total=1.5) == node("1.5", "0")


def test_a_node_that_was_refunded_costs_less_than_nothing() -> None:
    assert node_costs(cpu=3.0, ram=1.0, gpu=0.0, discount=0.0, total=-4.0) == node("-3", "-1")


def test_the_micro_that_is_left_over_goes_to_the_largest_remainder() -> None:
    assert node_costs(cpu=1.0, ram=1.0, gpu=1.0, discount=0.0, total=0.0001) == node("0.000034", "0.000033", "0.000033")


@given(prices, prices, prices, st.floats(0, 1), st.floats(-1e6, 1e6))
def test_the_parts_of_a_node_add_up_to_its_total(
    cpu: float, ram: float, gpu: float, discount: float, total: float
) -> None:
    costs = node_costs(cpu=cpu, ram=ram, gpu=gpu, discount=discount, total=total)
    assert costs.total == to_micros(total)
    assert {component for component in Component if costs.of(component)} <= {"cpu", "ram", "gpu"}


@given(prices, prices, prices, st.floats(0, 0.9), st.floats(-0.5, 2))
def test_each_part_is_scaled_by_total_over_total_minus_adjustment(
    cpu: float, ram: float, gpu: float, discount: float, adjusted_by: float
) -> None:
    before = [cpu * (1 - discount), ram * (1 - discount), gpu]
    adjustment = sum(before) * adjusted_by
    total = sum(before) + adjustment
    costs = node_costs(cpu=cpu, ram=ram, gpu=gpu, discount=discount, total=total)
    if sum(before) > 0.001:
        scale = total / (total - adjustment)
        for part, price in zip((costs.cpu, costs.ram, costs.gpu), before, strict=True):
            assert part == pytest.approx(price * scale * 1e6, rel=1e-9, abs=2)


def test_single_unknown_part_of_a_node_is_what_the_total_leaves() -> None:
    parts = node_parts(cpu=2.0, ram=None, gpu=0.5, discount=0.25, adjustment=-1.0, total=4.0)
    assert parts == (2.0, pytest.approx(4.0), 0.5)  # (4 + 1 - 2 * 0.75 - 0.5) / 0.75
    assert node_parts(cpu=2.0, ram=None, gpu=0.0, discount=0.0, adjustment=0.0, total=1.0) == (2.0, 0.0, 0.0)


def test_several_unknown_parts_of_a_node_stay_unknown() -> None:
    assert node_parts(cpu=None, ram=None, gpu=0.5, discount=0.0, adjustment=0.0, total=4.0) == (None, None, 0.5)
    assert node_parts(cpu=None, ram=1.0, gpu=0.5, discount=0.0, adjustment=0.0, total=None) == (None, 1.0, 0.5)
