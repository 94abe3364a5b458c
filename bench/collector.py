"""The collector beside the work that it can't leave out, and beside the bound that its parallelism sets."""

import resource
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from bench import fresh, prepared_source
from bench.decode_and_book import answer_of, booked_answers
from bench.prepared_source import FIRST
from bench.table import Line
from kubetally.domain.account import Account, AccountType
from kubetally.domain.collection import new_collected_day, window_of
from kubetally.domain.collection_report import Report
from kubetally.domain.source_identity import SourceIdentity
from kubetally.domain.source_url import SourceUrl
from kubetally.ledger.collect.collector import Collector
from kubetally.ledger.collect.savings import SavingsCollector
from kubetally.ledger.collect.schedule import Due, Reason
from kubetally.settings import Settings
from kubetally.store.lake import files
from kubetally.store.lake.encode import ALLOCATION_FILE, allocation_tables
from kubetally.store.lake.storage import DiskStorage
from kubetally.tasks import run_on_uvloop, usable_cores
from kubetally.wiring.collect import with_collector
from kubetally.wiring.ledger import Ledger, open_ledger

_CLUSTERS, _COPIES = 50, 16  # of 63 pods each: 1,000 pods a cluster
_LEAST_SHARE = 0.7
_MANY, _LATENCY_SECONDS, _AT_ONCE, _MOST_OF_BOUND = 200, 0.05, 16, 2.0
_PHASES = 3  # of each cluster: rows and assets; its currency and what it is; its hours
_DAYS, _MOST_GROWTH = 4, 1.25
_TURNS = 3
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
_LATER = datetime.combine(FIRST, datetime.min.time(), UTC) + timedelta(days=60)


class _Later:
    """A clock long after the days of the bench."""

    def now(self) -> datetime:
        return _LATER


def lines() -> list[Line]:
    """Throughput and memory on clusters of 1,000 pods, in turns with the bare loop; then many small slow clusters."""
    with tempfile.TemporaryDirectory() as large, tempfile.TemporaryDirectory() as small:
        size = fresh.run(prepared_source.write_days, large, str(_COPIES), str(2 * _DAYS))
        fresh.run(prepared_source.write_days, small, "1", "1")
        with prepared_source.serving(large, 0) as url:
            cases = {"bare": bare, "alone": some_days_alone, "collector": some_days, "twice": twice_the_days}
            figures = fresh.in_turns(cases, large, url, times=_TURNS)
        with prepared_source.serving(small, _LATENCY_SECONDS) as url:
            many = fresh.in_turns({"many": many_clusters}, small, url, times=_TURNS)["many"]
    rates = {name: figure["rows"] / figure["seconds"] for name, figure in figures.items()}
    share = rates["collector"] / rates["bare"]
    growth = figures["twice"]["peak_bytes"] / figures["collector"]["peak_bytes"]
    bound = _MANY * _PHASES * _LATENCY_SECONDS / _AT_ONCE

    def line(what: str, figure: str, target: str = "", reached: bool | None = None) -> Line:
        return Line("collector", what, figure, target, reached)

    return [
        line(
            "the fleet",
            f"{_CLUSTERS} clusters x {size['pods']:,} pods, {size['bytes'] / 1e6:.1f} MB a day each, {_DAYS} days",
        ),
        line("bare loop: decode and book, Arrow, one Parquet file", f"{rates['bare']:,.0f} rows/s"),
        line("the collector in one process", f"{rates['alone']:,.0f} rows/s, {rates['alone'] / rates['bare']:.0%}"),
        line(
            "the collector, from HTTP to both commits and the coverage",
            f"{rates['collector']:,.0f} rows/s, {share:.0%} of the bare loop",
            f"at least {_LEAST_SHARE:.0%}",
            share >= _LEAST_SHARE,
        ),
        line(
            f"peak memory, {2 * _DAYS} days beside {_DAYS}",
            f"{figures['twice']['peak_bytes'] / 2**20:.0f} MiB, {growth:.2f}x",
            f"under {_MOST_GROWTH:g}x",
            growth < _MOST_GROWTH,
        ),
        line(
            f"{_MANY} clusters x 1 day, {_LATENCY_SECONDS * 1e3:.0f} ms before each answer, {_AT_ONCE} at a time",
            f"{many['seconds']:.2f} s, {many['seconds'] / bound:.2f}x of the {bound:.2f} s that waiting takes",
            f"under {_MOST_OF_BOUND:g}x",
            many["seconds"] < _MOST_OF_BOUND * bound and many["days"] == _MANY,
        ),
    ]


def bare(folder: str, _: str) -> dict[str, float]:
    """Every cluster's day decoded, booked and made Arrow, and all of it written as one file to the disk."""
    bodies = [Path(folder, f"{name}-{FIRST}.json").read_bytes() for name in ("allocations", "assets")]
    start, end = (one.isoformat() for one in (window_of(FIRST).start, window_of(FIRST).end))
    source = SourceIdentity("http://bench")
    began, tables = time.perf_counter(), []
    for number in range(_CLUSTERS):
        booking = booked_answers(*map(answer_of, bodies), start, end)
        day = new_collected_day(
            str(number),
            account_id=f"account-{number:03}",
            day=FIRST,
            collected_at=_LATER,
            source=source,
            booking=booking,
            assets=(),
        )
        tables.append(allocation_tables([day])[0])
    with tempfile.TemporaryDirectory() as made:
        files.write(DiskStorage(Path(made)), FIRST, tables, ALLOCATION_FILE)
    return _measure(began, sum(table.num_rows for table in tables))


def some_days_alone(_: str, url: str) -> dict[str, float]:
    """Some days of all clusters, with one process."""
    return _collect(url, _CLUSTERS, _DAYS, collect_processes=1)


def some_days(_: str, url: str) -> dict[str, float]:
    """Some days of all clusters."""
    return _collect(url, _CLUSTERS, _DAYS)


def twice_the_days(_: str, url: str) -> dict[str, float]:
    """Twice as many days of all clusters."""
    return _collect(url, _CLUSTERS, 2 * _DAYS)


def many_clusters(_: str, url: str) -> dict[str, float]:
    """A day of many clusters."""
    return _collect(url, _MANY, 1)


def _collect(url: str, clusters: int, days: int, **more: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as home:
        settings = replace(Settings(), home=home, collect_at_once=_AT_ONCE, **more)
        with open_ledger(settings) as ledger:
            organization = ledger.accounts.organization().id
            ids = [_add_account(ledger, organization, url, number) for number in range(clusters)]
            assert ledger.lake.url  # loads what reads and writes it
        dues = [Due(Reason.MISSING, FIRST + timedelta(days=day), id_) for day in range(days) for id_ in ids]

        async def work(_: Ledger, collector: Collector, _savings: SavingsCollector) -> Report:
            return await collector.collect(dues)

        began = time.perf_counter()
        report = run_on_uvloop(with_collector(settings, _Later(), work))
        figures = _measure(began, sum(day.rows for day in report.collected))
        figures["peak_bytes"] += min(settings.collect_processes, usable_cores()) * _peak(resource.RUSAGE_CHILDREN)
    assert not report.failed, report.failed[0]
    return {**figures, "days": len(report.collected)}


def _add_account(ledger: Ledger, organization: str, url: str, number: int) -> str:
    name = f"cluster-{number:03}"
    place = SourceUrl.parse(f"{url}/{name}")
    account = Account(str(uuid4()), organization, name, AccountType.KUBERNETES_CNR, kubecost_url=place)
    return ledger.accounts.add(account).id


def _measure(began: float, rows: int) -> dict[str, float]:
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "rows": rows,
        "peak_bytes": _peak(resource.RUSAGE_SELF),
    }


def _peak(whose: int) -> int:
    return resource.getrusage(whose).ru_maxrss * _RSS_UNIT
