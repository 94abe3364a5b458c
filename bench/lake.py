"""Replacing one cluster-day in a lake that is full, beside writing that day's file and nothing else."""

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from statistics import median

import pyarrow.parquet as pq
from deltalake import DeltaTable

from bench import fresh
from bench.table import Line
from kubetally.domain.collection import CollectedDay
from kubetally.domain.damage import CollectionGone
from kubetally.ledger.sample.fleet import FIGURES_VERSION, SampleCluster
from kubetally.ledger.sample.make import SampleFleet, sample_account_id
from kubetally.store.lake import files
from kubetally.store.lake.delta import DeltaLake
from kubetally.store.lake.encode import ALLOCATION_FILE, allocation_tables
from kubetally.store.lake.schema import SCHEMA_VERSION, TableName
from kubetally.store.lake.storage import DiskStorage
from kubetally.wiring.sample import make_sample
from tests.cluster_days import cluster_day

CLUSTERS, PODS, DAYS = 50, 1000, 365
YEAR = Path(__file__).parent.parent / ".build" / "bench" / f"year-{SCHEMA_VERSION}-{FIGURES_VERSION}"
_LAST = date(2026, 11, 22)
_TURNS = 3
_TIMES_A_TURN = 5
_MOST_TIMES = 3.0
_MANY = 100
_BYTES_A_POD = 70.5  # of ten clusters of 1,000 pods
_MOST_BYTES = 1.15 * _BYTES_A_POD


def lines() -> list[Line]:
    """A year of a fleet, made once and kept in `.build`, as it takes minutes."""
    seconds_to_make, rows = made()
    url = str(YEAR / "home" / "lake")
    figures = fresh.in_turns({"replace": replace_day, "alone": alone}, url, times=_TURNS)
    seconds = {case: figure["seconds"] for case, figure in figures.items()}
    ratio = seconds["replace"] / seconds["alone"]
    with tempfile.TemporaryDirectory() as name:
        commits, of_many = _commits_of_many(DeltaLake(name))
    size = sum(file.stat().st_size for file in Path(url).rglob("*.parquet"))
    a_row = _bytes_a_row(Path(url, TableName.ALLOCATIONS))
    return [
        Line(
            "lake",
            "the lake",
            f"{CLUSTERS} clusters x {DAYS} days x {PODS:,} pods: {rows:,} rows, {size / 2**30:.2f} GiB",
        ),
        Line(
            "lake",
            f"a row of it; a pod's took {_BYTES_A_POD} bytes in version 1",
            f"{a_row:.1f} bytes",
            f"at most {_MOST_BYTES:.1f}",
            a_row <= _MOST_BYTES,
        ),
        Line("lake", "making it: rows, Arrow and commits, a day", f"{seconds_to_make / DAYS:.2f} s"),
        Line("lake", "opening it and reading one cluster-day", f"{figures['replace']['opening'] * 1e3:.0f} ms"),
        Line("lake", "writing a day's file alone, from Arrow", f"{seconds['alone'] * 1e3:.0f} ms"),
        Line(
            "lake",
            "replacing one cluster-day, assets and rows, beside writing the day's file alone",
            f"{seconds['replace'] * 1e3:.0f} ms, {ratio:.2f}x",
            f"under {_MOST_TIMES:g}x",
            ratio < _MOST_TIMES,
        ),
        Line("lake", "reading one cluster-day of it", f"{figures['replace']['reading'] * 1e3:.0f} ms"),
        Line(
            "lake",
            f"{_MANY} clusters of one day",
            f"{commits} commit, {of_many:.2f} s",
            "one commit of each table",
            commits == 1,
        ),
    ]


def _bytes_a_row(table: Path) -> float:
    """Of the newest ten days."""
    files_of_days = [file for day in sorted(table.glob("day=*"))[-10:] for file in day.glob("*.parquet")]
    rows = sum(pq.read_metadata(file).num_rows for file in files_of_days)
    return sum(file.stat().st_size for file in files_of_days) / rows


def replace_day(url: str) -> dict[str, float]:
    """Medians of replacing a cluster-day of the last day, each time by another collection, and of reading it back."""
    began = time.perf_counter()
    lake = DeltaLake(url)
    (day,) = fleet(1, 17)
    with suppress(CollectionGone):  # an earlier run replaced it
        lake.rows([day.collection])
    opening = time.perf_counter() - began
    again = (_of(day, f"again-{number}-{time.time_ns()}") for number in range(100))
    last = next(again)
    lake.put([last])

    def replace_it() -> None:
        nonlocal last
        last = next(again)
        lake.put([last])

    seconds = _time(replace_it)
    held = last.collection
    reading = _time(lambda: _assert_reads(lake, held.id, last))
    return {"seconds": seconds, "reading": reading, "opening": opening}


def alone(_: str) -> dict[str, float]:
    """The median of writing the file of the last day, from tables that are ready, until it is on the disk."""
    tables = allocation_tables(fleet(CLUSTERS))
    with tempfile.TemporaryDirectory(dir=YEAR) as folder:
        storage = DiskStorage(Path(folder))
        return {"seconds": _time(lambda: files.write(storage, _LAST, tables, ALLOCATION_FILE))}


def fleet(count: int, first: int = 1) -> list[CollectedDay]:
    """The last day of some clusters of the fleet, whose accounts are those of the lake."""
    clusters = [SampleCluster(number, PODS) for number in range(first, first + count)]
    return [next(iter(cluster.days(sample_account_id(cluster), _LAST, 1))) for cluster in clusters]


def made() -> tuple[float, int]:
    """Seconds that it took and rows that there are, noted beside it."""
    note = YEAR / "made.json"
    if not note.exists():
        for folder in YEAR.parent.glob("year-*"):
            shutil.rmtree(folder, ignore_errors=True)
        began = time.perf_counter()
        rows = make_sample(SampleFleet(CLUSTERS, PODS, DAYS, _LAST), YEAR / "home")
        note.write_text(json.dumps([time.perf_counter() - began, rows]))
    seconds, rows = json.loads(note.read_text())
    return seconds, rows


def _commits_of_many(lake: DeltaLake) -> tuple[int, float]:
    """The most commits that any table got for it, and seconds."""
    day = _LAST
    clusters = [cluster_day(f"cluster-{number:03}", day=day, pods=100, nodes=4) for number in range(_MANY)]
    tables = [f"{lake.url}/{name}" for name in ("allocations", "assets")]
    lake.put(clusters[:1])
    before = [DeltaTable(table).version() for table in tables]
    began = time.perf_counter()
    lake.put(clusters)
    seconds = time.perf_counter() - began
    return max(DeltaTable(table).version() - was for table, was in zip(tables, before, strict=True)), seconds


def _of(day: CollectedDay, id_: str) -> CollectedDay:
    return replace(day, collection=replace(day.collection, id=id_))


def _time(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(_TIMES_A_TURN):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return median(seconds)


def _assert_reads(lake: DeltaLake, id_: str, day: CollectedDay) -> None:
    assert lake.rows([day.collection])[id_] == tuple(row._replace(details=None) for row in day.rows)
