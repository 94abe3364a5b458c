"""A backup is verified before it takes the place of a file, and before it is restored."""

import json
import os
import shutil
import sqlite3
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from kubetally.store.lake.schema import SCHEMA_VERSION
from tests.integration.commands import PROGRAM, environment
from tests.integration.test_accounts_command import Home
from tests.integration.upstream import Upstream, added, backfill
from tests.served import Served


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with three stored days, and a good backup of it beside it."""
    folder = tmp_path_factory.mktemp("stored")
    home = Home(folder / "home")
    with Served(Upstream().answers) as server:
        added(home, server)
        backfill(home)
    assert home.call("backup", str(folder / "good.tar")).code == 0
    return folder


@pytest.fixture
def home(stored: Path, tmp_path: Path) -> Home:
    shutil.copytree(stored, tmp_path, dirs_exist_ok=True)
    return Home(tmp_path / "home")


def data_file(home: Home) -> Path:
    return min((home.folder / "lake" / "allocations").glob("day=2026-11-21/*"))


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGE: dict[str, tuple[Callable[[Home], object], str]] = {
    "lake absent": (lambda home: shutil.rmtree(home.folder / "lake"), "aurora: 2026-11-20, 2026-11-21, 2026-11-22"),
    "lake empty": (
        lambda home: (shutil.rmtree(home.folder / "lake"), (home.folder / "lake").mkdir()),
        "aurora: 2026-11-20, 2026-11-21, 2026-11-22",
    ),
    "table absent": (lambda home: shutil.rmtree(home.folder / "lake" / "allocations"), "aurora: 2026-11-20"),
    "assets' file absent": (
        lambda home: min((home.folder / "lake" / "assets").glob("day=2026-11-21/*")).unlink(),
        "assets: the file day=2026-11-21",
    ),
    "file absent": (lambda home: data_file(home).unlink(), "aurora: 2026-11-21"),
    "file cut off": (lambda home: os.truncate(data_file(home), 1000), "it has 1000 bytes"),
    "bit flipped": (lambda home: _flip(data_file(home)), "aurora: 2026-11-21"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_lake_is_not_written_over_a_good_backup(home: Home, tmp_path: Path, damage: str) -> None:
    good = tmp_path / "good.tar"
    before = good.read_bytes()
    change, told = DAMAGE[damage]
    change(home)
    done = home.call("backup", str(good))
    assert done.code == 3
    assert told in done.err
    assert "kubetally backfill" in done.err
    assert good.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["good.tar", "home"]


def test_partial_backup_is_written_to_a_new_file_only(home: Home, tmp_path: Path) -> None:
    data_file(home).unlink()
    assert home.call("backup", "--partial", str(tmp_path / "good.tar")).code == 3
    done = home.call("backup", "--partial", str(tmp_path / "partial.tar"))
    assert done.code == 0, done.err
    assert "warning: damaged allocations of aurora: 2026-11-21" in done.err
    other = Home(tmp_path / "other")
    done = other.call("restore", str(tmp_path / "partial.tar"))
    assert done.code == 2
    assert "aurora: 2026-11-21" in done.err
    assert not (other.folder / "kubetally.db").exists() or not other.names()
    assert other.call("restore", "--partial", str(tmp_path / "partial.tar")).code == 0


def test_damaged_backup_is_restored_as_far_as_it_goes(home: Home, tmp_path: Path) -> None:
    file, name = tmp_path / "good.tar", f"lake/{data_file(home).relative_to(home.folder / 'lake')}"
    flip_in(file, name)
    other = Home(tmp_path / "other")
    done = other.call("restore", str(file))
    assert done.code == 2
    assert f"{name} differs from its checksum" in done.err
    assert "aurora: 2026-11-21" in done.err
    done = other.call("restore", "--partial", str(file))
    assert done.code == 0, done.err
    assert "damaged allocations" in done.err
    done = other.call("maintain", "--check")
    assert (done.code, "damaged: 2026-11-21 of aurora" in done.out) == (1, True), done.out
    for day, following in (("2026-11-20", "2026-11-21"), ("2026-11-22", "2026-11-23")):
        done = other.call("costs", "aurora", "--start", day, "--end", following)
        assert (done.code, "assets complete" in done.out) == (0, True), done.out + done.err


def test_damaged_log_in_a_backup_is_not_restored(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "good.tar"
    flip_in(file, "lake/allocations/_delta_log/00000000000000000000.json")
    other = Home(tmp_path / "other")
    assert other.call("restore", "--partial", str(file)).code == 2
    assert other.call("restore", "--partial", str(file)).code == 2, "nothing stayed of it"


def flip_in(backup: Path, name: str) -> None:
    """Flip a bit of a member."""
    with tarfile.open(backup) as tar:
        member = tar.getmember(name)
    content = bytearray(backup.read_bytes())
    content[member.offset_data + member.size // 2] ^= 1
    backup.write_bytes(content)


def test_empty_home_does_not_replace_a_backup_with_days(tmp_path: Path, home: Home) -> None:
    good = tmp_path / "good.tar"
    before, fresh = good.read_bytes(), Home(tmp_path / "fresh")
    done = fresh.call("backup", str(good))
    assert done.code == 3
    assert "aurora: 2026-11-20, 2026-11-21, 2026-11-22" in done.err
    assert good.read_bytes() == before
    done = fresh.call("backup", str(tmp_path / "first.tar"))
    assert done.code == 0, done.err
    assert "no day is stored yet" in done.out


def test_days_of_a_removed_account_may_be_left_out(home: Home, tmp_path: Path) -> None:
    assert home.call("accounts", "remove", "aurora", "--yes").code == 0
    (removed,) = home.call("accounts", "list", "--removed", "--format", "json").json
    assert home.call("accounts", "purge", removed["id"], "--yes").code == 0
    done = home.call("backup", str(tmp_path / "good.tar"))
    assert done.code == 0, done.err


def test_verify_tells_what_a_backup_holds(home: Home, tmp_path: Path) -> None:
    done = home.call("backup", "--verify", str(tmp_path / "good.tar"))
    assert done.code == 0, done.err
    assert "as of 20" in done.out
    assert "1 account, 3 days" in done.out


def test_verify_tells_what_is_wrong(home: Home, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.tar", tmp_path / "bad.tar"
    with tarfile.open(good) as tar:
        member = max((one for one in tar.getmembers() if "allocations/day=" in one.name), key=lambda one: one.name)
    content = bytearray(good.read_bytes())
    content[member.offset_data + member.size // 2] ^= 1
    bad.write_bytes(content)
    done = home.call("backup", "--verify", str(bad))
    assert done.code == 1
    assert member.name in done.out
    assert "damaged allocations of aurora: 2026-11-22" in done.out
    for name, size in (("cut.tar", len(content) // 2), ("empty.tar", 0)):
        (tmp_path / name).write_bytes(good.read_bytes()[:size])
        done = home.call("backup", "--verify", str(tmp_path / name))
        assert (done.code, "is not a complete backup" in done.err) == (1, True)
    assert home.call("backup", "--verify", str(tmp_path / "none.tar")).code == 1


def test_verify_names_no_temporary_folder(home: Home, tmp_path: Path) -> None:
    bad = tmp_path / "bad.tar"
    with tarfile.open(tmp_path / "good.tar") as tar:
        entry = max(
            (member for member in tar.getmembers() if "allocations/_delta_log/" in member.name),
            key=lambda one: one.name,
        )
    content = bytearray((tmp_path / "good.tar").read_bytes())
    content[entry.offset_data] ^= 1
    bad.write_bytes(content)
    done = home.call("backup", "--verify", str(bad))
    assert done.code == 1
    assert "allocations: " in done.out
    assert str(Path(tempfile.gettempdir(), "kubetally-")) not in done.out
    assert "<unknown>" not in done.out


@pytest.mark.parametrize("table", ["allocations", "assets"])
def test_sums_that_differ_from_the_database_are_noticed(home: Home, tmp_path: Path, table: str) -> None:
    with closing(sqlite3.connect(home.folder / "kubetally.db")) as connection, connection:
        question = "SELECT id, balance, head FROM collections WHERE day = '2026-11-21'"
        ((id_, *texts),) = connection.execute(question)
        balance, head = map(json.loads, texts)
        if table == "assets":
            head["assets"][2] += 1
        else:
            balance["cpu"][1] += 1
        change = "UPDATE collections SET balance = ?, head = ? WHERE id = ?"
        connection.execute(change, (json.dumps(balance), json.dumps(head), id_))
    done = home.call("backup", str(tmp_path / "other.tar"))
    assert done.code == 3
    assert f"damaged {table} (" in done.err
    assert "of aurora: 2026-11-21" in done.err
    assert home.call("backup", "--partial", str(tmp_path / "other.tar")).code == 0
    assert home.call("backup", "--verify", str(tmp_path / "other.tar")).code == 1


def test_damaged_file_of_history_is_noticed(home: Home, tmp_path: Path) -> None:
    replaced = data_file(home)
    with Served(Upstream().answers) as server:
        home.call("accounts", "update", "aurora", "--url", f"{server.url}/aurora")
        backfill(home, "aurora", "--force")
    _flip(replaced)
    done = home.call("backup", str(tmp_path / "other.tar"))
    assert done.code == 3
    assert f"{replaced.name}, which only history needs" in done.err
    assert home.call("maintain", "--repair").code == 0
    assert home.call("backup", str(tmp_path / "other.tar")).code == 0


def test_backup_of_a_newer_program_is_not_replaced(home: Home, tmp_path: Path) -> None:
    newer = tmp_path / "newer.tar"
    changes: tuple[tuple[str, bytes, bytes], ...] = (
        ("metadata.jsonl", b'"kubetally_dump":1', b'"kubetally_dump":2'),
        ("metadata.jsonl", b'"revision":"0', b'"revision":"9'),
        (
            "lake/allocations/",
            b'"kubetally.schema_version":"%d"' % SCHEMA_VERSION,
            b'"kubetally.schema_version":"%d"' % (SCHEMA_VERSION + 1),
        ),
        ("lake/assets/", b'"minWriterVersion":2', b'"minWriterVersion":9'),
    )
    for member, old, new in changes:
        content = (tmp_path / "good.tar").read_bytes()
        begin = content.index(old, content.index(member.encode()))
        newer.write_bytes(content[:begin] + new + content[begin + len(new) :])
        done = home.call("backup", str(newer))
        assert (done.code, "newer Kubetally" in done.err) == (3, True), (member, new, done)
        assert newer.read_bytes()[begin : begin + len(new)] == new
        done = home.call("backup", "--partial", str(newer))
        assert done.code == 3


def test_one_damaged_file_is_told_once_for_all_accounts(home: Home, tmp_path: Path) -> None:
    with Served(Upstream().answers) as server:
        for name in ("cygnus", "draco"):
            added(home, server, name)
            backfill(home, name)
    for file in (home.folder / "lake" / "allocations").glob("day=2026-11-21/*"):
        file.write_bytes(b"")
    done = home.call("backup", str(tmp_path / "other.tar"))
    assert done.code == 3
    assert "damaged allocations of aurora, cygnus, draco: 2026-11-21" in done.err
    assert done.err.count("draco") == 1


def test_restore_tells_the_instant(home: Home, tmp_path: Path) -> None:
    told = home.call("backup", "--verify", str(tmp_path / "good.tar")).out
    instant = told.split("as of ")[1].split(",")[0]
    done = Home(tmp_path / "other").call("restore", str(tmp_path / "good.tar"))
    assert done.code == 0, done.err
    assert f"as of {instant}, 1 account, 3 days" in done.out


def run_limited(home: Home, tmp_path: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """The program, where it may write no file of more than 1 KiB."""
    limited = ["bash", "-c", 'ulimit -f 1; exec "$@"', "limited", str(PROGRAM), *args]
    env = environment(KUBETALLY_HOME=str(home.folder), TMPDIR=str(tmp_path))
    return subprocess.run(limited, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "args", [("backup", "--verify"), ("maintain", "--repair", "--from-backup"), ("backup",)], ids=lambda args: args[-1]
)
def test_full_temporary_folder_is_named(home: Home, tmp_path: Path, args: tuple[str, ...]) -> None:
    good = tmp_path / "good.tar"
    before = good.read_bytes()
    done = run_limited(home, tmp_path, *args, str(good))
    assert done.returncode == 3, done
    assert f"error: the temporary folder {tmp_path} can't be written" in done.stderr
    assert "TMPDIR" in done.stderr
    assert "Traceback" not in done.stderr
    assert good.read_bytes() == before
