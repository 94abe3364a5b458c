"""The data files: one Parquet file a day, by account and namespace, so that the rows of one account lie together.

A row group ends where an account ends, once it is long enough: one account of a day is then read without most of the
others, and a query over all accounts still finds groups of a useful length.

Every byte of a file is under a checksum, and is checked before it is decoded. Pages have Parquet's own, which other
engines verify too; these leave out page headers, indexes and the footer. So the footer lists the CRC-32 of each row
group, and the file's name has length and CRC-32 of what follows the last one, in hexadecimal:
`part-UUID.LENGTH.CRC.zstd.parquet`. Files of earlier versions and of other programs have neither.
"""

import itertools
import json
import re
import time
import uuid
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from io import RawIOBase
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake.transaction import AddAction

from kubetally.store.lake.faults import UNREADABLE
from kubetally.store.lake.schema import COUNTED_UP, DAY, SORTED_BY, STATISTICS, VARIED
from kubetally.store.lake.storage import MissingFile, Storage
from kubetally.store.lake.upgrade import columns_to_read, from_version_1, is_version_1

MIN_GROUP_ROWS = 4096
"""After so many rows, the next account begins a new row group. Measured with 50 accounts of 1,000 rows: one account is
read in 8 ms (with one group a day: 84 ms), for 4 % more bytes."""

MAX_GROUP_ROWS = 131_072
GROUPS_KEY = "kubetally.row_groups"
"""In a file's footer: where each row group ends and the CRC-32 of its bytes, as JSON: `[[end, crc], ...]`."""

_TAIL = re.compile(r"\.([0-9a-f]{1,12})\.([0-9a-f]{8})\.zstd\.parquet$")
_MAX_STATISTIC_LENGTH = 256


class DamagedFile(Exception):
    """A file does not have the bytes that were written, or can't be decoded. path: in its table."""

    def __init__(self, path: str, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"{path}: {why}")


class _Group(NamedTuple):
    """Bytes of a row group, and their CRC-32."""

    begin: int
    end: int
    crc: int


class DataFile(NamedTuple):
    """A file of a day: its path in the table, and bytes."""

    path: str
    size: int


def merged(stored: pa.Table, new: Mapping[str, pa.Table], keep: Collection[str] = ()) -> list[pa.Table]:
    """The tables of a day by account: the stored ones, with those of `new` in place of an account's own.

    new:  by account id; an empty one removes the account's rows.
    keep: ids of collections whose rows stay although their account is replaced.
    """
    parts: dict[str, list[pa.Table]] = {}
    for account, table in slices_by(_sorted(stored), "account_id"):
        if account in new:
            parts[account] = [rows for id_, rows in slices_by(table, "collection_id") if id_ in keep]
        else:
            parts[account] = [table]
    for account, table in new.items():
        parts.setdefault(account, []).append(table)
    tables = (_sorted(pa.concat_tables(parts[account])) for account in sorted(parts) if parts[account])
    return [table for table in tables if table.num_rows]


def write(storage: Storage, day: date, tables: Sequence[pa.Table], schema: pa.Schema) -> AddAction:
    """Write a day's tables, one per account in their order, as one file; returns what the log needs to know of it.

    Raises: OSError, BaseError of obstore; no file is left then.
    """
    content, tail_bytes, crc = _parquet(tables, schema)
    path = f"{DAY}={day.isoformat()}/part-{uuid.uuid4()}.{tail_bytes:x}.{crc:08x}.zstd.parquet"
    storage.write(path, content)
    now = int(time.time() * 1000)
    return AddAction(path, content.size, {DAY: day.isoformat()}, now, data_change=True, stats=_statistics(tables))


def read(
    storage: Storage,
    file: DataFile,
    schema: pa.Schema,
    accounts: Collection[str] | None = None,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """The rows of a file, at least those of `accounts`; all where None. What is read is verified first.

    Raises: DamagedFile, MissingFile; OSError, BaseError of the storage.
    """
    names = list(columns or schema.names)
    with storage.opened(*file) as opened:
        metadata = _footer(opened, file)
        return _decoded(opened, file, metadata, list(_groups_of(metadata, accounts)), schema, names)


def content_of(storage: Storage, file: DataFile, schema: pa.Schema) -> tuple[Mapping[str, frozenset[str]], bool]:
    """The collections that have rows in a file by account, and whether it is of version 1. Raises: as `read`."""
    columns = ["account_id", "collection_id"]
    with storage.opened(*file) as opened:
        metadata = _footer(opened, file)
        rows = _decoded(opened, file, metadata, list(range(metadata.num_row_groups)), schema, columns)
        names = metadata.schema.to_arrow_schema().names
    ids: dict[str, frozenset[str]] = {}
    for pair in rows.group_by(columns).aggregate([]).to_pylist():
        ids[pair["account_id"]] = ids.get(pair["account_id"], frozenset()) | {pair["collection_id"]}
    return ids, is_version_1(names)


def salvage(storage: Storage, file: DataFile, schema: pa.Schema) -> pa.Table:
    """The undamaged row groups of a damaged file; no rows if the file is gone or its footer is damaged."""
    unreadable = (DamagedFile, MissingFile, OSError, *UNREADABLE)
    tables = []
    with suppress(*unreadable), storage.opened(*file) as opened:
        metadata = _footer(opened, file)
        for number in range(metadata.num_row_groups):
            with suppress(*unreadable):
                tables.append(_decoded(opened, file, metadata, [number], schema, schema.names))
    return pa.concat_tables(tables) if tables else schema.empty_table()


def verify(storage: Storage, file: DataFile) -> bool:
    """Read a whole file and compare its checksums; False where it has none, as those of earlier versions.

    Raises: DamagedFile, MissingFile; OSError, BaseError of the storage.
    """
    with storage.opened(*file) as opened:
        metadata = _footer(opened, file)
        if _TAIL.search(file.path) is None:
            content = pa.BufferReader(load(opened, file, metadata, ()))
            with _damaged(file.path), pq.ParquetFile(content, page_checksum_verification=True) as parquet:
                parquet.read()
            return False
        for number, group in enumerate(_row_groups(metadata)):
            _verified(opened, file, number, group)
    return True


def _footer(opened: Any, file: DataFile) -> pq.FileMetaData:
    """The footer of a file, verified if its name has a checksum. Raises DamagedFile."""
    match = _TAIL.search(file.path)
    if match is None:
        with _damaged(file.path):
            metadata = pq.read_metadata(opened)
            opened.seek(0)
            return metadata
    tail = _ranged(opened, file, file.size - int(match[1], 16), file.size)
    if zlib.crc32(tail) != int(match[2], 16):
        raise DamagedFile(file.path, "its footer does not have the checksum of its name")
    with _damaged(file.path):
        return pq.read_metadata(pa.BufferReader(tail))


def _ranged(opened: Any, file: DataFile, begin: int, end: int) -> bytes:
    """Bytes of a file. Raises DamagedFile, where it is shorter than the log says."""
    if begin >= 0:
        opened.seek(begin)
        content: bytes = opened.read(end - begin)
        if len(content) == end - begin:
            return content
    raise DamagedFile(file.path, f"it is shorter than {file.size} bytes")


def _verified(opened: Any, file: DataFile, number: int, group: _Group) -> bytes:
    content = _ranged(opened, file, group.begin, group.end)
    if zlib.crc32(content) != group.crc:
        raise DamagedFile(file.path, f"row group {number} does not have its checksum")
    return content


def _row_groups(metadata: pq.FileMetaData) -> list[_Group]:
    ends = json.loads(metadata.metadata[GROUPS_KEY.encode()])
    begins = [0, *(end for end, _ in ends)]
    return [_Group(begin, end, crc) for begin, (end, crc) in zip(begins, ends, strict=False)]


def load(opened: Any, file: DataFile, metadata: pq.FileMetaData, numbers: Sequence[int]) -> pa.Buffer:
    """A file in memory of Arrow's own: the row groups `numbers`, verified; all bytes where it has no checksums.

    Raises: DamagedFile.
    Arrow's threads decode columns, and the last of them may free the file after its rows were returned. To free memory
    of Python, or close a file of Python, it takes Python's lock; at the exit of the program that aborts the process
    (apache/arrow#34314).
    """
    content = pa.allocate_buffer(file.size)  # takes memory only where something is written
    into = memoryview(content).cast("B")
    if _TAIL.search(file.path) is None:
        into[:] = _ranged(opened, file, 0, file.size)
        return content
    with _damaged(file.path):
        groups = _row_groups(metadata)
    for number in numbers:
        group = groups[number]
        into[group.begin : group.end] = _verified(opened, file, number, group)
    return content


def _decoded(
    opened: Any, file: DataFile, metadata: pq.FileMetaData, numbers: Sequence[int], schema: pa.Schema, names: list[str]
) -> pa.Table:
    """Columns of row groups, once their bytes are verified. Raises DamagedFile."""
    source = pa.BufferReader(load(opened, file, metadata, numbers))
    with pq.ParquetFile(source, metadata=metadata, pre_buffer=True, page_checksum_verification=True) as parquet:
        columns = parquet.schema_arrow.names
        present = columns_to_read(names, columns)
        table = parquet.read_row_groups(numbers, columns=present).select(present)
    wanted = pa.schema([schema.field(name) for name in names])
    if present != names or is_version_1(columns):
        table = from_version_1(table, wanted)
    if table.schema.equals(wanted):
        return table
    return table.cast(wanted)


@contextmanager
def _damaged(path: str) -> Iterator[None]:
    """Raise DamagedFile for errors of libraries in decoding bytes."""
    try:
        yield
    except UNREADABLE as error:
        raise DamagedFile(path, f"it can't be decoded ({error})") from error


def slices_by(table: pa.Table, column: str) -> Iterator[tuple[str, pa.Table]]:
    """Runs of equal values of a text column, as slices without a copy."""
    if not table.num_rows:
        return
    values = table[column].combine_chunks()
    runs = pc.run_end_encode(pa.concat_arrays(values.chunks) if isinstance(values, pa.ChunkedArray) else values)
    begin = 0
    for value, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        yield value, table.slice(begin, end - begin)
        begin = end


def _sorted(table: pa.Table) -> pa.Table:
    """The table in its order: we write it sorted, but other programs may have merged files otherwise."""
    by = [name for name in SORTED_BY if name in table.schema.names]
    if all(_is_sorted(table, name) for name in by[:1]):
        return table
    return table.sort_by([(name, "ascending") for name in by])


def _is_sorted(table: pa.Table, column: str) -> bool:
    values = [value for value, _ in slices_by(table, column)]
    return all(value < next_ for value, next_ in itertools.pairwise(values))


def _groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Whole accounts, merged until there are enough rows for a group."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(table.num_rows for table in waiting) >= MIN_GROUP_ROWS:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


class _Checksummed(RawIOBase):
    """Collects what is written in memory, with a CRC-32 of each part."""

    def __init__(self) -> None:
        self._sink, self._crc, self.size = pa.BufferOutputStream(), 0, 0

    def writable(self) -> bool:
        return True

    def write(self, content: Any, /) -> int:
        self._sink.write(content)
        self._crc = zlib.crc32(content, self._crc)
        self.size += len(content)
        return len(content)

    def tell(self) -> int:
        return self.size

    def cut(self) -> tuple[int, int]:
        """End the part that began at the last cut; returns its end and CRC-32."""
        crc, self._crc = self._crc, 0
        return self.size, crc

    def content(self) -> pa.Buffer:
        """All of it, once."""
        return self._sink.getvalue()


def _parquet(tables: Sequence[pa.Table], schema: pa.Schema) -> tuple[pa.Buffer, int, int]:
    """A file, and how many bytes of it follow the last row group, with their CRC-32."""
    by = [pq.SortingColumn(schema.get_field_index(name)) for name in SORTED_BY if name in schema.names]
    sink, groups = _Checksummed(), []
    with pq.ParquetWriter(
        pa.PythonFile(sink, mode="w"),
        schema,
        compression="zstd",
        store_schema=False,
        store_decimal_as_integer=True,
        write_page_index=True,
        write_page_checksum=True,
        sorting_columns=by,
        use_dictionary=[
            field.name
            for field in schema
            if field.name not in {*VARIED, COUNTED_UP} and not pa.types.is_nested(field.type)
        ],
        column_encoding={COUNTED_UP: "DELTA_BINARY_PACKED"} if COUNTED_UP in schema.names else None,
    ) as writer:
        for group in _groups(tables):
            for begin in range(0, group.num_rows, MAX_GROUP_ROWS):
                writer.write_table(group.slice(begin, MAX_GROUP_ROWS), row_group_size=MAX_GROUP_ROWS)
                groups.append(sink.cut())
        writer.add_key_value_metadata({GROUPS_KEY: json.dumps(groups)})
    end, crc = sink.cut()
    return sink.content(), end - groups[-1][0], crc


def _groups_of(metadata: pq.FileMetaData, accounts: Collection[str] | None) -> Iterator[int]:
    """Row groups that may have rows of one of `accounts`."""
    columns = [metadata.schema.column(index).path for index in range(metadata.num_columns)]
    at = columns.index("account_id")
    for number in range(metadata.num_row_groups):
        bounds = metadata.row_group(number).column(at).statistics
        is_bounded = accounts is not None and bounds is not None and bounds.has_min_max
        if not is_bounded or any(bounds.min <= account <= bounds.max for account in accounts or ()):
            yield number


def _statistics(tables: Sequence[pa.Table]) -> str:
    """The statistics of a file for the log, as JSON, by which readers skip files."""
    minima: dict[str, str] = {}
    maxima: dict[str, str] = {}
    nulls: dict[str, int] = {}
    for name in (name for name in STATISTICS if name in tables[0].schema.names):
        column = pa.chunked_array([chunk for table in tables for chunk in table[name].chunks], pa.string())
        bounds = pc.min_max(column).as_py()
        nulls[name] = column.null_count
        if bounds["min"] is not None and max(len(bounds["min"]), len(bounds["max"])) <= _MAX_STATISTIC_LENGTH:
            minima[name], maxima[name] = bounds["min"], bounds["max"]
    rows = sum(table.num_rows for table in tables)
    return json.dumps({"numRecords": rows, "minValues": minima, "maxValues": maxima, "nullCount": nulls})
