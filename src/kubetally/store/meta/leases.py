"""Leases in SQL, among all processes that share a database."""

import uuid
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, select, update

from kubetally.domain.window import Clock
from kubetally.store.meta.engine import SqlStore
from kubetally.store.meta.instants import to_microseconds
from kubetally.store.meta.process import Process
from kubetally.store.meta.tables import LEASES
from kubetally.store.meta.upsert import put_missing

LEASE_SECONDS = 30.0


class SqlLeases(SqlStore):
    """The port `Leases` on a database.

    Clocks of machines that share a database should agree to within `seconds`. A lease that would expire more than twice
    as far ahead was written by a clock that has since been set back, or is wrong: it counts as expired, so that no
    clock blocks others forever. A holder whose clock is further ahead loses its lease; `renew` returns False then.
    """

    changes_answers = False

    def __init__(self, engine: Engine, clock: Clock, seconds: float = LEASE_SECONDS) -> None:
        super().__init__(engine)
        self._clock, self._seconds = clock, seconds

    def acquire(self, name: str) -> "SqlLease | None":
        process = Process.this()
        seen = self._seen(name)
        if seen is None:
            with self._writes() as connection:
                put_missing(connection, LEASES, [{"name": name, "token": 0, "expires_at": 0}])
            seen = self._seen(name)
        if seen is None or self._is_held(seen, process):
            return None
        lease = SqlLease(self, name, holder=str(uuid.uuid4()), token=seen.token + 1)
        taken = {
            "holder": lease.holder,
            "host": process.host,
            "boot": process.boot,
            "pid": process.pid,
            "started": process.started,
            "token": lease.token,
            "expires_at": self.expiry(),
        }
        # Of all that see it free, the first changes the token; a holder that renews meanwhile changes the expiry.
        won = self.change(taken, name, LEASES.c.token == seen.token, LEASES.c.expires_at == seen.expires_at)
        return lease if won else None

    def holder(self, name: str) -> str | None:
        seen = self._seen(name)
        return str(_process(seen)) if seen is not None and self._is_held(seen, Process.this()) else None

    def expiry(self) -> int:
        """When a lease that is acquired or renewed now expires, in microseconds since 1970."""
        return to_microseconds(self._clock.now() + timedelta(seconds=self._seconds))

    def change(self, values: dict[str, Any], name: str, *wanted: Any) -> bool:
        """Change a lease if it still meets the conditions; returns whether it did. Raises StoreError."""
        statement = update(LEASES).where(LEASES.c.name == name, *wanted).values(values)
        with self._writes() as connection:
            return connection.execute(statement).rowcount == 1

    def _seen(self, name: str) -> Any:
        with self._reads() as connection:
            return connection.execute(select(LEASES).where(LEASES.c.name == name)).first()

    def _is_held(self, seen: Any, process: Process) -> bool:
        if not seen.expires_at:
            return False
        now = self._clock.now()
        latest = to_microseconds(now + timedelta(seconds=2 * self._seconds))
        if not to_microseconds(now) < seen.expires_at <= latest:
            return False
        return not _process(seen).is_gone_as_seen_by(process)


class SqlLease:
    """The port `Lease`, as `SqlLeases.acquire` returns it.

    token: greater than those of all earlier leases of this name.
    """

    def __init__(self, leases: SqlLeases, name: str, *, holder: str, token: int) -> None:
        self.name, self.holder, self.token = name, holder, token
        self._leases = leases

    def __repr__(self) -> str:
        return f"SqlLease({self.name!r}, token={self.token})"

    def renew(self) -> bool:
        return self._if_held(expires_at=self._leases.expiry())

    def release(self) -> None:
        self._if_held(expires_at=0, holder=None)

    def _if_held(self, **values: Any) -> bool:
        return self._leases.change(values, self.name, LEASES.c.holder == self.holder, LEASES.c.token == self.token)


def _process(row: Any) -> Process:
    return Process(row.host, row.boot, row.pid, row.started)
