"""What the checksums of a lake's logs tell without reading its tables."""

from pathlib import Path

import pytest

from kubetally.store.lake.delta import DeltaLake
from kubetally.store.lake.noted_log import DAY_TABLES, noted_version
from kubetally.store.lake.schema import TableName
from tests.cluster_days import cluster_day

Noted = dict[tuple[str, str], int]


@pytest.fixture
def lake(tmp_path: Path) -> DeltaLake:
    lake = DeltaLake(str(tmp_path / "lake"))
    lake.put([cluster_day("a")])
    lake.put([cluster_day("b", is_running=True)])
    return lake


def noted(lake: DeltaLake) -> Noted:
    return {(file.table, file.name): file.crc for file in lake.new_log_files({})}


def log_of(lake: DeltaLake) -> Path:
    return Path(lake.url) / "allocations" / "_delta_log"


def test_every_table_of_days_is_compared() -> None:
    assert set(DAY_TABLES) == set(TableName) - {TableName.ACCOUNTS}


def test_version_of_a_sound_lake_is_that_of_its_days(lake: DeltaLake) -> None:
    assert noted_version(Path(lake.url), noted(lake)) == lake.newest_version() == 1


def test_commit_that_is_not_noted_needs_the_lake(lake: DeltaLake) -> None:
    before = noted(lake)
    lake.put([cluster_day("a", 1)])
    assert noted_version(Path(lake.url), before) is None


def test_changed_entry_needs_the_lake(lake: DeltaLake) -> None:
    known = noted(lake)
    entry = min(log_of(lake).glob("*.json"))
    entry.write_bytes(entry.read_bytes() + b" ")
    assert noted_version(Path(lake.url), known) is None


@pytest.mark.parametrize("version", [0, 1])
def test_missing_entry_needs_the_lake(lake: DeltaLake, version: int) -> None:
    known = noted(lake)
    (log_of(lake) / f"{version:020}.json").unlink()
    assert noted_version(Path(lake.url), known) is None


def test_lake_that_is_gone_needs_the_lake(lake: DeltaLake, tmp_path: Path) -> None:
    assert noted_version(tmp_path / "other", noted(lake)) is None
