"""How a day's idle cost is shared among its workloads: once, when the day is booked, so that queries only add."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from kubetally.domain.allocation import Kind
from kubetally.domain.component import Costs
from kubetally.domain.row import Row

_NAMELESS, _LINE = "\U0010fffe", "\U0010ffff"  # no name begins with these
_MAX_FLOAT = 2**53
"""Below it floats are exact. They are sorted in two thirds of the time."""


class IdleShare(NamedTuple):
    """A workload row's share of the idle cost of its day, in micros: by its own cost of the component, and evenly."""

    cpu_weighted: int = 0
    ram_weighted: int = 0
    gpu_weighted: int = 0
    cpu_even: int = 0
    ram_even: int = 0
    gpu_even: int = 0


class IdleShares(NamedTuple):
    """The shares of the rows of a day in micros, column by column: `IdleShare` of row `n` is at `n` in each.

    A line has a share of 0 in each.
    """

    cpu_weighted: Sequence[int]
    ram_weighted: Sequence[int]
    gpu_weighted: Sequence[int]
    cpu_even: Sequence[int]
    ram_even: Sequence[int]
    gpu_even: Sequence[int]

    def of_rows(self) -> Iterator[IdleShare]:
        """Row by row."""
        return map(IdleShare, *self)


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
    count = len(order)
    while count and rows[order[count - 1]].kind is not Kind.WORKLOAD:
        count -= 1
    workloads, lines = order[:count], [rows[at] for at in order[count:]]
    idle = Costs.sum(row.costs for row in lines if row.kind is Kind.IDLE)
    # Rows are read in the order in which they lie in memory: in any other it takes several times as long.
    namespaces, costs = [row.namespace for row in rows], [row.costs for row in rows]
    lengths = [len(list(same)) for _, same in groupby([namespaces[at] for at in workloads])]
    nothing, of_lines = [0] * len(rows), [0] * len(lines)
    weighted, even = [], []
    for component, amount in enumerate((idle.cpu, idle.ram, idle.gpu)):
        if amount <= 0 or not workloads:
            weighted.append(nothing)
            even.append(nothing)
            continue
        of_component = [cost[component] for cost in costs]
        weights = [weight if (weight := of_component[at]) > 0 else 0 for at in workloads]
        weighted.append(_divide(amount, weights) + of_lines)
        even.append(_divide_evenly(amount, weights, lengths) + of_lines)
    return IdleShares(*weighted, *even)


def _place(row: Row) -> str:
    """Text that sorts as the names one after the other: none has a character that sorts before the one between them."""
    if row.kind is not Kind.WORKLOAD:
        return _LINE
    namespace = _NAMELESS if row.namespace is None else row.namespace
    return "\0".join(
        (namespace, row.controller or "", row.pod or "", row.container or "", row.node or "", row.controller_kind or "")
    )


def _divide_evenly(total: int, weights: Sequence[int], lengths: Sequence[int]) -> list[int]:
    """Equal parts to groups of so many weights each, and inside of each in proportion to its weights, else equally."""
    each, more = divmod(total, len(lengths))
    parts: list[int] = []
    for number, length in enumerate(lengths):
        of_group = weights[len(parts) : len(parts) + length]
        parts += _divide(each + (number < more), of_group if any(of_group) else [1] * length)
    return parts


def _divide(total: int, weights: Sequence[int]) -> list[int]:
    """`total` in proportion to weights of 0 and above; nothing where all are 0.

    `money.split` in fewer steps, for tens of thousands of whole weights.
    """
    whole = sum(weights)
    if not whole:
        return [0] * len(weights)
    remainders = [weight * total % whole for weight in weights]
    left = sum(remainders) // whole
    if not left:
        return [weight * total // whole for weight in weights]
    least = int(sorted(map(float, remainders) if whole < _MAX_FLOAT else remainders)[-left])
    above = whole - 1 - least  # with it every greater remainder makes one more
    parts = [(weight * total + above) // whole for weight in weights]
    at = -1
    for _ in range(total - sum(parts)):
        at = remainders.index(least, at + 1)
        parts[at] += 1
    return parts
