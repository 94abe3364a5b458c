"""Connections to the three databases, each set up so that they behave alike."""

import errno
import inspect
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from sqlalchemy import Connection, Engine, create_engine, event, exc, text
from sqlalchemy.engine import URL, ExceptionContext, make_url

from kubetally.domain.source_url import without_password
from kubetally.masking import Mask
from kubetally.store.meta.faults import InvalidDatabaseUrl, translated, unavailable
from kubetally.store.meta.tables import REVISION
from kubetally.store.meta.upsert import put

CONNECT_SECONDS = 5
_HASTY_SECONDS, _GRACE_SECONDS = 2, 5
WAIT_SECONDS = 30
_DRIVERS = {
    "sqlite": "sqlite",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
}
_ONE_ROW = 1
_LOCK = 0x6B756265  # a number that others are unlikely to lock in the same database: "kube"


def default_url(home: Path) -> str:
    """The SQLite file in the folder of local state."""
    return URL.create("sqlite", database=str((home / "kubetally.db").absolute())).render_as_string()


def open_engine(
    database_url: str, *, wait_seconds: float = WAIT_SECONDS, answer_seconds: float | None = None
) -> Engine:
    """Connections to a database. None is opened yet, but the folder and file of SQLite are created.

    wait_seconds: maximum wait for a lock. answer_seconds: maximum silence of a server, whatever its cause; by default
    twice what a writer may wait for locks.
    Raises: InvalidDatabaseUrl, StoreError.
    """
    url = _parsed(database_url)
    if url.drivername == "sqlite":
        return _sqlite(url, wait_seconds)
    timeouts: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS if answer_seconds is None else _HASTY_SECONDS}
    silence_seconds = 2 * WAIT_SECONDS if answer_seconds is None else answer_seconds
    if url.get_backend_name() != "postgresql":
        timeouts |= {"read_timeout": silence_seconds, "write_timeout": silence_seconds}
    # The URL takes precedence.
    arguments = {name: value for name, value in timeouts.items() if name not in url.query}
    with _url_refused(url):
        if url.get_backend_name() != "postgresql":
            _check_options(url)
        engine = create_engine(
            url, connect_args=arguments, hide_parameters=True, pool_pre_ping=True, pool_recycle=1800, pool_timeout=10
        )
    _mask_password(engine)
    waits = max(1, round(wait_seconds))
    if url.get_backend_name() == "postgresql":
        limits = [f"SET statement_timeout = '{2 * waits}s'", f"SET lock_timeout = '{waits}s'"]
    else:
        limits = [f"SET SESSION innodb_lock_wait_timeout = {waits}, lock_wait_timeout = {waits}"]

    if url.get_backend_name() == "postgresql":
        # The server ends a slow statement itself, and says so; the client gives up on one that is frozen.
        _limit_silence(engine, silence_seconds + (_GRACE_SECONDS if answer_seconds is None else 0))

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            for limit in limits:
                cursor.execute(limit)
        connection.commit()

    return engine


@contextmanager
def connected_engine(
    database_url: str, *, wait_seconds: float = WAIT_SECONDS, answer_seconds: float | None = None
) -> Iterator[Engine]:
    """As `open_engine`; all connections are closed afterwards."""
    engine = open_engine(database_url, wait_seconds=wait_seconds, answer_seconds=answer_seconds)
    try:
        yield engine
    finally:
        engine.dispose()


class SqlStore:
    """A store on a database. Each call is one transaction of its own; any thread may call. Raises StoreError.

    changes_answers: whether answers depend on what it writes; then every commit changes the revision.
    """

    changes_answers = True

    def __init__(self, engine: Engine) -> None:
        # MariaDB's own level would refuse a row that another transaction changed since the first reading.
        level = {} if engine.dialect.name in {"sqlite", "postgresql"} else {"isolation_level": "READ COMMITTED"}
        self._engine, self._writing = engine, engine.execution_options(immediate=True, **level)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.database!r})"

    @property
    def database(self) -> str:
        """Where the database is, without password."""
        return shown(self._engine)

    @contextmanager
    def _reads(self) -> Iterator[Connection]:
        with translated(self.database), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writes(self) -> Iterator[Connection]:
        with translated(self.database), self._writing.begin() as connection:
            yield connection
            if self.changes_answers:  # at the end, because others that write wait for it until the commit
                change_revision(connection)


def change_revision(connection: Connection) -> None:
    """Let nobody take what was read before this commit for what is there after it."""
    put(connection, REVISION, [{"id": _ONE_ROW, "value": uuid4().hex}])


def _limit_silence(engine: Engine, seconds: float) -> None:
    """Use connections that give up on a silent server: psycopg and libpq have no such limit."""
    from kubetally.store.meta.impatient import connection_class

    kind = connection_class(seconds)

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: object, _record: object, args: Any, options: Any) -> Any:
        return kind.connect(*args, **options)


def shown(engine: Engine) -> str:
    """The URL of a database without password and options, fit for messages."""
    return _shown(engine.url)


def file_of(database_url: str) -> Path | None:
    """The file of a SQLite database; None of another kind. Raises InvalidDatabaseUrl."""
    url = _parsed(database_url)
    return _file(url) if url.drivername == "sqlite" else None


@contextmanager
def exclusive_transaction(engine: Engine) -> Iterator[Connection]:
    """A transaction that excludes all others of this kind, in any process.

    MariaDB still commits at each change of a table.
    Raises: StoreError, also when others take too long.
    """
    with translated(shown(engine)), engine.execution_options(immediate=True).connect() as connection:
        name = engine.dialect.name
        try:
            with connection.begin():
                if name == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
                elif name != "sqlite":
                    # The name is the server's, so it includes the database.
                    locked = text("SELECT GET_LOCK(CONCAT('kubetally:', LEFT(DATABASE(), 50)), :seconds)")
                    if connection.execute(locked, {"seconds": WAIT_SECONDS}).scalar() != 1:
                        raise unavailable(shown(engine), "another process is changing its tables")
                yield connection
        finally:
            if name in {"mysql", "mariadb"} and not connection.invalidated:
                # The lock is the connection's, which goes back to the pool.
                with suppress(exc.SQLAlchemyError):
                    connection.execute(text("SELECT RELEASE_LOCK(CONCAT('kubetally:', LEFT(DATABASE(), 50)))"))
                    connection.commit()


def _mask_password(engine: Engine) -> None:
    """Mask the password in errors of drivers, in the one place that all of them pass."""
    mask = Mask([engine.url.password] if engine.url.password else ())

    @event.listens_for(engine, "handle_error")
    def masked(context: ExceptionContext) -> None:
        error = context.original_exception
        error.args = tuple(mask(part) if isinstance(part, str) else part for part in error.args)


def _parsed(database_url: str) -> URL:
    try:
        url = make_url(database_url.strip())
    except (exc.ArgumentError, ValueError):
        # The message of the library may quote a piece of a password.
        raise InvalidDatabaseUrl(_masked(database_url), "can't be read") from None
    driver = _DRIVERS.get(url.get_backend_name())
    if driver is None:
        raise InvalidDatabaseUrl(_shown(url), "has an unknown scheme")
    if driver == "sqlite" and (url.host or not url.database or url.database.startswith((":memory:", "file:"))):
        raise InvalidDatabaseUrl(_shown(url), "has no file")
    if driver == "sqlite" and not _file(url).is_absolute():
        raise InvalidDatabaseUrl(
            _shown(url),
            "has a relative path (three slashes, an absolute one has four), which depends on the working directory",
        )
    if driver != "sqlite" and not url.database:
        raise InvalidDatabaseUrl(_shown(url), "has no database in it")
    return url.set(drivername=driver, query={} if driver == "sqlite" else url.query)


def _shown(url: URL) -> str:
    return url.set(query={}).render_as_string(hide_password=True)


def _masked(database_url: str) -> str:
    if "://" not in database_url:  # what stands where a scheme should be may be a password
        database_url = database_url.rpartition("@")[2] if "@" in database_url else database_url[:20] + "…"
    return without_password(database_url).partition("?")[0][:200]


def _check_options(url: URL) -> None:
    """Refuse what PyMySQL would refuse only when it connects. Raises TypeError."""
    import pymysql  # type: ignore[import-untyped]

    known = inspect.signature(pymysql.connections.Connection).parameters
    if unknown := set(url.query) - set(known):
        raise TypeError(unknown)


@contextmanager
def _url_refused(url: URL) -> Iterator[None]:
    try:
        yield
    except (exc.ArgumentError, ValueError, TypeError):
        raise InvalidDatabaseUrl(_shown(url), "has options that its driver does not know") from None


def _file(url: URL) -> Path:
    file = Path(url.database or "")
    try:
        return file.expanduser()
    except RuntimeError:  # of a user that does not exist
        return file


def _sqlite(url: URL, wait_seconds: float) -> Engine:
    file = _file(url)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        why, is_read_only = error.strerror or "the file can't be opened", error.errno == errno.EROFS
        raise unavailable(_shown(url), why, is_read_only=is_read_only) from error

    def connect() -> sqlite3.Connection:
        # Without mode=rw, SQLite would put an empty file in place of one that went away.
        # Without isolation_level, Python would begin transactions of its own, and never for a change of tables.
        return sqlite3.connect(
            f"file:{quote(str(file))}?mode=rw",
            uri=True,
            timeout=wait_seconds,
            isolation_level=None,
            check_same_thread=False,
        )

    engine = create_engine(url, creator=connect, hide_parameters=True, pool_timeout=10)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, record: Any) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")
        _write_ahead(connection, wait_seconds)
        record.info["file"] = file_identity(file)

    @event.listens_for(engine, "checkout")
    def check(_connection: object, record: Any, _proxy: object) -> None:
        # A file that was removed or replaced would take what is written with it, in silence.
        if record.info["file"] != file_identity(file):
            raise exc.DisconnectionError

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # One that reads first and writes later would fail where another wrote between: it is not let to wait.
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def _write_ahead(connection: sqlite3.Connection, wait_seconds: float) -> None:
    """Let readers and a writer work concurrently. SQLite does not wait by itself for others that open the file."""
    until = time.monotonic() + wait_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def file_identity(file: Path) -> tuple[int, int] | None:
    """What distinguishes a file from another of its name; None if it is missing."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
