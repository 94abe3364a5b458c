"""Restoring a backup into an empty database and an empty lake."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from kubetally.domain.backup import Restored
from kubetally.domain.errors import RequestError
from kubetally.ledger.accounts.reconcile import reconcile_after_change
from kubetally.ledger.backup.verify import verify_backup
from kubetally.ledger.ports.backups import BackupFiles, BackupUnusable, RestoreTarget
from kubetally.ledger.stores import Ledger

_MAX_NAMED = 8


def restore_backup(
    open_ledger: Callable[[], AbstractContextManager[Ledger]],
    backups: BackupFiles,
    file: Path,
    *,
    partial: bool = False,
) -> Restored:
    """Restore a backup; if anything fails, nothing of it stays.

    The file is verified before anything is written. partial: also where days are missing or damaged, in the lake that
    was backed up or since in the file; the restored lake reports these days as damaged.

    Logs come after the files that they name, and the database last, so that an interrupted restore leaves no lake that
    looks complete. open_ledger: opens what was restored, without its keys too.
    Raises: BackupUnusable, DumpUnusable, RequestError (lake or database not empty), StoreError.
    """
    with backups.open(file) as backup:
        target = backups.restore_target()
        if target.has_lake_files():
            raise RequestError(
                f"the lake {target.lake} is not empty: remove its files or name an empty place with KUBETALLY_LAKE_URL",
                code="lake_not_empty",
            )
        contents = verify_backup(backup)
        if contents.problems and not partial:
            raise BackupUnusable(str(file), "; ".join(contents.problems[:_MAX_NAMED]))
        with _removed_on_failure(target) as written, backup.copy_dump() as dump:
            for member in sorted(backup.lake_files, key=lambda member: member.is_log):
                with backup.copy_file(member.path, or_changed=partial and not member.is_log) as content:
                    written.append(member.path)
                    target.write_file(member.path, content)
            rows = target.load_database(dump)
    with open_ledger() as ledger:
        reconcile_after_change(ledger)
        locked = tuple(account.name for account in ledger.accounts.all() if account.locked is not None)
    return Restored(rows, len(written), contents, locked)


@contextmanager
def _removed_on_failure(target: RestoreTarget) -> Iterator[list[str]]:
    """A list of files of the lake, which are removed if an error leaves the context."""
    written: list[str] = []
    try:
        yield written
    except BaseException:
        for path in written:
            target.remove_file(path)
        raise
