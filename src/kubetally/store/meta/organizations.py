"""Organizations in SQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from kubetally.domain.account import DEFAULT_ORGANIZATION, Organization
from kubetally.domain.audit import Subject
from kubetally.domain.errors import StoreError
from kubetally.domain.window import Clock
from kubetally.ledger.ports.organizations import (
    organization_exists,
    organization_not_empty,
    organization_not_found,
)
from kubetally.store.meta.audit import Change, note
from kubetally.store.meta.engine import SqlStore
from kubetally.store.meta.instants import from_seconds, to_seconds
from kubetally.store.meta.removal import removal_second
from kubetally.store.meta.tables import ACCOUNTS, ORGANIZATIONS


class SqlOrganizations(SqlStore):
    """The port `Organizations` on a database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        super().__init__(engine)
        self._clock = clock

    def find(self, name_or_id: str = DEFAULT_ORGANIZATION) -> Organization:
        with self._reads() as connection:
            return find_organization(connection, name_or_id)

    def all(self) -> list[Organization]:
        with self._reads() as connection:
            rows = connection.execute(select(ORGANIZATIONS).where(ORGANIZATIONS.c.deleted_at == 0)).all()
        return sorted(map(_organization, rows), key=lambda organization: organization.name)

    def add(self, organization: Organization, *, by: str) -> None:
        row = {
            "id": organization.id,
            "name": organization.name,
            "currency": organization.currency,
            "created_at": to_seconds(organization.created_at),
            "deleted_at": 0,
        }
        with self._unique(organization.name), self._writes() as connection:
            connection.execute(insert(ORGANIZATIONS).values(row))
            note(connection, self._change(organization.id, by), after=_fields(organization))

    def rename(self, organization_id: str, *, name: str, by: str) -> Organization:
        with self._unique(name), self._writes() as connection:
            before = _organization(lock_organization(connection, organization_id))
            connection.execute(update(ORGANIZATIONS).where(ORGANIZATIONS.c.id == organization_id).values(name=name))
            after = replace(before, name=name)
            note(connection, self._change(organization_id, by), before=_fields(before), after=_fields(after))
            return after

    def remove(self, organization_id: str, *, by: str) -> None:
        with self._writes() as connection:
            row = lock_organization(connection, organization_id)
            of_it = select(ACCOUNTS.c.name).where(
                ACCOUNTS.c.organization_id == organization_id, ACCOUNTS.c.deleted_at == 0
            )
            if names := sorted(connection.execute(of_it).scalars()):
                raise organization_not_empty(row.name, names)
            has_name = ORGANIZATIONS.c.name == row.name
            deleted_at = removal_second(connection, ORGANIZATIONS, self._clock.now(), has_name)
            connection.execute(
                update(ORGANIZATIONS).where(ORGANIZATIONS.c.id == organization_id).values(deleted_at=deleted_at)
            )
            note(connection, self._change(organization_id, by), before=_fields(_organization(row)))

    def _change(self, organization_id: str, by: str) -> Change:
        return Change(self._clock.now(), by, organization_id, Subject.ORGANIZATION, organization_id)

    @contextmanager
    def _unique(self, name: str) -> Iterator[None]:
        """Explain a clash of names. Raises RequestError."""
        try:
            yield
        except StoreError as error:
            if isinstance(error.__cause__, IntegrityError):
                raise organization_exists(name) from error.__cause__
            raise


def find_organization(connection: Connection, name_or_id: str) -> Organization:
    """An organization by its id, else by its name. Raises NotFound."""
    named = or_(ORGANIZATIONS.c.id == name_or_id, ORGANIZATIONS.c.name == name_or_id)
    rows = connection.execute(select(ORGANIZATIONS).where(named, ORGANIZATIONS.c.deleted_at == 0)).all()
    if not rows:
        living = select(ORGANIZATIONS.c.name).where(ORGANIZATIONS.c.deleted_at == 0)
        raise organization_not_found(name_or_id, names=connection.execute(living).scalars())
    return _organization(next((row for row in rows if row.id == name_or_id), rows[0]))


def lock_organization(connection: Connection, organization_id: str) -> Row[Any]:
    """The row of an organization, which nobody else changes until the commit. Raises NotFound."""
    question = select(ORGANIZATIONS).where(ORGANIZATIONS.c.id == organization_id, ORGANIZATIONS.c.deleted_at == 0)
    row = connection.execute(question.with_for_update()).first()
    if row is None:
        raise organization_not_found(organization_id)
    return row


def _fields(organization: Organization) -> dict[str, Any]:
    """What the audit log has of it."""
    return {"name": organization.name, "currency": organization.currency}


def _organization(row: Row[Any]) -> Organization:
    return Organization(row.id, row.name, row.currency, from_seconds(row.created_at))
