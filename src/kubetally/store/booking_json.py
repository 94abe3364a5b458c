"""Converts the head and the balance of a collection to JSON and back: they are read as a whole, never by column.

Unknown keys are ignored, and fields with a default may be missing, so that different versions read each other's rows.
Facts of issues come back as text, numbers, tuples and mappings of these.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec

from kubetally.domain.booking import Booking, ComponentBalance
from kubetally.domain.completeness import Completeness
from kubetally.domain.component import Component
from kubetally.domain.errors import StoreError
from kubetally.domain.issues import Issue
from kubetally.domain.source_identity import SourceIdentity
from kubetally.domain.stored_sums import AssetSums
from kubetally.domain.window import InvalidWindow


class CollectionNotUnderstood(StoreError):
    """The stored data of a collection is not what this version or an older one writes."""

    code = "collection_not_understood"

    def __init__(self, collection_id: str, *, why: str) -> None:
        self.collection_id, self.why = collection_id, why
        super().__init__(
            f"the stored data of collection {collection_id} can't be read ({why}). If a newer Kubetally wrote it, "
            "install that version; else collect the day again"
        )


@dataclass(frozen=True, slots=True)
class Head:
    """The source of a collection and its booking, without its rows.

    completeness, assets: None if an earlier version wrote it.
    """

    source: SourceIdentity
    booking: Booking
    completeness: Completeness | None = None
    assets: AssetSums | None = None


_NAME_BEFORE, _NAME = ',"audited":', ',"assets_complete":'  # quotes within a text have a backslash before them
_HEAD = msgspec.json.Decoder(Head)
_ISSUE = msgspec.json.Decoder(Issue)
_BALANCE = msgspec.json.Decoder(dict[Component, ComponentBalance])


def head_to_json(head: Head) -> str:
    """The head as text that every database accepts."""
    try:
        return msgspec.json.encode(head).decode()
    except UnicodeEncodeError:  # lone surrogates of a source
        return msgspec.json.encode(_text_only(msgspec.to_builtins(head))).decode()


def balance_to_json(balance: Mapping[Component, ComponentBalance]) -> str:
    """The balance as text: its six amounts in their order, for each component."""
    return msgspec.json.encode(balance).decode()


def head_from_json(text: str, *, collection_id: str) -> Head:
    """What `head_to_json` was given. Raises CollectionNotUnderstood."""
    try:
        head = _HEAD.decode(text.replace(_NAME_BEFORE, _NAME))
    except (msgspec.MsgspecError, InvalidWindow, ValueError) as error:
        raise CollectionNotUnderstood(collection_id, why=str(error)) from error
    issues = tuple(_issue(issue) for issue in head.booking.issues)
    return replace(head, booking=replace(head.booking, issues=issues))


def issue_to_json(issue: Issue) -> str:
    """An issue as JSON, as heads have it."""
    return msgspec.json.encode(issue).decode()


def issue_from_json(text: str, *, collection_id: str) -> Issue:
    """What `issue_to_json` was given. Raises CollectionNotUnderstood."""
    try:
        return _issue(_ISSUE.decode(text))
    except (msgspec.MsgspecError, InvalidWindow, ValueError) as error:
        raise CollectionNotUnderstood(collection_id, why=str(error)) from error


def balance_from_json(text: str, *, collection_id: str) -> dict[Component, ComponentBalance]:
    """What `balance_to_json` was given. Raises CollectionNotUnderstood."""
    try:
        return _BALANCE.decode(text)
    except (msgspec.MsgspecError, ValueError) as error:
        raise CollectionNotUnderstood(collection_id, why=str(error)) from error


def clean(text: str) -> str:
    """The text as all three databases accept it: without NUL, and with U+FFFD for lone surrogates."""
    return text.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _issue(issue: Issue) -> Issue:
    return replace(issue, facts={name: _frozen(fact) for name, fact in issue.facts.items()}) if issue.facts else issue


def _frozen(value: object) -> object:
    """The value with tuples instead of lists."""
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, dict):
        return {name: _frozen(item) for name, item in value.items()}
    return value


def _text_only(value: object) -> object:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list | tuple):
        return [_text_only(item) for item in value]
    if isinstance(value, dict):
        return {_text_only(name): _text_only(item) for name, item in value.items()}
    return value
