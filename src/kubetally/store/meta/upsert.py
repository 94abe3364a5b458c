"""Rows that may be there already: each database has its own words for that."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import mysql, postgresql, sqlite

from kubetally.store.meta.tables import Base

Rows = Sequence[Mapping[str, object]]


def put_missing(connection: Connection, table: type[Base], rows: Rows) -> None:
    """Insert those rows whose primary key is not there; what is there stays as it is."""
    _insert(connection, table, rows, changed=())


def put(connection: Connection, table: type[Base], rows: Rows) -> None:
    """Insert rows, or put their values in place of those that are there. All rows name the same columns."""
    if rows:
        _insert(connection, table, rows, changed=tuple(rows[0]))


def _insert(connection: Connection, table: type[Base], rows: Rows, changed: Sequence[str]) -> None:
    if not rows:
        return
    key = [column.name for column in table.__table__.primary_key]
    values = [name for name in changed if name not in key]
    statement: Any
    if connection.dialect.name in {"mysql", "mariadb"}:
        statement = mysql.insert(table)
        kept = {name: statement.inserted[name] for name in values} or {key[0]: table.__table__.c[key[0]]}
        statement = statement.on_duplicate_key_update(kept)
    else:
        statement = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)
        if values:
            statement = statement.on_conflict_do_update(
                index_elements=key, set_={name: statement.excluded[name] for name in values}
            )
        else:
            statement = statement.on_conflict_do_nothing(index_elements=key)
    connection.execute(statement, list(rows))
