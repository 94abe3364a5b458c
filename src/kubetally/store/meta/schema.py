"""Checks and migrates the tables of a database."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, column, inspect, select, table

from kubetally.domain.errors import RequestError
from kubetally.store.meta.engine import WAIT_SECONDS, connected_engine, exclusive_transaction, shown
from kubetally.store.meta.faults import schema_mismatch, tables_missing, translated
from kubetally.store.meta.tables import METADATA

if TYPE_CHECKING:
    from alembic.config import Config

NEWEST = "0010"
"""The last migration, so that a command that finds it need not load Alembic; a test compares it with the scripts."""
BASE = "base"
# OptScale keeps an alembic_version of its own.
VERSION_TABLE = "kubetally_version"
# Migrations use `alembic.op`, which is bound to one database at a time in a process.
_ALEMBIC = threading.Lock()
_MIGRATE = "Run `kubetally migrate`"


def _unknown_revision(revision: str) -> RequestError:
    """There is no migration with this name, or it goes in the wrong direction."""
    message = f"the database can't be migrated to revision {revision!r}; the newest is {NEWEST}"
    return RequestError(message, code="unknown_revision")


def upgrade(database_url: str, *, revision: str = "head") -> str | None:
    """Migrate a database to a revision and return that; nothing happens if it is there already.

    Several processes may do so at once: one works, the others wait.
    Raises: StoreError, also when it is newer than this version or holds another program's tables; RequestError, of an
    unknown revision; InvalidDatabaseUrl.
    """
    with connected_engine(database_url) as engine:
        return _upgrade(engine, revision)


def downgrade(database_url: str, *, revision: str) -> str | None:
    """Downgrade a database to a revision and return that; `base` drops all tables and their data.

    Raises: as `upgrade`.
    """
    from alembic import command, util

    with connected_engine(database_url) as engine, exclusive_transaction(engine) as connection:
        if revision not in {BASE, *known_revisions(connection)}:
            raise _unknown_revision(revision)
        if _checked(connection, engine) is not None:
            try:
                with _ALEMBIC:
                    command.downgrade(_config(connection), revision)
            except util.CommandError as error:
                raise _unknown_revision(revision) from error
        return _revision(connection)


@contextmanager
def ready_engine(database_url: str, *, wait_seconds: float = WAIT_SECONDS) -> Iterator[Engine]:
    """Connections to a database that has the tables of this version (`make_ready`), closed afterwards.

    wait_seconds: maximum wait for a lock.
    Raises: InvalidDatabaseUrl, StoreError.
    """
    with connected_engine(database_url, wait_seconds=wait_seconds) as engine:
        make_ready(engine)
        yield engine


def make_ready(engine: Engine) -> None:
    """Make sure that the tables are those of this version.

    SQLite is migrated automatically. On a server, an empty database is set up, and one with older tables is left to
    `kubetally migrate`, so that its operator chooses the moment while replicas of the old version run.
    Raises: StoreError.
    """
    with translated(shown(engine)), engine.connect() as connection:
        revision = _revision(connection)
        if revision == NEWEST:
            return
        ours = {VERSION_TABLE, *METADATA.tables}
        tables = set(inspect(connection).get_table_names())
    new = not tables or (revision is None and VERSION_TABLE in tables and tables <= ours)
    if engine.dialect.name == "sqlite" or new:
        _upgrade(engine, "head")
    else:
        # On MariaDB, a process that sets it up commits one migration after the other.
        with exclusive_transaction(engine) as connection:
            if _checked(connection, engine) == NEWEST:
                return
        raise schema_mismatch(shown(engine), "has older tables than this version of Kubetally, or none", _MIGRATE)


def migrate_to(connection: Connection, engine: Engine, revision: str) -> None:
    """Migrate a database to a known revision, up or down, in an exclusive transaction. Raises StoreError."""
    from alembic import command

    present = _checked(connection, engine)
    step = command.downgrade if present is not None and present > revision else command.upgrade
    with _ALEMBIC:
        step(_config(connection), revision)


def _upgrade(engine: Engine, revision: str) -> str | None:
    from alembic import command, util

    with exclusive_transaction(engine) as connection:
        _checked(connection, engine)
        try:
            with _ALEMBIC:
                command.upgrade(_config(connection), revision)
        except util.CommandError as error:
            raise _unknown_revision(revision) from error
        reached = _revision(connection)
        if reached == NEWEST and (missing := set(METADATA.tables) - set(inspect(connection).get_table_names())):
            raise tables_missing(shown(engine), f"no such table: {', '.join(sorted(missing))}")
        return reached


def _checked(connection: Connection, engine: Engine) -> str | None:
    """The revision of a database. Raises StoreError, if it is unknown or the tables are another program's."""
    with translated(shown(engine)):
        revision = _revision(connection)
        tables = set(inspect(connection).get_table_names())
    if revision is not None and revision not in known_revisions(connection):
        raise schema_mismatch(
            shown(engine), f"is at revision {revision}, newer than this Kubetally knows", "Install that version"
        )
    foreign = sorted(tables & set(METADATA.tables))
    if revision is None and foreign and VERSION_TABLE not in tables:
        raise schema_mismatch(
            shown(engine),
            f"holds tables of another program ({', '.join(foreign)})",
            "Give Kubetally a database of its own; for OptScale's database use `kubetally migrate optscale`",
        )
    return revision


def known_revisions(connection: Connection) -> set[str]:
    """The revisions that this version has migrations for, in the order of their text."""
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory.from_config(_config(connection)).walk_revisions()}


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision: str | None = connection.execute(select(column("version_num")).select_from(table(VERSION_TABLE))).scalar()
    return revision


def _config(connection: Connection) -> "Config":
    from alembic.config import Config

    config = Config()
    # A percent sign would be read as the beginning of a reference to another option.
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
