"""Order, top and pages of an answer."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.allocation import Kind
from kubetally.domain.component import NO_CLASSES, Costs
from kubetally.domain.efficiency import NO_HOURS, RatedHours
from kubetally.domain.question.arrange import DEFAULT_ORDER, arrange, keep_top, parse_order, split_lines
from kubetally.domain.question.group import parse_group
from kubetally.domain.report import REST, CostRow
from tests.errors import raises_code

GROUP = parse_group("namespace,label:team")


def row(cpu: int, *key: str | None, **more: Any) -> CostRow:
    return CostRow(Costs(cpu=cpu), NO_CLASSES, NO_HOURS, RatedHours(), key=key, **{"kind": Kind.WORKLOAD} | more)


def keys(rows: Sequence[CostRow], order: str = "") -> list[tuple[str | None, ...]]:
    return [one.key for one in arrange(rows, GROUP, parse_order(order, GROUP))]


rows_of_keys = st.lists(
    st.builds(
        lambda cpu, name, team, day: row(cpu, name, team, start=datetime(2026, 11, day, tzinfo=UTC)),
        st.integers(-5, 5),
        st.sampled_from(["a", "b", None]),
        st.sampled_from(["x", "y", None]),
        st.integers(1, 3),
    ),
    unique_by=lambda one: (one.key, one.start),
    max_size=12,
)


def test_highest_cost_comes_first_and_ties_by_key_with_null_last() -> None:
    rows = [row(1, None, "x"), row(1, "b", None), row(1, "b", "a"), row(2, "z", None), row(1, "a", "x")]
    assert keys(rows) == [("z", None), ("a", "x"), ("b", "a"), ("b", None), (None, "x")]


def test_null_is_last_in_both_directions() -> None:
    rows = [row(1, None, None), row(1, "a", None), row(1, "b", None)]
    assert [key[0] for key in keys(rows, "namespace")] == ["a", "b", None]
    assert [key[0] for key in keys(rows, "-namespace")] == ["b", "a", None]


@pytest.mark.parametrize("text", ["colour", "-pod", "total_cost,", "totalcost"])
def test_unknown_order_is_an_error(text: str) -> None:
    with raises_code("unknown_order", match="total_cost"):
        parse_order(text, GROUP)


@given(rows_of_keys, st.randoms())
def test_order_does_not_depend_on_the_order_of_the_engine(rows: list[CostRow], chance: Any) -> None:
    shuffled = list(rows)
    chance.shuffle(shuffled)
    for order in ("", "namespace", "-label:team,cpu_cost", "window_start"):
        assert arrange(shuffled, GROUP, parse_order(order, GROUP)) == arrange(rows, GROUP, parse_order(order, GROUP))


@given(rows_of_keys, st.integers(1, 5))
def test_top_and_rest_have_the_sum_of_all(rows: list[CostRow], top: int) -> None:
    kept = keep_top(rows, top, GROUP, DEFAULT_ORDER)
    named = {one.key for one in kept if one.kind is Kind.WORKLOAD}
    assert len(named) <= top
    assert Costs.sum(one.costs for one in kept) == Costs.sum(one.costs for one in rows)
    rest = [one for one in kept if one.kind == REST]
    assert len({one.start for one in rest}) == len(rest)
    assert sum(one.count for one in rest) == len(rows) - (len(kept) - len(rest))


def test_lines_are_apart_from_workloads_and_rest() -> None:
    rows = [
        row(1, "a", None),
        row(1, None, None, kind=Kind.IDLE),
        row(1, None, None, kind=REST),
        row(1, "b", None, kind=None),
    ]
    lines, others = split_lines(rows)
    assert [line.kind for line in lines] == [Kind.IDLE]
    assert len(others) == 3
