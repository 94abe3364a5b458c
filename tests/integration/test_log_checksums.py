"""Damage in the lake's logs that leaves valid JSON, or a checkpoint that can be read: noticed, and put back."""

import json
import random
import re
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable

from kubetally.domain.damage import FileDamage, LogDamaged
from kubetally.domain.errors import StoreError
from kubetally.ledger.collect.committer import Committer
from kubetally.ledger.collect.maintenance import tidy
from kubetally.ledger.writing.writer import LakeWriter
from kubetally.settings import Settings
from kubetally.store.lake.delta import DeltaLake
from kubetally.store.lake.place import Place
from kubetally.store.lake.schema import TableName
from kubetally.store.lake.tables import DayTable
from kubetally.store.meta.metadata import Metadata, open_meta
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.ledger import open_ledger
from tests.cluster_days import DAY, cluster_day
from tests.integration.collected_days import KEYS
from tests.integration.test_accounts_command import Home
from tests.integration.upstream import Upstream, added, backfill, costs, figures, home, upstream
from tests.served import Served

__all__ = ["home", "upstream"]
TABLES = ("allocations", "assets", "running", "running_assets")


@pytest.fixture
def meta(tmp_path: Path) -> Iterator[Metadata]:
    with open_meta(f"sqlite:///{tmp_path}/kubetally.db", KEYS, clock=SystemClock()) as opened:
        yield opened


@pytest.fixture
def lake_folder(tmp_path: Path, meta: Metadata) -> Path:
    """Six commits of rows and assets of two days, a checkpoint in between, and running days."""
    lake = DeltaLake(str(tmp_path / "lake"))
    writer = LakeWriter(lake, meta.coverage, meta.leases, SystemClock(), log_files=meta.log_files)
    committer = Committer(writer)
    for generation in range(3):
        for number in range(2):
            committer.commit(lake.pack([cluster_day("a", generation, day=DAY + timedelta(number))]), force=True)
        if generation == 1:
            with writer.hold_lease():
                lake.maintain(timedelta(days=400))
    committer.commit(lake.pack([cluster_day("a", 9, day=DAY + timedelta(9), is_running=True)]))
    return tmp_path / "lake"


def flip(file: Path, chance: random.Random) -> bytes:
    """Flip a bit; what the file was before."""
    before = file.read_bytes()
    content = bytearray(before)
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)
    return before


def test_every_flipped_bit_of_a_log_is_noticed(lake_folder: Path, meta: Metadata) -> None:
    chance, noted = random.Random(13), meta.log_files.noted()  # noqa: S311
    files = sorted(one for table in TABLES for one in (lake_folder / table / "_delta_log").glob("0*"))
    assert not DeltaLake(str(lake_folder)).check(noted).damage
    assert len(noted) == len(files)
    for _ in range(200):
        file = chance.choice(files)
        before = flip(file, chance)
        (damage,) = DeltaLake(str(lake_folder)).check_log(noted)
        assert (damage.table, Path(damage.path).name) == (file.parent.parent.name, file.name)
        file.write_bytes(before)


def test_checksums_of_an_earlier_lake_are_noted_at_the_next_commit(lake_folder: Path, meta: Metadata) -> None:
    noted = meta.log_files.noted()
    meta.log_files.keep({})
    assert not meta.log_files.noted()
    lake = DeltaLake(str(lake_folder))
    with LakeWriter(lake, meta.coverage, meta.leases, SystemClock(), log_files=meta.log_files).hold_lease():
        pass
    assert meta.log_files.noted() == noted


def test_checksums_beyond_a_restored_lake_are_forgotten(lake_folder: Path, meta: Metadata) -> None:
    newest = max((lake_folder / "assets" / "_delta_log").glob("*.json"))
    newest.unlink()
    lake = DeltaLake(str(lake_folder))
    (lost,) = lake.check_log(meta.log_files.noted())
    assert (lost.path, lost.why) == (f"_delta_log/{newest.name}", "it is missing")
    assert lake.lost_log_files(meta.log_files.noted()) == [lost]
    with LakeWriter(lake, meta.coverage, meta.leases, SystemClock(), log_files=meta.log_files).hold_lease():
        pass
    assert ("assets", newest.name) not in meta.log_files.noted()
    lake.put([cluster_day("b")])
    assert not lake.check_log(meta.log_files.noted())


def test_commits_write_no_checkpoint(tmp_path: Path) -> None:
    lake = DeltaLake(str(tmp_path / "lake"))
    table = DayTable(Place.parse(str(tmp_path / "lake")), TableName.ALLOCATIONS, timedelta(days=400))
    lake.put([cluster_day("a")])
    handle = DeltaTable(str(tmp_path / "lake" / "allocations"))
    handle.alter.set_table_properties({"delta.checkpointInterval": "2"})
    for _ in range(4):
        table.put(DAY, {}, {})
    assert not list((tmp_path / "lake").rglob("*.checkpoint.parquet"))
    lake.maintain(timedelta(days=400))
    assert len(list((tmp_path / "lake" / "allocations").rglob("*.checkpoint.parquet"))) == 1


def stored(home: Home, server: Served) -> list[Path]:
    """A lake of some commits with a checkpoint in the middle; the entries of its table of days."""
    added(home, server)
    backfill(home)
    assert home.call("maintain").code == 0
    backfill(home, "aurora", "--force")
    return sorted((home.folder / "lake" / "allocations" / "_delta_log").glob("*.json"))


def change_a_size(entry: Path) -> None:
    """Another digit in the size of a file, as valid as before."""
    content = entry.read_bytes()
    found = re.search(rb'"size":(\d)', content)
    assert found is not None
    digit = b"1" if found[1] != b"1" else b"2"
    entry.write_bytes(content[: found.start(1)] + digit + content[found.end(1) :])
    assert all(json.loads(line) for line in entry.read_bytes().splitlines())


@pytest.mark.parametrize("at", [1, -1], ids=["in the middle", "the newest"])
def test_damaged_entry_is_named_and_put_back_from_a_backup(
    home: Home, upstream: tuple[Upstream, Served], tmp_path: Path, at: int
) -> None:
    entries = stored(home, upstream[1])
    backup, before = tmp_path / "one.tar", figures(costs(home))
    assert home.call("backup", str(backup)).code == 0
    whole = entries[at].read_bytes()
    change_a_size(entries[at])
    done = home.call("maintain", "--check")
    assert done.code == 1
    assert f"damaged: allocations/_delta_log/{entries[at].name}: it is not as it was written" in done.out
    done = home.call("maintain")
    assert (done.code, entries[at].name in done.err, "--from-backup" in done.err) == (3, True, True)
    done = home.call("backup", str(tmp_path / "other.tar"))
    assert (done.code, entries[at].name in done.err) == (3, True)
    done = home.call("maintain", "--repair", "--from-backup", str(backup))
    assert done.code == 0, done.out + done.err
    assert f"allocations/_delta_log/{entries[at].name}: restored from the backup" in done.out
    assert entries[at].read_bytes() == whole
    assert figures(costs(home)) == before


def test_unreadable_lake_is_opened_again_by_a_repair(
    home: Home, upstream: tuple[Upstream, Served], tmp_path: Path
) -> None:
    entries = stored(home, upstream[1])
    backup, before = tmp_path / "one.tar", figures(costs(home))
    assert home.call("backup", str(backup)).code == 0
    entries[-1].write_bytes(b"x" + entries[-1].read_bytes()[1:])
    assert home.call("maintain", "--repair").code != 0
    assert home.call("maintain", "--repair", "--from-backup", str(backup)).code == 0
    assert figures(costs(home)) == before


def test_damaged_checkpoint_is_taken_away_where_entries_suffice(home: Home, upstream: tuple[Upstream, Served]) -> None:
    entries = stored(home, upstream[1])
    before = figures(costs(home))
    (checkpoint,) = entries[0].parent.glob("*.checkpoint.parquet")
    flip(checkpoint, random.Random(1))  # noqa: S311
    done = home.call("maintain", "--check")
    assert (done.code, f"damaged: allocations/_delta_log/{checkpoint.name}" in done.out) == (1, True)
    done = home.call("maintain", "--repair")
    assert done.code == 0, done.out + done.err
    assert f"{checkpoint.name}: removed; other files of the log replace it" in done.out
    assert figures(costs(home)) == before
    for _ in range(2):
        assert home.call("maintain").code == 0
    assert home.call("maintain", "--check").code == 0


def test_lost_newest_entry_is_named_and_put_back(home: Home, upstream: tuple[Upstream, Served], tmp_path: Path) -> None:
    entries = stored(home, upstream[1])
    backup, before = tmp_path / "one.tar", figures(costs(home))
    assert home.call("backup", str(backup)).code == 0
    whole = entries[-1].read_bytes()
    entries[-1].unlink()
    name = f"allocations/_delta_log/{entries[-1].name}"
    done = home.call("maintain", "--check")
    assert (done.code, f"damaged: {name}: it is missing" in done.out) == (1, True)
    done = home.call("maintain", "--repair", "--from-backup", str(backup))
    assert (done.code, f"{name}: restored from the backup" in done.out) == (0, True), done.out + done.err
    assert entries[-1].read_bytes() == whole
    assert figures(costs(home)) == before


def test_backup_names_an_entry_that_is_lost(home: Home, upstream: tuple[Upstream, Served], tmp_path: Path) -> None:
    entries = stored(home, upstream[1])
    entries[-1].unlink()
    done = home.call("backup", str(tmp_path / "one.tar"))
    assert (done.code, f"_delta_log/{entries[-1].name}: it is missing" in done.err) == (3, True)
    assert "maintain --repair --from-backup" in done.err


def test_lost_newest_entry_that_no_backup_has_is_given_up(home: Home, upstream: tuple[Upstream, Served]) -> None:
    entries = stored(home, upstream[1])
    entries[-1].unlink()
    done = home.call("maintain", "--repair")
    assert (done.code, f"{entries[-1].name}: no backup has it" in done.out) == (0, True), done.out + done.err
    assert home.call("maintain", "--check").code == 0
    assert home.call("maintain").code == 0


def test_entry_that_a_checkpoint_makes_up_for_is_set_aside(
    home: Home, upstream: tuple[Upstream, Served], tmp_path: Path
) -> None:
    entries = stored(home, upstream[1])
    before = figures(costs(home))
    change_a_size(entries[1])
    assert home.call("maintain").code == 3
    done = home.call("maintain", "--repair")
    assert (done.code, f"{entries[1].name}: removed" in done.out) == (0, True), done.out + done.err
    assert not entries[1].exists()
    assert (home.folder / "lake" / "set_aside" / "allocations" / "_delta_log" / entries[1].name).exists()
    for command in (("maintain", "--check"), ("maintain",), ("backup", str(tmp_path / "one.tar"))):
        assert home.call(*command).code == 0
    assert home.call("backup", "--verify", str(tmp_path / "one.tar")).code == 0
    assert figures(costs(home)) == before


def test_checkpoints_after_an_entry_put_back_are_removed(
    home: Home, upstream: tuple[Upstream, Served], tmp_path: Path
) -> None:
    entries = stored(home, upstream[1])
    backup, before = tmp_path / "one.tar", figures(costs(home))
    assert home.call("backup", str(backup)).code == 0
    (checkpoint,) = entries[0].parent.glob("*.checkpoint.parquet")
    change_a_size(entries[1])
    done = home.call("maintain", "--repair", "--from-backup", str(backup))
    assert (done.code, f"{checkpoint.name}: removed" in done.out) == (0, True), done.out + done.err
    assert not list(entries[0].parent.glob("*.checkpoint.parquet"))
    assert figures(costs(home)) == before
    assert home.call("maintain").code == 0


def test_tidying_stops_at_a_damaged_log_of_running_days(lake_folder: Path) -> None:
    log = lake_folder / "running" / "_delta_log"
    change_a_size(max(log.glob("*.json")))
    with open_ledger(Settings(home=str(lake_folder.parent))) as ledger, pytest.raises(LogDamaged):
        tidy(ledger)
    assert not list(log.glob("*.checkpoint.parquet"))


def test_log_file_that_cannot_be_put_back_stays(lake_folder: Path) -> None:
    file = FileDamage("running", "_delta_log/00000000000000000000.json", "it is damaged")
    entry = lake_folder / file.table / file.path
    before = entry.read_bytes()
    (entry.parent / f"{entry.name}.new").mkdir()  # nothing can be written beside
    with pytest.raises(StoreError):
        DeltaLake(str(lake_folder)).put_log_file(file, b"{}")
    assert entry.read_bytes() == before


@pytest.mark.parametrize("file", ["_delta_log/00000000000000000000.json", "*.parquet"])
def test_damaged_table_of_accounts_is_written_again(home: Home, upstream: tuple[Upstream, Served], file: str) -> None:
    stored(home, upstream[1])
    accounts = home.folder / "lake" / "accounts"
    (damaged, *_) = accounts.glob(file)
    damaged.write_bytes(damaged.read_bytes()[:40])
    done = home.call("maintain", "--check")
    assert (done.code, f"damaged: accounts/{damaged.relative_to(accounts)}" in done.out) == (1, True)
    done = home.call("maintain", "--repair")
    assert done.code == 0, done.out + done.err
    assert len(list(accounts.glob("*.parquet"))) == 1


def test_backup_compares_the_logs_with_their_checksums(
    home: Home, upstream: tuple[Upstream, Served], tmp_path: Path
) -> None:
    entries = stored(home, upstream[1])
    shutil.copytree(home.folder, tmp_path / "copy")
    change_a_size(tmp_path / "copy" / "lake" / "allocations" / "_delta_log" / entries[1].name)
    copy = Home(tmp_path / "copy")
    assert copy.call("backup", "--partial", str(tmp_path / "one.tar")).code == 0
    done = copy.call("backup", "--verify", str(tmp_path / "one.tar"))
    assert (done.code, f"{entries[1].name}: it is not as it was written" in done.out) == (1, True)
