"""The order of an answer's rows, its top, and its pages."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeVar

from kubetally.domain.allocation import Kind
from kubetally.domain.component import Component
from kubetally.domain.errors import RequestError
from kubetally.domain.nearest import suggestion
from kubetally.domain.question.group import Dimension
from kubetally.domain.report import REST, CostReport, CostRow, add_rows


class Arranged(Protocol):
    """A row that can be arranged: of costs, or of what changed."""

    @property
    def key(self) -> tuple[str | None, ...]: ...
    @property
    def kind(self) -> Kind | Literal["rest"] | None: ...
    @property
    def account_id(self) -> str | None: ...
    @property
    def start(self) -> datetime | None: ...


_Row = TypeVar("_Row", bound=Arranged)
Figures = Mapping[str, Callable[[Any], Any]]
"""What rows can be ordered by beside their dimensions: how each figure is read from a row."""


def _cost_of(component: Component) -> Callable[[CostRow], int]:
    return lambda row: row.costs.of(component)


COST_FIGURES: Final[Figures] = {
    "total_cost": lambda row: row.costs.total,
    **{f"{component}_cost": _cost_of(component) for component in Component},
    "window_start": lambda row: row.start,
}


class Order(NamedTuple):
    """One field that rows are ordered by: a cost, `window_start`, or a dimension by its text in the group."""

    field: str
    is_descending: bool


DEFAULT_ORDER = (Order("total_cost", is_descending=True),)


def parse_order(
    text: str, group: Sequence[Dimension], figures: Figures = COST_FIGURES, default: tuple[Order, ...] = DEFAULT_ORDER
) -> tuple[Order, ...]:
    """The fields in a comma list such as `-total_cost,namespace`; a minus is for descending.

    Raises: RequestError, for a field that rows of this group do not have.
    """
    if not text.strip():
        return default
    known = (*figures, *(dimension.asked for dimension in group))
    orders = []
    for item in (item.strip() for item in text.split(",")):
        name = item.removeprefix("-")
        if name not in known:
            raise RequestError(
                f"the order has the unknown field {name!r}{suggestion(name, known)}: use a comma list of "
                f"{', '.join(known)}, each with a minus before it for descending",
                code="unknown_order",
            )
        orders.append(Order(name, item.startswith("-")))
    return tuple(orders)


def arrange(
    rows: Iterable[_Row], group: Sequence[Dimension], order: Sequence[Order], figures: Figures = COST_FIGURES
) -> list[_Row]:
    """The rows in order. Ties are ordered by key and step; what has no value comes last, ascending or descending."""
    ordered = sorted(rows, key=_tie)
    for field, is_descending in reversed(order):
        read = _reader(field, group, figures)
        known = [row for row in ordered if read(row) is not None]
        missing = [row for row in ordered if read(row) is None]
        known.sort(key=read, reverse=is_descending)
        ordered = known + missing
    return ordered


def arrange_report(report: CostReport, order: Sequence[Order], top: int | None) -> tuple[list[CostRow], list[CostRow]]:
    """The lines and the rows of a report in order, with what is not in the top as one row a step."""
    group = report.question.group
    is_done = top is None or report.question.top is not None  # by the engine
    rows = list(report.rows) if top is None or is_done else keep_top(report.rows, top, group, order)
    return arrange(report.lines, group, order), arrange(rows, group, order)


def rows_of_file(report: CostReport, order: Sequence[Order], top: int | None) -> list[CostRow]:
    """The lines and the rows of a report as a file has them: step by step, unless another order is asked for."""
    lines, rows = arrange_report(report, order, top)
    both = [*lines, *rows]
    return sorted(both, key=_start) if tuple(order) == DEFAULT_ORDER else both


def split_lines(rows: Iterable[_Row]) -> tuple[list[_Row], list[_Row]]:
    """Lines of their own, and all other rows; lines lead the first page and count in no limit."""
    lines, others = list[_Row](), list[_Row]()
    for row in rows:
        (others if row.kind in (None, REST, Kind.WORKLOAD) else lines).append(row)
    return lines, others


def keep_top(rows: Sequence[CostRow], top: int, group: Sequence[Dimension], order: Sequence[Order]) -> list[CostRow]:
    """The first `top` keys over the whole window, and what is left as one row of kind `rest` for each step.

    rows: without lines.
    """
    by_key = defaultdict[Any, list[CostRow]](list)
    for row in rows:
        by_key[row.account_id, row.key].append(row)
    wholes = arrange((add_rows(same, same[0].key, same[0].kind) for same in by_key.values()), group, order)
    named = {(row.account_id, row.key) for row in wholes[:top]}
    kept = [row for row in rows if (row.account_id, row.key) in named]
    left = defaultdict[Any, list[CostRow]](list)
    for row in rows:
        if (row.account_id, row.key) not in named:
            left[row.start].append(row)
    nothing = (None,) * len(group)
    return kept + [replace(add_rows(same, nothing, REST), account_id=None) for same in left.values()]


def _reader(field: str, group: Sequence[Dimension], figures: Figures) -> Callable[[Any], Any]:
    if field in figures:
        return figures[field]
    place = next(at for at, dimension in enumerate(group) if dimension.asked == field)
    return lambda row: row.key[place]


def _tie(row: Arranged) -> tuple[Any, ...]:
    return [(value is None, value or "") for value in row.key], str(row.kind), row.account_id or "", _start(row)


def _start(row: Arranged) -> str:
    """When its step begins; empty without steps."""
    return "" if row.start is None else row.start.isoformat()
