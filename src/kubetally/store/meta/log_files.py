"""Checksums of the files of the lake's logs, in SQL."""

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, Engine, and_, delete, func, or_, select

from kubetally.ledger.ports.lake import LogFile
from kubetally.store.meta.engine import shown
from kubetally.store.meta.faults import translated
from kubetally.store.meta.tables import LOG_FILES
from kubetally.store.meta.upsert import put_missing

_ROWS_AT_ONCE = 500


class SqlLogFiles:
    """The port `LogFiles` on a database. Each call is one transaction of its own; any thread may call."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writing = engine.execution_options(immediate=True)

    def note(self, files: Sequence[LogFile]) -> None:
        rows = [{"table_name": file.table, "name": file.name, "crc": file.crc} for file in files]
        with translated(shown(self._engine)), self._writing.begin() as connection:
            for begin in range(0, len(rows), _ROWS_AT_ONCE):
                put_missing(connection, LOG_FILES, rows[begin : begin + _ROWS_AT_ONCE])

    def noted(self) -> dict[tuple[str, str], int]:
        question = select(LOG_FILES.c.table_name, LOG_FILES.c.name, LOG_FILES.c.crc)
        with translated(shown(self._engine)), self._engine.connect() as connection:
            return {(table, name): crc for table, name, crc in connection.execute(question)}

    def newest(self) -> dict[str, int]:
        question = select(LOG_FILES.c.table_name, func.max(LOG_FILES.c.name)).group_by(LOG_FILES.c.table_name)
        with translated(shown(self._engine)), self._engine.connect() as connection:
            return {table: int(name[:20]) for table, name in connection.execute(question)}

    def keep(self, versions: Mapping[str, tuple[int, int]]) -> None:
        table, name = LOG_FILES.c.table_name, LOG_FILES.c.name
        gone: list[ColumnElement[bool]] = [table.not_in(list(versions))]
        for its, (first, last) in versions.items():
            # Digits alone: how a database sorts other characters depends on its collation.
            is_outside = or_(name < f"{first:020}", name >= f"{last + 1:020}")
            gone.append(and_(table == its, is_outside))
        with translated(shown(self._engine)), self._writing.begin() as connection:
            connection.execute(delete(LOG_FILES).where(or_(*gone)))

    def forget(self, table: str, *, name: str) -> None:
        its = (LOG_FILES.c.table_name == table, LOG_FILES.c.name == name)
        with translated(shown(self._engine)), self._writing.begin() as connection:
            connection.execute(delete(LOG_FILES).where(*its))
