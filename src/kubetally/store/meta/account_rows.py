"""Rows of accounts, found by id or name."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, false, or_, select

from kubetally.ledger.ports.accounts import AccountNotFound, AmbiguousAccount
from kubetally.store.meta.tables import ACCOUNTS, ORGANIZATIONS


def of_organization(*columns: Any) -> Select[Any]:
    """Columns of accounts, and the names of their organizations."""
    return select(*columns, ORGANIZATIONS.c.name.label("organization")).join_from(
        ACCOUNTS, ORGANIZATIONS, ORGANIZATIONS.c.id == ACCOUNTS.c.organization_id
    )


WITH_ORGANIZATION = of_organization(ACCOUNTS, ORGANIZATIONS.c.currency.label("default_currency"))
"""Accounts with the name and the currency of their organization."""


def by_id(account_id: str) -> Select[Any]:
    """The account of an id, removed or not."""
    return WITH_ORGANIZATION.where(ACCOUNTS.c.id == account_id)


def not_removed(account_id: str) -> Select[Any]:
    """The account of an id, unless it is removed."""
    return by_id(account_id).where(ACCOUNTS.c.deleted_at == 0)


def is_called(name_or_id: str) -> ColumnElement[bool]:
    """Whether an account has this id, or this name with or without that of its organization."""
    return or_(ACCOUNTS.c.id == name_or_id, ACCOUNTS.c.name == name_or_id, _is_qualified(name_or_id))


def _is_qualified(text: str) -> ColumnElement[bool]:
    """Whether a text is `organization/name`; both names may have slashes."""
    slashes = [at for at, character in enumerate(text) if character == "/"]
    pairs = [(text[:at], text[at + 1 :]) for at in slashes]
    return or_(false(), *(and_(ORGANIZATIONS.c.name == before, ACCOUNTS.c.name == after) for before, after in pairs))


def find_row(connection: Connection, name_or_id: str) -> Row[Any]:
    """See `Accounts.find`. Raises AccountNotFound, AmbiguousAccount."""
    row: Row[Any] | None = connection.execute(not_removed(name_or_id)).first()
    if row is not None:
        return row
    living = WITH_ORGANIZATION.where(ACCOUNTS.c.deleted_at == 0)
    rows: Sequence[Row[Any]] = connection.execute(living.where(ACCOUNTS.c.name == name_or_id)).all()
    if not rows:
        rows = connection.execute(living.where(_is_qualified(name_or_id))).all()
    if not rows:
        if connection.execute(WITH_ORGANIZATION.where(is_called(name_or_id)).limit(1)).first() is not None:
            raise AccountNotFound(name_or_id, is_removed=True)
        others = connection.execute(select(ACCOUNTS.c.name, ACCOUNTS.c.id).where(ACCOUNTS.c.deleted_at == 0)).all()
        raise AccountNotFound(name_or_id, names=[row.name for row in others], ids=[row.id for row in others])
    if len(rows) > 1:
        raise AmbiguousAccount(name_or_id, {row.id: row.organization for row in rows})
    return rows[0]
