"""Printed figures add up: parts to their total, rows and columns to theirs."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.question.cost_question import NAMESPACE, WORKLOAD, DetailLevel
from kubetally.domain.report import ClusterReport
from kubetally.present.rounding import CENT, round_parts, round_table
from kubetally.present.tables import overview_amounts, rounded_groups
from kubetally.present.text import BALANCE, balance_table, causes_in_words, money
from kubetally.present.verification import verify
from tests.unit.domain.clusters import answers

amounts = st.integers(-30_000_000, 300_000_000)
tables = st.integers(1, 7).flatmap(
    lambda width: st.lists(st.lists(amounts, min_size=width, max_size=width), max_size=9)
)


def is_neighbour(rounded: int, exact: int) -> bool:
    """Whether it is a whole cent next to the amount, or the amount itself."""
    return rounded % CENT == 0 and abs(rounded - exact) < CENT


@given(tables)
def test_rows_and_columns_of_a_table_add_up(rows: list[list[int]]) -> None:
    table = round_table(rows)
    assert [sum(row) for row in table.cells] == table.row_totals
    assert [sum(column) for column in zip(*table.cells, strict=True)] == (table.column_totals if rows else [])
    assert sum(table.row_totals) == sum(table.column_totals) == table.total


@given(tables)
def test_cells_are_rounded_to_a_neighboring_cent(rows: list[list[int]]) -> None:
    table = round_table(rows)
    pairs = [pair for cells, row in zip(table.cells, rows, strict=True) for pair in zip(cells, row, strict=True)]
    assert all(is_neighbour(rounded, exact) for rounded, exact in pairs)
    assert abs(table.total - sum(map(sum, rows))) * 2 <= CENT


@given(tables)
def test_row_totals_do_not_depend_on_the_columns(rows: list[list[int]]) -> None:
    assert round_table(rows).row_totals == round_parts([sum(row) for row in rows])


def test_column_totals_are_rounded_as_parts_if_possible() -> None:
    rows = [[1_234_567 * (row + 2 * column + 1) % 9_999_999 for column in range(40)] for row in range(8)]
    assert round_table(rows).column_totals == round_parts([sum(column) for column in zip(*rows, strict=True)])


@given(st.lists(amounts))
def test_parts_add_up_to_their_rounded_sum(parts: list[int]) -> None:
    rounded = round_parts(parts)
    assert all(is_neighbour(part, exact) for part, exact in zip(rounded, parts, strict=True))
    assert abs(sum(rounded) - sum(parts)) * 2 <= CENT


def test_larger_remainder_is_rounded_up() -> None:
    assert round_parts([4_520_400, 630_300, 374_400]) == [4_520_000, 630_000, 380_000]
    assert round_parts([5_000, 5_000]) == [10_000, 0]


def test_table_in_whole_cents_stays_unchanged() -> None:
    rows = [[10_000, -20_000], [0, 1_230_000]]
    assert round_table(rows).cells == rows


@given(answers())
def test_printed_balance_of_any_booking_adds_up(costs: ClusterReport) -> None:
    checked = verify(costs, 0)
    table = balance_table(checked)
    printed = [
        [Decimal(money(figure).replace(",", "")) for figure in row] for row in (*table.rows.values(), table.total)
    ]
    columns = len(BALANCE) - 1  # what the source shows is a separate sum
    assert all(sum(row[1:columns]) == row[0] for row in printed)
    for column in range(columns):
        assert sum(row[column] for row in printed[:-1]) == printed[-1][column]
    causes = [words.split(": ")[0].rsplit(" ", 1) for words in causes_in_words(checked, table.differences)]
    assert sum(Decimal(amount.replace(",", "")) for _, amount in causes) == printed[-1][BALANCE.index("difference")]


def test_parts_with_a_total_of_their_own_add_up_to_it() -> None:
    assert round_parts([1_004_000, 1_004_000], 2_008_040) == [1_010_000, 1_000_000]


def test_parts_far_from_their_total_are_rounded_by_themselves() -> None:
    assert round_parts([1_004_000, 1_006_000], 3_000_000) == [1_000_000, 1_010_000]


@given(st.lists(answers(), min_size=1, max_size=4))
def test_a_cluster_has_one_total_in_every_table(many: list[ClusterReport]) -> None:
    shown = overview_amounts(many)
    for costs in many:
        total, source, idle, difference = shown[id(costs)]
        table = balance_table(verify(costs, 0))
        assert (total, source, idle, difference) == tuple(table.total[at] for at in (0, 6, 2, 5))
        assert all(figure % CENT == 0 for figure in (total, source, idle, difference))
        assert total == round_parts([costs.bill.total])[0]


@given(answers())
def test_a_line_has_one_figure_in_every_table(costs: ClusterReport) -> None:
    balance = balance_table(verify(costs, 0))
    namespaces, workloads = (rounded_groups(costs, balance, by) for by in (DetailLevel.NAMESPACE, DetailLevel.WORKLOAD))
    for at, row in enumerate(balance.rows.values()):
        assert sum(cells[at] for cells in namespaces.values()) == row[1]
        for key, cells in namespaces.items():
            assert sum(parts[at] for name, parts in workloads.items() if name[:1] == key) == cells[at]
    for level, printed in ((NAMESPACE, namespaces), (WORKLOAD, workloads)):
        for group in costs.by(*level):
            exact = [group.costs.of(component) for component in balance.rows]
            assert all(map(is_neighbour, printed[group.key], exact))
