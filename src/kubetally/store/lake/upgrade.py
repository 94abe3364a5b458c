"""Upgrades tables and files of version 1 of the lake to version 2.

Files stay as they are until their day is written again: readers add the missing columns. The table gets the new
columns before the first file with them is committed.
"""

from collections.abc import Collection, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, Schema

from kubetally.domain.asset import AssetDetails
from kubetally.store.lake.log_folder import COMMIT_ALONE
from kubetally.store.lake.schema import ADJUSTMENT_COLUMNS, IDLE_COLUMNS, RENAMED, SCHEMA_VERSION, VERSION_KEY

ADDED = frozenset(
    {
        "container", "provider_id", "started_at", "ended_at", "annotations", "namespace_annotations",
        "gpu_request_hours", "gpu_usage_hours", "cpu_core_usage_max", "ram_byte_usage_max", *ADJUSTMENT_COLUMNS,
        "volumes", "load_balancers", *IDLE_COLUMNS, "error_bound", "source_type", *AssetDetails._fields, "cpu_cores",
    }
)  # fmt: skip
"""Columns that version 1 does not have."""

_KIND, _DIFFERENCE_IN_1, _DIFFERENCE = "kind", "unexplained", "difference"


def columns_to_read(names: Sequence[str], present: Collection[str]) -> list[str]:
    """The columns to read from a file with columns `present` to make the columns `names`.

    Raises: KeyError, where a column is missing that every version has.
    """
    columns = []
    for name in names:
        if name in present:
            columns.append(name)
        elif RENAMED.get(name) in present:
            columns.append(RENAMED[name])
        elif name not in ADDED:
            raise KeyError(name)
    return columns


def is_version_1(present: Collection[str]) -> bool:
    """Whether a file with these columns was written by version 1."""
    return any(name in present for name in RENAMED.values())


def from_version_1(table: pa.Table, wanted: pa.Schema) -> pa.Table:
    """The columns of `wanted`, null where version 1 has no such column."""

    def column(field: pa.Field) -> pa.ChunkedArray:
        for name in (field.name, RENAMED.get(field.name)):
            if name in table.schema.names:
                values = table[name]
                if name == _KIND:
                    return pc.if_else(pc.equal(values, _DIFFERENCE_IN_1), _DIFFERENCE, values)
                return values
        return pa.chunked_array([pa.nulls(table.num_rows, field.type)])

    return pa.table([column(field) for field in wanted], names=wanted.names)


def unlike_columns(columns: pa.Schema, *, ours: pa.Schema, version: int) -> list[str]:
    """Columns of a table that this version does not expect or that have another type, and missing ones."""
    unlike = [field.name for field in columns if field.name not in ours.names and field.name not in RENAMED.values()]
    unlike += [
        name for name in columns.names if name in ours.names and columns.field(name).type != ours.field(name).type
    ]
    missing = [name for name in ours.names if name not in columns.names]
    if version < SCHEMA_VERSION:
        missing = [name for name in missing if name not in ADDED and RENAMED.get(name) not in columns.names]
    unlike += missing
    return unlike


def is_of_earlier_version(handle: DeltaTable) -> bool:
    """Whether the table was created by an earlier version and not upgraded."""
    return handle.metadata().configuration.get(VERSION_KEY) != str(SCHEMA_VERSION)


def upgrade_table(handle: DeltaTable, schema: pa.Schema) -> None:
    """Add the columns of version 2 to a table of version 1.

    It may be interrupted at any point; the next call completes it.
    """
    known = set(pa.schema(handle.schema().to_arrow()).names)
    missing = [field for field in Schema.from_arrow(schema).fields if field.name not in known]
    if missing:
        handle.alter.add_columns(missing, post_commithook_properties=COMMIT_ALONE)
    handle.alter.set_table_properties(
        {VERSION_KEY: str(SCHEMA_VERSION)}, raise_if_not_exists=False, post_commithook_properties=COMMIT_ALONE
    )
