"""What changed between two periods, and why."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.allocation import Kind
from kubetally.domain.compare import (
    LARGEST_CHANGE_FIRST,
    Change,
    CompareQuestion,
    Comparison,
    arrange_comparison,
    change_of,
    compare,
    usage_change,
)
from kubetally.domain.compared_periods import PeriodCosts
from kubetally.domain.component import NO_CLASSES, Component, Costs
from kubetally.domain.efficiency import NO_HOURS, Hours, RatedHours
from kubetally.domain.issues import IssueKind
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.question.group import parse_group
from kubetally.domain.report import REST, CostReport, CostRow, Sums, add
from kubetally.domain.status import Coverage
from kubetally.domain.window import DAY, Window
from tests.errors import raises_code
from tests.unit.domain.clusters import MIDNIGHT

NOW = Window(MIDNIGHT + DAY, MIDNIGHT + 2 * DAY)
BEFORE = Window(MIDNIGHT, MIDNIGHT + DAY)
QUESTION = CompareQuestion(CostQuestion(NOW, parse_group("namespace")), BEFORE)

amounts = st.integers(-(10**9), 10**9)
hours = st.none() | st.floats(0, 1e12)


def row(name: str = "shop", costs: Costs = Costs(), used: Hours = NO_HOURS, **more: Any) -> CostRow:  # noqa: B008
    return CostRow(costs, NO_CLASSES, used, RatedHours(), key=(name,), **{"kind": Kind.WORKLOAD} | more)


rows = st.builds(
    row,
    st.sampled_from("abcdef"),
    st.builds(Costs, *[amounts] * len(Costs._fields)),
    st.builds(Hours, *[hours] * len(Hours._fields)),
    kind=st.sampled_from([Kind.WORKLOAD, Kind.IDLE]),
)
periods = st.lists(rows, max_size=8, unique_by=lambda row: (row.key, row.kind))


def report(
    rows: Sequence[CostRow], window: Window = NOW, *, covered: float = 24, currency: str | None = "USD"
) -> CostReport:
    return CostReport(
        question=CostQuestion(window, QUESTION.costs.group),
        currency=currency,
        currency_assumed=False,
        coverage=Coverage(24, covered),
        has_data=covered > 0,
        assets_complete=True,
        bill=Costs.sum(row.costs for row in rows),
        not_measured=frozenset(),
        rows=tuple(row for row in rows if row.kind is Kind.WORKLOAD),
        lines=tuple(row for row in rows if row.kind is not Kind.WORKLOAD),
        workloads=Sums(*add(rows)),
    )


def compared(
    before: Sequence[CostRow], now: Sequence[CostRow], covered: tuple[str, str] = ("ab", "ab"), hours: float = 24
) -> Comparison:
    """covered: the accounts with covered hours before, and now. hours: of the period before."""
    was = report(before, BEFORE, covered=hours, currency="USD" if hours else None)
    hours_of = [dict.fromkeys(accounts, 24.0) for accounts in covered]
    return compare(QUESTION, PeriodCosts(was, hours_of[0]), PeriodCosts(report(now), hours_of[1]))


def cpu(cost: int, used: float | None) -> CostRow:
    return row(costs=Costs(cpu=cost), used=NO_HOURS._replace(cpu_core_hours=used))


def test_usage_is_the_change_of_quantity_at_the_price_before() -> None:
    assert change_of(cpu(10_000_000, 100.0), cpu(18_000_000, 150.0)) == Change(usage=5_000_000, price=3_000_000)


def test_components_without_a_quantity_change_by_price_alone() -> None:
    parts = ("node_disk", "load_balancer", "management", "shared", "external")
    before, now = (row(costs=Costs(**dict.fromkeys(parts, cost))) for cost in (5, 7))
    assert change_of(before, now) == Change(price=10)


def test_change_of_idle_is_price_as_sources_state_no_hours_of_it() -> None:
    before, now = (row(costs=Costs(cpu=cost, ram=cost), kind=Kind.IDLE) for cost in (50, 80))
    assert change_of(before, now) == Change(price=60)


def test_without_a_price_before_all_is_price() -> None:
    for old, new in ((0.0, 5.0), (None, 5.0), (5.0, None)):
        assert change_of(cpu(100, old), cpu(160, new)) == Change(price=60)
    assert change_of(cpu(0, 5.0), cpu(160, 50.0)) == Change(price=160)


def test_almost_nothing_before_makes_no_price() -> None:
    assert change_of(cpu(1, 5e-324), cpu(100, 1e300)) == Change(price=99)


@given(st.integers(-(10**12), 10**12), st.floats(1e-3, 1e15), st.floats(0, 1e15))
def test_usage_is_rounded_once(cost: int, old: float, new: float) -> None:
    exact = (Fraction(new) - Fraction(old)) * cost / Fraction(old)
    expected = round(exact) if abs(round(exact)) <= 2**53 else 0
    assert usage_change(cpu(cost, old), cpu(0, new), Component.CPU) == expected


@given(periods, periods)
def test_reasons_sum_to_the_change_of_each_row_and_of_the_total(before: list[CostRow], now: list[CostRow]) -> None:
    found = compared(before, now)
    every = [*found.rows, *found.lines]
    for one in (*every, found.total):
        assert one.before is not None
        assert one.now is not None
        assert one.change is not None
        assert one.now - one.before == one.change.total
    assert found.total.before == sum(one.before or 0 for one in every) == Costs.sum(r.costs for r in before).total
    assert found.total.now == sum(one.now or 0 for one in every) == Costs.sum(r.costs for r in now).total
    assert found.total.change == tuple(map(sum, zip(*(one.change or () for one in every), strict=True))) or not every
    assert len({(one.key, one.kind) for one in every}) == len(every)


@given(periods, periods)
def test_swapped_periods_negate_the_change(before: list[CostRow], now: list[CostRow]) -> None:
    there, back = compared(before, now), compared(now, before)
    changes = {(one.key, one.kind): one.change for one in (*back.rows, *back.lines)}
    for one in (*there.rows, *there.lines):
        opposite = changes[one.key, one.kind]
        assert one.change is not None
        assert opposite is not None
        assert one.change.total == -opposite.total
        assert (one.change.new, one.change.gone) == (-opposite.gone, -opposite.new)


def test_rows_of_one_period_are_new_or_gone() -> None:
    found = compared([row("old", Costs(cpu=5))], [row("new", Costs(ram=7))])
    assert {one.key[0]: one.change for one in found.rows} == {"old": Change(gone=-5), "new": Change(new=7)}
    assert found.total.change == Change(new=7, gone=-5)


def test_period_without_data_is_unknown() -> None:
    found = compared([], [row(costs=Costs(cpu=5), account_id="a")], ("", "a"), hours=0)
    for one in (*found.rows, found.total):
        assert (one.before, one.now, one.change) == (None, 5, None)
    assert not found.issues


def test_account_without_data_in_a_period_is_unknown_there_and_named() -> None:
    before = [row("a", Costs(cpu=5), account_id="a"), row("b", Costs(cpu=7), account_id="b"), row("all", Costs(cpu=1))]
    now = [row("a", Costs(cpu=6), account_id="a"), row("c", Costs(cpu=9), account_id="c")]
    found = compared(before, now, ("ab", "ac"))
    assert {one.key[0]: (one.before, one.now, one.change) for one in found.rows} == {
        "a": (5, 6, Change(price=1)),
        "b": (7, None, None),
        "c": (None, 9, None),
        "all": (1, 0, Change(gone=-1)),
    }
    assert (found.total.before, found.total.now, found.total.change) == (13, 15, Change(price=1, new=9, gone=-8))
    assert [(issue.kind, issue.window, issue.facts) for issue in found.issues] == [
        (IssueKind.WINDOW_WITHOUT_DATA, BEFORE, {"accounts": ["c"], "days": 1}),
        (IssueKind.WINDOW_WITHOUT_DATA, NOW, {"accounts": ["b"], "days": 1}),
    ]


def test_row_that_is_gone_from_a_covered_account_is_gone() -> None:
    found = compared([row(costs=Costs(cpu=5), account_id="a")], [], ("a", "a"))
    assert [(one.now, one.change) for one in found.rows] == [(0, Change(gone=-5))]
    assert not found.issues


def test_rest_counts_what_is_known() -> None:
    before = [row(name, Costs(cpu=5), account_id=name) for name in "ab"]
    now = [row(name, Costs(cpu=6), account_id=name) for name in "acd"]
    found = compared(before, now, ("ab", "acd"))
    rest = arrange_comparison(found, LARGEST_CHANGE_FIRST, 1)[1][-1]
    assert (rest.before, rest.now, rest.change) == (5, 12, Change(new=12, gone=-5))


def test_unlike_currencies_are_not_compared() -> None:
    with raises_code("unlike_currencies", match="EUR and USD"):
        compare(QUESTION, *(PeriodCosts(one, {"a": 24}) for one in (report([], BEFORE, currency="EUR"), report([]))))


def test_largest_change_comes_first_and_the_rest_is_one_row() -> None:
    before = [row("a", Costs(cpu=10)), row("b", Costs(cpu=10)), row("c", Costs(cpu=10))]
    found = compared(before, [row("a", Costs(cpu=11)), row("b", Costs(cpu=1)), row("d", Costs(cpu=4))])
    lines, kept = arrange_comparison(found, LARGEST_CHANGE_FIRST, 2)
    assert [one.key for one in kept] == [("c",), ("b",), (None,)]
    assert (kept[-1].kind, kept[-1].count, kept[-1].before, kept[-1].now) == (REST, 2, 10, 15)
    assert kept[-1].change == Change(price=1, new=4)
    assert lines == []


@given(periods, periods, st.integers(1, 4))
def test_top_keeps_every_sum(before: list[CostRow], now: list[CostRow], top: int) -> None:
    found = compared(before, now)
    lines, kept = arrange_comparison(found, LARGEST_CHANGE_FIRST, top)
    sums = tuple(map(sum, zip(*(one.change or () for one in (*lines, *kept)), strict=True)))
    assert sums == found.total.change or not sums
    assert sum(one.count for one in (*lines, *kept)) == len(found.rows) + len(found.lines)
