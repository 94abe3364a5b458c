"""The text that leads from one page of an answer to the next."""

import base64
from typing import Annotated, Final, NamedTuple

import msgspec

from kubetally.web.v1.query_string import InvalidParameter

_MAX_LENGTH: Final = 256


class Cursor(NamedTuple):
    """Where a page begins. answer: a digest of the answer; question: of the question, its order and top."""

    answer: str
    question: str
    offset: Annotated[int, msgspec.Meta(gt=0, lt=2**31)]


def write_cursor(cursor: Cursor) -> str:
    """Its text, for a query string."""
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode()


def read_cursor(text: str) -> Cursor:
    """The cursor that was written so. Raises InvalidParameter."""
    try:
        if len(text) <= _MAX_LENGTH:
            return msgspec.json.decode(base64.urlsafe_b64decode(text.encode()), type=Cursor)
    except ValueError:  # broken base64, broken JSON, or another shape
        pass
    raise InvalidParameter("cursor", "the cursor can't be read: send `next` of the page before, as it came")
