"""Finds damaged files of a table and its log by reading all of them."""

import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from obstore.exceptions import BaseError

from kubetally.domain.damage import FileDamage
from kubetally.ledger.ports.lake import LOST, NotedLog
from kubetally.store.lake import files
from kubetally.store.lake.faults import UNREADABLE, shown
from kubetally.store.lake.files import DamagedFile, DataFile
from kubetally.store.lake.log_folder import ACTIONS_KEY, read_actions
from kubetally.store.lake.schema import DAY
from kubetally.store.lake.storage import MissingFile, Storage

_LOG = "_delta_log/"
_ENTRY = re.compile(r"_delta_log/(\d{20})\.json")
_VERSION = re.compile(r"_delta_log/\d{20}\.")
_UNREADABLE = (DamagedFile, MissingFile, BaseError, OSError, *UNREADABLE)


class Added(NamedTuple):
    """A data file as an entry of the log adds it."""

    file: DataFile
    day: date | None
    written_at: datetime | None


class LogCheck(NamedTuple):
    """The data files that entries add, by path, and the damage of the log; `files` counts its files."""

    added: Mapping[str, Added]
    damage: tuple[FileDamage, ...]
    files: int


def check_log(table: str, storage: Storage, paths: Iterable[str], noted: NotedLog) -> LogCheck:
    """Read all entries and checkpoints of a table's log.

    paths: of the table's files. noted: the checksums of files of logs, by table and name.
    """
    added: dict[str, Added] = {}
    damage = []
    log = sorted(path for path in paths if path.startswith(_LOG))
    for path in log:
        try:
            content, why = storage.body(path), None
            if _ENTRY.fullmatch(path):
                actions = read_actions(content)
                why = _wrong_with(actions)
                for action in actions or ():
                    if "add" in action:
                        data_file = _added(action["add"])
                        added[data_file.file.path] = data_file
            elif path.endswith(".parquet"):
                pq.read_table(pa.BufferReader(content))
            elif path == f"{_LOG}_last_checkpoint":
                msgspec.json.decode(content)
            crc = noted.get((table, path.removeprefix(_LOG)))
            if why is None and crc not in {None, LOST, zlib.crc32(content)}:
                why = "it is not as it was written"
        except _UNREADABLE as error:
            why = shown(error)
        if why is not None:
            damage.append(FileDamage(table, path, why))
    versions = [int(match[1]) for path in log if (match := _ENTRY.fullmatch(path))]
    gaps = sorted(set(range(min(versions), max(versions))) - set(versions)) if versions else ()
    names = (f"{version:020d}.json" for version in gaps)
    damage += [_missing(table, name) for name in names if noted.get((table, name)) != LOST]
    damage += lost_entries(table, (path.removeprefix(_LOG) for path in log if _VERSION.match(path)), noted)
    return LogCheck(added, tuple(damage), len(log))


def lost_entries(table: str, names: Iterable[str], noted: NotedLog) -> list[FileDamage]:
    """Noted entries after the newest of `names`: the log had them, and was cut off or is an older copy.

    names: of the files of the log; if there are none, the table is missing, which is reported elsewhere.
    """
    newest = max((name[:20] for name in names), default=None)
    if newest is None:
        return []
    its = (name for (of, name), crc in noted.items() if of == table and crc != LOST)
    return [_missing(table, name) for name in sorted(its) if name[:20] > newest and name.endswith(".json")]


def _missing(table: str, name: str) -> FileDamage:
    return FileDamage(table, f"{_LOG}{name}", "it is missing")


def check_data(
    table: str, storage: Storage, added: Mapping[str, Added], current: set[str]
) -> Iterator[FileDamage | bool]:
    """For each data file whether it has checksums, or its damage."""
    for path, (file, day, written_at) in added.items():
        try:
            yield files.verify(storage, file)
        except MissingFile:
            if path in current:
                yield FileDamage(table, path, "it is missing", day, written_at)
        except (DamagedFile, BaseError, OSError, *UNREADABLE) as error:
            why = error.why if isinstance(error, DamagedFile) else shown(error)
            yield FileDamage(table, path, why, day, written_at, is_current=path in current)


def sound_crc(name: str, content: bytes) -> int | None:
    """The CRC-32 of an entry or checkpoint; None where it can't be read."""
    try:
        if not name.endswith(".json"):
            pq.read_metadata(pa.BufferReader(content))
        elif _wrong_with(read_actions(content)) is not None:
            return None
    except _UNREADABLE:
        return None
    return zlib.crc32(content)


def _wrong_with(actions: list[dict[str, Any]] | None) -> str | None:
    if actions is None:
        return "it is cut off or not JSON"
    if not actions:
        return "it is empty"
    count = sum("add" in action or "remove" in action for action in actions)
    info: Mapping[str, Any] = next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
    expected = info.get(ACTIONS_KEY, count)
    return None if expected == count else f"it has {count} of its {expected} actions"


def _added(action: Mapping[str, Any]) -> Added:
    day = action["partitionValues"].get(DAY)
    written_at = datetime.fromtimestamp(action["modificationTime"] / 1000, UTC)
    file = DataFile(unquote(action["path"]), action["size"])
    return Added(file, None if day is None else date.fromisoformat(day), written_at)
