"""Whether the logs of a lake on this machine are as noted, without the libraries that read tables."""

import os
import zlib
from collections.abc import Mapping
from pathlib import Path

from kubetally.ledger.ports.lake import NotedLog
from kubetally.store.lake.log_names import is_checkpoint, is_complete, log_names
from kubetally.store.reach import write_probe

DAYS = "allocations"
DAY_TABLES = (DAYS, "assets", "running", "running_assets", "savings")
"""The tables whose logs have noted checksums."""


def noted_version(folder: Path, noted: NotedLog) -> int | None:
    """The version of the table of days, if the folder is writable and every file of the logs has its noted checksum.

    None does not mean damage: a commit may not be noted yet.
    """
    by_table: dict[str, dict[str, int]] = {table: {} for table in DAY_TABLES}
    for (table, name), crc in noted.items():
        by_table.setdefault(table, {})[name] = crc
    try:
        if not all(_is_as_noted(_log(folder, table), by_table[table]) for table in DAY_TABLES):
            return None
        write_probe(folder)
        return max((int(name[:20]) for name in _names(_log(folder, DAYS))), default=None)
    except OSError:
        return None


def _is_as_noted(log: Path, noted: Mapping[str, int]) -> bool:
    names = _names(log)
    if not names:
        return not noted
    versions = [int(name[:20]) for name in names if not is_checkpoint(name)]
    newest = max(versions, default=-1)
    if not is_complete(names) or len(versions) != newest - versions[0] + 1:
        return False
    if any(int(name[:20]) > newest for name in noted):
        return False
    return all(zlib.crc32((log / name).read_bytes()) == noted.get(name) for name in names)


def _log(folder: Path, table: str) -> Path:
    return folder / table / "_delta_log"


def _names(log: Path) -> list[str]:
    return log_names(os.listdir(log) if log.is_dir() else (), 0)  # noqa: PTH208 - names alone, of thousands
