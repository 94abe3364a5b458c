"""A day's rows and assets as Arrow tables, fit to be sent to another process."""

from collections.abc import Callable
from typing import NamedTuple

import pyarrow as pa

from kubetally.ledger.ports.lake import PackedDay


class DayTables(NamedTuple):
    """A day's rows and assets as its files hold them."""

    rows: pa.Table
    assets: pa.Table

    def __reduce__(self) -> tuple[Callable[..., "DayTables"], tuple[bytes, bytes]]:
        """As streams. A column may be a slice of a larger one, which a pickle would hold in full."""
        return _from_streams, (_to_stream(self.rows), _to_stream(self.assets))


def _to_stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    streamed: bytes = sink.getvalue().to_pybytes()
    return streamed


def _from_streams(*streams: bytes) -> DayTables:
    return DayTables(*(pa.ipc.open_stream(stream).read_all() for stream in streams))


def tables_of(day: PackedDay) -> DayTables:
    """The tables of a day that this lake packed."""
    assert isinstance(day.content, DayTables), "another lake packed this day"  # noqa: S101
    return day.content
