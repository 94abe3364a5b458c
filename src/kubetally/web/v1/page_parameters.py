"""Parameters that say which rows of an answer are sent, and in what order."""

from dataclasses import dataclass
from typing import Final

from kubetally.domain.compare import COMPARED_FIGURES, LARGEST_CHANGE_FIRST
from kubetally.domain.question.arrange import DEFAULT_ORDER, Order, parse_order
from kubetally.web.v1.cursor import Cursor, read_cursor
from kubetally.web.v1.query_string import Parameter, number, numbers, text

DEFAULT_LIMIT, MAX_LIMIT = 200, 10_000


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows of an answer are wanted. cursor: of the page before; None for the first. top: None for all keys."""

    order: tuple[Order, ...]
    limit: int = DEFAULT_LIMIT
    cursor: Cursor | None = None
    top: int | None = None


ORDER: Final[Parameter[tuple[Order, ...]]] = Parameter(
    "order",
    "Comma list of total_cost, a component such as cpu_cost, window_start or a dimension of the group; a minus before "
    "it for descending.",
    lambda fields: parse_order(fields, ()),
    DEFAULT_ORDER,
    text(default="-total_cost"),
)
CHANGE_ORDER: Final[Parameter[tuple[Order, ...]]] = Parameter(
    "order",
    "Comma list of before, now, change, absolute_change or a dimension of the group; a minus before it for descending.",
    lambda fields: parse_order(fields, (), COMPARED_FIGURES, LARGEST_CHANGE_FIRST),
    LARGEST_CHANGE_FIRST,
    text(default="-absolute_change"),
)
LIMIT: Final[Parameter[int]] = Parameter(
    "limit", "Rows of a page.", number("limit", MAX_LIMIT), DEFAULT_LIMIT, numbers(MAX_LIMIT, default=DEFAULT_LIMIT)
)
CURSOR: Final[Parameter[Cursor | None]] = Parameter(
    "cursor", "The `next` of the page before, with the same question.", read_cursor, None, text()
)
TOP: Final[Parameter[int | None]] = Parameter(
    "top",
    "The first keys over the whole window; all others are one row of kind rest. Default: all keys.",
    number("top", MAX_LIMIT),
    None,
    numbers(MAX_LIMIT),
)
