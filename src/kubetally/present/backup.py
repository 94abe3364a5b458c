"""Backups as lines of text."""

from pathlib import Path

from kubetally.domain.backup import BackupContents, Restored, WrittenBackup
from kubetally.domain.window import rfc3339
from kubetally.domain.words import days_words

_MIB = 2**20


def print_backup(file: Path, written: WrittenBackup) -> None:
    """Print what a backup file contains."""
    size = f"{written.bytes / _MIB:.1f} MiB"
    print(f"{file}: {written.rows} rows of the database, {written.files} files of the lake, {size}")
    print(f"{_contents_words(written.contents)}{'' if written.contents.days else ': no day is stored yet'}")


def print_contents(file: Path, contents: BackupContents) -> None:
    """Print what a backup contains, and its problems."""
    print(f"{file}: {_contents_words(contents)}, {contents.files} files of the lake")
    for problem in contents.problems:
        print(f"  {problem}")


def print_restored(restored: Restored) -> None:
    """Print what was restored."""
    restored_parts = f"{restored.rows} rows of the database and {restored.files} files of the lake"
    print(f"Restored {restored_parts}: {_contents_words(restored.contents)}")


def _contents_words(contents: BackupContents) -> str:
    instant = "an unknown instant" if contents.instant is None else rfc3339(contents.instant)
    accounts = f"{contents.accounts} account{'' if contents.accounts == 1 else 's'}"
    return f"as of {instant}, {accounts}, {days_words(contents.days)}"
