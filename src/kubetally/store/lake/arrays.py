"""Arrow arrays made of Python values, and values of arrays, without loss.

Decimals never pass through Python: an amount in micros and a DECIMAL(18,6) are the same 128 bits, read with another
scale. Columns of one type are converted together: a conversion of few values costs as much as one of a thousand.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate, chain, repeat
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from kubetally.domain.errors import StoreError
from kubetally.store.lake.schema import MONEY

Column: TypeAlias = pa.Array | pa.ChunkedArray
_MICROS = pa.decimal128(38, 0)
_LIMIT = 10**18  # micros: what DECIMAL(18,6) can't hold any more
_TEXT, _MAP = pa.string(), pa.map_(pa.string(), pa.string())


class ValueBeyondLake(StoreError):
    """A value that a column of the lake can't hold."""

    code = "value_beyond_lake"

    def __init__(self, column: str, why: str) -> None:
        self.column, self.why = column, why
        super().__init__(
            f"the lake can't store {column} of this day ({why}): check what its source returns, and report it"
        )


@contextmanager
def check_fits(column: str) -> Iterator[None]:
    """Raise ValueBeyondLake with the name of the column for values that it can't hold."""
    try:
        yield
    except ValueBeyondLake as error:
        raise ValueBeyondLake(column, error.why) from error
    except (OverflowError, ValueError, pa.ArrowInvalid) as error:
        raise ValueBeyondLake(column, " ".join(str(error).split())) from error


def decimals(micros: pa.Array) -> pa.Array:
    """Whole micros (int64) as DECIMAL(18,6) of the same amount. Raises ValueBeyondLake."""
    least, most = pc.min_max(micros).as_py().values()
    if least is not None and (least <= -_LIMIT or most >= _LIMIT):
        raise ValueBeyondLake("cost", "an amount of 10^12 or more")
    wide = micros.cast(_MICROS)
    return pa.Array.from_buffers(MONEY, len(wide), wide.buffers(), wide.null_count, wide.offset)


def micros(amounts: Column) -> list[int | None]:
    """DECIMAL(18,6) as whole micros."""
    chunks = (
        pa.Array.from_buffers(_MICROS, len(chunk), chunk.buffers(), chunk.null_count, chunk.offset).cast(pa.int64())
        for chunk in chunks_of(amounts)
    )
    return list(chain.from_iterable(chunk.to_pylist() for chunk in chunks))


def amount_array(micros_: Sequence[int | None]) -> pa.Array:
    """Amounts that may be unknown. Raises ValueBeyondLake."""
    return decimals(pa.array(micros_, pa.int64()))


def float_columns(columns: Mapping[str, Sequence[float | None]]) -> dict[str, pa.Array]:
    """Columns of floats, converted together. Raises ValueBeyondLake."""
    return _convert_together(columns, lambda values: pa.array(values, pa.float64()))


def amount_columns(columns: Mapping[str, Sequence[int | None]]) -> dict[str, pa.Array]:
    """Columns of micros as DECIMAL(18,6), converted together. Raises ValueBeyondLake."""
    return _convert_together(columns, amount_array)


def _convert_together(
    columns: Mapping[str, Sequence[Any]], convert: Callable[[list[Any]], pa.Array]
) -> dict[str, pa.Array]:
    """Columns of one type, converted together. Raises ValueBeyondLake, which names the column."""
    try:
        whole = convert(list(chain.from_iterable(columns.values())))
    except (ValueBeyondLake, OverflowError, ValueError, pa.ArrowInvalid):
        for name, values in columns.items():  # find the column to name
            with check_fits(name):
                convert(list(values))
        raise
    count = len(next(iter(columns.values())))
    return {name: whole.slice(number * count, count) for number, name in enumerate(columns)}


def repeat_each(values: Sequence[Any], counts: Sequence[int], type_: pa.DataType = _TEXT) -> pa.Array:
    """A value of each day, as often as the day has rows."""
    places = pa.array(list(chain.from_iterable(map(repeat, range(len(counts)), counts))), pa.int32())
    return pa.array(values, type_).take(places)


def named_columns(columns: Mapping[str, Callable[[], pa.Array]]) -> dict[str, pa.Array]:
    """Columns, each made by its function. Raises ValueBeyondLake, which names the column."""
    made = {}
    for name, make in columns.items():
        with check_fits(name):
            made[name] = make()
    return made


def columns_by_name(names: Sequence[str], tuples: Sequence[Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """The columns of tuples whose fields are `names`."""
    return dict(zip(names, transpose(tuples, len(names)), strict=True))


def transpose(items: Sequence[Sequence[Any]], width: int) -> Sequence[Sequence[Any]]:
    """Columns of rows, `width` of them even where there is no row."""
    return list(zip(*items, strict=True)) if items else [()] * width


def build_table(columns: Mapping[str, Any], schema: pa.Schema, count: int) -> pa.Table:
    """A table of these columns, each of `count` values. Raises ValueBeyondLake."""
    arrays = [_array(field, columns[field.name]) for field in schema]
    assert all(len(array) == count for array in arrays)  # noqa: S101
    return pa.Table.from_arrays(arrays, schema=schema)


def _array(field: pa.Field, values: Any) -> pa.Array:
    if isinstance(values, pa.Array):
        return values
    with check_fits(field.name):
        return pa.array(values, field.type)


def slice_by_counts(table: pa.Table, counts: Sequence[int]) -> list[pa.Table]:
    """The rows of each day, as slices without a copy."""
    ends = list(accumulate(counts))
    return [table.slice(end - count, count) for end, count in zip(ends, counts, strict=True)]


def map_array(mappings: Sequence[Mapping[str, str | None] | None]) -> pa.Array:
    """A map column; null is not empty."""
    if all(mapping is None for mapping in mappings):
        return pa.nulls(len(mappings), _MAP)
    known = [mapping or {} for mapping in mappings]
    offsets = pa.array(accumulate(map(len, known), initial=0), pa.int32())
    keys = pa.array(list(chain.from_iterable(known)), pa.string())
    values = pa.array(list(chain.from_iterable(mapping.values() for mapping in known)), pa.string())
    missing = pa.array([mapping is None for mapping in mappings], pa.bool_())
    return pa.MapArray.from_arrays(offsets, keys, values, mask=missing)


def as_mappings(column: Column) -> Iterator[dict[str, str] | None]:
    """The values of a map column; None where it is null."""
    for chunk in chunks_of(column):
        offsets, keys, values = (part.to_pylist() for part in (chunk.offsets, chunk.keys, chunk.items))
        for valid, begin, end in zip(chunk.is_valid().to_pylist(), offsets[:-1], offsets[1:], strict=True):
            yield dict(zip(keys[begin:end], values[begin:end], strict=True)) if valid else None


def list_array(lists: Sequence[Sequence[Any] | None], names: Sequence[str], type_: pa.ListType) -> pa.Array:
    """Lists of tuples with fields `names` as a list column; null is not empty."""
    offsets = pa.array(accumulate((len(items) if items else 0 for items in lists), initial=0), pa.int32())
    missing = pa.array([items is None for items in lists], pa.bool_())
    values = struct_array([item for items in lists if items for item in items], names, type_.value_type)
    return pa.ListArray.from_arrays(offsets, values, type=type_, mask=missing)


def struct_array(tuples: Sequence[Sequence[Any] | None], names: Sequence[str], type_: pa.StructType) -> pa.Array:
    """Tuples with fields `names` as a struct column; null where there is no tuple."""
    empty = (None,) * len(names)
    values = dict(zip(names, transpose([item or empty for item in tuples], len(names)), strict=True))
    children = [
        amount_array(values[field.name]) if field.type == MONEY else pa.array(values[field.name], field.type)
        for field in type_
    ]
    missing = pa.array([item is None for item in tuples], pa.bool_())
    return pa.StructArray.from_arrays(children, fields=list(type_), mask=missing)


def chunks_of(column: Column) -> Sequence[pa.Array]:
    """The arrays that a column is made of."""
    chunks: Sequence[pa.Array] = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    return chunks
