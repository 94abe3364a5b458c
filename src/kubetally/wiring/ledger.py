"""What is kept: accounts, coverage and leases in the database, booked days in the lake."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property

import structlog

from kubetally.domain.errors import StoreError
from kubetally.domain.window import Clock
from kubetally.ledger.account_days import AccountDays
from kubetally.ledger.collect.writer import LakeWriter
from kubetally.ledger.history import History
from kubetally.ledger.stored import Coverage, Lake, Leases, LogFiles, SavingsDays
from kubetally.settings import Settings
from kubetally.store.meta.accounts import SqlAccounts
from kubetally.store.meta.metadata import open_meta
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.lake import open_lake
from kubetally.wiring.store import database_url, open_keys, url_named

_PATIENCE_SECONDS = 10.0
_log = structlog.get_logger(__name__)


@dataclass
class Ledger:
    """All that is kept. The lake is opened when it is first asked for, as loading what reads it takes a while."""

    accounts: SqlAccounts
    coverage: Coverage
    leases: Leases
    days: AccountDays
    log_files: LogFiles
    savings: SavingsDays
    settings: Settings
    database: str
    """Where accounts and coverage are, fit to be shown."""
    clock: Clock = field(default_factory=SystemClock)

    @cached_property
    def lake(self) -> Lake:
        """Where rows are; what a power cut left unfinished is set aside first. Raises UnusableSetting, StoreError."""
        lake = open_lake(self.settings)
        try:
            if lake.is_torn():
                LakeWriter(
                    lake,
                    self.coverage,
                    self.leases,
                    self.clock,
                    log_files=self.log_files,
                    patience_seconds=_PATIENCE_SECONDS,
                ).recover()
        except StoreError as error:  # whoever writes next does it; what is read meanwhile says what is wrong
            _log.warning("lake_not_mended", code=error.code, error=str(error))
        return lake

    @cached_property
    def history(self) -> History:
        """What was collected, to be read."""
        return History(self.coverage, lambda: self.lake, timedelta(days=self.settings.history_days))


@contextmanager
def open_ledger(
    settings: Settings,
    clock: Clock | None = None,
    *,
    answer_seconds: float | None = None,
    may_lock: bool = False,
) -> Iterator[Ledger]:
    """What the settings' database and lake hold. Raises StoreError, UnusableSetting.

    may_lock: keys that are missing are made, also where there are credentials that these do not decrypt.
    answer_seconds: longest wait for an answer of the database once it is open; as long as writers wait if None.
    """
    clock = clock or SystemClock()
    keys = open_keys(settings, may_lock=may_lock)
    with (
        url_named("KUBETALLY_DATABASE_URL"),
        open_meta(database_url(settings), keys, clock=clock, answer_seconds=answer_seconds) as found,
    ):
        yield Ledger(
            found.accounts,
            found.coverage,
            found.leases,
            found.days,
            found.log_files,
            found.savings,
            settings,
            found.database,
            clock,
        )
