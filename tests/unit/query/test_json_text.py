"""Nested columns as JSON."""

import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetally.query.json_text import json_texts
from kubetally.store.lake.schema import ALLOCATIONS

TEXT = st.text(st.characters(codec="utf-8"), max_size=6)
AMOUNT = st.integers(-(10**17), 10**17).map(lambda micros: Decimal(micros).scaleb(-6))
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
LABELS = st.dictionaries(TEXT, st.none() | TEXT, max_size=3).map(lambda labels: list(labels.items()))
VOLUME = st.fixed_dictionaries(
    {
        "name": TEXT,
        "provider_id": st.none() | TEXT,
        "byte_hours": st.none() | NUMBER,
        "cost": st.none() | AMOUNT,
        "adjustment": st.none() | AMOUNT,
    }
)
COLUMNS = st.one_of(
    st.tuples(st.just("labels"), st.lists(st.none() | LABELS)),
    st.tuples(st.just("services"), st.lists(st.none() | st.lists(st.none() | TEXT, max_size=3))),
    st.tuples(st.just("volumes"), st.lists(st.none() | st.lists(VOLUME, max_size=2))),
)


@given(column=COLUMNS, begin=st.integers(0, 3))
def test_nested_columns_are_read_back_from_json(column: tuple[str, list[Any]], begin: int) -> None:
    name, values = column
    array = pa.array(values, ALLOCATIONS.field(name).type).slice(begin)
    texts = json_texts(array).to_pylist()
    read = [None if text is None else json.loads(text, parse_float=Decimal, parse_int=Decimal) for text in texts]
    assert read == [plain(value) for value in array.to_pylist(maps_as_pydicts="strict")]


def plain(value: Any) -> Any:
    """A value of Arrow with its numbers as decimals."""
    match value:
        case list():
            return [plain(its) for its in value]
        case dict():
            return {key: plain(its) for key, its in value.items()}
        case float():
            return Decimal(repr(value))
        case _:
            return value


def test_map_without_entries_is_an_empty_object() -> None:
    labels = pa.array([[], None, [("app", 'a "b"\n')]], ALLOCATIONS.field("labels").type)
    assert json_texts(labels).to_pylist() == ["{}", None, '{"app":"a \\"b\\"\\n"}']


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_number_that_json_lacks_is_null(value: float) -> None:
    volumes = pa.array([[{"name": "a", "byte_hours": value}]], ALLOCATIONS.field("volumes").type)
    (text,) = json_texts(volumes).to_pylist()
    assert json.loads(text)[0]["byte_hours"] is None
