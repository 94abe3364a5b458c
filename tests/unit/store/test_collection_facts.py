"""Facts of a head, as the program writes them and as the migration does."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given

from kubetally.domain.collection_facts import COMPONENTS, facts_of
from kubetally.domain.issues import IssueKind
from kubetally.domain.window import covered_hours
from kubetally.store.booking_json import Head, head_from_json, head_to_json, issue_from_json, issue_to_json
from kubetally.store.meta import schema
from tests.unit.store.test_booking_json import HEADS

SCRIPT = Path(schema.__file__).parent / "migrations" / "versions" / "0006_collection_facts.py"


@pytest.fixture(scope="module")
def migration() -> Any:
    spec = importlib.util.spec_from_file_location("migration", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_issue_is_called_like_a_component() -> None:
    assert not COMPONENTS & {kind.value for kind in IssueKind}


@given(head=HEADS)
def test_migration_makes_the_facts_that_the_program_makes(migration: Any, head: Head) -> None:
    text = head_to_json(head)
    booking = head_from_json(text, collection_id="id").booking
    of_program = [
        {"what": what, "hours": hours, "issue": None if issue is None else issue_to_json(issue)}
        for what, hours, issue in facts_of(booking)
    ]
    row = SimpleNamespace(id="id", hours_covered=covered_hours(booking.covered), head=text)
    assert list(migration._facts(row)) == of_program


@given(head=HEADS)
def test_issues_come_back_as_the_head_has_them(head: Head) -> None:
    issues = head_from_json(head_to_json(head), collection_id="id").booking.issues
    assert tuple(issue_from_json(issue_to_json(issue), collection_id="id") for issue in issues) == issues
