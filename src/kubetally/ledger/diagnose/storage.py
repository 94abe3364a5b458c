"""Checks whether database and lake can be read and written, and whether their disks have space."""

import asyncio
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from kubetally import logs
from kubetally.cache import GivenUp
from kubetally.domain.damage import FileDamage
from kubetally.domain.errors import StoreError
from kubetally.domain.words import name_some
from kubetally.ledger.ports.coverage import Coverage, check_version
from kubetally.ledger.ports.lake import Lake
from kubetally.ledger.ports.leases import Leases
from kubetally.ledger.stores import Ledger
from kubetally.tasks import run_blocking

MIN_FREE_BYTES = 1 << 30
MIN_FREE_SHARE = 0.05
"""A disk with less space than either is nearly full."""
_PROBE = "storage_check"
_log = logs.get_logger(__name__)
_CHECK_EVERY_SECONDS = 30.0
_OVERDUE_SECONDS = 10.0
_LOG_EVERY_SECONDS = 3600.0
_MAX_NAMED = 5


class StorageProblemKind(StrEnum):
    """The kind of a problem, as in `/readyz` and `/metrics`."""

    DATABASE_UNREADABLE = "database_unreadable"
    DATABASE_NOT_WRITABLE = "database_not_writable"
    LAKE_UNREADABLE = "lake_unreadable"
    LAKE_NOT_WRITABLE = "lake_not_writable"
    DAYS_DAMAGED = "days_damaged"
    LOG_DAMAGED = "log_damaged"
    DISK_NEARLY_FULL = "disk_nearly_full"
    STORAGE_CHECK_OVERDUE = "storage_check_overdue"


@dataclass(frozen=True, slots=True)
class StorageProblem:
    """A problem, and what to do about it."""

    kind: StorageProblemKind
    message: str
    remedy: str

    @property
    def is_failure(self) -> bool:
        """Whether a store can't be read or written now; else it is a warning."""
        return self.kind is not StorageProblemKind.DISK_NEARLY_FULL

    def __str__(self) -> str:
        return f"{self.message}: {self.remedy}"


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """Free bytes for this user, and all bytes of a disk."""

    free: int
    total: int

    @property
    def is_nearly_full(self) -> bool:
        """Whether less than 1 GiB or 5 % is left."""
        return self.free < max(MIN_FREE_BYTES, self.total * MIN_FREE_SHARE)


@dataclass(frozen=True, slots=True)
class StorageHealth:
    """The result of a check. disks: of stores on this machine, by name: `database`, `lake`."""

    problems: Sequence[StorageProblem] = ()
    disks: Mapping[str, DiskSpace] = field(default_factory=dict)
    days_damaged: int = 0


class DiskUsage(Protocol):
    """What `shutil.disk_usage` returns."""

    @property
    def free(self) -> int:
        """Bytes free."""

    @property
    def total(self) -> int:
        """Bytes in all."""


class StorageCheck:
    """Checks the stores; all calls block but `latest` and `close`.

    lake: called for each check; returns None if there is no lake to check yet. folders: of stores on this machine, by
    name. log_damage: returns the damage of the lake's log; called once an hour, as it reads all of it; None leaves that
    to maintenance. noted_version: returns the version of a lake whose checksums are correct; None if it has to be
    opened. clock: seconds.
    """

    def __init__(
        self,
        coverage: Coverage,
        leases: Leases,
        lake: Callable[[], Lake | None],
        folders: Mapping[str, Path],
        *,
        log_damage: Callable[[Lake], Sequence[FileDamage]] | None = None,
        noted_version: Callable[[], int | None] = lambda: None,
        disk_usage: Callable[[Path], DiskUsage] = shutil.disk_usage,
        executor: Executor | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._coverage, self._leases, self._lake = coverage, leases, lake
        self._folders, self._disk_usage, self._executor = folders, disk_usage, executor
        self._clock, self._log_damage, self._noted_version = clock, log_damage, noted_version
        self._log: tuple[float, Sequence[StorageProblem]] | None = None
        self._latest: tuple[float, StorageHealth] | None = None
        self._running: tuple[float, asyncio.Task[StorageHealth]] | None = None

    @classmethod
    def of(
        cls, ledger: Ledger, folders: Mapping[str, Path], *, executor: Executor | None = None, is_quick: bool = False
    ) -> "StorageCheck":
        """Checks of a ledger. is_quick: for a command; an unused lake is left out."""
        is_needed = not is_quick or ledger.has_lake or ledger.coverage.last_version() is not None

        def noted_version() -> int | None:
            with suppress(StoreError):  # of the database, which is reported elsewhere
                return ledger.lake_place.noted_version(ledger.log_files.noted()) if is_quick and is_needed else None
            return None

        def find_log_damage(lake: Lake) -> Sequence[FileDamage]:
            return lake.check_log(ledger.log_files.noted())

        return cls(
            ledger.coverage,
            ledger.leases,
            lambda: ledger.lake if is_needed else None,
            folders,
            # A log of years takes many requests to an object store: there maintenance checks it, once a day.
            log_damage=None if ledger.lake_place.folder is None else find_log_damage,
            noted_version=noted_version,
            executor=executor,
        )

    def check(self) -> StorageHealth:
        """The present problems; errors of the stores are problems, too."""
        disks = {name: space for name, folder in self._folders.items() if (space := self._space(folder)) is not None}
        damaged, version, of_database = self._of_database()
        problems = [*of_database, *self._of_lake(version), *([_damaged(damaged)] if damaged else [])]
        problems += [
            _nearly_full(name, self._folders[name], space) for name, space in disks.items() if space.is_nearly_full
        ]
        return StorageHealth(problems, disks, len(damaged))

    async def latest(self) -> StorageHealth:
        """The result of the last check; after half a minute another check starts in the background.

        Only the first check is awaited. A check that takes more than 10 seconds is a problem itself. Raises GivenUp,
        after `close`.
        """
        now = self._clock()
        if self._running is None and (self._latest is None or now - self._latest[0] >= _CHECK_EVERY_SECONDS):
            self._running = now, asyncio.create_task(self._check_again())
            self._running[1].add_done_callback(self._ended)
        if self._running is not None:
            since, check = self._running
            if now - since > _OVERDUE_SECONDS:
                last = StorageHealth() if self._latest is None else self._latest[1]
                return replace(last, problems=[*last.problems, _overdue(now - since)])
            if self._latest is None:
                await asyncio.wait((check,))
                if check.cancelled():
                    raise GivenUp
                return check.result()
        return StorageHealth() if self._latest is None else self._latest[1]

    async def close(self) -> None:
        """Cancel a running check."""
        if self._running is not None:
            check = self._running[1]
            check.cancel()
            await asyncio.gather(check, return_exceptions=True)

    async def _check_again(self) -> StorageHealth:
        health = await run_blocking(self._executor, self.check)
        self._latest = self._clock(), health
        return health

    def _ended(self, check: asyncio.Task[StorageHealth]) -> None:
        self._running = None
        if not check.cancelled() and (error := check.exception()) is not None:
            _log.error("storage_check_failed", error=repr(error))

    def _of_database(self) -> tuple[list[tuple[str, date]], int | None, list[StorageProblem]]:
        """The damaged days and the lake's version in the database, and its problems."""
        try:
            damaged, version = self._coverage.damaged(), self._coverage.last_version()
        except StoreError as error:
            remedy = "costs are read from the sources; nothing is collected until it is back"
            return [], None, [StorageProblem(StorageProblemKind.DATABASE_UNREADABLE, str(error), remedy)]
        try:
            if (lease := self._leases.acquire(_PROBE)) is not None:
                lease.release()
        except StoreError as error:
            remedy = "nothing is collected until it can be written"
            return damaged, version, [StorageProblem(StorageProblemKind.DATABASE_NOT_WRITABLE, str(error), remedy)]
        return damaged, version, []

    def _of_lake(self, known: int | None) -> list[StorageProblem]:
        """known: the version that it must have; None if the database has none."""
        try:
            noted = self._noted_version()
            if noted is not None and noted >= (known or 0):
                return []
            lake = self._lake()
            if lake is None:
                return []
            check_version(lake, known)
        except StoreError as error:
            remedy = "costs are read from the sources; days that they no longer have are missing"
            return [StorageProblem(StorageProblemKind.LAKE_UNREADABLE, str(error), remedy)]
        problems = [*self._of_log(lake)]
        try:
            lake.check_writable()
        except StoreError as error:
            remedy = "nothing is collected until it can be written"
            problems.append(StorageProblem(StorageProblemKind.LAKE_NOT_WRITABLE, str(error), remedy))
        return problems

    def _of_log(self, lake: Lake) -> Sequence[StorageProblem]:
        """The result of the last check of the log; repeated after an hour, or if there was damage."""
        if self._log_damage is None:
            return ()
        now = self._clock()
        if self._log is None or self._log[1] or now - self._log[0] >= _LOG_EVERY_SECONDS:
            try:
                damage = self._log_damage(lake)
            except StoreError:  # the database is away, which is reported already, or the log is being written
                return () if self._log is None else self._log[1]
            self._log = now, [_log_damaged(damage)] if damage else []
        return self._log[1]

    def _space(self, folder: Path) -> DiskSpace | None:
        """None if the folder is missing, which is reported elsewhere."""
        try:
            usage = self._disk_usage(folder)
        except OSError:
            return None
        return DiskSpace(usage.free, usage.total)


def _overdue(seconds: float) -> StorageProblem:
    message = f"the check of database and lake has been running for {seconds:.0f} seconds"
    remedy = "one of them does not answer: see that it runs and can be reached; nothing is collected until it answers"
    return StorageProblem(StorageProblemKind.STORAGE_CHECK_OVERDUE, message, remedy)


def _nearly_full(name: str, folder: Path, space: DiskSpace) -> StorageProblem:
    share = space.free / space.total if space.total else 0.0
    message = f"the disk of the {name} ({folder}) has {_size(space.free)} left, {share:.1%} of it"
    remedy = "free some space: once it is full, nothing more is collected"
    return StorageProblem(StorageProblemKind.DISK_NEARLY_FULL, message, remedy)


def _size(count: int) -> str:
    """Bytes in GiB, or in MiB below one GiB."""
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def _log_damaged(files: Sequence[FileDamage]) -> StorageProblem:
    names = name_some([f"{file.table}/{file.path}" for file in files], _MAX_NAMED)
    message = f"the log of the lake is damaged: {names}"
    remedy = "nothing is maintained; put it back with `kubetally maintain --repair --from-backup FILE`"
    return StorageProblem(StorageProblemKind.LOG_DAMAGED, message, remedy)


def _damaged(days: Sequence[tuple[str, date]]) -> StorageProblem:
    """days: account and date of each damaged day."""
    count = "a stored day is damaged" if len(days) == 1 else f"{len(days)} stored days are damaged"
    message = f"{count}: {name_some([f'{day} of {account}' for account, day in days], _MAX_NAMED)}"
    remedy = "see `kubetally maintain --check`, and rewrite them with `kubetally maintain --repair`"
    return StorageProblem(StorageProblemKind.DAYS_DAMAGED, message, remedy)
