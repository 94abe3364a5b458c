"""The audit log: who changed what of accounts, tokens and organizations."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Action(StrEnum):
    """What somebody did."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


class Subject(StrEnum):
    """What somebody changed."""

    ORGANIZATION = "organization"
    ACCOUNT = "account"
    TOKEN = "token"  # noqa: S105


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A change. before, after: the fields that differ, without secrets; empty for what was not there."""

    id: str
    at: datetime
    organization_id: str
    who: str
    action: Action
    subject: Subject
    subject_id: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]


def changed_fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The fields of both that differ; all of what was added or removed."""
    if not before or not after:
        return before, after
    names = [name for name in after if before.get(name) != after[name]]
    return {name: before.get(name) for name in names}, {name: after[name] for name in names}
