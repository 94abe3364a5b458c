"""The audit log in SQL, written in the transaction of each change."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import Connection, Row, insert, select

from kubetally.domain.audit import Action, AuditEntry, Subject, changed_fields
from kubetally.store.meta.engine import SqlStore
from kubetally.store.meta.instants import from_microseconds, to_microseconds
from kubetally.store.meta.tables import AUDIT

_NOTHING: Mapping[str, Any] = {}


class Change(NamedTuple):
    """What is noted of a change beside its fields. by: who made it."""

    at: datetime
    by: str
    organization_id: str
    subject: Subject
    subject_id: str


def note(
    connection: Connection,
    change: Change,
    *,
    before: Mapping[str, Any] = _NOTHING,
    after: Mapping[str, Any] = _NOTHING,
) -> None:
    """Note a change in its transaction, unless nothing changed. before, after: its fields, without secrets."""
    action = Action.CHANGED if before and after else Action.ADDED if after else Action.REMOVED
    old, new = changed_fields(before, after)
    if not old and not new:
        return
    row = {
        "id": str(uuid4()),
        "at": to_microseconds(change.at),
        "organization_id": change.organization_id,
        "who": change.by,
        "action": action.value,
        "subject": change.subject.value,
        "subject_id": change.subject_id,
        "before_text": json.dumps(old),
        "after_text": json.dumps(new),
    }
    connection.execute(insert(AUDIT).values(row))


class SqlAudit(SqlStore):
    """The port `Audit` on a database."""

    def newest(self, organization_id: str | None = None, *, limit: int) -> Sequence[AuditEntry]:
        question = select(AUDIT).order_by(AUDIT.c.at.desc(), AUDIT.c.id).limit(limit)
        if organization_id is not None:
            question = question.where(AUDIT.c.organization_id == organization_id)
        with self._reads() as connection:
            return [_entry(row) for row in connection.execute(question)]


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        id=row.id,
        at=from_microseconds(row.at),
        organization_id=row.organization_id,
        who=row.who,
        action=Action(row.action),
        subject=Subject(row.subject),
        subject_id=row.subject_id,
        before=json.loads(row.before_text),
        after=json.loads(row.after_text),
    )
