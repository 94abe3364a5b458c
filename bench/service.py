"""A cached answer of the service beside a bare handler of the same server that returns the same bytes."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx

from bench.table import Line
from kubetally.domain.account import Account, AccountPlace, AccountType, Organization
from kubetally.domain.allocation import Allocation, Kind
from kubetally.domain.asset import Asset, AssetType
from kubetally.domain.component import Costs
from kubetally.domain.efficiency import Hours
from kubetally.domain.evidence.hours import SeenHour
from kubetally.domain.reading import Reading
from kubetally.domain.savings import Savings
from kubetally.domain.window import Window
from kubetally.ledger.ports.sources import About

CLIENTS = 200
SECONDS = 30.0
NAMESPACES = 50
MISSES = 50
_MISSED_DAYS = 3
_SOURCE_SECONDS = 0.3  # long enough for all clients to want the same at the same time
_TURNS = 12
_SECONDS_A_TURN = 1.0  # short, so that what else the machine does falls on both of a pair
_TARGET = 0.8
_SECRET = "bench-of-the-service"  # noqa: S105
_ID = "00000000-0000-4000-8000-000000000001"
_DAY = 1795132800
_QUERY = f"cloud_account_id={_ID}&start_date={_DAY}&end_date={_DAY + 86400}&detail_level=namespace"
_REQUEST = f"GET /metroculus/v2/kubecost_cluster_costs?{_QUERY} HTTP/1.1\r\nHost: bench\r\nSecret: {_SECRET}\r\n\r\n"
_BARE = "GET /bare HTTP/1.1\r\nHost: bench\r\n\r\n"


def lines(seconds: float = SECONDS) -> list[Line]:
    """Both servers at once, asked in turns; then the service alone by 200 clients for `seconds`; then its loop."""
    from bench import loop_silence

    with _running("service") as service, _running("bare") as bare:
        cached = _cached(service, bare)
        many = load_of(service, _REQUEST, CLIENTS, seconds)
        answered, questions = asyncio.run(_misses(service.url))
    return [
        *cached,
        Line(
            "service",
            f"{CLIENTS} clients for {seconds:g} s",
            f"{many.rate:,.0f}/s, {many.errors} errors; half within {many.half_ms:.0f} ms, 99 % {many.most_ms:.0f} ms",
            "no error",
            many.errors == 0 and many.answers > 0,
        ),
        Line(
            "service",
            f"{MISSES} clients at once, {_MISSED_DAYS} days that nobody has requested yet",
            f"{answered} answers, {questions:g} requests to the source",
            "one request a day",
            (answered, questions) == (MISSES, _MISSED_DAYS),
        ),
        *loop_silence.lines(),
    ]


def cached_lines() -> list[Line]:
    """Those of cached answers alone."""
    with _running("service") as service, _running("bare") as bare:
        return _cached(service, bare)


def _cached(service: "Running", bare: "Running") -> list[Line]:
    turns = [
        (load_of(bare, _BARE, 32, _SECONDS_A_TURN), load_of(service, _REQUEST, 32, _SECONDS_A_TURN))
        for _ in range(_TURNS)
    ]
    theirs, ours = (median(load.rate for load in loads) for loads in zip(*turns, strict=True))
    bare_cpu, cpu = (median(load.cpu_micros for load in loads) for loads in zip(*turns, strict=True))
    ratio = median(mine.rate / its.rate for its, mine in turns)
    size = turns[0][1].bytes_each / 1024
    return [
        Line(
            "service",
            f"cached costs, {NAMESPACES} namespaces, {size:.0f} KiB, beside a bare handler of the same bytes",
            f"{ours:,.0f}/s of {theirs:,.0f}/s: {ratio:.0%}",
            "at least 80%",
            ratio >= _TARGET and not any(load.errors for turn in turns for load in turn),
        ),
        Line("service", "the server's CPU an answer", f"{cpu:.0f} µs; bare {bare_cpu:.0f} µs"),
    ]


async def _misses(url: str) -> tuple[int, float]:
    """How many of the clients were answered, and what the source was asked for it, by the service's own count."""
    start = _DAY + 86400
    query = _QUERY.replace(
        f"start_date={_DAY}&end_date={_DAY + 86400}", f"start_date={start}&end_date={start + _MISSED_DAYS * 86400}"
    )
    async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=MISSES)) as client:
        before = await _questions(client, url)
        path = f"{url}/metroculus/v2/kubecost_cluster_costs?{query}"
        answers = await asyncio.gather(*(client.get(path, headers={"Secret": _SECRET}) for _ in range(MISSES)))
        return sum(one.status_code == 200 for one in answers), await _questions(client, url) - before


async def _questions(client: httpx.AsyncClient, url: str) -> float:
    told = (await client.get(f"{url}/metrics")).text.splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in told
        if 'source_questions_total{outcome="ok",question="read"}' in line
    )


# --- the load ---


@dataclass
class Load:
    """What clients saw."""

    seconds: float
    answers: int = 0
    errors: int = 0
    bytes_each: int = 0
    cpu_micros: float = 0.0
    waits: list[float] = field(default_factory=list, repr=False)

    @property
    def rate(self) -> float:
        return self.answers / self.seconds

    @property
    def half_ms(self) -> float:
        return median(self.waits) * 1000 if self.waits else 0.0

    @property
    def most_ms(self) -> float:
        return sorted(self.waits)[int(len(self.waits) * 0.99)] * 1000 if self.waits else 0.0


class _Client(asyncio.Protocol):
    """Asks again as soon as it is answered; a body's length is told by the first head and the same in each."""

    def __init__(self, request: bytes, load: Load, until: float) -> None:
        self._request, self._load, self._until = request, load, until
        self._head, self._left, self._asked = b"", 0, 0.0
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._asked = time.perf_counter()
        if self._asked > self._until:
            self._transport.close()
            return
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._left == 0:
            head, found, body = (self._head + data).partition(b"\r\n\r\n")
            if not found:
                self._head = head
                return
            self._head = b""
            size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            if not head.startswith(b"HTTP/1.1 200 "):
                self._load.errors += 1
            self._load.bytes_each, self._left, data = size, size, body
        self._left -= len(data)
        if self._left == 0:
            self._load.answers += 1
            self._load.waits.append(time.perf_counter() - self._asked)
            self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None or time.perf_counter() < self._until:
            self._load.errors += 1
        if not self.ended.done():
            self.ended.set_result(None)


def load_of(server: "Target", request: str, clients: int, seconds: float) -> Load:
    """What so many clients see that ask a server the same again and again."""

    async def ask() -> Load:
        load, there = Load(seconds), urlsplit(server.url)
        loop, until = asyncio.get_running_loop(), time.perf_counter() + seconds
        began = server.cpu_seconds()
        made = [
            await loop.create_connection(lambda: _Client(request.encode(), load, until), there.hostname, there.port)
            for _ in range(clients)
        ]
        _done, late = await asyncio.wait([client.ended for _, client in made], timeout=seconds + 10)
        load.errors += len(late)
        load.cpu_micros = (server.cpu_seconds() - began) / max(load.answers, 1) * 1e6
        return load

    return asyncio.run(ask())


class Target(Protocol):
    """A server that is asked."""

    @property
    def url(self) -> str: ...
    def cpu_seconds(self) -> float: ...


@dataclass
class Running:
    """A server in a process of its own."""

    process: subprocess.Popen[str]
    url: str

    def cpu_seconds(self) -> float:
        return cpu_seconds_of(self.process.pid)


def cpu_seconds_of(pid: int) -> float:
    """The CPU time that a process used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def _running(name: str) -> Iterator[Running]:
    command = [sys.executable, "-m", "bench.service", name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        yield Running(process, process.stdout.readline().strip())
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)


# --- the servers ---


class _Clock:
    def now(self) -> datetime:
        return datetime(2026, 11, 26, tzinfo=UTC)


class _Source:
    """A cluster of 50 namespaces, without a network before it."""

    url = "http://bench"

    async def read(self, window: Window) -> Reading:
        await asyncio.sleep(_SOURCE_SECONDS)
        rows = [
            Allocation(
                Kind.WORKLOAD, window, namespace=f"team-{number:02}", controller="app", pod=f"app-{number}",
                node="node", minutes=1440.0, costs=Costs(cpu=1_234_567 + number, ram=765_432),
                total=1_999_999 + number, hours=Hours(24.0, 24.0, 12.0, 1e9, 1e9, 5e8),
            )
            for number in range(NAMESPACES)
        ]  # fmt: skip
        costs = Costs(cpu=sum(row.costs.cpu for row in rows), ram=sum(row.costs.ram for row in rows))
        node = Asset(AssetType.NODE, "node", frozenset({"node"}), window, costs)
        return Reading(
            window=window, allocations=rows, assets=[node], currency="USD", covered=(window,), source=self.url
        )

    async def hours(self, window: Window, rows: int) -> Sequence[SeenHour]:
        return ()

    async def about(self) -> About:
        return About("OpenCost", "bench")

    async def savings(self) -> Savings | None:
        return None


class _Accounts:
    _account = Account(_ID, _ID, "bench", AccountType.KUBERNETES_CNR, "http://bench")

    def find(self, name_or_id: str) -> Account:
        return self._account

    def organization(self, name: str = "default") -> Organization:
        return Organization(_ID, name, "USD", datetime(2026, 1, 1, tzinfo=UTC))

    def all(self, organization_id: str | None = None) -> list[Account]:
        return [self._account]

    def places(self) -> list[AccountPlace]:
        return []


@contextlib.asynccontextmanager
async def _opened(account: Account) -> AsyncIterator[_Source]:
    yield _Source()


def _serve(name: str) -> None:
    """The service as it is shipped, its line of the log a request included; or the bare handler."""
    from litestar import Litestar, get
    from litestar.response import Response

    from kubetally.cli.logs import set_up_logs
    from kubetally.ledger.costs.service import CostService
    from kubetally.web.app import create_app
    from kubetally.web.metroculus.bodies import encode
    from kubetally.web.metroculus.question import parse
    from kubetally.web.server import serve

    set_up_logs("info")
    accounts: Any = _Accounts()
    service = CostService(accounts, _opened, _Clock())
    app: Any = create_app(service, _SECRET, version="bench", clock=_Clock())
    if name == "bare":
        question = parse(_QUERY.encode())
        requested = question.requested_window(_Clock())
        body = encode(asyncio.run(service.costs(_ID, requested.window)), question, requested)

        @get("/bare")
        async def bare() -> Response[bytes]:
            return Response(body, media_type="application/json")

        class Bare(Litestar):  # the server wants to set and call what is below
            pass

        watched, app = app, Bare([bare], openapi_config=None, logging_config=None)
        app.service_state, app.connections = watched.service_state, watched.connections
        app.cancel_reads = watched.cancel_reads
    serve(app, port=0, listening=lambda url: print(url, flush=True))


if __name__ == "__main__":
    if sys.argv[1] == "cached":
        print(json.dumps([line._asdict() for line in cached_lines()], indent=1, ensure_ascii=False))
    elif sys.argv[1].replace(".", "").isdecimal():
        print(json.dumps([line._asdict() for line in lines(float(sys.argv[1]))], indent=1))
    else:
        _serve(sys.argv[1])
