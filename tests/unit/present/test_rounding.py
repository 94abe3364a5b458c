"""Printed totals are true, and parts add up to them."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.question.cost_question import GROUPS, DetailLevel
from kubetally.domain.report import ClusterReport
from kubetally.present.rounding import CENT, round_amount, round_parts, round_table
from kubetally.present.tables import rounded_groups
from kubetally.present.text import BALANCE, balance_table, causes_in_words, money
from kubetally.present.verification import verify
from tests.unit.domain.clusters import answers

amounts = st.integers(-30_000_000, 300_000_000)
tables = st.integers(1, 7).flatmap(
    lambda width: st.lists(st.lists(amounts, min_size=width, max_size=width), max_size=9)
)
small_amounts = st.sampled_from([0, 10_000, 3_000, -3_000, 5_000, 15_000, 7_000, 12_345, 97_531])
small_tables = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(small_amounts, min_size=width, max_size=width), min_size=1, max_size=3)
)


def is_neighbour(rounded: int, exact: int) -> bool:
    """Whether it is a whole cent next to the amount, or the amount itself."""
    return rounded % CENT == 0 and abs(rounded - exact) < CENT


def printed(micros: int) -> Decimal:
    return Decimal(money(micros).replace(",", ""))


def sums_of(rows: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
    """The sums of rows, and those of columns."""
    return [sum(row) for row in rows], [sum(column) for column in zip(*rows, strict=True)]


def choices(amount: int) -> set[int]:
    """The cents next to an amount."""
    return {amount // CENT * CENT, -(-amount // CENT) * CENT}


@given(amounts)
def test_amount_is_rounded_as_it_is_printed(amount: int) -> None:
    assert money(round_amount(amount)) == money(amount)


@given(tables)
def test_rows_add_up_to_their_true_totals(rows: list[list[int]]) -> None:
    of_rows, _ = sums_of(round_table(rows))
    assert of_rows == [round_amount(sum(row)) for row in rows]


@given(tables)
def test_cells_are_rounded_to_a_neighboring_cent(rows: list[list[int]]) -> None:
    cells = round_table(rows)
    pairs = [pair for shown, row in zip(cells, rows, strict=True) for pair in zip(shown, row, strict=True)]
    assert all(is_neighbour(rounded, exact) for rounded, exact in pairs)


@given(small_tables)
def test_columns_add_up_to_their_true_totals_as_far_as_rows_allow(rows: list[list[int]]) -> None:
    def off(cells: Sequence[Sequence[int]]) -> int:
        totals = zip(sums_of(cells)[1], sums_of(rows)[1], strict=True)
        return sum(abs(total - round_amount(exact)) for total, exact in totals)

    kept = [[row for row in product(*map(choices, exact)) if sum(row) == round_amount(sum(exact))] for exact in rows]
    assert off(round_table(rows)) == min(map(off, product(*kept)))


def changes(cells: Sequence[Sequence[int]], rows: Sequence[Sequence[int]]) -> tuple[int, float]:
    """How many cells are not at their nearest cent, and by how much these differ, each by the size of its cell."""
    pairs = [pair for shown, row in zip(cells, rows, strict=True) for pair in zip(shown, row, strict=True)]
    errors = [abs(rounded - round_amount(exact)) / abs(exact) for rounded, exact in pairs if exact]
    return sum(error > 0 for error in errors), round(sum(errors), 9)


@given(small_tables)
def test_rest_changes_as_few_cells_as_possible_and_the_largest(rows: list[list[int]]) -> None:
    shown = round_table(rows)
    kept = [[row for row in product(*map(choices, exact)) if sum(row) == round_amount(sum(exact))] for exact in rows]
    as_good = [cells for cells in product(*kept) if sums_of(cells)[1] == sums_of(shown)[1]]
    assert changes(shown, rows) == min(changes(cells, rows) for cells in as_good)


def test_columns_of_a_large_table_add_up() -> None:
    rows = [[1_234_567 * (row + 2 * column + 1) % 9_999_999 for column in range(8)] for row in range(2_000)]
    cells = round_table(rows)
    shown, exact = sums_of(cells), sums_of(rows)
    assert shown[0] == [*map(round_amount, exact[0])]
    gap = sum(shown[0]) - sum(map(round_amount, exact[1]))
    assert sum(abs(total - round_amount(true)) for total, true in zip(shown[1], exact[1], strict=True)) == abs(gap)


@given(st.lists(amounts))
def test_parts_add_up_to_their_rounded_sum(parts: list[int]) -> None:
    rounded = round_parts(parts)
    assert all(is_neighbour(part, exact) for part, exact in zip(rounded, parts, strict=True))
    assert sum(rounded) == round_amount(sum(parts))


@given(st.lists(amounts, min_size=1))
def test_parts_add_up_to_either_cent_next_to_their_sum(parts: list[int]) -> None:
    for total in choices(sum(parts)):
        assert sum(round_parts(parts, total)) == total


def test_largest_part_takes_up_the_rest() -> None:
    assert round_parts([374_400, 4_520_400, 630_300]) == [370_000, 4_530_000, 630_000]
    assert round_parts([5_000, 5_000]) == [10_000, 0]
    assert round_parts([7_000, 1_007_000, 7_000]) == [10_000, 1_000_000, 10_000]


def test_spared_parts_take_up_the_rest_only_without_others() -> None:
    assert round_parts([4_520_400, 374_400, 630_300], spared={0}) == [4_520_000, 370_000, 640_000]
    assert round_parts([4_520_400, 374_400, 630_300], spared={0, 1, 2}) == [4_530_000, 370_000, 630_000]


def test_rest_is_no_part_that_is_zero() -> None:
    assert round_parts([0, 14_000, 24_000, -3_000]) == [0, 10_000, 30_000, 0]
    assert round_table([[54_000, 0, 3_000], [0, 94_000, 2_000]]) == [[60_000, 0, 0], [0, 100_000, 0]]


def test_three_small_rows_are_less_than_their_total() -> None:
    assert round_table([[4_000]] * 3) == [[0]] * 3


def test_table_in_whole_cents_stays_unchanged() -> None:
    rows = [[10_000, -20_000], [0, 1_230_000]]
    assert round_table(rows) == rows


def test_table_without_rows_or_columns_is_empty() -> None:
    assert round_table([]) == []
    assert round_table([[], []]) == [[], []]


@given(answers())
def test_printed_balance_of_any_booking_has_true_totals(costs: ClusterReport) -> None:
    checked = verify(costs, 0)
    table = balance_table(checked)
    assert table.total[0] == round_amount(costs.bill.total)
    for component, row in table.rows.items():
        assert row[0] == round_amount(costs.bill.of(component)) == sum(row[1:-1])
    assert table.total[-1] == round_amount(costs.source_total)
    if sum(check.source_shows for check in checked.components) == costs.source_total:
        assert table.total[-1] == sum(row[-1] for row in table.rows.values())
    for line in costs.lines:
        assert table.total[BALANCE.index(str(line.kind))] == round_amount(line.costs.total)
    causes = [words.split(": ")[0].rsplit(" ", 1) for words in causes_in_words(checked, table.differences)]
    differences = sum(map(printed, table.differences.values()))
    assert sum(Decimal(amount.replace(",", "")) for _, amount in causes) == differences


@given(answers())
def test_groups_have_true_totals_and_cells_beside_their_amounts(costs: ClusterReport) -> None:
    balance = balance_table(verify(costs, 0))
    for level in (DetailLevel.NAMESPACE, DetailLevel.WORKLOAD):
        groups = costs.by(*GROUPS[level])
        for group, cells in zip(groups, rounded_groups(groups, balance), strict=True):
            assert sum(cells) == round_amount(group.costs.total)
            assert all(map(is_neighbour, cells, [group.costs.of(component) for component in balance.rows]))
