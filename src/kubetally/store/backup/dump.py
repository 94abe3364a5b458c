"""The whole metadata as a file that any of the three kinds of database can be made from.

A dump is lines of JSON: the revision of the tables at the head, each row with its table, and at the end how many rows
there were and the SHA-256 of all lines before. Credentials are in it as they are kept, encrypted; the keys are not, and
without them (KUBETALLY_KEYS or the file `keys`) nobody reads the credentials: keep the keys elsewhere. The rows of days
are in the lake and are not in it either.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import IO, Any, BinaryIO

import msgspec
from sqlalchemy import Connection, Date, Engine, MetaData, Table, delete, func, insert, inspect, select

from kubetally.domain.collection import Collection
from kubetally.domain.errors import RequestError
from kubetally.domain.savings import SavingsDay
from kubetally.ledger.ports.backups import DumpSummary, DumpUnusable
from kubetally.store.meta.collection_rows import collection_of
from kubetally.store.meta.engine import change_revision, connected_engine, exclusive_transaction, shown
from kubetally.store.meta.faults import translated
from kubetally.store.meta.instants import from_microseconds
from kubetally.store.meta.savings import savings_day_of
from kubetally.store.meta.schema import NEWEST, VERSION_TABLE, known_revisions, migrate_to, ready_engine
from kubetally.store.meta.tables import ACCOUNTS, COLLECTIONS, LOG_FILES, METADATA, ORGANIZATIONS, REVISION, SAVINGS

_FORMAT = 1
_ROWS_AT_ONCE = 500


class DumpIsNewer(RequestError):
    """A dump of tables that this version does not know."""

    code = "dump_is_newer"

    def __init__(self, revision: str) -> None:
        self.revision = revision
        super().__init__(
            f"the dump is of revision {revision}, newer than {NEWEST}, the newest that this Kubetally knows: restore "
            "it with the version that wrote it, or a newer one"
        )


def dump(database_url: str, stream: BinaryIO) -> dict[str, int]:
    """Write the content of the database at one instant, while others may write; returns the rows of each table.

    The dump is complete once this returns.
    Raises: InvalidDatabaseUrl, StoreError, and OSError of the stream.
    """
    counts: Counter[str] = Counter()
    digest = hashlib.sha256()

    def write(line: Mapping[str, object]) -> None:
        encoded = msgspec.json.encode(line) + b"\n"
        digest.update(encoded)
        stream.write(encoded)

    with ready_engine(database_url) as engine, _snapshot(engine) as connection:
        write({"kubetally_dump": _FORMAT, "revision": NEWEST})
        for table in METADATA.sorted_tables:
            if table is REVISION:  # of this database alone
                continue
            name, columns = str(table.name), [str(column.name) for column in table.columns]
            counts[name] = 0
            question = select(table).order_by(*table.primary_key)
            with connection.execute(question, execution_options={"yield_per": _ROWS_AT_ONCE}) as rows:
                for row in rows:
                    write({"table": name, "row": dict(zip(columns, row, strict=True))})
                    counts[name] += 1
        write({"rows": dict(counts), "sha256": digest.hexdigest()})
    return dict(counts)


def load(database_url: str, stream: BinaryIO) -> dict[str, int]:
    """Restore a dump into an empty database, with the tables of this version; returns the rows of each table.

    An empty database has no tables, or those of Kubetally without rows. A refused dump leaves nothing, except empty
    tables on MariaDB, into which a dump can be restored again.
    Raises: DumpUnusable, DumpIsNewer, RequestError with the code `database_not_empty`, InvalidDatabaseUrl,
    StoreError, and OSError of the stream.
    """
    digest = hashlib.sha256()
    lines = iter(stream)
    revision = _revision(next(lines, b""), digest)
    with connected_engine(database_url) as engine, exclusive_transaction(engine) as connection:
        if revision not in known_revisions(connection):
            raise DumpIsNewer(revision)
        _check_empty(connection, engine)
        migrate_to(connection, engine, revision)
        connection.execute(delete(ORGANIZATIONS))  # the one called default; the dump has its own
        counts = _restore(connection, _rows(lines, digest))
        migrate_to(connection, engine, NEWEST)
        change_revision(connection)
        return counts


def summarize(stream: IO[bytes]) -> DumpSummary:
    """Read a dump to its end, and verify it.

    Raises: DumpUnusable, DumpIsNewer, CollectionNotUnderstood, OSError.
    """
    digest = hashlib.sha256()
    lines = iter(stream)
    _check_known(_revision(next(lines, b""), digest))
    accounts: dict[str, str] = {}
    removed: set[str] = set()
    days: list[Collection] = []
    savings: list[SavingsDay] = []
    log_files: dict[tuple[str, str], int] = {}
    confirmed = 0
    for table, row in _rows(lines, digest):
        try:
            if table == ACCOUNTS.name:
                accounts[row["id"]] = row["name"]
                removed |= {row["id"]} if row["deleted_at"] else set()
            elif table == COLLECTIONS.name and row["phase"] == "confirmed":
                days.append(_dumped_collection(row))
                confirmed = max(confirmed, row["confirmed_at"] or 0)
            elif table == SAVINGS.name and row["collection_id"] is not None:
                savings.append(savings_day_of(SimpleNamespace(**row | {"day": date.fromisoformat(row["day"])})))
            elif table == LOG_FILES.name:
                log_files[row["table_name"], row["name"]] = row["crc"]
        except (AttributeError, KeyError, TypeError, ValueError):
            raise DumpUnusable(f"a row of {table} does not fit the tables") from None
    at = from_microseconds(confirmed) if confirmed else None
    return DumpSummary(accounts, frozenset(removed), days, savings, log_files, at)


def check_revision(stream: IO[bytes]) -> None:
    """Check that this version can read the dump. Raises DumpUnusable, DumpIsNewer, OSError."""
    _check_known(_revision(next(iter(stream), b""), hashlib.sha256()))


def _check_known(revision: str) -> None:
    """Raises DumpIsNewer."""
    if revision > NEWEST:
        raise DumpIsNewer(revision)


def _dumped_collection(row: Mapping[str, Any]) -> Collection:
    """A collection without issues and completeness, to save memory. Raises CollectionNotUnderstood."""
    added_later = dict.fromkeys(("currency_origin", "last_version")) | {"examined_by": 0, "lake_version": 1}
    values = {**added_later, **row, "day": date.fromisoformat(row["day"]), "is_running": bool(row["is_running"])}
    collection = collection_of(SimpleNamespace(**values))
    return replace(collection, head=replace(collection.head, issues=(), covered=()), completeness=None)


@contextmanager
def _snapshot(engine: Engine) -> Iterator[Connection]:
    """A transaction that sees the database at one instant, as every transaction of SQLite does."""
    level = {} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
    with translated(shown(engine)), engine.execution_options(**level).connect() as connection:
        yield connection


def _check_empty(connection: Connection, engine: Engine) -> None:
    """Raises RequestError with the code `database_not_empty`."""
    ours = METADATA.tables
    tables = set(inspect(connection).get_table_names()) - {VERSION_TABLE}
    full = [name for name in sorted(tables - {REVISION.name}) if name not in ours or _count(connection, ours[name])]
    if full:
        raise RequestError(
            f"the database {shown(engine)} is not empty ({', '.join(full)}). Nothing was restored; restore into a new "
            "database",
            code="database_not_empty",
        )


def _count(connection: Connection, table: Table) -> int:
    """The number of rows, without the organization that comes with the table."""
    question = select(func.count()).select_from(table)
    if table is ORGANIZATIONS:
        question = question.where(ORGANIZATIONS.c.name != "default")
    return connection.scalar(question) or 0


def _restore(connection: Connection, rows: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, int]:
    """Insert all rows into the present tables, which may be those of an older version."""
    tables = MetaData()
    tables.reflect(connection, only=lambda name, _: name in METADATA.tables and name != REVISION.name)
    counts = dict.fromkeys(tables.tables, 0)
    table, waiting = "", list[dict[str, Any]]()
    for name, row in rows:
        if name not in counts or set(row) != set(tables.tables[name].columns.keys()):
            raise DumpUnusable(f"a row of {name} does not fit the tables")
        if waiting and (name != table or len(waiting) == _ROWS_AT_ONCE):
            connection.execute(insert(tables.tables[table]), waiting)
            waiting = []
        table = name
        waiting.append(_values(tables.tables[name], row))
        counts[name] += 1
    if waiting:
        connection.execute(insert(tables.tables[table]), waiting)
    return counts


def _values(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    """The row with dates, which JSON writes as text. Raises DumpUnusable."""
    for column in table.columns:
        if isinstance(column.type, Date) and row[column.name] is not None:
            try:
                row[column.name] = date.fromisoformat(row[column.name])
            except (TypeError, ValueError):
                raise DumpUnusable(f"a row of {table.name} has an invalid day") from None
    return row


def _revision(line: bytes, digest: Any) -> str:
    """The revision that the first line names. Raises DumpUnusable, DumpIsNewer."""
    try:
        head = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _not_a_dump() from None
    if not isinstance(head, dict) or not isinstance(head.get("revision"), str) or "kubetally_dump" not in head:
        raise _not_a_dump()
    if head["kubetally_dump"] != _FORMAT:
        raise DumpIsNewer(head["revision"])
    digest.update(line)
    return str(head["revision"])


def _rows(lines: Iterable[bytes], digest: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows with their tables; raises DumpUnusable at the end unless the last line confirms them."""
    counts: Counter[str] = Counter()
    end = None
    for number, line in enumerate(lines, 2):
        if end is not None:
            raise DumpUnusable(f"line {number} comes after its end")
        try:
            read = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise DumpUnusable(f"line {number} can't be read") from None
        match read:
            case {"table": str(name), "row": dict(row)}:
                digest.update(line)
                counts[name] += 1
                yield name, row
            case {"rows": dict(), "sha256": str()}:
                end = read
            case _:
                raise DumpUnusable(f"line {number} is neither a row nor the end")
    if end is None:
        raise DumpUnusable("it ends before its last line")
    if {name: count for name, count in end["rows"].items() if count} != dict(counts):
        raise DumpUnusable("rows are missing, or too many")
    if end["sha256"] != digest.hexdigest():
        raise DumpUnusable("it differs from its checksum")


def _not_a_dump() -> DumpUnusable:
    return DumpUnusable("it is not a dump: give the file that was written as one, unpacked", code="not_a_dump")
