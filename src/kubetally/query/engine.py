"""What an engine does for queries, and what all engines do alike."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Protocol

import ibis
import ibis.expr.datatypes as dt
import pyarrow as pa
from ibis import ir

from kubetally.ledger.ports.lake import Scan
from kubetally.query.predicate import is_one_of
from kubetally.store.lake.schema import ALLOCATIONS, RENAMED


class Engine(Protocol):
    """Runs Ibis expressions over the files of the lake. Threads may share it. Raises StoreError, QuestionTooLarge.

    reads_local_files: whether scans need paths of this machine; else the engine reads an object store itself.
    reads_roll_ups:    whether `rows` takes files of roll-ups, in their own columns.
    """

    reads_local_files: bool
    reads_roll_ups: bool

    def rows(self, scans: Sequence[Scan], tables: Sequence[pa.Table] = ()) -> ir.Table:
        """The rows of the ledger in the columns of the lake, with their day, from files and from Arrow tables."""

    def run(self, expression: ir.Table) -> pa.Table:
        """The rows of an expression."""

    def run_prepared(self, rows: ir.Table, key: Hashable, build: Callable[[ir.Table], ir.Table]) -> pa.Table:
        """The rows of what `build` makes of a table, which depends on the table's columns and on `key` alone.

        An engine may keep what it worked out for a key: to make and translate an expression takes as long as to add up
        a million rows.
        """

    def batches(self, expression: ir.Table) -> Iterator[pa.RecordBatch]:
        """The rows of an expression, batch by batch; the engine may run nothing else meanwhile."""

    def close(self) -> None:
        """Free what it holds."""


OpenEngine = Callable[[], Engine]
RunPrepared = Callable[[ir.Table, Hashable, Callable[[ir.Table], ir.Table]], pa.Table]
"""See `Engine.run_prepared`."""
Run = Callable[[ir.Table], pa.Table]
"""Runs an expression on an engine."""


def chosen(rows: ir.Table, scan: Scan) -> ir.Table:
    """The rows of a scan's files that count."""
    if scan.is_version_1:
        rows = _upgraded(rows)
    if scan.accounts is not None:
        rows = rows.filter(is_one_of(rows.account_id, scan.accounts))
    return rows if scan.ids is None else rows.filter(is_one_of(rows.collection_id, scan.ids))


def union_of(scanned: Sequence[ir.Table], tables: Sequence[pa.Table]) -> ir.Table:
    """All rows of these as one table in the columns of the lake."""
    parts = [
        *scanned,
        *(ibis.memtable(table.select(ALLOCATIONS.names), schema=columns_of(ALLOCATIONS)) for table in tables),
    ]
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return ibis.memtable(ALLOCATIONS.empty_table())
    return ibis.union(*(part.select(ALLOCATIONS.names) for part in parts))


def columns_of(arrow: pa.Schema) -> ibis.Schema:
    """Columns as engines read them from files: a key of a map may be null for them, unlike in Arrow."""
    schema = ibis.Schema.from_pyarrow(arrow)
    maps = {name: dt.Map(dt.string, type_.value_type) for name, type_ in schema.items() if type_.is_map()}
    return ibis.schema({**dict(schema.items()), **maps})


def _upgraded(rows: ir.Table) -> ir.Table:
    """Rows of version 1 of the lake in the columns of now; null where it has no such column."""
    columns = {}
    for name, type_ in columns_of(ALLOCATIONS).items():
        old = RENAMED.get(name, name)
        columns[name] = rows[old] if old in rows.columns else ibis.null(type_)
    columns["kind"] = rows.kind.cases(("unexplained", "difference"), else_=rows.kind)
    return rows.select(**columns)
