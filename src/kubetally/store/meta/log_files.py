"""Checksums of the files of the lake's logs, in SQL."""

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, and_, delete, func, or_, select

from kubetally.ledger.ports.lake import LogFile
from kubetally.store.meta.engine import SqlStore
from kubetally.store.meta.tables import LOG_FILES
from kubetally.store.meta.upsert import put_missing


class SqlLogFiles(SqlStore):
    """The port `LogFiles` on a database."""

    changes_answers = False

    def note(self, files: Sequence[LogFile]) -> None:
        rows = [{"table_name": file.table, "name": file.name, "crc": file.crc} for file in files]
        with self._writes() as connection:
            put_missing(connection, LOG_FILES, rows)

    def noted(self) -> dict[tuple[str, str], int]:
        question = select(LOG_FILES.c.table_name, LOG_FILES.c.name, LOG_FILES.c.crc)
        with self._reads() as connection:
            return {(table, name): crc for table, name, crc in connection.execute(question)}

    def newest(self) -> dict[str, int]:
        question = select(LOG_FILES.c.table_name, func.max(LOG_FILES.c.name)).group_by(LOG_FILES.c.table_name)
        with self._reads() as connection:
            return {table: int(name[:20]) for table, name in connection.execute(question)}

    def keep(self, versions: Mapping[str, tuple[int, int]]) -> None:
        table, name = LOG_FILES.c.table_name, LOG_FILES.c.name
        gone: list[ColumnElement[bool]] = [table.not_in(list(versions))]
        for its, (first, last) in versions.items():
            # Digits alone: how a database sorts other characters depends on its collation.
            is_outside = or_(name < f"{first:020}", name >= f"{last + 1:020}")
            gone.append(and_(table == its, is_outside))
        with self._writes() as connection:
            connection.execute(delete(LOG_FILES).where(or_(*gone)))

    def forget(self, table: str, *, name: str) -> None:
        its = (LOG_FILES.c.table_name == table, LOG_FILES.c.name == name)
        with self._writes() as connection:
            connection.execute(delete(LOG_FILES).where(*its))
