"""All ports on one database, over one set of connections."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sqlalchemy import Engine

from kubetally.domain.window import Clock
from kubetally.ledger.ports.account_days import AccountDays
from kubetally.ledger.ports.audit import Audit
from kubetally.ledger.ports.coverage import Coverage, SavingsDays
from kubetally.ledger.ports.lake import LogFiles
from kubetally.ledger.ports.leases import Leases
from kubetally.ledger.ports.organizations import Organizations
from kubetally.ledger.ports.tokens import Tokens
from kubetally.store.meta.account_days import SqlAccountDays
from kubetally.store.meta.accounts import SqlAccounts
from kubetally.store.meta.audit import SqlAudit
from kubetally.store.meta.coverage import SqlCoverage
from kubetally.store.meta.engine import WAIT_SECONDS, connected_engine
from kubetally.store.meta.leases import LEASE_SECONDS, SqlLeases
from kubetally.store.meta.log_files import SqlLogFiles
from kubetally.store.meta.organizations import SqlOrganizations
from kubetally.store.meta.savings import SqlSavingsDays
from kubetally.store.meta.schema import ready_engine
from kubetally.store.meta.secrets import KeyRing
from kubetally.store.meta.tokens import SqlTokens


class Metadata(NamedTuple):
    """The ports on one database, which may be used by many threads at once; in the order of `Ledger`."""

    accounts: SqlAccounts
    coverage: Coverage
    leases: Leases
    days: AccountDays
    log_files: LogFiles
    savings: SavingsDays
    organizations: Organizations
    tokens: Tokens
    audit: Audit

    @property
    def database(self) -> str:
        """Where it is kept, without password."""
        return self.accounts.database


@contextmanager
def open_meta(
    database_url: str,
    key_ring: KeyRing,
    *,
    clock: Clock,
    wait_seconds: float = WAIT_SECONDS,
    lease_seconds: float = LEASE_SECONDS,
    answer_seconds: float | None = None,
) -> Iterator[Metadata]:
    """The metadata of a database, closed afterwards; set up and migrated as `open_accounts` does.

    wait_seconds: maximum wait for a lock of the database. lease_seconds: how long a lease lasts without renewal.
    answer_seconds: maximum wait for a server, once its tables are ready; if None, as long as writers wait.
    Raises: InvalidDatabaseUrl, StoreError.
    """
    with (
        ready_engine(database_url, wait_seconds=wait_seconds) as ready,
        _impatient(ready, database_url, wait_seconds, answer_seconds) as engine,
    ):
        yield Metadata(
            SqlAccounts(engine, key_ring, clock),
            SqlCoverage(engine, clock),
            SqlLeases(engine, clock, lease_seconds),
            SqlAccountDays(engine, clock),
            SqlLogFiles(engine),
            SqlSavingsDays(engine),
            SqlOrganizations(engine, clock),
            SqlTokens(engine, clock),
            SqlAudit(engine),
        )


@contextmanager
def _impatient(ready: Engine, database_url: str, wait_seconds: float, answer_seconds: float | None) -> Iterator[Engine]:
    """Separate connections with short timeouts, if any; the tables were prepared with longer ones."""
    if answer_seconds is None:
        yield ready
        return
    ready.dispose()
    with connected_engine(database_url, wait_seconds=wait_seconds, answer_seconds=answer_seconds) as engine:
        yield engine
