"""Exports of the ledger as CSV or Parquet: the rows of an answer, or the stored rows themselves, batch by batch."""

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from kubetally.domain.compare import Change, ComparedRow, Comparison
from kubetally.domain.efficiency import Hours
from kubetally.domain.question.cost_question import ExportFormat
from kubetally.domain.question.facts import question_facts, window_facts
from kubetally.domain.question.group import Dimension
from kubetally.domain.report import REST, CostReport, CostRow
from kubetally.query.json_text import json_texts
from kubetally.store.lake.schema import COST_COLUMNS, COUNTED_UP, VARIED

_MONEY = pa.decimal128(18, 6)
_CURRENCY = pa.field("currency", pa.string())
ROWS_PER_GROUP = 20_480
"""Of a Parquet file; some 25 MB of ledger rows before they are encoded."""

_ROWS_PER_CSV_PIECE = 8192
_RATIOS = ("cpu_efficiency", "ram_efficiency", "total_efficiency")


def report_table(report: CostReport, rows: Sequence[CostRow]) -> pa.Table:
    """The rows of an answer as a table: step, account, kind, dimensions, costs, hours, efficiency, currency.

    Its metadata has the question and the coverage as JSON, with the names of the API.
    """
    fields = [
        pa.field("window_start", pa.timestamp("us", tz="UTC")),
        *_key_fields(report.question.group),
        *(pa.field(name, _MONEY) for name in ("total_cost", *COST_COLUMNS, "waste")),
        *(pa.field(name, pa.float64()) for name in (*Hours._fields, *_RATIOS)),
        _CURRENCY,
    ]
    about = {"question": question_facts(report.question), "coverage": _coverage_facts(report)}
    return _table_of([_values(row, report) for row in rows], fields, about)


def _values(row: CostRow, report: CostReport) -> Iterator[object]:
    has_hours = not report.question.splits_components
    yield row.start
    yield from _key_values(row, report.question.group)
    yield _amount(row.costs.total)
    for name, micros in zip(COST_COLUMNS, row.costs, strict=True):
        yield None if name.removesuffix("_cost") in report.not_measured else _amount(micros)
    yield _amount(row.waste) if has_hours else None
    yield from row.hours if has_hours else [None] * len(row.hours)
    yield from row.efficiency
    yield report.currency


def _key_fields(group: Sequence[Dimension]) -> Iterator[pa.Field]:
    """The columns that say what a row is of. Grouped by kind, its dimension is the column of the kind."""
    yield pa.field("cloud_account_id", pa.string())
    if not _has_kind(group):
        yield pa.field("kind", pa.string())
    yield from (pa.field(dimension.asked, pa.string()) for dimension in group)


def _key_values(row: CostRow | ComparedRow, group: Sequence[Dimension]) -> Iterator[str | None]:
    """The values of `_key_fields`."""
    kind = None if row.kind is None else str(row.kind)
    yield row.account_id
    if not _has_kind(group):
        yield kind
    for dimension, value in zip(group, row.key or [None] * len(group), strict=True):
        yield kind if dimension.name == "kind" and row.kind == REST else value


def _has_kind(group: Sequence[Dimension]) -> bool:
    return any(dimension.name == "kind" for dimension in group)


def comparison_table(comparison: Comparison, rows: Sequence[ComparedRow]) -> pa.Table:
    """The rows of a comparison as a table: account, kind, dimensions, costs, the change and why, currency.

    Its metadata has the question and the coverage of both periods as JSON, with the names of the API.
    """
    group = comparison.question.costs.group
    reasons = ("change", *Change._fields)
    fields = [
        *_key_fields(group),
        *(pa.field(name, _MONEY) for name in ("before", "now", *reasons)),
        _CURRENCY,
    ]
    values = [
        [
            *_key_values(row, group),
            *map(_known_amount, (row.before, row.now)),
            *map(_known_amount, [None] * len(reasons) if row.change is None else (row.change.total, *row.change)),
            comparison.currency,
        ]
        for row in rows
    ]
    before = {f"before_{name}": instant for name, instant in window_facts(comparison.question.before).items()}
    about = {
        "question": question_facts(comparison.question.costs) | before,
        "coverage": _coverage_facts(comparison.now),
        "before": _coverage_facts(comparison.before),
    }
    return _table_of(values, fields, about)


def _coverage_facts(report: CostReport) -> dict[str, Any]:
    """Hours of the window and hours with data, and the state of the least certain day; None without data."""
    asked, covered = report.coverage.hours_asked, report.coverage.hours_covered
    state = report.coverage.state if covered else None
    return {"hours_asked": round(asked, 6), "hours_covered": round(covered, 6), "state": state}


def _table_of(
    rows: Sequence[Iterable[object]], fields: Sequence[pa.Field], about: Mapping[str, Mapping[str, Any]]
) -> pa.Table:
    """A table of rows of values. about: its metadata."""
    columns = zip(*rows, strict=True) if rows else [[] for _ in fields]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, fields, strict=True)]
    metadata = {name: json.dumps(facts) for name, facts in about.items()}
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata))


def _amount(micros: int) -> Decimal:
    return Decimal(micros).scaleb(-6)


def _known_amount(micros: int | None) -> Decimal | None:
    return None if micros is None else _amount(micros)


def export_table(table: pa.Table, format_: ExportFormat) -> Iterator[bytes]:
    """The bytes of a file with the rows of a table."""
    return write_batches(table.to_batches(), table.schema, format_)


def write_batches(batches: Iterable[pa.RecordBatch], schema: pa.Schema, format_: ExportFormat) -> Iterator[bytes]:
    """The bytes of a file, piece by piece; money in CSV has six decimals, what is nested is JSON there."""
    if format_ is ExportFormat.CSV:
        return _csv(_tables(batches, schema, min_rows=1), schema)
    return _parquet(_tables(batches, schema, min_rows=ROWS_PER_GROUP), schema)


def _tables(batches: Iterable[pa.RecordBatch], schema: pa.Schema, *, min_rows: int) -> Iterator[pa.Table]:
    """The rows of batches in tables of at least so many, but the last; nothing is kept of them while a client reads."""
    gathered = list[pa.RecordBatch]()
    for batch in batches:
        gathered.append(batch)
        if sum(its.num_rows for its in gathered) >= min_rows:
            yield _table(gathered, schema)
    if gathered:
        yield _table(gathered, schema)


def _table(gathered: list[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """One table of these batches, which leave the list."""
    table = pa.Table.from_batches(gathered).cast(schema)
    gathered.clear()
    return table


def _parquet(tables: Iterable[pa.Table], schema: pa.Schema) -> Iterator[bytes]:
    """A piece and a row group for each table, encoded as in the lake."""
    sink = _Sink()
    repeated = [
        field.name for field in schema if field.name not in {*VARIED, COUNTED_UP} and not pa.types.is_nested(field.type)
    ]
    with pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        store_decimal_as_integer=True,
        use_dictionary=repeated,
        column_encoding={COUNTED_UP: "DELTA_BINARY_PACKED"} if COUNTED_UP in schema.names else None,
    ) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=max(1, table.num_rows))
            del table
            yield sink.take()
    yield sink.take()


def _csv(tables: Iterable[pa.Table], schema: pa.Schema) -> Iterator[bytes]:
    """A piece for a few thousand rows: they take many times the space that they take in Parquet."""
    shown = pa.schema([_flat_field(field) for field in schema])
    sink = _Sink()
    with pc.CSVWriter(sink, shown) as writer:
        for table in tables:
            for batch in table.to_batches(max_chunksize=_ROWS_PER_CSV_PIECE):
                writer.write_batch(_flat(batch, shown))
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
    columns = [json_texts(column) if pa.types.is_nested(column.type) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
