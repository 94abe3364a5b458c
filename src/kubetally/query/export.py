"""Exports of the ledger as CSV or Parquet: the rows of an answer, or the stored rows themselves, batch by batch."""

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from kubetally.domain.efficiency import Hours
from kubetally.domain.question.cost_question import ExportFormat
from kubetally.domain.report import CostReport, CostRow
from kubetally.query.sums import COSTS

_MONEY = pa.decimal128(18, 6)
_RATIOS = ("cpu_efficiency", "ram_efficiency", "total_efficiency")


def report_table(report: CostReport, rows: Sequence[CostRow]) -> pa.Table:
    """The rows of an answer as a table: step, account, kind, a column for each dimension, costs, hours, efficiency."""
    names = [dimension.asked for dimension in report.question.group]
    fields = [
        pa.field("window_start", pa.timestamp("us", tz="UTC")),
        *(pa.field(name, pa.string()) for name in ("cloud_account_id", "kind", *names)),
        *(pa.field(name, _MONEY) for name in ("total_cost", *COSTS, "waste")),
        *(pa.field(name, pa.float64()) for name in (*Hours._fields, *_RATIOS)),
    ]
    columns = zip(*(_values(row, report, len(names)) for row in rows), strict=True) if rows else [[] for _ in fields]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, fields, strict=True)]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _values(row: CostRow, report: CostReport, width: int) -> Iterator[object]:
    has_hours = row.component is None
    yield row.start
    yield row.account_id
    yield None if row.kind is None else str(row.kind)
    yield from row.key or [None] * width
    yield _amount(row.costs.total)
    for name, micros in zip(COSTS, row.costs, strict=True):
        yield None if name.removesuffix("_cost") in report.not_measured else _amount(micros)
    yield _amount(row.waste) if has_hours else None
    yield from row.hours if has_hours else [None] * len(row.hours)
    yield from row.efficiency


def _amount(micros: int) -> Decimal:
    return Decimal(micros).scaleb(-6)


def write_batches(batches: Iterable[pa.RecordBatch], schema: pa.Schema, format_: ExportFormat) -> Iterator[bytes]:
    """The bytes of a file, a piece for each batch; money in CSV has six decimals, what is nested is JSON there."""
    shown = pa.schema([_flat_field(field) for field in schema]) if format_ is ExportFormat.CSV else schema
    sink = _Sink()
    writer = pc.CSVWriter(sink, shown) if format_ is ExportFormat.CSV else pq.ParquetWriter(sink, shown)
    with writer:
        for batch in batches:
            for part in pa.Table.from_batches([batch]).cast(schema).to_batches():
                writer.write_batch(_flat(part, shown) if format_ is ExportFormat.CSV else part)
            yield sink.take()
    yield sink.take()


class _Sink(io.RawIOBase):
    """A file that is written and taken away piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, content: Any, /) -> int:
        """Add a piece."""
        piece = bytes(content)
        self._pieces.append(piece)
        self._position += len(piece)
        return len(piece)

    def tell(self) -> int:
        """How many bytes were written, taken ones too."""
        return self._position

    def take(self) -> bytes:
        """The bytes written since the last call."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def _flat_field(field: pa.Field) -> pa.Field:
    return pa.field(field.name, pa.string()) if pa.types.is_nested(field.type) else field


def _flat(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [
        pa.array(
            [None if value is None else json.dumps(value, default=str) for value in column.to_pylist()], pa.string()
        )
        if pa.types.is_nested(column.type)
        else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _as_json(column: pa.Array) -> pa.Array:
    texts = [None if value is None else json.dumps(value, default=str) for value in column.to_pylist()]
    return pa.array(texts, pa.string())
