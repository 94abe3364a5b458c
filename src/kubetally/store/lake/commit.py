"""A commit to a Delta table: one day's new file in place of those that were read.

The commit is ours (`max_commit_retries=0`): it succeeds only on the version that was read. Delta's own retry would take
two first files of one day for two appends that have nothing to do with each other, and the day would count twice.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from typing import Any

from deltalake import CommitProperties
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction

from kubetally.store.lake.faults import LakeDamaged, meaning
from kubetally.store.lake.log_folder import ACTIONS_KEY, COMMIT_ALONE
from kubetally.store.lake.open_table import OpenTable, Snapshot, entry_path
from kubetally.store.lake.schema import DAY, SCHEMAS
from kubetally.store.lake.storage import MissingFile


class TableMoved(Exception):
    """Another writer committed after the table was read."""


def commit_day(
    table: OpenTable, base: Snapshot, day: date, added: AddAction | None, commit_metadata: Mapping[str, Any]
) -> int:
    """Commit `added` in place of the day's files in `base`; returns the version.

    Where the store does not answer, the commit may still succeed: the file stays then, and the vacuum removes it if it
    was not committed.
    Raises: TableMoved, where another commit came between; our file is removed then.
    """
    now = int(time.time() * 1000)
    removed = [RemoveAction(file.path, True, now, file.size, {DAY: day.isoformat()}) for file in base.of(day)]
    actions: list[AddAction | RemoveAction] = [*([added] if added else []), *removed]
    with table.using, table.translated():
        handle = table.opened()
        if handle is None or handle.version() != base.version or table.is_replaced(base.version):
            discard(table, added)
            raise TableMoved
        try:
            table.check_entry(base.version)
        except LakeDamaged:
            discard(table, added)
            raise
        try:
            handle.create_write_transaction(
                actions,
                "append",
                SCHEMAS[table.name],
                [DAY],
                commit_properties=CommitProperties(
                    custom_metadata={**commit_metadata, ACTIONS_KEY: len(actions)}, max_commit_retries=0
                ),
                post_commithook_properties=COMMIT_ALONE,
            )
        except (DeltaError, OSError) as error:
            newest = table.look(handle)
            # A client that retries after a lost response finds its own commit and reports a conflict; and a checkpoint
            # may fail after the commit.
            version = _version_that_added(table, added, day, base.version + 1, newest)
            if version is None:
                _give_up(table, added, error, has_moved=newest.version != base.version)
                raise
        else:
            version = table.look(handle).version
        table.sync_log(base.version + 1)
        return version


def _give_up(table: OpenTable, added: AddAction | None, error: Exception, *, has_moved: bool) -> None:
    """Discard the file, unless the store may still commit it. Raises TableMoved, if that is why the commit failed."""
    if has_moved or not meaning(error, table.url).retryable:
        discard(table, added)
    if has_moved and isinstance(error, CommitFailedError):
        raise TableMoved from error


def discard(table: OpenTable, added: AddAction | None) -> None:
    """Remove a file that was not committed."""
    if added is not None:
        table.storage.discard(added.path)


def _version_that_added(
    table: OpenTable, added: AddAction | None, day: date, first: int, newest: Snapshot
) -> int | None:
    """The version since `first` that added our file, if any; another commit may have replaced it since."""
    if added is None:
        return None
    name = added.path.rpartition("/")[2].encode()
    for version in range(first, newest.version + 1):
        with suppress(MissingFile):
            if name in table.storage.body(entry_path(version)):
                return version
    return newest.version if any(file.path == added.path for file in newest.of(day)) else None
