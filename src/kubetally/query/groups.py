"""Groups of an engine's answer, read into Python; of one question at a time if they are many, which bounds memory."""

from collections.abc import Iterator
from datetime import date, datetime
from itertools import repeat
from threading import Lock
from typing import Any, Final, NamedTuple, Self

import pyarrow as pa

from kubetally.domain.allocation import Kind
from kubetally.domain.efficiency import Hours
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.query.sums import COSTS, RATED, SHARES, WASTE, WEIGHTS, columns
from kubetally.query.too_large import QuestionTooLarge
from kubetally.query.top import GROUPS_IN_REST

MAX_GROUPS: Final = 100_000
"""Rows of an answer; each takes some 3 KB while they are read, and 2 KB afterwards."""

MANY_GROUPS: Final = 20_000
_GROUPS_PER_PIECE = 4096
_SUMS = frozenset({*COSTS, *SHARES, *Hours._fields, *RATED, WASTE, *WEIGHTS})
_READING_MANY = Lock()
_KINDS: dict[str | None, Kind | None] = {None: None, **{kind.value: kind for kind in Kind}}


class Group(NamedTuple):
    """A group of the engine's answer: what it is grouped by, and its sums by name.

    groups_in_rest: how many groups are in it, if it is the row of all that are not in the top.
    """

    account_id: str | None
    start: date | None
    kind: Kind | None
    values: tuple[str | None, ...]
    sums: dict[str, Any]
    groups_in_rest: int | None = None


class GroupReader:
    """Reads the groups of a question. One that has many waits until no other reader with many is open.

    rows_per_group: how many rows of the answer a group becomes.
    """

    def __init__(self, question: CostQuestion, rows_per_group: int = 1) -> None:
        self._question, self._rows_per_group = question, rows_per_group
        self._has_many = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let another read many."""
        if self._has_many:
            _READING_MANY.release()

    def read(self, table: pa.Table) -> Iterator[Group]:
        """The groups of a table, piece by piece. Raises QuestionTooLarge."""
        rows = table.num_rows * self._rows_per_group
        check_groups(rows)
        if rows > MANY_GROUPS and not self._has_many:
            _READING_MANY.acquire()
            self._has_many = True
        if "rows" in table.column_names and not table["rows"][0].as_py():
            return
        for first in range(0, table.num_rows, _GROUPS_PER_PIECE):
            yield from self._groups(table.slice(first, _GROUPS_PER_PIECE))

    def _groups(self, table: pa.Table) -> Iterator[Group]:
        read, nothing = columns(table), [None] * table.num_rows
        names = [name for name in table.column_names if name in _SUMS]
        keys = [read.get(f"key_{number}", nothing) for number in range(len(self._question.group))]
        starts = map(as_date, read["start"]) if "start" in read else nothing
        kinds = map(_KINDS.__getitem__, read["kind"]) if "kind" in read else nothing
        amounts = zip(*(read[name] for name in names), strict=True) if names else repeat((), table.num_rows)
        sums = (dict(zip(names, values, strict=True)) for values in amounts)
        about = read.get("account_id", nothing), starts, kinds
        values = zip(*keys, strict=True) if keys else repeat((), table.num_rows)
        yield from map(Group, *about, values, sums, read.get(GROUPS_IN_REST, nothing))


def check_groups(count: int) -> None:
    """Raises QuestionTooLarge, if an answer has more rows than fit into memory."""
    if count > MAX_GROUPS:
        raise QuestionTooLarge(f"the answer has more than {MAX_GROUPS:,} rows")


def as_date(value: date | datetime) -> date:
    """The day on which a step begins, whichever of the two an engine returns."""
    return value.date() if isinstance(value, datetime) else value
