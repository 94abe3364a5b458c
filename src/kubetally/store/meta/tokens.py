"""Tokens in SQL."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row, insert, or_, select, update

from kubetally.domain.access import Role, Token
from kubetally.domain.audit import Subject
from kubetally.domain.window import Clock, rfc3339
from kubetally.ledger.ports.tokens import token_not_found
from kubetally.store.meta.audit import Change, note
from kubetally.store.meta.engine import SqlStore
from kubetally.store.meta.instants import from_microseconds, to_microseconds
from kubetally.store.meta.organizations import lock_organization
from kubetally.store.meta.tables import ORGANIZATIONS, TOKENS

_INSTANTS = ("created_at", "expires_at", "last_used_at", "revoked_at")
_NAMES = ("id", "organization_id", "name", "role", "filter", "owner")
_LIVING = (
    select(TOKENS)
    .join(ORGANIZATIONS, ORGANIZATIONS.c.id == TOKENS.c.organization_id)
    .where(ORGANIZATIONS.c.deleted_at == 0)
)
"""The tokens of organizations that are not removed."""


class SqlTokens(SqlStore):
    """The port `Tokens` on a database."""

    changes_answers = False

    def __init__(self, engine: Engine, clock: Clock) -> None:
        super().__init__(engine)
        self._clock = clock

    def add(self, token: Token, *, digest: str) -> None:
        row = {name: getattr(token, name) for name in _NAMES}
        row |= {name: _microseconds(getattr(token, name)) for name in _INSTANTS}
        with self._writes() as connection:
            lock_organization(connection, token.organization_id)
            connection.execute(insert(TOKENS).values(row | {"digest": digest}))
            note(connection, self._change(token, token.owner), after=_fields(token))

    def find(self, digest: str) -> Token | None:
        with self._reads() as connection:
            row = connection.execute(_LIVING.where(TOKENS.c.digest == digest)).first()
        return None if row is None else _token(row)

    def all(self, organization_id: str | None = None) -> list[Token]:
        question = _LIVING.where(TOKENS.c.revoked_at.is_(None))
        if organization_id is not None:
            question = question.where(TOKENS.c.organization_id == organization_id)
        with self._reads() as connection:
            tokens = [_token(row) for row in connection.execute(question)]
        return sorted(tokens, key=lambda token: (token.created_at, token.id))

    def revoke(self, id_or_digest: str, *, by: str) -> Token:
        with self._writes() as connection:
            named = or_(TOKENS.c.id == id_or_digest, TOKENS.c.digest == id_or_digest)
            row = connection.execute(select(TOKENS).where(named).with_for_update()).first()
            if row is None:
                raise token_not_found()
            token = _token(row)
            if token.revoked_at is not None:
                return token
            now = self._clock.now()
            connection.execute(update(TOKENS).where(TOKENS.c.id == token.id).values(revoked_at=to_microseconds(now)))
            note(connection, self._change(token, by), before=_fields(token))
            return replace(token, revoked_at=now)

    def _change(self, token: Token, by: str) -> Change:
        return Change(self._clock.now(), by, token.organization_id, Subject.TOKEN, token.id)

    def note_use(self, token_id: str, at: datetime) -> None:
        with self._writes() as connection:
            connection.execute(update(TOKENS).where(TOKENS.c.id == token_id).values(last_used_at=to_microseconds(at)))


def _fields(token: Token) -> dict[str, Any]:
    """What the audit log has of it."""
    expires_at = None if token.expires_at is None else rfc3339(token.expires_at)
    return {"name": token.name, "role": token.role.value, "filter": token.filter, "expires_at": expires_at}


def _token(row: Row[Any]) -> Token:
    instants = {name: _instant(getattr(row, name)) for name in _INSTANTS[1:]}
    return Token(
        id=row.id,
        organization_id=row.organization_id,
        name=row.name,
        role=Role(row.role),
        filter=row.filter,
        owner=row.owner,
        created_at=from_microseconds(row.created_at),
        **instants,
    )


def _microseconds(instant: datetime | None) -> int | None:
    return None if instant is None else to_microseconds(instant)


def _instant(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else from_microseconds(microseconds)
