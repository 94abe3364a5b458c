"""Rounds amounts to cents so that printed figures add up: parts to their total, rows and columns to theirs."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kubetally.domain.money import round_to_sum

CENT = 10_000
"""A cent in micros."""


@dataclass(frozen=True, slots=True)
class RoundedTable:
    """Cells by row, totals of rows and columns, and the grand total; in micros, each a whole number of cents."""

    cells: list[list[int]]
    row_totals: list[int]
    column_totals: list[int]
    total: int


def round_parts(parts: Sequence[int], total: int | None = None) -> list[int]:
    """Parts in whole cents that add up to the rounded total, by largest remainder; ties go to the earlier part.

    total: of the parts, if it was computed apart from them. If it is a cent a part or more away from their sum, that
    gap is real: the parts are rounded by themselves.
    """
    target = _nearest(sum(parts) if total is None else total) // CENT
    if not 0 <= target - sum(part // CENT for part in parts) <= len(parts):
        return [_nearest(part) for part in parts]
    return [cents * CENT for cents in round_to_sum(parts, denominator=CENT, total=target)]


def round_table(rows: Sequence[Sequence[int]], row_totals: Sequence[int] | None = None) -> RoundedTable:
    """A table in whole cents whose rows and columns add up to their printed totals.

    row_totals: as another table shows them, each rounded down or up to a cent; those of `round_parts` if None, whatever
    the columns are. Each cell is rounded down or up to a cent.
    Totals of columns are those of `round_parts` too, if such a table exists.
    """
    row_totals = round_parts([sum(row) for row in rows]) if row_totals is None else list(row_totals)
    column_totals = round_parts([sum(column) for column in zip(*rows, strict=True)], sum(row_totals))
    cells = [[cell // CENT * CENT for cell in row] for row in rows]
    columns = zip(column_totals, zip(*cells, strict=True), strict=True)
    choice = _RoundedUp(
        [{column: cell % CENT for column, cell in enumerate(row) if cell % CENT} for row in rows],
        [(total - sum(row)) // CENT for total, row in zip(row_totals, cells, strict=True)],
        [(total - sum(column)) // CENT for total, column in columns],
    )
    for row, column in choice.cells():
        cells[row][column] += CENT
    return RoundedTable(cells, row_totals, [sum(column) for column in zip(*cells, strict=True)], sum(row_totals))


def _nearest(micros: int) -> int:
    """The nearest whole cent, half a cent to the even one, as `to_shown` prints it."""
    cents, rest = divmod(micros, CENT)
    return (cents + (rest * 2 > CENT or (rest * 2 == CENT and cents % 2 == 1))) * CENT


class _RoundedUp:
    """Chooses the cells that are rounded up: `wanted` in each row, and `room` in each column if possible.

    fractions: of the cells of each row, by column.
    """

    def __init__(self, fractions: Sequence[Mapping[int, int]], wanted: list[int], room: list[int]) -> None:
        self._fractions, self._wanted, self._room = fractions, wanted, room
        self._chosen: list[set[int]] = [set() for _ in fractions]
        self._by_column: list[set[int]] = [set() for _ in room]

    def cells(self) -> Iterator[tuple[int, int]]:
        """The chosen cells, as row and column."""
        cells = [(-part, row, column) for row, parts in enumerate(self._fractions) for column, part in parts.items()]
        for _, row, column in sorted(cells):  # the largest remainders first
            if self._wanted[row] and self._room[column] > 0:
                self._choose(row, column)
        for row in range(len(self._wanted)):
            while self._wanted[row] and self._find_room(row):
                pass
        for row, wanted in enumerate(self._wanted):
            free = self._fractions[row].keys() - self._chosen[row]
            for column in sorted(free, key=lambda column: (-self._fractions[row][column], column))[:wanted]:
                self._choose(row, column)
        return ((row, column) for row, columns in enumerate(self._chosen) for column in sorted(columns))

    def _choose(self, row: int, column: int) -> None:
        self._chosen[row].add(column)
        self._by_column[column].add(row)
        self._wanted[row] -= 1
        self._room[column] -= 1

    def _give_up(self, row: int, column: int) -> None:
        self._chosen[row].discard(column)
        self._by_column[column].discard(row)
        self._wanted[row] += 1
        self._room[column] += 1

    def _find_room(self, row: int) -> bool:
        """Choose one more cell of a row, for which other rows may choose other cells. False if that is impossible."""
        came_from: dict[int, tuple[int, int | None]] = {}  # by column: the row that would choose it, and give up which
        waiting: deque[tuple[int, int | None]] = deque([(row, None)])
        while waiting:
            at, given_up = waiting.popleft()
            for column in self._fractions[at].keys() - self._chosen[at] - came_from.keys():
                came_from[column] = at, given_up
                if self._room[column] > 0:
                    self._follow(column, came_from)
                    return True
                waiting.extend((other, column) for other in self._by_column[column])
        return False

    def _follow(self, column: int, came_from: Mapping[int, tuple[int, int | None]]) -> None:
        taken: int | None = column
        while taken is not None:
            row, given_up = came_from[taken]
            if given_up is not None:
                self._give_up(row, given_up)
            self._choose(row, taken)
            taken = given_up
