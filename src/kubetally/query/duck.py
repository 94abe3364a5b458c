"""DuckDB in this process: owns the connection and reads the files of a scan."""

from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import Generic, TypeVar
from uuid import uuid4
from weakref import finalize

import duckdb
import ibis
import pyarrow as pa
from ibis import ir
from ibis.backends.duckdb.converter import DuckDBPyArrowData
from ibis.expr.operations import InMemoryTable

from kubetally.domain.errors import StoreError
from kubetally.ledger.ports.lake import Scan
from kubetally.query.engine import chosen, union_of
from kubetally.query.too_large import QuestionTooLarge

_MAX_TABLES = 64
_ROWS_PER_BATCH = 4_096
"""A multiple of DuckDB's vectors. With 20,480 an export takes 30 MB more, and no less time."""
_MAX_PREPARED = 256
_AT_ONCE = 3
_INTERRUPT_SECONDS = 0.05
_ROWS = "kubetally_rows"
T = TypeVar("T")


class DuckEngine:
    """Runs Ibis expressions over Parquet files and Arrow tables. Threads may share it.

    threads:      at most. memory_bytes: that it may use.
    spill_folder: for what does not fit into memory, in a folder of its own there that exists only meanwhile; None if
                  nothing may be written.
    """

    reads_local_files = reads_roll_ups = True

    def __init__(self, *, threads: int = 2, memory_bytes: int = 1_000_000_000, spill_folder: str | None = None) -> None:
        spill = "" if spill_folder is None else str(Path(spill_folder, f"query-spill-{uuid4().hex[:12]}"))
        self._connection = ibis.duckdb.connect(threads=threads, memory_limit=f"{memory_bytes}B", temp_directory=spill)
        self._preparing, self._free, self._active = Lock(), BoundedSemaphore(_AT_ONCE), set[duckdb.DuckDBPyConnection]()
        self._files = _Kept[ir.Table](_MAX_TABLES)
        self._unused_views = deque[str]()
        self._prepared = _Kept[tuple[str, ibis.Schema]](_MAX_PREPARED)
        self._sources = _Kept[str](_MAX_TABLES)  # by tables, whose views stay meanwhile

    def rows(self, scans: Sequence[Scan], tables: Sequence[pa.Table] = ()) -> ir.Table:
        """See `Engine.rows`."""
        return union_of([chosen(self._table_of(scan.paths), scan) for scan in scans], tables)

    def run(self, expression: ir.Table) -> pa.Table:
        """See `Engine.run`."""
        with self._preparing, _translated():
            text = self._connection.compile(expression)
        return self._fetched(text, expression.schema(), expression.op().find(InMemoryTable))

    def run_prepared(self, rows: ir.Table, key: Hashable, build: Callable[[ir.Table], ir.Table]) -> pa.Table:
        """See `Engine.run_prepared`."""
        if rows.op().find(InMemoryTable):
            return self.run(build(rows))
        with self._preparing, _translated():
            text, schema = self._prepared.get((key, rows.schema()), lambda: self._prepare(rows.schema(), build))
            source = self._sources.get(rows.op(), lambda: self._connection.compile(rows))
        return self._fetched(text.format(source), schema)

    def _fetched(self, text: str, schema: ibis.Schema, in_memory: Collection[InMemoryTable] = ()) -> pa.Table:
        """The rows of a query. A few run at once, so that a long one holds up no short one."""
        with self._free, _translated(), self._cursor(in_memory) as cursor:
            return DuckDBPyArrowData.convert_table(cursor.sql(text).to_arrow_table(), schema)

    @contextmanager
    def _cursor(self, in_memory: Collection[InMemoryTable]) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to the same files and to Arrow tables of its own, which `close` interrupts."""
        with self._connection.con.cursor() as cursor:
            for table in in_memory:
                cursor.register(table.name, table.data.to_pyarrow(table.schema))
            self._active.add(cursor)
            try:
                yield cursor
            finally:
                self._active.discard(cursor)

    def _prepare(self, schema: ibis.Schema, build: Callable[[ir.Table], ir.Table]) -> tuple[str, ibis.Schema]:
        """The SQL of an expression, with a place for that of its rows."""
        expression = build(ibis.table(schema, name=_ROWS))
        text = self._connection.compile(expression).replace("{", "{{").replace("}", "}}")
        rows = f'WITH "{_ROWS}" AS NOT MATERIALIZED ({{}})'
        text = f"{rows}, {text.removeprefix('WITH ')}" if text.startswith("WITH ") else f"{rows} {text}"
        return text, expression.schema()

    def batches(self, expression: ir.Table) -> Iterator[pa.RecordBatch]:
        """See `Engine.batches`."""
        with self._preparing, _translated():
            text = self._connection.compile(expression)
        with _translated(), self._cursor(expression.op().find(InMemoryTable)) as cursor:
            # Ibis 12 asks DuckDB 2 for batches by a name that is gone.
            relation = cursor.sql(text)
            with relation.to_arrow_reader(_ROWS_PER_BATCH) as reader:
                yield from reader

    def close(self) -> None:
        """See `Engine.close`."""
        for _ in range(_AT_ONCE):
            while not self._free.acquire(timeout=_INTERRUPT_SECONDS):
                for cursor in tuple(self._active):
                    cursor.interrupt()
        self._connection.disconnect()
        self._free.release(_AT_ONCE)  # who waits meets a closed connection

    def _table_of(self, paths: tuple[str, ...]) -> ir.Table:
        """The rows of files. What the engine knows of them is kept, because it reads their footers for it."""
        with self._preparing, _translated():
            table = self._files.get(paths, lambda: self._view(paths))
            while self._unused_views:
                self._connection.con.execute(f'DROP VIEW IF EXISTS "{self._unused_views[0]}"')
                self._unused_views.popleft()
            return table

    def _view(self, paths: tuple[str, ...]) -> ir.Table:
        """A new view of files. It is dropped some time after the last expression that reads it is gone."""
        name = f"rows_{uuid4().hex}"
        # Not by Ibis, whose views are of one connection only.
        self._connection.con.read_parquet(list(paths), hive_partitioning=True).create_view(name)
        table = self._connection.table(name)
        finalize(table.op(), self._unused_views.append, name).atexit = False
        return table


class _Kept(Generic[T]):
    """Values by key, those that were used last."""

    def __init__(self, count: int) -> None:
        self._count, self._values = count, OrderedDict[Hashable, T]()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of a key, made if it is not there."""
        if key not in self._values:
            self._values[key] = make()
        self._values.move_to_end(key)
        while len(self._values) > self._count:
            self._values.popitem(last=False)
        return self._values[key]


@contextmanager
def _translated() -> Iterator[None]:
    """Raise errors of DuckDB as QuestionTooLarge or StoreError."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise QuestionTooLarge(
            "this question needs more memory than KUBETALLY_QUERY_MEMORY allows, or more space than there is in "
            "KUBETALLY_QUERY_SPILL"
        ) from error
    except duckdb.Error as error:
        raise StoreError(
            f"DuckDB could not read the lake ({error}). Retry; `kubetally maintain --check` lists damage",
            code="query_failed",
        ) from error
