"""Adds the URL column to a database of OptScale or CloudTuner, and removes it.

The table is `cloudaccount`. No other column is touched, and no row that is not a Kubernetes account.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, String, cast, column, inspect, select, table, text, update

from kubetally.domain.account import AccountType
from kubetally.domain.source_url import SourceUrl
from kubetally.store.meta.engine import connected_engine, exclusive_transaction, shown
from kubetally.store.meta.faults import does_not_fit, schema_mismatch
from kubetally.store.meta.schema import VERSION_TABLE
from kubetally.store.meta.tables import URL_LENGTH

TABLE, COLUMN = "cloudaccount", "kubecost_url"
_NEEDED = {"id", "type", "organization_id"}
_ACCOUNTS = table(TABLE, column("id"), column("type"), column(COLUMN))


@dataclass(frozen=True, slots=True)
class Changed:
    """What a migration did.

    column_changed: whether the column was added or dropped; False if that was done before.
    set_ids:        accounts that have the URL now.
    skipped_ids:    ids that are not Kubernetes accounts of this database.
    """

    column_changed: bool
    set_ids: tuple[str, ...] = ()
    skipped_ids: tuple[str, ...] = ()


def up(database_url: str, urls: Mapping[str, SourceUrl]) -> Changed:
    """Add the column if it is missing, and set it for the accounts in `urls`, by id.

    May run again with the same or other URLs; other accounts keep theirs.
    Raises: StoreError, also if it is not OptScale's database; RequestError, for a URL; InvalidDatabaseUrl.
    """
    for url in urls.values():
        _check_url(url)
    with connected_engine(database_url) as engine, exclusive_transaction(engine) as connection:
        added = COLUMN not in _columns(connection, engine)
        if added:
            kind = String(URL_LENGTH).compile(dialect=engine.dialect)
            connection.execute(text(f"ALTER TABLE {TABLE} ADD COLUMN {COLUMN} {kind} NULL"))
        # The type is an enumeration of the database, which PostgreSQL does not compare with text.
        kubernetes = cast(_ACCOUNTS.c.type, String) == AccountType.KUBERNETES_CNR.value
        there = set(connection.scalars(select(_ACCOUNTS.c.id).where(kubernetes, _ACCOUNTS.c.id.in_(list(urls)))))
        for account_id in there:
            account = update(_ACCOUNTS).where(_ACCOUNTS.c.id == account_id, kubernetes)
            connection.execute(account.values({COLUMN: urls[account_id].address}))
        return Changed(
            added,
            tuple(account_id for account_id in urls if account_id in there),
            tuple(account_id for account_id in urls if account_id not in there),
        )


def down(database_url: str) -> Changed:
    """Drop the column with its URLs, if it exists. Raises InvalidDatabaseUrl, StoreError."""
    with connected_engine(database_url) as engine, exclusive_transaction(engine) as connection:
        there = COLUMN in _columns(connection, engine)
        if there:
            connection.execute(text(f"ALTER TABLE {TABLE} DROP COLUMN {COLUMN}"))
        return Changed(there)


def _columns(connection: Connection, engine: Engine) -> set[str]:
    """The columns of the table. Raises StoreError, if it is missing, another one, or Kubetally's own."""
    inspector = inspect(connection)
    remedy = "Give the URL of OptScale's database, which its restapi uses"
    if inspector.has_table(VERSION_TABLE):
        raise schema_mismatch(shown(engine), "is Kubetally's own", remedy)
    if not inspector.has_table(TABLE):
        raise schema_mismatch(shown(engine), f"has no table {TABLE}", remedy)
    columns = {column["name"] for column in inspector.get_columns(TABLE)}
    if not columns >= _NEEDED:
        missing = ", ".join(sorted(_NEEDED - columns))
        raise schema_mismatch(shown(engine), f"has a table {TABLE} without {missing}", remedy)
    return columns


def _check_url(url: SourceUrl) -> None:
    url.check()
    if url.has_login:
        raise does_not_fit(COLUMN, "should be http://host:port or https://..., without user and password")
    if len(url.address) > URL_LENGTH:
        raise does_not_fit(COLUMN, f"has {len(url.address)} characters: give at most {URL_LENGTH}")
