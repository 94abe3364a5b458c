"""Writing to the lake, one process at a time.

A collection is noted in the database, committed to the lake, then confirmed in the database. The next writer resolves
notes that were left unconfirmed: collections that are in the lake are confirmed, the others dropped.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from kubetally import logs
from kubetally.domain.damage import FileDamage, lake_behind
from kubetally.domain.errors import StoreError
from kubetally.domain.window import Clock
from kubetally.ledger.ports.coverage import Coverage
from kubetally.ledger.ports.lake import Lake, LogFiles, PackedDay, PackedSavings
from kubetally.ledger.ports.leases import COMMITTER, Lease, Leases
from kubetally.ledger.writing.lease import LEASE_WAIT_SECONDS, hold_lease
from kubetally.ledger.writing.match import Matched, match_coverage

_log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LeasedLake:
    """The lake, while this process holds the lease of the writer. Each call raises StoreError once it is lost."""

    lake: Lake
    lease: Lease

    def check_lease(self) -> None:
        """Raises StoreError, if another process took the lease."""
        if not self.lease.renew():
            raise StoreError(
                f"another process took over writing to {self.lake.url}, because this one did not respond; retry",
                code="lease_lost",
                retryable=True,
            )

    def replace(self, days: Sequence[PackedDay], *, replace_damaged: bool = False) -> int:
        """See `Lake.replace`."""
        return self.lake.replace(days, check_lease=self.check_lease, replace_damaged=replace_damaged)

    def replace_savings(self, packed: Sequence[PackedSavings]) -> int:
        """See `Lake.replace_savings`."""
        return self.lake.replace_savings(packed, check_lease=self.check_lease)

    def reconcile(self, account_id: str, currencies: Mapping[str, str]) -> int:
        """See `Lake.reconcile`."""
        return self.lake.reconcile(account_id, currencies, check_lease=self.check_lease)

    def mend_files(self, damage: Iterable[FileDamage]) -> None:
        """See `Lake.mend_files`."""
        self.check_lease()
        self.lake.mend_files(damage)


class LakeWriter:
    """Lets one process at a time write to the lake. All calls block."""

    def __init__(
        self,
        lake: Lake,
        coverage: Coverage,
        leases: Leases,
        clock: Clock,
        *,
        log_files: LogFiles | None = None,
        wait_seconds: float = LEASE_WAIT_SECONDS,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.lake, self.coverage, self.clock = lake, coverage, clock
        self._leases, self._log_files = leases, log_files
        self._wait_seconds, self._pause = wait_seconds, pause
        self._is_mended = False
        self._matched_version = -1

    def recover(self) -> None:
        """Resolve the commits of a killed writer, and match lake and database if they may differ.

        Raises: AnotherWriter, StoreError, StoreError.
        """
        is_torn = self.lake.is_torn()
        if self.coverage.pending() or is_torn:
            self._is_mended = self._is_mended and not is_torn
            with self.hold_lease():  # which resolves them
                pass
        if self._may_differ():
            with self.hold_lease():
                self.match()

    def match(self) -> Matched:
        """Update the database to what the lake stores; call within `hold_lease`. Raises StoreError, StoreError."""
        version = self.lake.newest_version()
        self._forget_log_files()
        matched = match_coverage(self.lake, self.coverage, self.clock.now())
        self._matched_version = -1 if version is None else version
        return matched

    def _may_differ(self) -> bool:
        """Whether the lake is older than the database, or has newer commits that the database does not know.

        Raises: StoreError, if there is no lake.
        """
        known, newest = self.coverage.last_version(), self.lake.newest_version()
        if newest is None:
            if known is not None:
                raise lake_behind(self.lake.url, found=newest, known=known)
            return False
        if known is not None and newest < known:
            return True
        if newest <= self._matched_version:
            return False
        # From the last commit that the database knows on: in another lake it names other collections.
        named = self.lake.named_since(max(-1 if known is None else known - 1, self._matched_version))
        if named - self.coverage.known_ids(named):
            return True
        self._matched_version = newest
        return False

    @contextmanager
    def hold_lease(self) -> Iterator[LeasedLake]:
        """Hold the lease of the writer, after resolving commits of a killed one. Raises AnotherWriter, StoreError."""
        with hold_lease(
            self._leases, COMMITTER, url=self.lake.url, wait_seconds=self._wait_seconds, pause=self._pause
        ) as lease:
            self.resolve_pending()
            try:
                yield LeasedLake(self.lake, lease)
            finally:
                self._note_log_files()

    def _note_log_files(self) -> None:
        """Note the checksums of new log files; if that fails, the next writer does it."""
        if self._log_files is None:
            return
        try:
            if files := self.lake.new_log_files(self._log_files.newest()):
                self._log_files.note(files)
        except StoreError as error:
            _log.warning("log_files_not_noted", code=error.code, error=str(error))

    def _forget_log_files(self) -> None:
        """Delete checksums of versions that the lake does not have, because they expired or it is another copy."""
        if self._log_files is not None:
            if lost := self.lake.lost_log_files(self._log_files.noted()):
                _log.warning("log_entries_missing", lake=self.lake.url, first=f"{lost[0].table}/{lost[0].path}")
            self._log_files.keep(self.lake.log_versions())

    def resolve_pending(self) -> None:
        """Confirm or drop collections that were noted only; call within `hold_lease`. Raises StoreError."""
        pending = self.coverage.pending()
        if pending or not self._is_mended:
            self._mend([collection.id for collection in pending])
        if not pending:
            return
        committed = self.lake.versions_of(pending)
        for version in sorted(set(committed.values())):
            self.coverage.confirm([id_ for id_, its_version in committed.items() if its_version == version], version)
        self.coverage.drop([collection.id for collection in pending if collection.id not in committed])

    def _mend(self, pending: Sequence[str]) -> None:
        known = (self.coverage.last_version(), self.coverage.last_version(is_running=True))
        days, running = (-1 if version is None else version for version in known)
        for file in self.lake.mend(pending, (days, running)):
            facts = {"table": file.table, "file": file.file, "why": file.why, "kept": file.kept}
            _log.warning("unfinished_commit_set_aside", **facts)
            if self._log_files is not None:
                self._log_files.forget(file.table, name=file.file)
        self._forget_log_files()
        self._is_mended = True
