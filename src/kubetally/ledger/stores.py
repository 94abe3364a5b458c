"""The stores: accounts, coverage and leases in the database, booked days in the lake."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from kubetally import logs
from kubetally.domain.errors import StoreError
from kubetally.domain.window import Clock
from kubetally.ledger.ports.account_days import AccountDays
from kubetally.ledger.ports.accounts import Accounts
from kubetally.ledger.ports.audit import Audit
from kubetally.ledger.ports.coverage import Coverage, SavingsDays
from kubetally.ledger.ports.lake import Lake, LogFiles, NotedLog
from kubetally.ledger.ports.leases import Leases
from kubetally.ledger.ports.organizations import Organizations
from kubetally.ledger.ports.tokens import Tokens
from kubetally.ledger.writing.lease import LEASE_WAIT_SECONDS

if TYPE_CHECKING:
    from kubetally.ledger.writing.writer import LakeWriter

_RECOVERY_TIMEOUT_SECONDS = 10.0
_log = logs.get_logger(__name__)


class LakePlace(Protocol):
    """Where the lake is."""

    @property
    def folder(self) -> Path | None:
        """The lake's folder on this machine; None if it is in an object store."""

    def exists(self) -> bool:
        """Whether there may be a lake; False only if its folder has no tables of days."""

    def noted_version(self, noted: NotedLog) -> int | None:
        """The version of its table of days, if it is a writable folder whose logs are as noted; quicker than a lake."""

    def open(self, *, quick: bool = False) -> Lake:
        """The lake; loads the libraries that read it. quick: with short timeouts. Raises StoreError."""


@dataclass
class Ledger:
    """The stores. The lake is opened when it is first used, because loading its libraries takes time.

    database: its URL without the password. retention: of replaced collections. roll_up: brings the roll-ups up to date.
    """

    accounts: Accounts
    coverage: Coverage
    leases: Leases
    days: AccountDays
    log_files: LogFiles
    savings: SavingsDays
    organizations: Organizations
    tokens: Tokens
    audit: Audit
    lake_place: LakePlace
    database: str
    retention: timedelta
    clock: Clock
    roll_up: "Callable[[Ledger], int]" = lambda _: 0

    @cached_property
    def lake(self) -> Lake:
        """The lake, after setting aside what a power cut left unfinished. Raises StoreError."""
        lake = self.lake_place.open()
        try:
            if lake.is_torn():
                self._writer(lake, _RECOVERY_TIMEOUT_SECONDS).recover()
        except StoreError as error:  # the next writer recovers it; reading reports the error until then
            _log.warning("lake_not_mended", code=error.code, error=str(error))
        return lake

    @property
    def has_lake(self) -> bool:
        """Whether there may be a lake. Raises StoreError."""
        return self.lake_place.exists()

    def writer(self) -> "LakeWriter":
        """A writer of the lake. Raises StoreError."""
        return self._writer(self.lake)

    def _writer(self, lake: Lake, wait_seconds: float = LEASE_WAIT_SECONDS) -> "LakeWriter":
        from kubetally.ledger.writing.writer import LakeWriter  # heavy, and often not needed

        return LakeWriter(
            lake,
            self.coverage,
            self.leases,
            self.clock,
            log_files=self.log_files,
            wait_seconds=wait_seconds,
        )
