"""What is kept of a collection as JSON comes back as it was, also from another version."""

import json
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.booking import Booking, ComponentBalance
from kubetally.domain.component import NO_CLASSES, ZERO, Component
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.source_identity import SourceIdentity
from kubetally.domain.window import Window
from kubetally.store.booking_json import (
    CollectionNotUnderstood,
    Head,
    balance_from_json,
    balance_to_json,
    head_from_json,
    head_to_json,
)

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
FACTS = st.dictionaries(
    st.text(),
    st.recursive(
        PLAIN,
        lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    ),
    max_size=3,
)
WINDOWS = st.lists(st.datetimes(timezones=st.just(UTC)), min_size=2, max_size=2).map(lambda two: Window(*sorted(two)))
ISSUES = st.builds(Issue, window=st.none() | WINDOWS, facts=FACTS)
# All other fields by their types, those too that come to be.
HEADS = st.builds(
    Head,
    source=st.builds(SourceIdentity, **{item.name: ... for item in fields(SourceIdentity)}),
    booking=st.builds(
        Booking,
        window=WINDOWS,
        covered=st.lists(WINDOWS, max_size=3).map(tuple),
        rows=st.just(()),
        issues=st.lists(ISSUES, max_size=3).map(tuple),
    ),
)
DAY = Window(datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC))
ISSUE = Issue(IssueKind.NOT_AUDITED, "message", window=DAY)
SMALL = Head(
    SourceIdentity("http://source"),
    Booking(DAY, (DAY,), (), ZERO, NO_CLASSES, frozenset(Component), True, "USD", "http://source", 1, (ISSUE,)),
)


@given(head=HEADS)
def test_a_head_comes_back_equal_and_of_the_same_types(head: Head) -> None:
    text = head_to_json(head)
    assert "\0" not in text
    again = head_from_json(text, collection_id="id")
    assert again == head
    assert repr(sorted(again.booking.not_measured)) == repr(sorted(head.booking.not_measured))
    assert repr(again.booking.bill) == repr(head.booking.bill)
    assert head_to_json(again).partition("not_measured")[0] == text.partition("not_measured")[0]


@given(balance=st.dictionaries(st.sampled_from(Component), st.builds(ComponentBalance, *[st.integers()] * 6)))
def test_a_balance_comes_back_equal(balance: dict[Component, ComponentBalance]) -> None:
    again = balance_from_json(balance_to_json(balance), collection_id="id")
    assert again == balance
    assert all(type(item) is ComponentBalance for item in again.values())


def with_more(value: Any) -> Any:
    """JSON as a newer version may write it."""
    if isinstance(value, dict):
        return {"new": {"deep": [1]}} | {name: with_more(one) for name, one in value.items()}
    return [with_more(item) for item in value] if isinstance(value, list) else value


def test_keys_of_a_newer_version_are_passed_over() -> None:
    text = json.loads(head_to_json(SMALL))
    text["booking"]["issues"][0]["facts"] = None
    more = with_more(text)
    more["booking"]["issues"][0]["facts"] = {}
    assert head_from_json(json.dumps(more), collection_id="id") == SMALL


def test_fields_of_older_versions_have_defaults() -> None:
    text = json.loads(head_to_json(SMALL))
    text["source"] = {"url": "http://source"}
    text["booking"]["issues"][0] = {"kind": "not_audited", "message": "message", "window": {**DAY_IN_JSON}}
    text["booking"]["bill"] = [0, 0]
    assert head_from_json(json.dumps(text), collection_id="id") == SMALL


DAY_IN_JSON = {"start": "2026-11-20T00:00:00Z", "end": "2026-11-21T00:00:00Z"}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"source": {"url": "x"}}', "null"])
def test_unreadable_head_names_its_collection(text: str) -> None:
    with pytest.raises(CollectionNotUnderstood, match="collection c-17 can't be read"):
        head_from_json(text, collection_id="c-17")
    with pytest.raises(CollectionNotUnderstood, match="collection c-17 can't be read"):
        balance_from_json(text or "[", collection_id="c-17")


def test_unknown_kind_of_issue_is_an_error() -> None:
    text = head_to_json(SMALL).replace("not_audited", "moon_phase")
    with pytest.raises(CollectionNotUnderstood, match="moon_phase"):
        head_from_json(text, collection_id="c-17")
    backwards = head_to_json(SMALL).replace("2026-11-21", "1999-11-21")
    with pytest.raises(CollectionNotUnderstood, match="ends before it starts"):
        head_from_json(backwards, collection_id="c-17")
