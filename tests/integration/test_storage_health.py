"""What commands and probes say of stores that can't be read or written, and of disks that are nearly full."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from kubetally.ledger.diagnose.storage import MIN_FREE_BYTES, DiskSpace, StorageCheck, StorageProblemKind
from kubetally.samples.replay import ReplayServer
from kubetally.settings import Settings
from kubetally.wiring.diagnosis import check_storage, storage_check
from kubetally.wiring.ledger import open_ledger
from tests.integration.commands import DAY
from tests.integration.test_accounts_command import Home
from tests.kept import CoverageInMemory, LakeInMemory
from tests.service import AccountsInMemory, cost_service, serving

GIB = 1 << 30
ONE_DAY = ("--from", "2026-11-20", "--to", "2026-11-21")


@pytest.fixture
def stored(home: Home, replay: ReplayServer) -> Home:
    """A home with one stored day."""
    home.add("aurora", "--url", replay.url_of("aurora"))
    done = home.call("backfill", "aurora", *ONE_DAY)
    assert done.code == 0, done.err
    return home


def settings_of(home: Home) -> Settings:
    return Settings(home=str(home.folder), lake_url=home.settings.get("KUBETALLY_LAKE_URL"))


def kinds(home: Home) -> list[StorageProblemKind]:
    """Of the problems; how full the machine's own disk is does not matter here."""
    problems = check_storage(settings_of(home)).problems
    return [problem.kind for problem in problems if problem.kind is not StorageProblemKind.DISK_NEARLY_FULL]


def first_log_entry(home: Home) -> Path:
    """Unlike the newest one, it can't be one that a power cut left unfinished."""
    return min((home.folder / "lake" / "allocations" / "_delta_log").glob("*.json"))


@contextmanager
def read_only(disk: Path) -> Iterator[None]:
    subprocess.run(["/usr/bin/mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        yield
    finally:
        subprocess.run(["/usr/bin/mount", "-o", "remount,rw", str(disk)], check=True)


@pytest.mark.parametrize(
    ("free", "total", "is_nearly_full"),
    [
        (MIN_FREE_BYTES - 1, 10 * GIB, True),
        (MIN_FREE_BYTES, 10 * GIB, False),
        (49 * GIB, 1000 * GIB, True),
        (50 * GIB, 1000 * GIB, False),
        (0, 0, True),
    ],
)
def test_disk_is_nearly_full_below_5_percent_or_1_gib(free: int, total: int, is_nearly_full: bool) -> None:
    assert DiskSpace(free, total).is_nearly_full is is_nearly_full


def test_sound_stores_have_no_problem(stored: Home) -> None:
    assert kinds(stored) == []
    assert set(check_storage(settings_of(stored)).disks) == {"database", "lake"}


def test_commands_do_not_ask_for_a_lake_before_a_day_is_stored(home: Home, replay: ReplayServer) -> None:
    home.add("aurora", "--url", replay.url_of("aurora"))
    assert kinds(home) == []
    assert not (home.folder / "lake").exists()


def test_missing_lake_is_a_problem_once_days_were_stored(stored: Home) -> None:
    shutil.rmtree(stored.folder / "lake")
    assert kinds(stored) == [StorageProblemKind.LAKE_UNREADABLE]


def test_damage_of_the_log_is_a_problem(stored: Home) -> None:
    entry = min((stored.folder / "lake" / "allocations" / "_delta_log").glob("*.json"))
    content = entry.read_text()
    entry.write_text(content.replace('"createdTime":1', '"createdTime":2', 1))
    assert entry.read_text() != content
    assert kinds(stored) == [StorageProblemKind.LOG_DAMAGED]
    for command in (("coverage", "--window", "2026-11-20,2026-11-21"), ("doctor",)):
        done = stored.call(*command)
        assert f"allocations/_delta_log/{entry.name}" in done.out + done.err


def test_damaged_day_is_a_problem_that_names_it(stored: Home) -> None:
    file = next((stored.folder / "lake" / "allocations").rglob("*.parquet"))
    file.write_bytes(file.read_bytes()[:-100])
    assert stored.call("maintain", "--check").code == 1
    health = check_storage(settings_of(stored))
    damaged = [problem for problem in health.problems if problem.kind is StorageProblemKind.DAYS_DAMAGED]
    assert "2026-11-20 of aurora" in damaged[0].message
    assert health.days_damaged == 1
    assert "a stored day is damaged" in stored.call("coverage", "--window", "2026-11-20,2026-11-21").err


def test_unreadable_log_is_shown_by_coverage_and_doctor(stored: Home) -> None:
    first_log_entry(stored).write_bytes(b"\0" * 100)
    assert kinds(stored) == [StorageProblemKind.LAKE_UNREADABLE]
    done = stored.call("coverage", "aurora", "--window", "2026-11-20,2026-11-21")
    assert "warning: " in done.err
    assert str(stored.folder / "lake") in done.err
    done = stored.call("doctor", "aurora", *DAY, "--format", "json")
    assert done.code == 3
    findings = [finding for finding in done.json["findings"] if finding["subject"] == "storage"]
    assert findings[0]["level"] == "failed"
    assert findings[0]["remedy"]
    assert stored.call("maintain").code != 0


@pytest.mark.parametrize("small_disk", ["32m"], indirect=True)
def test_small_disk_is_shown_by_commands(home: Home, replay: ReplayServer, small_disk: Path) -> None:
    home = Home(home.folder, {"KUBETALLY_LAKE_URL": str(small_disk / "lake")})
    home.add("aurora", "--url", replay.url_of("aurora"))
    assert home.call("backfill", "aurora", *ONE_DAY).code == 0
    told = rf"the disk of the lake \({re.escape(str(small_disk / 'lake'))}\) has [23]\d\.\d MiB left"
    for command in (("coverage",), ("maintain",)):
        done = home.call(*command)
        assert (done.code, bool(re.search(told, done.err))) == (0, True), done.err
    done = home.call("doctor", "aurora", *DAY)
    assert (done.code, "warning  storage: the disk of the lake" in done.out) == (0, True), done.out
    with read_only(small_disk):
        assert kinds(home) == [StorageProblemKind.LAKE_NOT_WRITABLE]


def storage_of(disk: DiskSpace) -> StorageCheck:
    """A check of stores in memory with a disk of that size."""

    class Usage:
        free, total = disk.free, disk.total

    return StorageCheck(
        CoverageInMemory(),  # type: ignore[arg-type]
        LeasesFree(),  # type: ignore[arg-type]
        LakeInMemory,  # type: ignore[arg-type,return-value]
        {"lake": Path("/")},
        disk_usage=lambda folder: Usage,
    )


@pytest.mark.parametrize(
    ("free", "words"),
    [(GIB - 1, "1024.0 MiB"), (GIB, "1.00 GiB"), (3 * GIB // 2, "1.50 GiB"), (1 << 20, "1.0 MiB"), (0, "0.0 MiB")],
)
def test_free_space_below_1_gib_is_in_mib(free: int, words: str) -> None:
    [problem] = storage_of(DiskSpace(free, 1000 * GIB)).check().problems
    assert problem.message == f"the disk of the lake (/) has {words} left, {free / (1000 * GIB):.1%} of it"


class LeasesFree:
    """Leases that anybody may have."""

    def acquire(self, name: str) -> None:
        return None


def test_probes_report_a_full_disk_and_stay_ready() -> None:
    storage = storage_of(DiskSpace(GIB // 2, 100 * GIB))
    with serving(cost_service(AccountsInMemory()), storage=storage) as url:
        answer = httpx.get(f"{url}/readyz")
        figures = httpx.get(f"{url}/metrics").text
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    assert answer.json()["problems"] == ["disk_nearly_full"]
    assert '\nkubetally_storage_problem{problem="disk_nearly_full"} 1.0\n' in figures
    assert '\nkubetally_storage_problem{problem="lake_unreadable"} 0.0\n' in figures
    assert '\nkubetally_disk_free_bytes{store="lake"} 5.36870912e+08\n' in figures


def test_probes_of_sound_stores_name_no_problem() -> None:
    storage = storage_of(DiskSpace(50 * GIB, 100 * GIB))
    with serving(cost_service(AccountsInMemory()), storage=storage) as url:
        assert "problems" not in httpx.get(f"{url}/readyz").json()


def test_closed_database_is_a_problem_and_no_error(stored: Home) -> None:
    settings = settings_of(stored)
    with open_ledger(settings) as ledger:
        check = storage_check(ledger, settings)
        for file in stored.folder.glob("kubetally.db*"):
            file.unlink()
        found = {problem.kind for problem in check.check().problems}
    assert found & {StorageProblemKind.DATABASE_UNREADABLE, StorageProblemKind.DATABASE_NOT_WRITABLE}
