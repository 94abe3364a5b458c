"""Replacing one cluster-day in a lake that is full, beside writing that day's file and nothing else."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from statistics import median

from deltalake import DeltaTable

from bench import fresh
from bench.table import Line
from kubetally.domain.collection import CollectedDay
from kubetally.store.lake import files
from kubetally.store.lake.columns import ALLOCATION_FILE, allocation_table
from kubetally.store.lake.delta import DeltaLake
from kubetally.store.lake.storage import DiskStorage
from tests.cluster_days import cluster_day

CLUSTERS, PODS, NODES = 50, 1000, 40
_FIRST = date(2026, 1, 1)
_FULL_DAYS, _LOG_DAYS = 30, 335
_LAST = _FIRST + timedelta(days=_FULL_DAYS + _LOG_DAYS - 1)
_TURNS = 3
_TIMES_A_TURN = 5
_MOST_TIMES = 3.0
_MANY = 100


def lines() -> list[Line]:
    """A month of full days after eleven of small ones: a year of commits, and days as large as they get."""
    with tempfile.TemporaryDirectory() as name:
        lake = DeltaLake(str(Path(name) / "lake"))
        filled = _fill(lake)
        found = fresh.in_turns({"replace": replaced, "alone": alone}, name, times=_TURNS)
        seconds = {case: one["seconds"] for case, one in found.items()}
        ratio = seconds["replace"] / seconds["alone"]
        commits, of_many = _commits_of_many(lake)
    return [
        Line(
            "lake",
            "the lake",
            f"{_FULL_DAYS} days of {CLUSTERS} clusters x {PODS:,} pods after {_LOG_DAYS} small days, a commit each",
        ),
        Line("lake", "a whole day of all clusters, from rows to the commit", f"{filled:.2f} s"),
        Line("lake", "writing that day's file alone, from Arrow", f"{seconds['alone'] * 1e3:.0f} ms"),
        Line(
            "lake",
            "replacing one cluster-day, assets and rows, beside writing the day's file alone",
            f"{seconds['replace'] * 1e3:.0f} ms, {ratio:.2f}x",
            f"under {_MOST_TIMES:g}x",
            ratio < _MOST_TIMES,
        ),
        Line("lake", "reading one cluster-day of it", f"{found['replace']['reading'] * 1e3:.0f} ms"),
        Line(
            "lake",
            f"{_MANY} clusters of one day",
            f"{commits} commit, {of_many:.2f} s",
            "one commit of each table",
            commits == 1,
        ),
    ]


def replaced(folder: str) -> dict[str, float]:
    """Medians of replacing a cluster-day of the last day, each time by another one, and of reading it back."""
    lake, day = DeltaLake(str(Path(folder) / "lake")), cluster_day("cluster-017", day=_LAST, pods=PODS, nodes=NODES)
    again = (_of(day, _LAST, f"again-{number}-{time.time_ns()}") for number in range(100))
    last = next(again)
    lake.put([last])

    def replace_it() -> None:
        nonlocal last
        last = next(again)
        lake.put([last])

    seconds = _timed(replace_it)
    held = last.collection
    return {"seconds": seconds, "reading": _timed(lambda: _assert_reads(lake, held.id, last))}


def alone(folder: str) -> dict[str, float]:
    """The median of writing the file of the last day, from tables that are ready, until it is on the disk."""
    tables = [allocation_table(one) for one in _fleet(_LAST)]
    storage = DiskStorage(Path(tempfile.mkdtemp(dir=folder)))
    return {"seconds": _timed(lambda: files.write(storage, _LAST, tables, ALLOCATION_FILE))}


def _fill(lake: DeltaLake) -> float:
    """Small days, then full ones; the median seconds of a full one."""
    small = cluster_day("cluster-000", pods=10, nodes=1)
    for number in range(_LOG_DAYS):
        lake.put([_of(small, _FIRST + timedelta(days=number), str(number))])
    fleet, seconds = _fleet(_LAST), []
    for number in range(_LOG_DAYS, _LOG_DAYS + _FULL_DAYS):
        day = _FIRST + timedelta(days=number)
        began = time.perf_counter()
        lake.put([_of(one, day, f"{one.collection.account_id}-{number}") for one in fleet])
        seconds.append(time.perf_counter() - began)
    return median(seconds)


def _commits_of_many(lake: DeltaLake) -> tuple[int, float]:
    """The most commits that any table got for it, and seconds."""
    day = _LAST + timedelta(days=1)
    clusters = [cluster_day(f"cluster-{number:03}", day=day, pods=100, nodes=4) for number in range(_MANY)]
    tables = [f"{lake.url}/{name}" for name in ("allocations", "assets")]
    before = [DeltaTable(table).version() for table in tables]
    began = time.perf_counter()
    lake.put(clusters)
    seconds = time.perf_counter() - began
    return max(DeltaTable(table).version() - was for table, was in zip(tables, before, strict=True)), seconds


def _fleet(day: date) -> Sequence[CollectedDay]:
    return [cluster_day(f"cluster-{number:03}", day=day, pods=PODS, nodes=NODES) for number in range(CLUSTERS)]


def _of(day: CollectedDay, of: date, id_: str) -> CollectedDay:
    return replace(day, collection=replace(day.collection, id=id_, day=of))


def _timed(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(_TIMES_A_TURN):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return median(seconds)


def _assert_reads(lake: DeltaLake, id_: str, day: CollectedDay) -> None:
    assert lake.rows([day.collection])[id_] == tuple(day.rows)
