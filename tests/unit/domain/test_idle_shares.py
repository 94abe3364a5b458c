"""Idle cost is shared among workloads to the last micro, in one way."""

import random
from collections import defaultdict
from fractions import Fraction
from operator import attrgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.allocation import Kind
from kubetally.domain.component import Costs
from kubetally.domain.idle_shares import IdleShare, order_rows, share_idle
from kubetally.domain.row import Row

FIELDS = ("cpu", "ram", "gpu")
names = st.none() | st.sampled_from(["a", "b", "shop", "Ümlaut"])
weights = st.one_of(st.integers(-5, 5), st.integers(0, 10**9), st.integers(0, 10**18 - 1))


def of_costs(amounts: st.SearchStrategy[int]) -> st.SearchStrategy[Costs]:
    return st.builds(Costs, amounts, amounts, amounts, *[st.integers(0, 9)] * 7)


workloads = st.lists(
    st.builds(
        Row,
        st.just(Kind.WORKLOAD),
        namespace=names,
        controller=names,
        pod=names,
        container=names,
        node=names,
        costs=of_costs(weights),
        **dict.fromkeys(("cause", "controller_kind", "labels", "namespace_labels", "details"), st.none()),
    ),
    max_size=12,
    unique_by=attrgetter("namespace", "controller", "pod", "container", "node"),
)
idle_costs = of_costs(st.one_of(st.integers(0, 50), st.integers(0, 10**18 - 1)))


def shares_of(rows: list[Row], idle: Costs) -> tuple[list[Row], list[IdleShare]]:
    """The rows and their line in the order of the ledger, and the share of each."""
    day = [Row(Kind.OVERHEAD, costs=Costs(cpu=7)), *rows, Row(Kind.IDLE, costs=idle)]
    order = order_rows(day)
    return [day[at] for at in order], list(share_idle(day, order).of_rows())


def of_workloads(rows: list[Row], idle: Costs) -> list[tuple[Row, IdleShare]]:
    found = zip(*shares_of(rows, idle), strict=True)
    return [(row, share) for row, share in found if row.kind is Kind.WORKLOAD]


@given(workloads, idle_costs)
def test_shares_add_up_to_the_idle_cost(rows: list[Row], idle: Costs) -> None:
    ordered, shares = shares_of(rows, idle)
    for number, name in enumerate(FIELDS):
        has_weight = any(row.costs[number] > 0 for row in rows)
        assert sum(share[number] for share in shares) == (getattr(idle, name) if has_weight else 0)
        assert sum(share[number + 3] for share in shares) == (getattr(idle, name) if rows else 0)
    lines = [share for row, share in zip(ordered, shares, strict=True) if row.kind is not Kind.WORKLOAD]
    assert lines == [IdleShare()] * 2


@given(workloads, idle_costs)
def test_a_share_is_within_a_micro_of_its_proportion(rows: list[Row], idle: Costs) -> None:
    found = of_workloads(rows, idle)
    for number, name in enumerate(FIELDS):
        whole = sum(max(row.costs[number], 0) for row in rows)
        for row, share in found:
            exact = Fraction(getattr(idle, name) * max(row.costs[number], 0), whole) if whole else Fraction(0)
            assert abs(share[number] - exact) < 1
            assert share[number] >= 0
            assert share[number + 3] >= 0


@given(workloads, idle_costs)
def test_namespaces_have_even_parts(rows: list[Row], idle: Costs) -> None:
    of_namespaces: dict[str | None, list[int]] = defaultdict(lambda: [0, 0, 0])
    for row, share in of_workloads(rows, idle):
        for number in range(3):
            of_namespaces[row.namespace][number] += share[number + 3]
    for number in range(3):
        parts = [part[number] for part in of_namespaces.values()]
        assert not parts or max(parts) - min(parts) <= 1


@given(workloads, idle_costs, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_no_share(rows: list[Row], idle: Costs, chance: random.Random) -> None:
    shuffled = chance.sample(rows, len(rows))
    assert sorted(map(repr, of_workloads(rows, idle))) == sorted(map(repr, of_workloads(shuffled, idle)))


def row(namespace: str | None, pod: str, cpu: int, container: str = "main") -> Row:
    return Row(Kind.WORKLOAD, namespace=namespace, pod=pod, container=container, costs=Costs(cpu=cpu))


def cpu_shares(rows: list[Row], idle: int) -> list[tuple[str | None, str | None, int, int]]:
    found = of_workloads(rows, Costs(cpu=idle))
    return [(row.namespace, row.pod, share.cpu_weighted, share.cpu_even) for row, share in found]


def test_ties_go_to_the_names_that_come_first() -> None:
    rows = [row(None, "x", 1), row("b", "p", 1), row("a", "q", 1), row("a", "p", 1)]
    assert cpu_shares(rows, 5) == [("a", "p", 2, 1), ("a", "q", 1, 1), ("b", "p", 1, 2), (None, "x", 1, 1)]


NAMES = ["namespace", "controller", "pod", "container", "node", "controller_kind"]


@pytest.mark.parametrize("key", NAMES)
def test_ties_are_settled_by_each_name_before_those_after_it(key: str) -> None:
    """The order of Q3; the names after the key would say the opposite."""
    after = NAMES[NAMES.index(key) + 1 :]
    first = row("n", "p", 1)._replace(**{key: "a"}, **dict.fromkeys(after, "z"))
    second = row("n", "p", 1)._replace(**{key: "b"}, **dict.fromkeys(after, "a"))
    shares = [share.cpu_weighted for _, share in of_workloads([second, first], Costs(cpu=1))]
    assert shares == [1, 0]
    assert [getattr(found, key) for found, _ in of_workloads([second, first], Costs(cpu=1))] == ["a", "b"]


def test_a_negative_cost_weighs_nothing() -> None:
    assert cpu_shares([row("a", "p", -5), row("a", "q", 1)], 8) == [("a", "p", 0, 0), ("a", "q", 8, 8)]


def test_without_weight_idle_stays_unless_it_is_shared_evenly() -> None:
    rows = [row("a", "p", 0), row("a", "q", 0), row("b", "r", 0)]
    assert cpu_shares(rows, 7) == [("a", "p", 0, 2), ("a", "q", 0, 2), ("b", "r", 0, 3)]


def test_a_day_without_workloads_keeps_its_idle_cost() -> None:
    _, shares = shares_of([], Costs(cpu=5))
    assert shares == [IdleShare()] * 2
