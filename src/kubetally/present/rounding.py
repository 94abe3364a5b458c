"""Rounds amounts to cents so that printed figures add up.

Totals are rounded by themselves, so that a total is the same in every view; the parts of a row or a column take up the
rest: as few of them as possible, the largest first. Where both is impossible, true totals win, then rows: three rows of
0.4 cents add up to 0.01.
"""

from collections.abc import Collection, Iterator, Sequence
from heapq import heapify, heappop, heappush
from math import inf
from typing import NamedTuple

CENT = 10_000
"""A cent in micros."""
_WEIGHT = 10**18
_CELL = 10**30  # more than the weights of all cells together


def round_amount(micros: int) -> int:
    """The nearest whole cent, half a cent to the even one, as `to_shown` prints it."""
    cents, rest = divmod(micros, CENT)
    return (cents + (rest * 2 > CENT or (rest * 2 == CENT and cents % 2 == 1))) * CENT


def round_parts(parts: Sequence[int], total: int | None = None, *, spared: Collection[int] = ()) -> list[int]:
    """Parts in whole cents that add up to the rounded total, each less than a cent from its amount.

    They are the nearest cents, but for the largest parts, which take up the rest; ties go to the earlier part.
    total: as it is printed, at most a cent from the sum of the parts; the rounded sum if None.
    spared: places of parts that take up the rest only if no other can.
    """
    rounded = [round_amount(part) for part in parts]
    rest = (round_amount(sum(parts)) if total is None else total) - sum(rounded)
    movable = [at for at, part in enumerate(parts) if (part - rounded[at]) * rest > 0]
    for at in sorted(movable, key=lambda at: (at in spared, -abs(parts[at])))[: abs(rest) // CENT]:
        rounded[at] += CENT if rest > 0 else -CENT
    return rounded


def round_table(rows: Sequence[Sequence[int]], column_totals: Sequence[int] | None = None) -> list[list[int]]:
    """The cells of a table in whole cents, each less than a cent from its amount.

    Each row adds up to its rounded total. So does each column, as far as rows allow it.
    column_totals: as they are printed; the rounded sums if None.
    """
    if column_totals is None:
        column_totals = [round_amount(sum(column)) for column in zip(*rows, strict=True)]
    table = _Table(rows)
    table.fit_columns(column_totals)
    return table.cells


class _Move(NamedTuple):
    """A cent that moves from one cell of a row to another.

    cost: first how many more cells are not at their nearest cent, then what that adds to the relative errors of cells.
    """

    cost: int
    row: int


class _Table:
    """A table whose rows add up. Cents move along its rows, at the least cost, until its columns add up too.

    Source: successive shortest paths for the least costly flow, between columns.
    """

    def __init__(self, rows: Sequence[Sequence[int]]) -> None:
        self._rows = rows
        self.cells = [round_parts(row) for row in rows]
        self._moves: dict[tuple[int, int], list[_Move]] = {}  # heaps by the columns a cent leaves and enters

    def fit_columns(self, totals: Sequence[int]) -> None:
        """Let as many columns as possible add up to their totals."""
        columns = zip(totals, zip(*self.cells, strict=True), strict=True) if self.cells else ()
        excess = [(sum(column) - total) // CENT for total, column in columns]
        if any(excess):
            self._find_moves()
        while path := self._cheapest_path(excess):
            for row, leaving, entering in path:
                self.cells[row][leaving] -= CENT
                self.cells[row][entering] += CENT
            for row, *_ in path:
                for columns_, move in self._moves_of(row):
                    heappush(self._moves.setdefault(columns_, []), move)
            excess[path[-1][1]] -= 1
            excess[path[0][2]] += 1

    def _find_moves(self) -> None:
        for row in range(len(self.cells)):
            for columns, move in self._moves_of(row):
                self._moves.setdefault(columns, []).append(move)
        for heap in self._moves.values():
            heapify(heap)

    def _moves_of(self, row: int) -> Iterator[tuple[tuple[int, int], _Move]]:
        """From each cell that is rounded up to each that is rounded down."""
        exact, shown = self._rows[row], self.cells[row]
        down = [(column, self._cost(row, column)) for column, amount in enumerate(exact) if shown[column] < amount]
        for column, amount in enumerate(exact):
            if shown[column] > amount:
                cost = self._cost(row, column)
                yield from (((column, other), _Move(cost + its, row)) for other, its in down)

    def _cost(self, row: int, column: int) -> int:
        """What rounding a cell the other way costs; below zero if that is nearer."""
        amount = self._rows[row][column]
        weight = _CELL + _WEIGHT // abs(amount)
        return weight if self.cells[row][column] == round_amount(amount) else -weight

    def _cheapest(self, leaving: int, entering: int) -> _Move | None:
        """The cheapest move that is still possible."""
        heap = self._moves[leaving, entering]
        while heap:
            exact, shown = self._rows[heap[0].row], self.cells[heap[0].row]
            if shown[leaving] > exact[leaving] and shown[entering] < exact[entering]:
                return heap[0]
            heappop(heap)
        return None

    def _cheapest_path(self, excess: Sequence[int]) -> list[tuple[int, int, int]]:
        """Moves, last one first, from a column above its total to one below; each as row, left and entered column."""
        costs = {column: 0 for column, cents in enumerate(excess) if cents > 0}
        came_from: dict[int, tuple[int, int]] = {}  # by column: row and column of the move to it
        moves = [(pair, move) for pair in self._moves if (move := self._cheapest(*pair)) is not None]
        for _ in excess:
            for (leaving, entering), move in moves:
                if leaving in costs and (cost := costs[leaving] + move.cost) < costs.get(entering, inf):
                    costs[entering] = cost
                    came_from[entering] = move.row, leaving
        below = [column for column, cents in enumerate(excess) if cents < 0 and column in costs]
        if not below:
            return []
        at, path = min(below, key=costs.__getitem__), list[tuple[int, int, int]]()
        while at in came_from:
            row, leaving = came_from[at]
            path.append((row, leaving, at))
            at = leaving
        return path
