"""All stored rows of some days as Parquet from `kubetally serve`, beside DuckDB's own COPY of the same rows.

`BENCH_FLEET` names a home folder of `kubetally sample` to use instead of the one that is made and kept.
"""

import resource
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pyarrow.parquet as pq

from bench import fresh
from bench.query import SECRET, Server, home_of_fleet, serve
from bench.table import Line
from kubetally.settings import Settings
from kubetally.store.lake.schema import ALLOCATIONS
from kubetally.wiring.ledger import open_ledger

DAYS = 30
_TURNS = 3
_SLOW_CLIENTS = 3
_MOST_MIB = 500


def lines() -> list[Line]:
    """COPY and the service, each in a process of its own, in turns; then clients that do not read."""
    home = home_of_fleet()
    first, end = _window(home)
    figures = fresh.in_turns({"copy": copy_rows, "export": export_rows}, home, str(first), str(end), times=_TURNS)
    rates = {name: figure["rows"] / figure["seconds"] for name, figure in figures.items()}
    assert figures["copy"]["rows"] == figures["export"]["rows"]
    ratio, peak = rates["export"] / rates["copy"], figures["export"]["peak_mib"]
    slow = fresh.run(read_slowly, home, str(first), str(end))
    return [
        Line(
            "export",
            f"all {figures['export']['rows']:,.0f} rows of {DAYS} days as Parquet over HTTP, beside DuckDB's COPY",
            f"{rates['export']:,.0f} rows/s, COPY {rates['copy']:,.0f}: {ratio:.2f}x",
            "at least 0.5x",
            ratio >= 0.5,
        ),
        Line(
            "export",
            "the file",
            f"{figures['export']['mib']:.0f} MiB, COPY {figures['copy']['mib']:.0f} MiB",
        ),
        Line(
            "export",
            "peak memory of the server",
            f"{peak:.0f} MiB; DuckDB's COPY {figures['copy']['peak_mib']:.0f} MiB",
            f"under {_MOST_MIB} MiB",
            peak < _MOST_MIB,
        ),
        Line(
            "export",
            f"{_SLOW_CLIENTS} clients that stopped reading: peak memory of the server; another question meanwhile",
            f"{slow['peak_mib']:.0f} MiB; {slow['seconds'] * 1e3:.0f} ms",
        ),
    ]


def copy_rows(home: str, first: str, end: str) -> dict[str, float]:
    """DuckDB's COPY of the same rows and columns, on two threads, to a file."""
    import duckdb

    days = _days(date.fromisoformat(first), date.fromisoformat(end))
    files = [str(file) for day in days for file in Path(home, "lake", "allocations", f"day={day}").glob("*.parquet")]
    rows = f"SELECT {', '.join(ALLOCATIONS.names)} FROM read_parquet({files}, hive_partitioning = true)"  # noqa: S608
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "rows.parquet")
        began = time.perf_counter()
        with duckdb.connect(config={"threads": 2}) as connection:
            connection.execute(f"COPY ({rows}) TO '{target}' (FORMAT parquet)")
        return _file(target, time.perf_counter() - began) | {"peak_mib": _own_peak_mib()}


def export_rows(home: str, first: str, end: str) -> dict[str, float]:
    """The service's file, written as it comes; it is the first question to the service."""
    with tempfile.TemporaryDirectory() as folder, serve(home) as server, _client(server) as client:
        target = Path(folder, "rows.parquet")
        began = time.perf_counter()
        with client.stream("GET", _export(first, end)) as response, target.open("wb") as file:
            response.raise_for_status()
            for piece in response.iter_raw():
                file.write(piece)
        return _file(target, time.perf_counter() - began) | {"peak_mib": server.peak_mib()}


def read_slowly(home: str, first: str, end: str) -> dict[str, float]:
    """Clients that read the beginning of a file and no more, and how long another question takes meanwhile."""
    with ExitStack() as stack:
        server = stack.enter_context(serve(home))
        client = stack.enter_context(_client(server))
        _ask(client, first)
        for _ in range(_SLOW_CLIENTS):
            one = stack.enter_context(_client(server))
            response = stack.enter_context(one.stream("GET", _export(first, end)))
            next(response.iter_raw())
        began = time.perf_counter()
        _ask(client, str(date.fromisoformat(end) - timedelta(days=1)))
        return {"seconds": time.perf_counter() - began, "peak_mib": server.peak_mib()}


def _client(server: Server) -> httpx.Client:
    return httpx.Client(base_url=server.url, headers={"Secret": SECRET}, timeout=600)


def _ask(client: httpx.Client, day: str) -> None:
    window = {"start": day, "end": str(date.fromisoformat(day) + timedelta(days=1)), "group": "namespace"}
    client.get("/api/v1/costs", params=window).raise_for_status()


def _export(first: str, end: str) -> str:
    return f"/api/v1/exports?{urlencode({'start': first, 'end': end, 'format': 'parquet'})}"


def _file(target: Path, seconds: float) -> dict[str, float]:
    return {"seconds": seconds, "rows": pq.read_metadata(target).num_rows, "mib": target.stat().st_size / 2**20}


def _own_peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _window(home: str) -> tuple[date, date]:
    """The last days that are stored."""
    with open_ledger(replace(Settings(), home=home)) as ledger:
        days = ledger.coverage.days(date(2000, 1, 1), end=date(2100, 1, 1))
        end = max(day.day for day in days if day.has_costs) + timedelta(days=1)
    return end - timedelta(days=DAYS), end


def _days(first: date, end: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((end - first).days)]
