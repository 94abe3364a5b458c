"""Errors of a database, and the one place that makes them of errors of SQLAlchemy and the drivers."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from kubetally.domain.errors import RequestError, StoreError

_SQLITE_UNAVAILABLE = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_PROTOCOL")
_MYSQL_UNAVAILABLE = frozenset({1040, 1053, 1203, 1205, 1213, 1927, 2002, 2003, 2006, 2013, 2014, 2055, 4031})
_MYSQL_SCHEMA = frozenset({1054, 1146})
_MYSQL_READ_ONLY, _POSTGRES_READ_ONLY = frozenset({1290, 1792, 1836}), "25006"
# Connection lost, resources, operator's doing, serialization, locks, time-outs.
_POSTGRES_UNAVAILABLE = ("08", "53", "57", "40001", "40P01", "55P03", _POSTGRES_READ_ONLY)
_POSTGRES_SCHEMA = ("42P01", "42703")
# libpq gives a refused log-in no SQLSTATE.
_POSTGRES_REFUSALS = ("authentication failed", "does not exist", "no pg_hba.conf entry", "no password supplied")


class InvalidDatabaseUrl(RequestError):
    """The URL of the database can't be used; `url` has no password."""

    code = "invalid_database_url"

    def __init__(self, url: str, why: str) -> None:
        self.url, self.why = url, why
        super().__init__(
            f"the database URL {url!r} {why}. Use sqlite:////folder/file.db, mariadb://user:password@host/database or "
            "postgresql://user:password@host/database"
        )


def does_not_fit(field: str, why: str) -> RequestError:
    """A field of an account can't be stored as it is; its value is not shown."""
    return RequestError(f"the {field} of the account {why}", code="value_does_not_fit")


def unavailable(database: str, why: str, *, is_read_only: bool = False) -> StoreError:
    """The database does not respond, or is busy; it may respond later. `database` is its URL without password.

    is_read_only: it responds, and can only be read.
    """
    is_file = database.startswith("sqlite")
    remedy = "Check that it runs, and that this machine can reach it"
    if is_read_only:
        remedy = _remedy_for_read_only(database)
    elif is_file and "locked" in why:
        remedy = "Another program holds its lock. Nothing was changed; retry, or stop that program"
    elif is_file:
        remedy = "Check that this user may write the file and its folder, and that its disk has space"
    message = f"the database {database} is not available ({why}). {remedy}"
    return StoreError(message, code="store_unavailable", retryable=True)


def _remedy_for_read_only(database: str) -> str:
    """What to do about a database that can only be read."""
    if database.startswith("sqlite"):
        return "Nothing was changed. Make the file and its folder writable for this user"
    setting = "default_transaction_read_only" if database.startswith("postgres") else "read_only"
    return (
        f"Nothing was changed. Set its {setting} to off, or name the primary in KUBETALLY_DATABASE_URL if this server "
        "is a replica"
    )


def refused(database: str, why: str, *, is_read_only: bool = False) -> StoreError:
    """The database responds, and refuses: the log-in, a permission, a full disk, a file that is no database."""
    remedy = "Check its user, permissions and disk space, and that it is Kubetally's"
    if is_read_only:
        remedy = _remedy_for_read_only(database)
    return StoreError(f"the database {database} refused ({why}). {remedy}", code="store_refused")


def schema_mismatch(database: str, difference: str, remedy: str) -> StoreError:
    """The tables are not those this version works with."""
    return StoreError(f"the database {database} {difference}. {remedy}", code="schema_mismatch")


def tables_missing(database: str, why: str) -> StoreError:
    """A database that was set up lacks a table or a column: something else removed it. `why` names it."""
    return StoreError(
        f"the database {database} lacks tables or columns that it was set up with ({why}). Something else removed "
        "them; days in the lake are not affected. Set KUBETALLY_HOME to a new folder, and KUBETALLY_DATABASE_URL and "
        "KUBETALLY_LAKE_URL, where they are set, to an empty database and place; copy the file `keys` into the new "
        "folder, and run `kubetally restore` with a backup. Without one, set only the database to an empty one; "
        "`kubetally maintain --check` then says how to register the lake's days again",
        code="tables_missing",
    )


@contextmanager
def translated(database: str) -> Iterator[None]:
    """Raise errors of SQLAlchemy as errors of the database, whose URL in them has no password."""
    try:
        yield
    except exc.SQLAlchemyError as error:
        raise _meaning(error, database) from error


def _meaning(error: exc.SQLAlchemyError, database: str) -> StoreError:
    original = error.orig if isinstance(error, exc.DBAPIError) else None
    why = _one_line(original or error)
    if original is None:
        # The pool gave up: no connection was free in time, or none could be made.
        waits = isinstance(error, exc.TimeoutError | exc.DisconnectionError | exc.InvalidRequestError)
        return unavailable(database, why) if waits else refused(database, why)
    is_unavailable, is_schema = _kind(original)
    if is_schema:
        return tables_missing(database, why)
    is_read_only = _is_read_only(original)
    if is_unavailable or (isinstance(error, exc.DBAPIError) and error.connection_invalidated):
        return unavailable(database, why, is_read_only=is_read_only)
    return refused(database, why, is_read_only=is_read_only)


def _is_read_only(error: BaseException) -> bool:
    """Whether a driver's error means that the database can only be read."""
    module = type(error).__module__.partition(".")[0]
    if module == "sqlite3":
        return getattr(error, "sqlite_errorname", "").startswith("SQLITE_READONLY")
    if module == "pymysql":
        return bool(error.args) and error.args[0] in _MYSQL_READ_ONLY
    return getattr(error, "sqlstate", None) == _POSTGRES_READ_ONLY


def _kind(error: BaseException) -> tuple[bool, bool]:
    """Whether a driver's error means that the database is not available, or that its tables differ."""
    module = type(error).__module__.partition(".")[0]
    if module == "sqlite3":
        name = getattr(error, "sqlite_errorname", "")
        return name.startswith(_SQLITE_UNAVAILABLE), str(error).startswith(("no such table", "no such column"))
    if module == "pymysql":
        number = error.args[0] if error.args else None
        return number in _MYSQL_UNAVAILABLE or type(error).__name__ == "InterfaceError", number in _MYSQL_SCHEMA
    state = getattr(error, "sqlstate", None) or ""
    if not state:
        refused = any(part in str(error) for part in _POSTGRES_REFUSALS)
        return type(error).__name__ in {"OperationalError", "ConnectionTimeout"} and not refused, False
    return state.startswith(_POSTGRES_UNAVAILABLE), state in _POSTGRES_SCHEMA


def _one_line(error: BaseException) -> str:
    """What a driver says, short. With a number before it, as PyMySQL does, the words alone."""
    words = error.args[-1] if error.args and isinstance(error.args[-1], str) else str(error)
    text = " ".join(words.split())
    return (text if len(text) <= 200 else text[:199] + "…") or type(error).__name__
