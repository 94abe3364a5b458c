"""A home of version 1 of the lake is opened, read, collected into, backed up and restored.

`tests/homes/version-1.tar.gz` was made by the last program of that version: two days of two recorded clusters, one
of them collected twice. Beside it lies its backup.
"""

import gzip
import subprocess
import tarfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from threading import Barrier

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from kubetally.domain.allocation import Kind
from kubetally.domain.row import Row
from kubetally.ledger.collect.damage import read_collection
from kubetally.ledger.ports.lake import PackedDay
from kubetally.samples.replay import ReplayServer
from kubetally.store.lake.delta import DeltaLake
from kubetally.store.lake.schema import ALLOCATIONS, ASSETS, VERSION_KEY
from kubetally.store.meta.metadata import open_meta
from kubetally.store.meta.secrets import KeyRing
from kubetally.wiring.clock import SystemClock
from tests.cluster_days import cluster_day
from tests.integration.commands import PROGRAM, Done, call, environment

HOMES = Path(__file__).parents[1] / "homes"
TOTALS = {"aurora": 80.956275 + 85.02604, "cygnus": 194.565339 + 194.560779}
WINDOW = ("--start", "2026-11-20", "--end", "2026-11-22")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with tarfile.open(HOMES / "version-1.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "home"


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    path = tmp_path / "backup.tar"
    path.write_bytes(gzip.decompress((HOMES / "version-1-backup.tar.gz").read_bytes()))
    return path


def do(home: Path, *args: str, **settings: str) -> Done:
    done = call(*args, KUBETALLY_HOME=str(home), **settings)
    assert done.code == 0, done.err
    return done


def totals(home: Path, *more: str, **settings: str) -> dict[str, float]:
    clusters = do(home, "costs", *WINDOW, "--format", "json", *more, **settings).json
    return {cluster["account"]: cluster["summary"]["total_cost"] for cluster in clusters}


def in_any_order(rows: Mapping[str, Sequence[Row]]) -> dict[str, list[str]]:
    return {id_: sorted(map(repr, of_day)) for id_, of_day in rows.items()}


def version_of(home: Path, table: str) -> str | None:
    return DeltaTable(home / "lake" / table).metadata().configuration.get(VERSION_KEY)


def point_at(home: Path, replay: ReplayServer, *accounts: str) -> None:
    """The sources of the home are gone; give its accounts those of this test."""
    for account in accounts:
        do(home, "accounts", "update", account, "--url", replay.url_of(account))


def backfill(home: Path, account: str, start: str, end: str) -> str:
    return do(home, "backfill", account, "--from", start, "--to", end).out


def test_home_is_read_as_it_is(home: Path) -> None:
    assert totals(home) == pytest.approx(TOTALS, abs=1e-9)
    assert version_of(home, "allocations") == "1"


def test_home_is_collected_into(home: Path, replay: ReplayServer) -> None:
    point_at(home, replay, "aurora", "cygnus")
    backfill(home, "cygnus", "2026-11-22", "2026-11-23")
    assert {version_of(home, name) for name in ("allocations", "assets")} == {"2"}
    assert totals(home) == pytest.approx(TOTALS, abs=1e-9)


def test_day_of_two_versions_is_whole(home: Path, replay: ReplayServer) -> None:
    point_at(home, replay, "aurora")
    backfill(home, "aurora", "2026-11-20", "2026-11-21")
    assert totals(home) == pytest.approx(TOTALS, abs=1e-9)
    table = DeltaTable(home / "lake" / "allocations").to_pyarrow_table(filters=[("day", "=", date(2026, 11, 20))])
    by_account: dict[str, list[dict[str, object]]] = {}
    for row in table.to_pylist():
        by_account.setdefault(row["cluster_id"], []).append(row)
    new, old = by_account["aurora"], by_account["cygnus"]
    workloads = [[row for row in rows if row["kind"] == Kind.WORKLOAD] for rows in (new, old)]
    assert [any(row["container"] for row in rows) for rows in workloads] == [True, False]
    assert [all(row["started_at"] for row in rows) for rows in workloads] == [True, False]
    assert {row["assets_complete"] for row in [*new, *old]} == {True, False} or all(
        row["assets_complete"] for row in old
    )
    assert "unexplained" not in {row["kind"] for row in [*new, *old]}


def test_backfilled_days_lack_nothing(home: Path, replay: ReplayServer) -> None:
    point_at(home, replay, "aurora", "cygnus")
    backfill(home, "aurora", "2026-11-20", "2026-11-22")
    backfill(home, "cygnus", "2026-11-20", "2026-11-21")
    said = do(home, "maintain").out
    assert "aurora:" not in said
    assert "cygnus: an earlier version stored 1 day (2026-11-21)" in said


def test_other_programs_find_both_versions(home: Path, replay: ReplayServer) -> None:
    point_at(home, replay, "cygnus")
    backfill(home, "cygnus", "2026-11-22", "2026-11-23")
    for name, schema in (("allocations", ALLOCATIONS), ("assets", ASSETS)):
        table = DeltaTable(home / "lake" / name).to_pyarrow_table()
        assert set(schema.names) <= set(table.column_names)
        assert pa.types.is_decimal(table.schema.field("cpu_cost").type)
        assert set(table["day"].to_pylist()) == {date(2026, 11, day) for day in (20, 21, 22)}


def test_history_of_version_1_holds(home: Path, replay: ReplayServer) -> None:
    point_at(home, replay, "cygnus")
    backfill(home, "cygnus", "2026-11-20", "2026-11-21")
    its_end, settings = "2026-11-28T22:26:30Z", {"KUBETALLY_HISTORY_DAYS": "36500"}
    assert totals(home, "--as-of", its_end, **settings) == pytest.approx(TOTALS, abs=1e-9)


def test_home_is_backed_up_and_restored(home: Path, tmp_path: Path) -> None:
    file = str(tmp_path / "new.tar")
    do(home, "backup", file)
    do(tmp_path / "restored", "restore", file)
    assert totals(tmp_path / "restored") == pytest.approx(TOTALS, abs=1e-9)


def test_backup_of_version_1_is_restored(backup: Path, tmp_path: Path, replay: ReplayServer) -> None:
    restored = tmp_path / "restored"
    do(tmp_path / "none", "backup", "--verify", str(backup))
    do(restored, "restore", str(backup))
    assert totals(restored) == pytest.approx(TOTALS, abs=1e-9)
    point_at(restored, replay, "aurora")
    backfill(restored, "aurora", "2026-11-22", "2026-11-23")
    assert totals(restored) == pytest.approx(TOTALS, abs=1e-9)


def test_whole_home_is_checked_and_maintained(home: Path) -> None:
    do(home, "maintain", "--check")
    said = do(home, "maintain").out
    assert "aurora: an earlier version stored 2 days from 2026-11-20 to 2026-11-21 without containers" in said
    assert "kubetally backfill aurora --from 2026-11-20 --to 2026-11-22" in said
    assert totals(home) == pytest.approx(TOTALS, abs=1e-9)


def test_two_programs_may_upgrade_at_once(home: Path) -> None:
    lakes, together = [DeltaLake(str(home / "lake")) for _ in range(2)], Barrier(2)

    def write(number: int) -> None:
        lakes[number].newest_version()  # both have seen version 1
        together.wait()
        lakes[number].put([cluster_day(f"account-{number}", day=date(2026, 11, 25))])

    with ThreadPoolExecutor(2) as programs:
        list(programs.map(write, range(2)))
    assert version_of(home, "allocations") == "2"
    assert totals(home) == pytest.approx(TOTALS, abs=1e-9)
    added = DeltaTable(home / "lake" / "allocations").to_pyarrow_table(columns=["account_id"])["account_id"].to_pylist()
    assert {"account-0", "account-1"} <= set(added)


def test_upgrade_that_was_killed_goes_on(home: Path, replay: ReplayServer) -> None:
    point_at(home, replay, "cygnus")
    command = (PROGRAM, "backfill", "cygnus", "--from", "2026-11-22", "--to", "2026-11-23")
    log = home / "lake" / "allocations" / "_delta_log"
    before = set(log.glob("*.json"))
    program = subprocess.Popen(command, env=environment(KUBETALLY_HOME=str(home)), stdout=subprocess.DEVNULL)
    while program.poll() is None and set(log.glob("*.json")) == before:
        time.sleep(0.001)
    program.kill()
    program.wait()
    assert "container" in {field.name for field in DeltaTable(home / "lake" / "allocations").schema().fields}
    assert totals(home) == pytest.approx(TOTALS, abs=1e-9)
    backfill(home, "cygnus", "2026-11-22", "2026-11-23")
    do(home, "maintain", "--check")
    assert version_of(home, "allocations") == "2"
    assert totals(home) == pytest.approx(TOTALS, abs=1e-9)


def test_repaired_version_1_day_stays_as_it_was(home: Path) -> None:
    with open_meta(f"sqlite:///{home}/kubetally.db", KeyRing.open(None, home), clock=SystemClock()) as meta:
        lake = DeltaLake(str(home / "lake"))
        held = list(meta.coverage.collections_on(date(2026, 11, 20)).values())
        days = [day for day, _ in (read_collection(lake, collection) for collection in held) if day is not None]
        before = in_any_order(lake.rows(held))
        lake.replace([day for day in lake.pack(days) if isinstance(day, PackedDay)], replace_damaged=True)
        assert in_any_order(lake.rows(held)) == before
    rows = DeltaTable(home / "lake" / "allocations").to_pyarrow_table(filters=[("day", "=", date(2026, 11, 20))])
    assert set(rows["idle_cpu_weighted"].to_pylist()) == {None}
    assert "unexplained" not in rows["kind"].to_pylist()
