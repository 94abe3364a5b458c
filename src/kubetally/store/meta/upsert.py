"""Insert rows that may exist already, with the statement that each database has for it."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table

Rows = Sequence[Mapping[str, object]]


def put_missing(connection: Connection, table: Table, rows: Rows) -> None:
    """Insert those rows whose primary key does not exist; existing rows stay as they are."""
    _insert(connection, table, rows, changed=())


def put(connection: Connection, table: Table, rows: Rows) -> None:
    """Insert rows, or update the existing ones. All rows have the same columns."""
    if rows:
        _insert(connection, table, rows, changed=tuple(rows[0]))


def _insert(connection: Connection, table: Table, rows: Rows, changed: Sequence[str]) -> None:
    if not rows:
        return
    key = [column.name for column in table.primary_key]
    values = [name for name in changed if name not in key]
    statement: Any
    if connection.dialect.name in {"mysql", "mariadb"}:
        from sqlalchemy.dialects import mysql  # each loads its drivers' dialects

        statement = mysql.insert(table)
        kept = {name: statement.inserted[name] for name in values} or {key[0]: table.c[key[0]]}
        statement = statement.on_duplicate_key_update(kept)
    else:
        statement = _insert_or_conflict(connection.dialect.name)(table)
        if values:
            statement = statement.on_conflict_do_update(
                index_elements=key, set_={name: statement.excluded[name] for name in values}
            )
        else:
            statement = statement.on_conflict_do_nothing(index_elements=key)
    connection.execute(statement, list(rows))


def _insert_or_conflict(dialect: str) -> Any:
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert
    from sqlalchemy.dialects import postgresql

    return postgresql.insert
