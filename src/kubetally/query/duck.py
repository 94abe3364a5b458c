"""DuckDB in this process: owns the connection and reads the files of a scan."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from uuid import uuid4

import duckdb
import ibis
import pyarrow as pa
from ibis import ir

from kubetally.domain.errors import StoreError
from kubetally.ledger.ports.lake import Scan
from kubetally.query.engine import chosen, union_of
from kubetally.query.too_large import QuestionTooLarge

_MAX_TABLES = 64
_ROWS_PER_BATCH = 20_480


class DuckEngine:
    """Runs Ibis expressions over Parquet files and Arrow tables. Threads may share it.

    threads:      at most. memory_bytes: that it may use.
    spill_folder: for what does not fit into memory, in a folder of its own there that exists only meanwhile; None if
                  nothing may be written.
    """

    reads_local_files = True

    def __init__(self, *, threads: int = 2, memory_bytes: int = 1_000_000_000, spill_folder: str | None = None) -> None:
        spill = "" if spill_folder is None else str(Path(spill_folder, f"query-spill-{uuid4().hex[:12]}"))
        self._connection = ibis.duckdb.connect(threads=threads, memory_limit=f"{memory_bytes}B", temp_directory=spill)
        self._running = Lock()
        self._files: OrderedDict[tuple[str, ...], ir.Table] = OrderedDict()

    def rows(self, scans: Sequence[Scan], tables: Sequence[pa.Table] = ()) -> ir.Table:
        """See `Engine.rows`."""
        return union_of([chosen(self._table_of(scan.paths), scan) for scan in scans], tables)

    def run(self, expression: ir.Table) -> pa.Table:
        """See `Engine.run`."""
        with self._running, _translated():
            return self._connection.to_pyarrow(expression)

    def batches(self, expression: ir.Table) -> Iterator[pa.RecordBatch]:
        """See `Engine.batches`."""
        with self._running, _translated():
            # Ibis 12 asks DuckDB 2 for batches by a name that is gone.
            relation = self._connection.con.sql(self._connection.compile(expression))
            with relation.to_arrow_reader(_ROWS_PER_BATCH) as reader:
                yield from reader

    def close(self) -> None:
        """See `Engine.close`."""
        self._connection.disconnect()

    def _table_of(self, paths: tuple[str, ...]) -> ir.Table:
        """The rows of files. What the engine knows of them is kept, because it reads their footers for it."""
        with self._running, _translated():
            if paths in self._files:
                self._files.move_to_end(paths)
            else:
                self._files[paths] = self._connection.read_parquet(list(paths), hive_partitioning=True)
                while len(self._files) > _MAX_TABLES:
                    _, oldest = self._files.popitem(last=False)
                    self._connection.drop_view(oldest.get_name(), force=True)
            return self._files[paths]


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
