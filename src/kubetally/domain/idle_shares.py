"""How a day's idle cost is shared among its workloads: once, when the day is booked, so that queries only add."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kubetally.domain.allocation import Kind
from kubetally.domain.component import Costs
from kubetally.domain.row import Row

_Micros: TypeAlias = NDArray[np.int64]
_WEIGHED = attrgetter("namespace", "costs")
_NAMELESS, _LINE = "\U0010fffe", "\U0010ffff"  # no name begins with these
_MAX_EXACT = 2**62
"""Products below it are exact in 64 bits."""


class IdleShare(NamedTuple):
    """A workload row's share of the idle cost of its day, in micros: by its own cost of the component, and evenly."""

    cpu_weighted: int = 0
    ram_weighted: int = 0
    gpu_weighted: int = 0
    cpu_even: int = 0
    ram_even: int = 0
    gpu_even: int = 0


class IdleShares(NamedTuple):
    """The shares of all rows of a day, column by column: `IdleShare` of row `n` is what stands at `n` in each.

    A line has a share of 0 in each.
    """

    cpu_weighted: _Micros
    ram_weighted: _Micros
    gpu_weighted: _Micros
    cpu_even: _Micros
    ram_even: _Micros
    gpu_even: _Micros

    def of_rows(self) -> Iterator[IdleShare]:
        """Row by row."""
        return map(IdleShare, *(column.tolist() for column in self))


def order_rows(rows: Sequence[Row]) -> list[int]:
    """Where rows stand in the order of the ledger: workloads by namespace (those without one last), controller, pod,
    container, node and kind of controller, then the lines. No two rows of a booked day are equal in all of these.
    """
    places = [_place(row) for row in rows]
    return sorted(range(len(rows)), key=places.__getitem__)


def share_idle(rows: Sequence[Row], order: Sequence[int]) -> IdleShares:
    """Divide the idle cost of a day among its workload rows, CPU, RAM and GPU each by itself.

    weighted: in proportion to the row's cost of the component. Where no row has any, nothing is shared.
    even:     in equal parts to the namespaces, and inside of each in proportion to the cost, else equally.
    order:    of `order_rows`.
    Shape:    a share for each row, in that order. The shares of a component are its idle, exactly; without a workload
              row all are 0.
    Units:    micros. A negative cost weighs nothing.
    Source:   largest remainder method; ties go to the earlier row and the earlier namespace (Q3).
    """
    idle = Costs.sum(row.costs for row in rows if row.kind is Kind.IDLE)
    count = sum(row.kind is Kind.WORKLOAD for row in rows)
    of_workloads, nothing = np.array(order[:count], dtype=np.intp), np.zeros(len(rows), dtype=np.int64)
    of_lines = nothing[count:]
    namespaces, costs = zip(*map(_WEIGHED, rows), strict=True) if count else ((), ())
    segments = _Segments.by_namespace([namespaces[at] for at in order[:count]])
    weighted, even = [], []
    for component, amount in enumerate((idle.cpu, idle.ram, idle.gpu)):
        if amount <= 0 or not count:
            weighted.append(nothing)
            even.append(nothing)
            continue
        # Rows are read in the order in which they lie in memory: in any other it takes several times as long.
        weights = _numbers([cost[component] for cost in costs])[of_workloads]
        np.maximum(weights, 0, out=weights)
        weighted.append(np.concatenate([_divide(amount, weights), of_lines]))
        even.append(np.concatenate([segments.divide(amount, weights), of_lines]))
    return IdleShares(*weighted, *even)


def _place(row: Row) -> str:
    """Text that sorts as the names one after the other: none has a character that sorts before the one between them."""
    if row.kind is not Kind.WORKLOAD:
        return _LINE
    namespace = _NAMELESS if row.namespace is None else row.namespace
    return "\0".join(
        (namespace, row.controller or "", row.pod or "", row.container or "", row.node or "", row.controller_kind or "")
    )


def _divide(total: int, weights: _Micros) -> _Micros:
    """`total` in proportion to weights of 0 and above; nothing where all are 0."""
    if not weights.any():
        return weights
    weights = _exact(weights, max(total, len(weights)))
    products, of = weights * total, weights.sum()
    parts: _Micros = products // of
    remainders = products - parts * of
    left = total - int(parts.sum())
    if left:
        least = np.partition(remainders, len(remainders) - left)[len(remainders) - left]
        above = remainders > least
        parts[above] += 1
        parts[np.flatnonzero(remainders == least)[: left - int(above.sum())]] += 1
    return parts


def _numbers(numbers: Sequence[int]) -> _Micros:
    """As 64 bits, or of any length where one needs that."""
    try:
        return np.array(numbers, dtype=np.int64)
    except OverflowError:
        return np.array(numbers, dtype=object)


def _exact(weights: _Micros, times: int) -> _Micros:
    """The weights as numbers that can be multiplied by `times` without loss: of any length, where 64 bits are few."""
    return weights if int(weights.max()) * times < _MAX_EXACT else weights.astype(object)


class _Segments(NamedTuple):
    """Rows of one namespace after those of another. starts: the place of each one's first row; of: each row's one."""

    starts: NDArray[np.intp]
    of: NDArray[np.intp]

    @classmethod
    def by_namespace(cls, namespaces: Sequence[str | None]) -> "_Segments":
        """Of the namespaces of rows in the order of the ledger."""
        lengths = [len(list(same)) for _, same in groupby(namespaces)]
        ends = np.cumsum(lengths, dtype=np.intp)
        return cls(ends - lengths, np.repeat(np.arange(len(lengths)), lengths))

    def divide(self, total: int, weights: _Micros) -> _Micros:
        """Equal parts to the segments, and inside of each in proportion to `weights`, else equally."""
        each, more = divmod(total, len(self.starts))
        amounts = _numbers([each + (number < more) for number in range(len(self.starts))])
        empty = np.add.reduceat(_exact(weights, len(weights)), self.starts) == 0
        weights = _exact(np.where(empty[self.of], 1, weights), max(each + 1, len(weights)))
        sums = np.add.reduceat(weights, self.starts)
        products = weights * amounts[self.of]
        parts = products // sums[self.of]
        remainders = products - parts * sums[self.of]
        left = (amounts - np.add.reduceat(parts, self.starts)).astype(np.intp)
        by_remainder = np.lexsort((-remainders, self.of))
        place = np.arange(len(weights)) - self.starts[self.of]
        parts[by_remainder[place < left[self.of]]] += 1
        return parts
