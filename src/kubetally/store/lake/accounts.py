"""The table of accounts, by which readers of the lake can exclude removed ones."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from math import ceil
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError

from kubetally.domain.account import ListedAccount
from kubetally.domain.damage import FileDamage, LakeCheck
from kubetally.ledger.ports.lake import Lengthen, by_clock
from kubetally.store.lake import checking
from kubetally.store.lake.faults import UNREADABLE, LakeDamaged, shown, translated
from kubetally.store.lake.log_folder import COMMIT_ALONE, SET_ASIDE
from kubetally.store.lake.open_table import check_table, create_table, retention
from kubetally.store.lake.place import Place
from kubetally.store.lake.schema import ACCOUNTS, TableName
from kubetally.store.lake.storage import MissingFile


class AccountTable:
    """A Delta table of all accounts, replaced as a whole. Raises StoreError."""

    def __init__(self, place: Place, keep: timedelta) -> None:
        self.url = place.shown_table(TableName.ACCOUNTS)
        self._place, self._keep = place, keep
        self._storage = place.storage(TableName.ACCOUNTS)
        self._aside = place.storage(f"{SET_ASIDE}/{TableName.ACCOUNTS}")

    def put(self, accounts: Sequence[ListedAccount]) -> bool:
        """Write these accounts, creating the table if needed; False if it has them already."""
        wanted = _table(accounts)
        with self._translated():
            self._mend()
            handle = self._opened()
            if handle is None and not accounts:
                return False  # an unused lake stays empty
            if handle is not None and self._content(handle) == wanted:
                return False
            write_deltalake(
                handle or self._made(),
                wanted,
                mode="overwrite",
                post_commithook_properties=COMMIT_ALONE,
            )
            self._sync()
        return True

    def check(self) -> LakeCheck:
        """Read the log and all files of the newest version; returns the damage."""
        with self._translated():
            sizes = self._storage.sizes()
        if not sizes:
            return LakeCheck()
        log = checking.check_log(TableName.ACCOUNTS, self._storage, sizes, {})
        damage, count = [*log.damage], log.files
        try:
            with self._translated():
                handle = self._opened()
                paths = [] if handle is None else _paths(handle)
        except LakeDamaged as error:
            paths = []
            if not damage:
                damage.append(FileDamage(TableName.ACCOUNTS, "_delta_log", error.why))
        for path in paths:
            count += 1
            try:
                pq.read_table(pa.BufferReader(self._storage.body(path)))
            except MissingFile:
                damage.append(FileDamage(TableName.ACCOUNTS, path, "it is missing"))
            except (OSError, *UNREADABLE) as error:
                damage.append(FileDamage(TableName.ACCOUNTS, path, shown(error)))
        return LakeCheck(count, 0, tuple(damage))

    def remake(self, accounts: Sequence[ListedAccount]) -> None:
        """Set a copy of all its files aside, and write the table again."""
        with self._translated():
            for path in self._storage.sizes():
                with suppress(FileExistsError):
                    self._aside.write(path, pa.py_buffer(self._storage.body(path)))
                self._storage.discard(path)
        self.put(accounts)

    def maintain(self, keep: timedelta, lengthen: Lengthen = by_clock) -> int:
        """Remove files that were replaced longer than `keep` ago; returns how many."""
        longer = lengthen(keep)
        if longer is None:
            return 0
        with self._translated():
            handle = self._opened()
            if handle is None:
                return 0
            wanted = retention(self._keep)
            if not wanted.items() <= handle.metadata().configuration.items():
                handle.alter.set_table_properties(wanted, post_commithook_properties=COMMIT_ALONE)
            hours = ceil(longer / timedelta(hours=1))
            removed = handle.vacuum(hours, dry_run=False, enforce_retention_duration=False, full=True)
            handle.update_incremental()
            handle.create_checkpoint()
            self._sync()
            if longer == keep:
                handle.cleanup_metadata()
            return len(removed)

    def _mend(self) -> None:
        """Set aside what a power cut left unfinished: the table is written again from the database."""
        if (log := self._storage.log) is not None:
            log.set_aside(log.find_torn())

    def _sync(self) -> None:
        """Make what was written survive a power cut."""
        if (log := self._storage.log) is not None and (handle := self._opened()) is not None:
            self._storage.sync([*_paths(handle), *log.newest_paths(0)])

    def _content(self, handle: DeltaTable) -> pa.Table | None:
        """Its rows by id; None if a file is missing, so that the table is written again."""
        try:
            tables = [pq.read_table(pa.BufferReader(self._storage.body(path))) for path in _paths(handle)]
        except MissingFile:
            return None
        read = pa.concat_tables([table.select(ACCOUNTS.names).cast(_IN_FILES) for table in tables] or [_table([])])
        return read.sort_by("id")

    def _opened(self) -> DeltaTable | None:
        try:
            handle = self._delta()
        except TableNotFoundError:
            return None
        check_table(handle, self.url, TableName.ACCOUNTS)
        return handle

    def _made(self) -> DeltaTable:
        self._place.make()
        try:
            create_table(self._place, TableName.ACCOUNTS, retention(self._keep))
        except (DeltaError, OSError):
            if self._opened() is None:  # else another program created it at the same time
                raise
        return self._delta()

    def _delta(self) -> DeltaTable:
        return DeltaTable(self._place.table(TableName.ACCOUNTS), storage_options=dict(self._place.options))

    def _translated(self) -> Any:
        return translated(self.url, self._place.secrets)


def _paths(handle: DeltaTable) -> list[str]:
    paths: list[str] = pa.table(handle.get_add_actions(flatten=True))["path"].to_pylist()
    return paths


_IN_FILES = pa.schema([pa.field(field.name, field.type) for field in ACCOUNTS])


def _table(accounts: Sequence[ListedAccount]) -> pa.Table:
    ordered = sorted(accounts, key=lambda account: account.id)
    return pa.table(
        {
            "id": [account.id for account in ordered],
            "name": [account.name for account in ordered],
            "organization": [account.organization for account in ordered],
            "removed_at": [account.removed_at for account in ordered],
        },
        schema=_IN_FILES,
    )
