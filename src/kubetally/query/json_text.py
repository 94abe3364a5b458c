"""Lists, maps and structs of Arrow as JSON text, whole columns at a time."""

import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc


def json_texts(column: pa.Array) -> pa.Array:
    """Each value as JSON without spaces; null where the value is null. Keys of maps have to be text."""
    return pc.if_else(column.is_valid(), _texts(column), pa.scalar(None, pa.string()))


def _texts(column: pa.Array) -> pa.Array:
    """Each value as JSON; `null` for null."""
    kind = column.type
    if pa.types.is_map(kind):
        texts = _enclose("{", column.offsets, _pairs(_texts(column.keys), _texts(column.items)), "}")
    elif pa.types.is_list(kind):
        texts = _enclose("[", column.offsets, _texts(column.values), "]")
    elif pa.types.is_struct(kind):
        names = [pa.scalar(json.dumps(field.name)) for field in kind]
        pairs = [_pairs(name, _texts(values)) for name, values in zip(names, column.flatten(), strict=True)]
        texts = _join(["{", _join(pairs, ","), "}"])
    elif pa.types.is_string(kind):
        texts = _quote(column)
    elif pa.types.is_floating(kind):
        texts = pc.if_else(pc.is_finite(column), pc.cast(column, pa.string()), pa.scalar(None, pa.string()))
    else:
        texts = pc.cast(column, pa.string())
    return pc.fill_null(pc.if_else(column.is_valid(), texts, pa.scalar(None, pa.string())), "null")


def _enclose(opening: str, offsets: pa.Array, values: pa.Array, closing: str) -> pa.Array:
    lists = pa.ListArray.from_arrays(offsets, values)
    return _join([opening, pc.binary_join(lists, ","), closing])


def _pairs(names: pa.Array | pa.Scalar, values: pa.Array) -> pa.Array:
    return _join([names, values], ":")


def _join(parts: Sequence[pa.Array | pa.Scalar | str], separator: str = "") -> pa.Array:
    return pc.binary_join_element_wise(*parts, separator)


def _quote(column: pa.Array) -> pa.Array:
    """Texts in quotes, each distinct one made once: labels repeat from row to row."""
    distinct = column.dictionary_encode()
    texts = [json.dumps(text, ensure_ascii=False) for text in distinct.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(distinct.indices)
