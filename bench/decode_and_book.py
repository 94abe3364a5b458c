"""From the bytes of a large answer to a balanced day: ours beside the same written with orjson and dicts."""

import gc
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from math import isclose

from bench import fresh, large_day, peer
from bench.table import Line
from kubetally import samples
from kubetally.domain.allocation import Kind
from kubetally.domain.booking import Booking, book
from kubetally.domain.component import Costs
from kubetally.domain.idle_shares import order_rows, share_idle
from kubetally.domain.reading import Reading
from kubetally.domain.window import Window, parse_instant
from kubetally.garbage import gc_paused
from kubetally.samples.recorded import RecordedCluster
from kubetally.sources.faults import Answer
from kubetally.sources.opencost.allocations import read_allocations
from kubetally.sources.opencost.assets import read_assets
from kubetally.sources.opencost.notes import Notes
from kubetally.sources.opencost.wire import decode_assets, decode_booked

_TIMES = 9
_URL = "http://bench"
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def lines() -> list[Line]:
    """Assert that both come to the same, then measure them in turns."""
    with tempfile.TemporaryDirectory() as folder:
        size = fresh.run(large_day.write, folder)
        fresh.run(same_everywhere, folder)
        cases = {
            "shared": divide_idle,
            "ours": ours,
            "peer": dicts,
            "peer, collector off": dicts_without_collector,
            "decoding": decoding,
        }
        figures = fresh.in_turns(cases, folder, times=_TIMES)
    seconds = {name: figure["seconds"] for name, figure in figures.items()}
    megabytes, rows = size["bytes"] / 1e6, size["rows"]
    ratio, without = (seconds[name] / seconds["ours"] for name in ("peer", "peer, collector off"))
    memory = {name: figure["peak_bytes"] / size["bytes"] for name, figure in figures.items()}

    def line(what: str, figure: str, target: str = "", reached: bool | None = None) -> Line:
        return Line("decode_and_book", what, figure, target, reached)

    return [
        line("the answer", f"{megabytes:.1f} MB, {size['pods']:,} pods, {rows:,} rows"),
        line("ours: decode and book", f"{seconds['ours'] * 1e3:.0f} ms, {rows / seconds['ours']:,.0f} rows/s"),
        line("orjson and dicts", f"{seconds['peer'] * 1e3:.0f} ms, {rows / seconds['peer']:,.0f} rows/s"),
        line("ours beside orjson and dicts", f"{ratio:.2f}x the rows/s", "at least 2x", ratio >= 2),
        line(
            "the same, Python's garbage collector off for orjson and dicts",
            f"{without:.2f}x the rows/s",
            "at least 1.6x",
            without >= 1.6,
        ),
        line(
            "idle cost shared among the rows, beside decode and book",
            f"{figures['shared']['seconds'] * 1e3:.0f} ms, {figures['shared']['share']:.1%}",
            "under 5%",
            figures["shared"]["share"] < 0.05,
        ),
        line(
            "limit: msgspec to typed rows, nothing else",
            f"{seconds['decoding'] * 1e3:.0f} ms, {megabytes / seconds['decoding']:,.0f} MB/s",
        ),
        line("ours: peak memory of the process", f"{memory['ours']:.1f}x the answer", "under 6x", memory["ours"] < 6),
        line("orjson and dicts: peak memory", f"{memory['peer']:.1f}x the answer"),
    ]


def ours(folder: str) -> dict[str, float]:
    """One reading and booking, as `CostModelSource.read` and `book` do it once the bytes are there."""
    allocations, assets = (answer_of(file.read_bytes()) for file in large_day.files_in(folder))
    with _measure() as figures:
        booking = booked_answers(allocations, assets, *large_day.DAY)
    assert booking.assets_complete
    return figures


def divide_idle(folder: str) -> dict[str, float]:
    """Idle cost shared among the rows of the day, once they are in the order in which they are stored."""
    allocations, assets = (answer_of(file.read_bytes()) for file in large_day.files_in(folder))
    with _measure() as booked:
        booking = booked_answers(allocations, assets, *large_day.DAY)
    order = order_rows(booking.rows)
    with gc_paused(), _measure() as figures:
        shares = share_idle(booking.rows, order)
    assert sum(shares.cpu_weighted) == booking.kind_costs(Kind.IDLE).cpu
    return {**figures, "share": figures["seconds"] / booked["seconds"]}


def dicts(folder: str) -> dict[str, float]:
    """The peer, as Python runs by itself."""
    allocations, assets = (file.read_bytes() for file in large_day.files_in(folder))
    with _measure() as figures:
        booked = peer.book(allocations, assets, *large_day.DAY, hours=24.0)
    assert booked.assets_complete
    return figures


def dicts_without_collector(folder: str) -> dict[str, float]:
    """The peer without garbage collection, which ours rests while it makes rows."""
    gc.disable()
    return dicts(folder)


def decoding(folder: str) -> dict[str, float]:
    """What no reading in Python can be quicker than: the typed rows alone."""
    allocations, assets = (answer_of(file.read_bytes()) for file in large_day.files_in(folder))
    with _measure() as figures:
        kept = decode_booked(allocations), decode_assets(assets)
    assert all(kept)
    return figures


def same_everywhere(folder: str) -> dict[str, int]:
    """Assert that ours and the peer agree on the large day and on every recorded one; the number of days."""
    large = large_day.files_in(folder)
    _assert_same(large.allocations.read_bytes(), large.assets.read_bytes(), *large_day.DAY)
    days = [(day, f"2026-11-{19 + day}T00:00:00Z", f"2026-11-{20 + day}T00:00:00Z") for day in (1, 2, 3)]
    for folders in samples.folders().values():
        recorded = RecordedCluster.load(*folders).answers
        for day, start, end in days:
            bodies = recorded[f"allocation-day{day}-idle"].body(), recorded[f"assets-day{day}"].body()
            _assert_same(*bodies, start, end)
    return {"days": 1 + len(days) * len(samples.NAMES)}


def _assert_same(allocations: bytes, assets: bytes, start: str, end: str) -> None:
    """To the micro: components, kinds, namespaces and pods; hours up to the order of floating additions."""
    booking = booked_answers(answer_of(allocations), answer_of(assets), start, end)
    booked = peer.book(allocations, assets, start, end, hours=24.0)
    assert booked.bill == booking.bill._asdict()
    assert booked.assets_complete is booking.assets_complete
    for kind in Kind:
        if kind is not Kind.WORKLOAD:
            assert booked.lines[kind] == booking.kind_costs(kind)._asdict(), kind
    containers = {
        (row.namespace, row.controller_kind, row.controller, row.pod, row.node, row.container): row
        for row in booking.rows
        if row.kind is Kind.WORKLOAD
    }
    assert booked.containers.keys() == containers.keys()
    by_namespace: dict[str | None, list[Costs]] = defaultdict(list)
    for key, row in containers.items():
        other, details = booked.containers[key], row.details
        by_namespace[row.namespace].append(row.costs)
        assert other["costs"] == row.costs._asdict(), key
        assert other["network_classes"] == row.network_classes._asdict(), key
        assert (other["labels"], other["minutes"]) == (row.labels, row.minutes), key
        assert _close(other["hours"], row.hours._asdict()), key
        assert details is not None
        assert other["provider_id"] == details.provider_id, key
        assert sum(volume["cost"] for volume in other["volumes"]) == sum(volume.cost for volume in details.volumes)
        assert other["life"] == (details.life.start, details.life.end), key
    assert booked.namespaces() == {name: Costs.sum(costs)._asdict() for name, costs in by_namespace.items()}


def _close(some: Mapping[str, float], others: Mapping[str, float]) -> bool:
    return some.keys() == others.keys() and all(isclose(some[key], others[key], rel_tol=1e-12) for key in some)


@gc_paused()
def booked_answers(allocations: Answer, assets: Answer, start: str, end: str) -> Booking:
    """A day as `CostModelSource.read` and `book` make it of its two answers."""
    window = Window(parse_instant(start), parse_instant(end))
    notes = Notes(_URL, window)
    decoded, _ = decode_booked(allocations)
    rows = read_allocations(decoded, window, notes, _URL)
    del decoded  # as the source does: it is several times its body
    listed = read_assets(decode_assets(assets)[0], window, notes)
    issues = tuple(notes.issues())
    return book(Reading(window, rows.allocations, listed, rows.covered, "USD", _URL, issues))


def answer_of(body: bytes) -> Answer:
    """A body as it comes from the transport."""
    return Answer(200, body, "application/json", None, datetime.now(UTC), 1.0, _URL)


@contextmanager
def _measure() -> Iterator[dict[str, float]]:
    """Seconds of what is done inside, and the most memory that the whole process ever had."""
    figures: dict[str, float] = {}
    began = time.perf_counter()
    yield figures
    figures["seconds"] = time.perf_counter() - began
    figures["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT
