"""Maintenance of one Delta table: its retention, and the removal of files and log entries that it no longer covers."""

import re
from datetime import timedelta
from math import ceil

from deltalake import DeltaTable

from kubetally.domain.maintenance import Maintained
from kubetally.ledger.ports.lake import Lengthen
from kubetally.store.lake.log_folder import COMMIT_ALONE
from kubetally.store.lake.open_table import FILE_RETENTION, OpenTable, retention


def clean_up(table: OpenTable, version: int, keep: timedelta, shorten: bool, lengthen: Lengthen) -> Maintained:
    """Set the retention, write a checkpoint and remove files that were replaced longer than `keep` ago.

    version: from which on the log is made to survive a power cut. Where the table's own retention is longer, that
    applies, unless `shorten`.
    """
    with table.translated():
        handle = table.handle(None)  # not the shared one: listing files takes long, and readers use that meanwhile
        properties = handle.metadata().configuration
        stated = timedelta() if shorten else _duration(properties.get(FILE_RETENTION, ""))
        wanted = retention(max(table.keep, stated))
        if not wanted.items() <= properties.items():
            handle.alter.set_table_properties(wanted, post_commithook_properties=COMMIT_ALONE)
        kept = max(keep, stated)
        longer = lengthen(kept)
        old = removed = _vacuum(handle, kept, dry_run=True)
        if longer != kept:
            removed = [] if longer is None else _vacuum(handle, longer, dry_run=True)
        if removed and longer is not None:
            _vacuum(handle, longer, dry_run=False)
        handle.update_incremental()
        if not any(".checkpoint." in name for name in table.storage.log_names(handle.version())):
            handle.create_checkpoint()
        table.sync_log(version)
        if longer == kept:  # a clock that is not trusted must not cut off the log
            handle.cleanup_metadata()
    return Maintained(0, len(removed), table.newest().version, kept, len(old) - len(removed))


def _vacuum(handle: DeltaTable, keep: timedelta, *, dry_run: bool) -> list[str]:
    hours = ceil(keep / timedelta(hours=1))
    return handle.vacuum(hours, dry_run=dry_run, enforce_retention_duration=False, full=True)


def _duration(text: str) -> timedelta:
    """The duration that a table property states; zero where its unit is not one from seconds to weeks."""
    match = re.fullmatch(r"(?:interval +)?(\d+) +(second|minute|hour|day|week)s?", text.strip(), re.IGNORECASE)
    return timedelta() if match is None else timedelta(**{f"{match[2].lower()}s": int(match[1])})
