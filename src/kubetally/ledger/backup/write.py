"""Writing a backup, which takes the place of an older one only if it holds as much."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from kubetally.domain.backup import BackupContents, WrittenBackup
from kubetally.domain.errors import StoreError
from kubetally.domain.window import rfc3339
from kubetally.domain.words import name_some
from kubetally.ledger.backup.verify import find_lost_days, verify_backup
from kubetally.ledger.diagnose.unknown_days import describe_unknown_days
from kubetally.ledger.ports.backups import BackupFiles, BackupUnusable, DumpSummary, DumpUnusable
from kubetally.ledger.ports.leases import MAINTAINER
from kubetally.ledger.stores import Ledger
from kubetally.ledger.writing.lease import hold_lease

_MAX_NAMED = 8
_KEPT = "The existing file was kept."
_REPAIR = (
    f"{_KEPT} Check KUBETALLY_LAKE_URL. `kubetally maintain` reconciles lake and database, `kubetally maintain "
    "--repair --from-backup FILE` repairs damage, `kubetally backfill` collects days again, `--partial` writes an "
    "incomplete backup to a new file"
)
_USE_NEWER = f"{_KEPT} Make backups with the newer Kubetally, or name another file"
_KEEP = f"{_KEPT} Name another file, and keep this one"


def write_backup(
    open_ledger: Callable[[], AbstractContextManager[Ledger]],
    backups: BackupFiles,
    file: Path,
    *,
    partial: bool = False,
) -> WrittenBackup:
    """Write a backup; it is read again before it takes the place of `file`.

    Database and logs are of one instant at which nobody writes. The files that these logs name are copied while others
    continue to write: they never change, and whoever would remove one waits.
    partial: also where days are missing or damaged, but never over another backup that has them.
    Raises: RequestError; StoreError with the code `backup_refused`; AnotherWriter, StoreError.
    """
    backups.check_place(file)
    if (newer := backups.newer_version(file)) is not None:
        raise _refused(file, [f"a newer Kubetally wrote the backup there ({newer})"], _USE_NEWER)
    with open_ledger() as ledger:
        writer = ledger.writer()
        with hold_lease(ledger.leases, MAINTAINER, url=ledger.lake.url), backups.draft(file) as draft:
            problems = [*_find_unknown_days(ledger), *_find_lost_log_files(ledger)]
            with writer.hold_lease():
                rows = draft.add_database_and_logs(ledger.clock.now())
            files = draft.add_data()
            contents = _verify_draft(backups, draft.file, file, problems, partial=partial)
            size = draft.file.stat().st_size
    return WrittenBackup(rows, files, size, contents)


def _find_unknown_days(ledger: Ledger) -> list[str]:
    """Days of the lake that the database does not know. An unreadable lake has none; verification reports it."""
    if not ledger.has_lake:
        return []
    try:
        return describe_unknown_days(ledger, ledger.lake)
    except StoreError as error:
        if error.retryable:
            raise
        return []


def _find_lost_log_files(ledger: Ledger) -> list[str]:
    """Entries missing at the end of the lake's logs, which nothing shows once somebody writes."""
    lost = ledger.lake.lost_log_files(ledger.log_files.noted()) if ledger.has_lake else []
    return [f"{file.table}: the file {file.path}: {file.why}" for file in lost]


def _verify_draft(
    backups: BackupFiles, draft: Path, file: Path, problems: Sequence[str], *, partial: bool
) -> BackupContents:
    """What the draft holds. problems: those that the draft alone does not show.

    Raises: StoreError with the code `backup_refused`, where the draft may not take the place of `file`.
    """
    with backups.open(draft) as backup:
        contents = verify_backup(backup)
    written, existing = _summary(backups, draft), _summary(backups, file)
    contents = replace(contents, problems=(*problems, *contents.problems))
    if contents.problems and not partial:
        raise _refused(file, contents.problems, _REPAIR)
    if existing is not None and written is not None and (lost := find_lost_days(older=existing[0], newer=written[0])):
        of = f" of {rfc3339(existing[1])}" if existing[1] else ""
        raise _refused(file, [f"the backup{of} there has days that are no longer stored ({'; '.join(lost)})"], _KEEP)
    if existing is not None and contents.problems:
        raise _refused(file, contents.problems, _KEEP)
    return contents


def _summary(backups: BackupFiles, file: Path) -> tuple[DumpSummary, datetime | None] | None:
    """The summary of a backup and its instant; None if the file is not a backup."""
    try:
        with backups.open(file) as backup:
            summary = backup.summarize()
            return summary, backup.instant or summary.confirmed_at
    except (BackupUnusable, DumpUnusable):
        return None


def _refused(file: Path, problems: Sequence[str], remedy: str) -> StoreError:
    shown = name_some(problems, _MAX_NAMED, separator="; ")
    return StoreError(f"no backup was written to {file}: {shown}. {remedy}", code="backup_refused")
