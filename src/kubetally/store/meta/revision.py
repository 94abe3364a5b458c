"""Whether anything was written to a database since: SQLite tells, servers do not."""

from collections.abc import Hashable
from pathlib import Path
from threading import Lock

from sqlalchemy import Connection, Engine, event

from kubetally.store.meta.engine import file_identity, file_of, shown
from kubetally.store.meta.faults import translated


class Revision:
    """Compares the state of a SQLite database with earlier ones. Threads may share it.

    It has a connection of its own that never writes: SQLite counts the commits of all others for it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._file = file_of(engine.url.render_as_string(hide_password=False))
        self._lock = Lock()
        self._connection: Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._openings = 0
        if self._file is not None:
            event.listen(engine, "engine_disposed", lambda _: self._close())

    def read(self) -> Hashable | None:
        """Equal to an earlier one only if nothing was committed since; None for a server. Raises StoreError."""
        if self._file is None:
            return None
        with self._lock, translated(shown(self._engine)):
            connection = self._connection
            if connection is None or self._identity != file_identity(self._file):
                connection = self._open(self._file)
            try:
                (version,) = connection.exec_driver_sql("PRAGMA data_version").one()
                connection.rollback()  # of the transaction that the library began
            except BaseException:
                self._close()
                raise
            return self._openings, version

    def _open(self, file: Path) -> Connection:
        """Connect anew: to another file, if it was replaced. Counts of different connections can't be compared."""
        self._close()
        self._identity, self._connection = file_identity(file), self._engine.connect()
        self._connection.detach()
        self._openings += 1
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
