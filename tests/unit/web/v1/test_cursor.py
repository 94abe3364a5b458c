"""Cursors are written and read, and a forged one is refused."""

import base64

import pytest

from kubetally.web.v1.cursor import Cursor, read_cursor, write_cursor
from kubetally.web.v1.query_string import InvalidParameter


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


def test_cursor_is_read_as_it_was_written() -> None:
    cursor = Cursor("a" * 20, "b" * 20, 10_000)
    assert read_cursor(write_cursor(cursor)) == cursor


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "é",
        "a",
        encoded("[" * 5500),
        encoded('["a","b",0]'),
        encoded('["a","b",-1]'),
        encoded('["a","b",true]'),
        encoded('["a","b",1.5]'),
        encoded(f'["a","b",{"9" * 5000}]'),
        encoded(f'["a","b",{"9" * 100}]'),
        encoded('["a","b",1,2]'),
        encoded(f'["{"a" * 300}","b",1]'),
        encoded("{}"),
        base64.urlsafe_b64encode(b"\xff").decode(),
    ],
)
def test_forged_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match="`next` of the page before") as refused:
        read_cursor(text)
    assert refused.value.parameter == "cursor"
