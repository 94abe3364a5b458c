"""A table's log on this machine's disk: finds what a power cut left unfinished, and sets it aside.

A power cut can leave the newest entry missing, empty or cut off, and the same of a checkpoint. The Delta library opens
a table whose newest entry is empty, or cut off at the end of a line: half a commit would count then, and a day whose
old file is not removed would count twice (deltalake 1.6.6).
"""

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import PostCommitHookProperties

from kubetally.domain.damage import SetAside
from kubetally.store.lake.log_names import CHECKPOINT, ENTRY

SET_ASIDE = "set_aside"
"""The folder beside the tables that keeps what was taken out of their logs."""

COLLECTIONS_KEY = "kubetally.collections"
"""In a commit: what it wrote, as `{collection id: [rows, assets]}`."""

ACTIONS_KEY = "kubetally.actions"
"""In a commit: how many files it adds and removes, which shows whether some are missing."""

COMMIT_ALONE = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
"""For commits: maintenance writes checkpoints, after comparing checksums, so that no damage gets into them."""

MAX_TORN_ENTRIES = 8
"""A power cut leaves few unfinished entries. More mean that the disk is damaged; then nothing is set aside."""

_HINT = "_last_checkpoint"


class LogFolder:
    """The folder `_delta_log` of a table. Raises OSError."""

    def __init__(self, table: Path, *, aside: Path) -> None:
        self._table, self._log, self._aside = table, table / "_delta_log", aside

    def find_torn(self, pending: Collection[str] = ()) -> dict[Path, str]:
        """Files that a power cut left unfinished, with the reason; only the newest entries and checkpoints.

        pending: collections that the database does not know to be committed; an entry of one of them is unfinished
        too where a data file of it is missing or short.
        """
        entries, checkpoints = self._files(ENTRY), self._files(CHECKPOINT)
        torn: dict[Path, str] = {}
        intact = set(entries)
        for version in sorted(entries, reverse=True):
            why = self._unfinished(entries[version], pending)
            if why is None:
                break
            torn[entries[version]] = why
            intact.discard(version)
            torn |= dict.fromkeys(checkpoints.pop(version, ()), "its version is unfinished")
        return torn | self._torn_checkpoints(checkpoints, intact)

    def find_damage(self, torn: Mapping[Path, str], pending: Collection[str], confirmed: int) -> tuple[str, str] | None:
        """An entry with damage that no power cut does, by its name, and the damage; else None.

        A commit is on the disk before the database confirms it: an entry up to the version `confirmed` was whole. One
        of a later version may be anything while commits are pending, else it is empty or cut off at its end.
        """
        for file, why in torn.items():
            if match := ENTRY.fullmatch(file.name):
                is_confirmed = int(match[1]) <= confirmed
                if is_confirmed or not (pending or _is_cut(file.read_bytes())):
                    return file.name, why
        return None

    def lacks(self, version: int) -> str | None:
        """What is missing in the entry of a version; None if it is complete, or is in a checkpoint only."""
        try:
            return self._unfinished(self._log / f"{version:020}.json", ())
        except FileNotFoundError:
            return None

    def has(self, version: int) -> bool:
        """Whether there is an entry of a version."""
        return self.identity(version) is not None

    def identity(self, version: int) -> tuple[int, ...] | None:
        """Distinguishes an entry from another of the same version; None if it does not exist."""
        try:
            status = (self._log / f"{version:020}.json").stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns

    def newest_metadata(self, key: str) -> int:
        """The number under this key in the newest readable commit that has it, else -1."""
        for _, file in sorted(self._files(ENTRY).items(), reverse=True):
            for action in read_actions(file.read_bytes()) or ():
                number = action.get("commitInfo", {}).get(key)
                if isinstance(number, int):
                    return number
        return -1

    def set_aside(self, torn: Mapping[Path, str]) -> list[SetAside]:
        """Move these out of the log, the newest first, and keep their bytes."""
        done = []
        for file, why in torn.items():
            self._aside.mkdir(parents=True, exist_ok=True)
            kept = self._free_name(file.name)
            os.rename(file, kept)  # noqa: PTH104 - never over another file, as `_free_name` is free
            done.append(SetAside(self._table.name, file.name, why, str(kept)))
        if done:
            for folder in (self._aside, self._aside.parent, self._aside.parent.parent, self._log):
                sync_folder(folder)
        return done

    def newest_paths(self, since: int) -> Iterator[str]:
        """Entries and checkpoints of versions from `since` on, as paths in the table."""
        for name in os.listdir(self._log) if self._log.is_dir() else ():  # noqa: PTH208 - names alone, of thousands
            if name == _HINT or (name[:20].isdigit() and name[:20] >= f"{max(since, 0):020}"):
                yield f"_delta_log/{name}"

    def newest_version(self) -> int:
        """The version of the newest entry; -1 without one."""
        return max(self._files(ENTRY), default=-1)

    def _files(self, pattern: re.Pattern[str]) -> dict[int, Any]:
        """Files by version: the path of each entry, or the paths of each checkpoint."""
        files: dict[int, Any] = {}
        with suppress(FileNotFoundError):
            for path in self._log.iterdir():
                if match := pattern.fullmatch(path.name):
                    version = int(match[1])
                    files[version] = path if pattern is ENTRY else [*files.get(version, []), path]
        return files

    def _unfinished(self, file: Path, pending: Collection[str]) -> str | None:
        """What is missing in an entry; None if it is complete."""
        actions = read_actions(file.read_bytes())
        if not actions:
            return "it is empty" if actions is not None else "it is cut off"
        info: Mapping[str, Any] = next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
        files = [action for action in actions if "add" in action or "remove" in action]
        if info.get(ACTIONS_KEY, len(files)) != len(files):
            return "it is cut off at the end of a line"
        if not pending or not set(pending) & set(info.get(COLLECTIONS_KEY, ())):
            return None
        for added in (action["add"] for action in files if "add" in action):
            try:
                size = (self._table / unquote(added["path"])).stat().st_size
            except FileNotFoundError:
                return f"its file {added['path']} is missing"
            if size != added["size"]:
                return f"its file {added['path']} is cut off"
        return None

    def _torn_checkpoints(self, checkpoints: Mapping[int, Sequence[Path]], entries: Collection[int]) -> dict[Path, str]:
        """The newest unreadable checkpoints, if the entries since an earlier one replace them."""
        torn: dict[Path, str] = {}
        base, newest = -1, max(entries, default=-1)
        for version in sorted(checkpoints, reverse=True):
            if all(map(_is_parquet, checkpoints[version])):
                base = version
                break
            torn |= dict.fromkeys(checkpoints[version], "it can't be read")
        hint = self._log / _HINT
        hinted = _hinted_version(hint)
        if hinted is not None and hinted > base:
            torn[hint] = f"the checkpoint of version {hinted} can't be read"
        is_made_up_for = newest >= 0 and all(version in entries for version in range(base + 1, newest + 1))
        is_beyond = any(version > newest for version in checkpoints if version > base)
        return torn if is_made_up_for and not is_beyond else {}

    def _free_name(self, name: str) -> Path:
        path, number = self._aside / name, 1
        while path.exists():
            path, number = self._aside / f"{name}.{number}", number + 1
        return path


def read_actions(entry: bytes) -> list[dict[str, Any]] | None:
    """The actions of an entry, without any for an empty one; None if a line is cut off."""
    actions = []
    for line in entry.splitlines():
        try:
            action = json.loads(line)
        except ValueError:
            return None
        if not isinstance(action, dict):
            return None
        actions.append(action)
    return actions


def _is_cut(entry: bytes) -> bool:
    """Whether it is empty, has zeros at its end, or all of its lines but the last are whole."""
    lines = entry.splitlines()
    return not entry.strip() or entry.endswith(b"\0") or read_actions(b"\n".join(lines[:-1])) is not None


def sync_file(file: Path) -> None:
    """Make a file's content survive a power cut."""
    _sync(file, os.O_RDONLY)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_parquet(file: Path) -> bool:
    try:
        pq.read_metadata(file)
    except (pa.ArrowException, OSError):
        return False
    return True


def _hinted_version(hint: Path) -> int | None:
    """The checkpoint that the log names as its newest; None without a name, which is harmless."""
    try:
        named = json.loads(hint.read_bytes())
    except (OSError, ValueError):
        return None
    version = named.get("version") if isinstance(named, dict) else None
    return version if isinstance(version, int) else None
