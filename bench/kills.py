"""A collector's writer that is killed at random points: what it committed is there, once, and the next goes on."""

import random
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from deltalake import DeltaTable

from bench.table import Line
from kubetally.ledger.writing.writer import LakeWriter
from kubetally.store.lake.delta import DeltaLake
from kubetally.store.meta.metadata import open_meta
from kubetally.wiring.clock import SystemClock
from tests.cluster_days import DAY, cluster_day
from tests.integration.collected_days import KEYS

KILLS = 60
_SEED = 13
_ROOT = Path(__file__).parent.parent
_MANY = 1_000_000


def lines() -> list[Line]:
    """Kill, look, and go on, so many times."""
    chance, lost, doubled = random.Random(_SEED), 0, 0  # noqa: S311
    with tempfile.TemporaryDirectory(prefix="kubetally-") as folder:
        lake, database = f"{folder}/lake", f"sqlite:///{folder}/kubetally.db"
        newest = -1
        for _ in range(KILLS):
            last_commit = _kill_writer(database, lake, newest + 1, chance)
            newest, is_doubled = _look(database, lake)
            lost += newest not in {last_commit, last_commit + 1}
            doubled += is_doubled
    result = f"{KILLS} kills, {lost} lost, {doubled} doubled"
    return [
        Line("kills", "kill -9 of a writer at random points", result, "none lost, none doubled", lost + doubled == 0)
    ]


def _kill_writer(database: str, lake: str, first: int, chance: random.Random) -> int:
    """Commit from generation `first` on, killed at some point; the last generation that was told to be committed."""
    command = [sys.executable, "-m", "tests.integration.committing", database, lake, str(first), str(_MANY)]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        began = time.perf_counter()
        lines = [next(line for line in writer.stdout if line.strip().isdigit())]  # beside lines of the log
        seconds = (time.perf_counter() - began) / 4  # longer than a commit takes
        time.sleep(chance.uniform(0, seconds))
        writer.kill()
        lines += writer.stdout.readlines()
    return max(int(line) for line in lines if line.endswith("\n") and line.strip().isdigit())


def _look(database: str, url: str) -> tuple[int, bool]:
    """The generation that holds in database and lake alike, and whether any row is there twice."""
    lake, clock = DeltaLake(url), SystemClock()
    with open_meta(database, KEYS, clock=clock) as meta:
        LakeWriter(lake, meta.coverage, meta.leases, clock).recover()
        (collection,) = meta.coverage.collections("a", DAY, end=DAY + timedelta(days=1))
        rows = lake.rows([collection])[collection.id]
    generation = int(collection.id.rsplit("-", 1)[1])
    assert sorted(map(str, rows)) == sorted(map(str, cluster_day("a", generation).rows))
    stored = DeltaTable(f"{url}/allocations").to_pyarrow_table(columns=["collection_id", "ordinal"]).to_pylist()
    return generation, len(stored) != len(rows)
