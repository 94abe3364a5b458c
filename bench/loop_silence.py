"""The longest silence of the service's loop while a large day is read and cached answers are asked."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, timedelta
from statistics import median
from typing import Any, NamedTuple, ParamSpec, TypeVar

import httpx

from bench import fresh, large_day, prepared_source
from bench.table import Line
from kubetally.domain.account import Account, AccountPlace, AccountType
from kubetally.ledger.costs.calculations import calculations
from kubetally.ledger.costs.service import CostService
from kubetally.ledger.ports.sources import CostSource
from kubetally.sources.access import Access
from kubetally.sources.opencost.client import CostModelClient
from kubetally.sources.opencost.source import CostModelSource
from kubetally.sources.transport import Transport
from kubetally.tasks import Calculate, calculate_here, calculate_on_thread
from kubetally.web.app import create_app
from kubetally.web.metroculus.bodies import encode
from kubetally.web.server import run

T = TypeVar("T")
P = ParamSpec("P")
_TURNS, _CLIENTS, _BEFORE_SECONDS, _SECONDS = 3, 4, 1.0, 6.0
_MOST_MS, _BEAT_SECONDS = 20.0, 0.001
_SECRET = "bench-of-the-loop"  # noqa: S105
_LARGE, _SMALL = "00000000-0000-4000-8000-000000000002", "00000000-0000-4000-8000-000000000001"
_PATH = "/metroculus/v2/kubecost_cluster_costs"


def lines() -> list[Line]:
    """What is done on the loop and what is done beside it, in turns."""
    silences: dict[str, list[Silence]] = {"on the loop": [], "beside it": [], "no large day": []}
    with tempfile.TemporaryDirectory() as large, tempfile.TemporaryDirectory() as small:
        size = fresh.run(prepared_source.write_days, large, str(large_day.COPIES), "1")
        fresh.run(prepared_source.write_days, small, "1", "1")
        with prepared_source.serving(large, 0) as large_url, prepared_source.serving(small, 0) as small_url:
            for _ in range(_TURNS):
                for how, found in silences.items():
                    found.append(_silence(how, large_url, small_url))
    before, after, nothing = (Silence(*map(median, zip(*found, strict=True))) for found in silences.values())
    return [
        Line(
            "service",
            f"loop silence: {size['pods']:,} pods read over HTTP, {_CLIENTS} clients requesting cached answers",
            f"{after.by_cpu:.0f} ms of CPU at the longest ({after.by_clock:.0f} ms by the clock); all on the loop "
            f"{before.by_cpu:.0f} ms; without the large day {nothing.by_cpu:.0f} ms ({nothing.by_clock:.0f} ms)",
            f"under {_MOST_MS:.0f} ms",
            after.by_cpu < _MOST_MS,
        )
    ]


class Silence(NamedTuple):
    """Milliseconds: while the process had a core, and by the clock, which also counts what others do on the machine."""

    by_cpu: float
    by_clock: float


def _silence(how: str, large_url: str, small_url: str) -> Silence:
    """The longest silence of a service that was just started."""
    from bench.service import _load

    with _running(how, large_url, small_url) as (server, url):
        cached = f"GET {_PATH}?{_query(_SMALL)} HTTP/1.1\r\nHost: bench\r\nSecret: {_SECRET}\r\n\r\n"
        httpx.get(f"{url}{_PATH}?{_query(_SMALL)}", headers={"Secret": _SECRET}, timeout=60).raise_for_status()
        server.process.send_signal(signal.SIGUSR1)
        loading = threading.Thread(target=_load, args=(server, cached, _CLIENTS, _SECONDS))
        loading.start()
        time.sleep(_BEFORE_SECONDS)
        if how != "no large day":
            answer = httpx.get(f"{url}{_PATH}?{_query(_LARGE)}", headers={"Secret": _SECRET}, timeout=60)
            assert answer.json()["breakdown_by_workload"], answer.text[:500]
        loading.join()
        server.process.send_signal(signal.SIGUSR2)
        assert server.process.stdout is not None
        by_cpu, by_clock = map(float, server.process.stdout.readline().split())
        return Silence(by_cpu, by_clock)


def _query(account_id: str) -> str:
    start = int(datetime.fromisoformat(large_day.DAY[0]).timestamp())
    return f"cloud_account_id={account_id}&start_date={start}&end_date={start + 86400}&detail_level=workload"


@contextlib.contextmanager
def _running(how: str, large_url: str, small_url: str) -> Iterator[tuple[Any, str]]:
    from bench.service import Running

    command = [sys.executable, "-m", "bench.loop_silence", how, large_url, small_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        try:
            yield Running(process, url), url
        finally:
            process.send_signal(signal.SIGTERM)


# --- the server ---


class _Clock:
    def now(self) -> datetime:
        return datetime.fromisoformat(large_day.DAY[1]) + timedelta(days=5)


class _Accounts:
    def __init__(self, large_url: str, small_url: str) -> None:
        self._all = [
            Account(id_, id_, id_, AccountType.KUBERNETES_CNR, f"{url}/bench")
            for id_, url in ((_LARGE, large_url), (_SMALL, small_url))
        ]

    def find(self, name_or_id: str) -> Account:
        return next(account for account in self._all if account.id == name_or_id)

    def organization(self, name: str = "default") -> Any:
        from bench.service import _Accounts

        return _Accounts().organization(name)

    def all(self, organization_id: str | None = None) -> list[Account]:
        return self._all

    def places(self) -> list[AccountPlace]:
        return []


async def _as_before(size_bytes: int, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Only bodies were encoded on a thread."""
    calculate: Calculate = calculate_on_thread if function is encode else calculate_here
    return await calculate(size_bytes, function, *args, **kwargs)


class _Beats:
    """How long the loop was silent at most since it was last asked: by the clock, and while this process had a core."""

    def __init__(self) -> None:
        self._by_clock = self._by_cpu = 0.0

    async def run(self) -> None:
        while True:
            began, used = time.perf_counter(), time.process_time()
            await asyncio.sleep(_BEAT_SECONDS)
            silence = time.perf_counter() - began - _BEAT_SECONDS
            self._by_clock = max(self._by_clock, silence)
            self._by_cpu = max(self._by_cpu, min(silence, time.process_time() - used))

    def begin(self) -> None:
        self._by_clock = self._by_cpu = 0.0

    def tell(self) -> None:
        print(self._by_cpu * 1000, self._by_clock * 1000, flush=True)


def _serve(how: str, large_url: str, small_url: str) -> None:
    from kubetally.cli.logs import set_up_logs

    set_up_logs("info")
    with calculations(2) if how != "on the loop" else contextlib.nullcontext() as beside:
        in_source: Calculate = calculate_here if beside is None else beside.in_process
        in_service: Calculate = _as_before if beside is None else beside.on_thread

        @contextlib.asynccontextmanager
        async def opened(account: Account) -> AsyncIterator[CostSource]:
            async with Transport(Access.parse(account.place)) as transport:
                yield CostModelSource(CostModelClient(transport), calculate=in_source)

        accounts: Any = _Accounts(large_url, small_url)
        service = CostService(accounts, opened, _Clock(), calculate=in_service)
        app = create_app(service, _SECRET, version="bench", clock=_Clock())

        async def until_told() -> None:
            stop, beats, loop = asyncio.Event(), _Beats(), asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTERM, stop.set)
            loop.add_signal_handler(signal.SIGUSR1, beats.begin)
            loop.add_signal_handler(signal.SIGUSR2, beats.tell)
            beating = asyncio.create_task(beats.run())
            await run(app, "127.0.0.1", 0, stop, listening=lambda url: print(url, flush=True), stop_seconds=3)
            beating.cancel()

        asyncio.run(until_told())


if __name__ == "__main__":
    _serve(*sys.argv[1:])
