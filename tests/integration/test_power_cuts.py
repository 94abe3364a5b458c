"""What a power cut can leave of a lake: it is opened, what is unfinished is set aside, and collecting goes on."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from kubetally.domain.account import ListedAccount
from kubetally.domain.errors import StoreError
from kubetally.ledger.collect.committer import Committer
from kubetally.ledger.writing.writer import LakeWriter
from kubetally.store.lake.delta import DeltaLake
from kubetally.store.lake.faults import LakeDamaged
from kubetally.store.lake.log_folder import MAX_TORN_ENTRIES
from kubetally.store.lake.place import Place
from kubetally.store.lake.schema import TableName
from kubetally.store.lake.storage import Storage
from kubetally.store.lake.tables import DayTable
from tests.cluster_days import DAY, cluster_day
from tests.integration.collected_days import SetClock
from tests.kept import CoverageInMemory, LeasesInMemory
from tests.lake_tables import allocation_table

SET_ASIDE = "set_aside"

ROOT = Path(__file__).parents[2]
NEWEST = 3
ENTRY, CHECKPOINT, HINT = f"{NEWEST:020}.json", f"{NEWEST:020}.checkpoint.parquet", "_last_checkpoint"


def _entry(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda log: _rewrite(log / ENTRY, change)


def _checkpoint(change: Callable[[Path], None]) -> Callable[[Path], None]:
    def checkpointed(log: Path) -> None:
        DeltaTable(str(log.parent)).create_checkpoint()
        change(log)

    return checkpointed


def _rewrite(file: Path, change: Callable[[bytes], bytes]) -> None:
    file.write_bytes(change(file.read_bytes()))


def _half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _lines(count: int) -> Callable[[bytes], bytes]:
    return lambda content: b"".join(content.splitlines(keepends=True)[:count])


UNFINISHED: dict[str, Callable[[Path], None]] = {
    "empty entry": _entry(lambda _: b""),
    "half entry": _entry(_half),
    "entry of zeros": _entry(lambda content: bytes(len(content))),
    "entry without its files": _entry(_lines(1)),
    "entry that removes nothing": _entry(_lines(2)),
}
"""What may be left of the newest entry: its commit did not happen."""

FLIPPED = _entry(lambda content: bytes([content[0] ^ 1]) + content[1:])
"""What no power cut does."""

UNREADABLE: dict[str, Callable[[Path], None]] = {
    "empty checkpoint": _checkpoint(lambda log: _rewrite(log / CHECKPOINT, lambda _: b"")),
    "half checkpoint": _checkpoint(lambda log: _rewrite(log / CHECKPOINT, _half)),
    "missing checkpoint": _checkpoint(lambda log: (log / CHECKPOINT).unlink()),
    "empty hint": _checkpoint(lambda log: _rewrite(log / HINT, lambda _: b"")),
    "half hint": _checkpoint(lambda log: _rewrite(log / HINT, _half)),
}
"""What may be left of a checkpoint: the entries before it tell the same."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake whose newest commit replaced the one of generation 1."""
    folder = tmp_path_factory.mktemp("whole") / "lake"
    lake = DeltaLake(str(folder))
    for generation in range(NEWEST):
        lake.put([cluster_day("a", generation)])
    return folder


@pytest.fixture
def lake_folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "lake"))


def generations(folder: Path) -> set[str]:
    table = DeltaTable(str(folder / "allocations")).to_pyarrow_table(columns=["collection_id"])
    return set(table["collection_id"].to_pylist())


@pytest.mark.parametrize("state", UNFINISHED)
def test_unfinished_entry_is_set_aside_and_writing_goes_on(lake_folder: Path, state: str) -> None:
    UNFINISHED[state](lake_folder / "allocations" / "_delta_log")
    left = (lake_folder / "allocations" / "_delta_log" / ENTRY).read_bytes()
    lake = DeltaLake(str(lake_folder))
    assert lake.is_torn()
    (done,) = lake.mend()
    assert (done.table, done.file) == ("allocations", ENTRY)
    assert Path(done.kept) == lake_folder / SET_ASIDE / "allocations" / ENTRY
    assert Path(done.kept).read_bytes() == left
    assert not lake.is_torn()
    assert generations(lake_folder) == {f"a-{DAY}-1"}
    assert lake.versions_of([cluster_day("a", 2).collection]) == {}
    lake.put([cluster_day("a", 7)])
    assert generations(lake_folder) == {f"a-{DAY}-7"}


@pytest.mark.parametrize("state", UNREADABLE)
def test_unreadable_checkpoint_loses_nothing(lake_folder: Path, state: str) -> None:
    UNREADABLE[state](lake_folder / "allocations" / "_delta_log")
    lake = DeltaLake(str(lake_folder))
    lake.mend()
    assert lake.newest_version() == NEWEST
    assert generations(lake_folder) == {f"a-{DAY}-2"}
    lake.put([cluster_day("a", 7)])
    assert generations(lake_folder) == {f"a-{DAY}-7"}


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: _rewrite(file, _half)], ids=["missing", "cut off"])
def test_pending_commit_without_its_file_is_set_aside(lake_folder: Path, damage: Callable[[Path], None]) -> None:
    (file,) = DeltaTable(str(lake_folder / "allocations")).file_uris()
    damage(Path(file))
    lake = DeltaLake(str(lake_folder))
    assert lake.mend() == [], "a commit that the database confirmed is damage of its day"
    (done,) = lake.mend([f"a-{DAY}-2"])
    assert "its file" in done.why
    assert generations(lake_folder) == {f"a-{DAY}-1"}


@pytest.mark.parametrize("table", ["allocations", "assets"])
@pytest.mark.parametrize("state", [*UNFINISHED, "flipped bit"])
def test_confirmed_commit_is_no_power_cut(lake_folder: Path, table: str, state: str) -> None:
    log = lake_folder / table / "_delta_log"
    (UNFINISHED | {"flipped bit": FLIPPED})[state](log)
    left = (log / ENTRY).read_bytes()
    with pytest.raises(LakeDamaged, match=ENTRY):
        DeltaLake(str(lake_folder)).mend([f"b-{DAY}-0"], (NEWEST, -1))
    assert (log / ENTRY).read_bytes() == left
    assert not (lake_folder / SET_ASIDE).exists()


def test_flipped_bit_that_no_pending_commit_explains_is_damage(lake_folder: Path) -> None:
    FLIPPED(lake_folder / "allocations" / "_delta_log")
    lake = DeltaLake(str(lake_folder))
    with pytest.raises(LakeDamaged, match=ENTRY):
        lake.mend()
    (done,) = lake.mend([f"a-{DAY}-2"], (NEWEST - 1, -1))
    assert done.file == ENTRY


@pytest.mark.parametrize("state", [*UNFINISHED, "flipped bit"])
def test_nothing_is_committed_upon_an_unreadable_entry(lake_folder: Path, state: str) -> None:
    lake = DeltaLake(str(lake_folder))
    lake.make()
    (UNFINISHED | {"flipped bit": FLIPPED})[state](lake_folder / "allocations" / "_delta_log")
    with pytest.raises(LakeDamaged, match=ENTRY):
        lake.put([cluster_day("a", 7)])
    with pytest.raises(LakeDamaged, match=ENTRY):
        DeltaLake(str(lake_folder)).newest_version()
    assert lake.check().damage


def test_writer_mends_what_is_torn_while_it_runs(tmp_path: Path) -> None:
    lake, coverage = DeltaLake(str(tmp_path / "lake")), CoverageInMemory()
    committer = Committer(LakeWriter(lake, coverage, LeasesInMemory(), SetClock()))
    for generation in range(NEWEST - 1):
        committer.commit(lake.pack([cluster_day("a", generation)]), force=True)
    lake.put([cluster_day("a", NEWEST)])  # the database never confirmed it
    _entry(_half)(tmp_path / "lake" / "allocations" / "_delta_log")
    committer.writer.recover()
    assert not lake.is_torn()
    assert lake.newest_version() == NEWEST - 1


def test_version_that_is_used_again_doubles_nothing(lake_folder: Path) -> None:
    lasting, other = DeltaLake(str(lake_folder)), DeltaLake(str(lake_folder))
    lasting.make()
    UNFINISHED["half entry"](lake_folder / "allocations" / "_delta_log")
    other.mend()
    other.put([cluster_day("b", 7)])
    lasting.put([cluster_day("a", 8)])
    assert generations(lake_folder) == {f"a-{DAY}-8", f"b-{DAY}-7"}
    table = DeltaTable(str(lake_folder / "allocations"))
    assert len(table.file_uris()) == 1


def test_check_reports_a_day_with_an_account_twice(lake_folder: Path) -> None:
    log = lake_folder / "allocations" / "_delta_log"
    second = log / f"{NEWEST:020}.json"
    lines = second.read_bytes().splitlines()
    second.write_bytes(b"\n".join(line.replace(b'"remove"', b'"unknown"') for line in lines))
    entry = json.loads(lines[0])
    entry["commitInfo"].pop("kubetally.actions")
    second.write_bytes(b"\n".join([json.dumps(entry).encode(), *(line for line in lines[1:] if b'"add"' in line)]))
    (damage,) = DeltaLake(str(lake_folder)).check().damage
    assert (damage.path, damage.why) == (f"day={DAY}", "it has an account's rows twice, in 2 files: a")


def test_errors_of_an_earlier_entry_have_no_backtrace(lake_folder: Path) -> None:
    earlier = lake_folder / "allocations" / "_delta_log" / f"{NEWEST - 1:020}.json"
    _rewrite(earlier, lambda content: b"x" + content[1:])
    with pytest.raises(LakeDamaged) as caught:
        DeltaLake(str(lake_folder)).newest_version()
    assert "Json error" in caught.value.why
    assert not re.search(r"unknown|start_thread|nptl| \d+:", caught.value.why)


def test_a_log_with_many_unfinished_entries_is_left_alone(lake_folder: Path) -> None:
    lake = DeltaLake(str(lake_folder))
    for generation in range(NEWEST, NEWEST + MAX_TORN_ENTRIES):
        lake.put([cluster_day("a", generation)])
    log = lake_folder / "allocations" / "_delta_log"
    for version in range(2, NEWEST + MAX_TORN_ENTRIES + 1):
        (log / f"{version:020}.json").write_bytes(b"")
    with pytest.raises(LakeDamaged, match="empty or cut off"):
        DeltaLake(str(lake_folder)).mend()
    assert not (lake_folder / SET_ASIDE).exists()


def test_only_checkpoint_is_not_set_aside(lake_folder: Path) -> None:
    log = lake_folder / "allocations" / "_delta_log"
    UNREADABLE["half checkpoint"](log)
    (log / f"{1:020}.json").unlink()
    assert DeltaLake(str(lake_folder)).mend() == []
    assert (log / CHECKPOINT).exists()


def test_table_of_accounts_is_written_again(lake_folder: Path) -> None:
    lake = DeltaLake(str(lake_folder))
    lake.list_accounts([])
    account = _listed("a")
    assert lake.list_accounts([account])
    log = lake_folder / "accounts" / "_delta_log"
    newest = max(log.glob("*.json"))
    newest.write_bytes(b"")
    assert lake.list_accounts([account])
    assert DeltaTable(str(lake_folder / "accounts")).to_pyarrow_table()["name"].to_pylist() == ["a"]


def _listed(name: str) -> ListedAccount:
    return ListedAccount(name, name, "default", None)


class Noting(Place):
    """A place whose disk notes what it is asked to write and to sync, and fails to sync where a test wants it to."""

    def storage(self, name: str) -> Storage:
        return NotingStorage(super().storage(name))


class NotingStorage:
    """The files of a table; what is neither `write` nor `sync` is as it was."""

    def __init__(self, storage: Storage) -> None:
        self._storage, self.notes, self.fails = storage, list[tuple[str, ...]](), False

    def write(self, path: str, content: Any) -> None:
        self.notes.append(("write", Path(path).suffix))
        self._storage.write(path, content)

    def sync(self, paths: Iterable[str]) -> None:
        names = sorted(paths)
        self.notes.append(("sync", *names))
        if self.fails:
            raise OSError(5, "Input/output error")
        self._storage.sync(names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)


def test_commit_is_synced_before_its_version_is_returned(tmp_path: Path) -> None:
    place = Noting.parse(str(tmp_path / "lake"))
    table = DayTable(place, TableName.ALLOCATIONS, timedelta(days=400))
    disk: Any = table._table.storage
    assert table.put(DAY, {"a": allocation_table(cluster_day("a"))}, {}) == 1
    assert disk.notes == [
        ("sync", f"_delta_log/{0:020}.json"),
        ("write", ".parquet"),
        ("sync", f"_delta_log/{1:020}.json"),
    ]
    table.maintain(timedelta(days=400))
    assert disk.notes[-1] == (
        *("sync", f"_delta_log/{1:020}.checkpoint.parquet", f"_delta_log/{1:020}.json", "_delta_log/_last_checkpoint"),
    )
    disk.fails = True
    with pytest.raises(StoreError):
        table.put(DAY, {"a": allocation_table(cluster_day("a", 1))}, {})


def test_commit_is_not_confirmed_until_it_lasts(tmp_path: Path) -> None:
    lake, coverage, clock = DeltaLake(str(tmp_path / "lake"), place=Noting.parse), CoverageInMemory(), SetClock()
    committer = Committer(LakeWriter(lake, coverage, LeasesInMemory(), clock))
    committer.commit(lake.pack([cluster_day("b")]))
    disk: Any = lake._pairs.days.rows._table.storage
    disk.fails = True
    with pytest.raises(StoreError):
        committer.commit(lake.pack([cluster_day("a")]))
    assert [item.account_id for item in coverage.confirmed] == ["b"]
    disk.fails = False
    committer.writer.recover()
    assert [item.account_id for item in coverage.confirmed] == ["b", "a"]


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_log_entry_is_synced_before_the_database_confirms(tmp_path: Path) -> None:
    traced, lake = tmp_path / "trace", tmp_path / "lake"
    calls = "fsync,fdatasync,linkat,link,rename,renameat2,pwrite64,write"
    command = ["strace", "-f", "-y", "-s", "0", "-o", str(traced), "-e", f"trace={calls}", sys.executable]
    arguments = ["-m", "tests.integration.committing", f"sqlite:///{tmp_path / 'database'}", str(lake)]
    done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if "ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    lines = traced.read_text().splitlines()
    for table in ("assets", "allocations"):
        log, entry = lake / table / "_delta_log", f"{1:020}.json"
        linked = _last(lines, rf"(link|linkat|rename\w*)\(.*{re.escape(str(log / entry))}\"")
        synced = [_last(lines, rf"fsync\(\d+<{re.escape(str(path))}>") for path in (log / entry, log)]
        confirmed = next(
            number
            for number, line in enumerate(lines)
            if number > linked and re.search(r"write\w*\(\d+<[^>]*/database", line)
        )
        assert all(linked < number < confirmed for number in synced), table
    for folder in (lake, lake / "allocations", lake.parent, lake / "allocations" / f"day={DAY}"):
        assert _last(lines, rf"fsync\(\d+<{re.escape(str(folder))}>") >= 0


def _last(lines: list[str], pattern: str) -> int:
    """Where a line that matches is last. Raises ValueError."""
    return max(number for number, line in enumerate(lines) if re.search(pattern, line))
