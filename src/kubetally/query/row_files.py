"""Stored rows of a snapshot as they are, read file by file without an engine, in little memory."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kubetally.domain.errors import StoreError
from kubetally.ledger.ports.lake import Scan
from kubetally.query.snapshot import Snapshot
from kubetally.store.lake.schema import ALLOCATIONS, DAY

_ROWS_PER_BATCH = 20_480
"""Larger ones take more memory and no less time."""
_MAX_COPIES = 8
"""Files of an object store that are copied at once, so that a year of small ones does not wait for each."""


def can_read(snapshot: Snapshot) -> bool:
    """Whether the files have the columns of the lake as they are now."""
    return not any(scan.is_version_1 for scan in snapshot.scans)


def read_rows(snapshot: Snapshot) -> Iterator[pa.RecordBatch]:
    """The rows in the columns of the lake; files of an object store are copied some at a time. Raises StoreError."""
    for scan in snapshot.scans:
        for first in range(0, len(scan.paths), _MAX_COPIES):
            local = snapshot.copy([replace(scan, paths=scan.paths[first : first + _MAX_COPIES])])
            try:
                yield from _rows_of(local.scans)
            finally:
                local.release()
    for table in snapshot.tables:
        yield from table.select(ALLOCATIONS.names).to_batches()


def _rows_of(scans: Sequence[Scan]) -> Iterator[pa.RecordBatch]:
    for scan in scans:
        for path in scan.paths:
            day = pa.scalar(date.fromisoformat(Path(path).parent.name.removeprefix(f"{DAY}=")))
            try:
                with pq.ParquetFile(path) as file:
                    for batch in file.iter_batches(_ROWS_PER_BATCH):
                        rows = batch.append_column(DAY, pa.repeat(day, len(batch)))
                        yield _chosen(rows.select(ALLOCATIONS.names), scan)
            except (OSError, pa.ArrowException) as error:
                raise StoreError(
                    f"{path} could not be read ({error}). Retry; `kubetally maintain --check` lists damage",
                    code="query_failed",
                ) from error


def _chosen(rows: pa.RecordBatch, scan: Scan) -> pa.RecordBatch:
    """The rows that count."""
    for name, values in (("account_id", scan.accounts), ("collection_id", scan.ids)):
        if values is not None:
            rows = rows.filter(pc.is_in(rows[name], pa.array(sorted(values), pa.string())))
    return rows
