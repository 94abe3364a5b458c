"""A week of infrastructure cost from a real Prometheus, beside the bare HTTP requests that it takes."""

import asyncio
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median

import httpx

from bench import fresh
from bench.table import Line
from kubetally.domain.infrastructure import Infrastructure
from kubetally.domain.metrics import EGRESS_BYTES, EGRESS_PRICES, LOAD_BALANCER, MANAGEMENT
from kubetally.domain.window import DAY, HOUR, Window, parse_instant, to_unix
from kubetally.sources.access import Access
from kubetally.sources.prometheus.client import PrometheusClient
from kubetally.sources.prometheus.promql import HourRanges, Selector
from kubetally.sources.prometheus.queries import bytes_query, prices_query
from kubetally.sources.prometheus.source import PrometheusSource
from kubetally.sources.transport import Transport

PODS = 60
_BALANCERS = 10
_SCRAPE_SECONDS = 60
_TURNS = 5
_READS_A_TURN = 5
_WEEK = Window(parse_instant("2026-11-16"), parse_instant("2026-11-16") + 7 * DAY)
_MOST_QUESTIONS = 8
_MOST_TIMES = 2.0


def lines() -> list[Line]:
    """Both in turns, each in a process of its own, on one server."""
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        return [Line("prometheus", "a week of infrastructure cost", "not measured: `make servers` installs Prometheus")]
    with _serving() as url:
        figures = fresh.in_turns({"ours": ours, "bare": bare}, url, times=_TURNS)
    seconds = {name: figure["seconds"] for name, figure in figures.items()}
    ratio, questions = seconds["ours"] / seconds["bare"], figures["ours"]["questions"]
    return [
        Line("prometheus", "a week, one cluster", f"{PODS} pods, {_BALANCERS} load balancers, a sample every minute"),
        Line("prometheus", "bare HTTP requests, not even decoded", f"{seconds['bare'] * 1e3:.0f} ms"),
        Line(
            "prometheus",
            "infrastructure cost by the hour, beside the bare requests",
            f"{seconds['ours'] * 1e3:.0f} ms, {ratio:.2f}x",
            f"under {_MOST_TIMES:g}x",
            ratio < _MOST_TIMES,
        ),
        Line(
            "prometheus",
            "requests to the server",
            f"{questions:.0f}",
            f"at most {_MOST_QUESTIONS}",
            questions <= _MOST_QUESTIONS,
        ),
    ]


def ours(url: str) -> dict[str, float]:
    """The median of some readings on one pool of connections, each with a client that knows nothing of the server."""

    async def read(transport: Transport) -> int:
        client = PrometheusClient(transport)
        _assert_whole(await PrometheusSource(client).read(_WEEK))
        return client.questions

    async def main() -> dict[str, float]:
        async with Transport(Access.parse(url)) as transport:
            return {"questions": await read(transport), "seconds": await _time(lambda: read(transport))}

    return asyncio.run(main())


def bare(url: str) -> dict[str, float]:
    """The same requests in the same order, and nothing done with what comes."""
    ranges = HourRanges(left_open=False)
    prices, sent = prices_query(Selector(), ranges), bytes_query(Selector(), ranges)
    hours = [str(to_unix(_WEEK.start + hour * HOUR)) for hour in (1, 96, 97, 168)]
    spans = [(prices, hours[0], hours[3]), (sent, hours[0], hours[1]), (sent, hours[2], hours[3])]
    forms = [{"query": query, "start": start, "end": end, "step": "3600"} for query, start, end in spans]

    async def ask(client: httpx.AsyncClient) -> None:
        probe = {"query": "count_over_time(vector(1)[1m:1m])", "time": hours[3]}
        (await client.get("/api/v1/query", params=probe)).raise_for_status()
        answers = await asyncio.gather(*(client.post("/api/v1/query_range", data=form) for form in forms))
        assert all(answer.is_success and len(answer.content) > 1000 for answer in answers)

    async def main() -> dict[str, float]:
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            await ask(client)
            return {"seconds": await _time(lambda: ask(client))}

    return asyncio.run(main())


async def _time(read: Callable[[], Awaitable[object]]) -> float:
    seconds = []
    for _ in range(_READS_A_TURN):
        began = time.perf_counter()
        await read()
        seconds.append(time.perf_counter() - began)
    return median(seconds)


def _assert_whole(figures: Infrastructure) -> None:
    assert len(figures.hours) == 7 * 24
    assert (figures.management, figures.issues) == (7 * 24 * 100_000, ())
    assert figures.load_balancer == 7 * 24 * _BALANCERS * 25_000
    assert figures.network_bytes is not None
    assert all(amount > 0 for amount in figures.network_bytes)


@contextmanager
def _serving() -> Iterator[str]:
    """A Prometheus that holds the week, on a free port."""
    with tempfile.TemporaryDirectory() as name, socket.socket() as free:
        folder = Path(name)
        samples, data, settings = folder / "samples.txt", folder / "data", folder / "prometheus.yml"
        with samples.open("w", encoding="utf-8") as text:
            text.writelines(_samples())
        settings.write_text("global: {}\n", encoding="utf-8")
        made = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=2400h"]
        subprocess.run([*made, str(samples), str(data)], check=True, stdout=subprocess.DEVNULL)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command = [
            "prometheus",
            f"--config.file={settings}",
            f"--storage.tsdb.path={data}",
            "--storage.tsdb.retention.time=100y",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
        try:
            _wait_for(f"http://127.0.0.1:{port}/-/ready")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(20)


def _wait_for(url: str) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with suppress(httpx.TransportError):
            if httpx.get(url, trust_env=False).is_success:
                return
        time.sleep(0.05)
    raise AssertionError(f"{url} did not answer")


def _samples() -> Iterator[str]:
    """The week as text: the fee, balancers and prices, and what pods sent in four classes."""
    at = range(to_unix(_WEEK.start), to_unix(_WEEK.end), _SCRAPE_SECONDS)
    prices = {EGRESS_PRICES["internet"]: 0.09, EGRESS_PRICES["region"]: 0.02, EGRESS_PRICES["zone"]: 0.01}
    for name, price in {MANAGEMENT: 0.10, **prices}.items():
        yield f"# TYPE {name} gauge\n"
        yield from (f'{name}{{job="opencost"}} {price} {second}\n' for second in at)
    yield f"# TYPE {LOAD_BALANCER} gauge\n"
    for number in range(_BALANCERS):
        labels = f'job="opencost",namespace="shop",service_name="web-{number}",ingress_ip="203.0.113.{number}"'
        yield from (f"{LOAD_BALANCER}{{{labels}}} 0.025 {second}\n" for second in at)
    yield f"# TYPE {EGRESS_BYTES.removesuffix('_total')} counter\n"
    chance = random.Random(7)  # noqa: S311
    for pod in range(PODS):
        for to in ("true,false,false", "false,false,false", "false,false,true", "false,true,true"):
            internet, zone, region = to.split(",")
            labels = (
                f'job="network-costs",namespace="shop",pod_name="web-{pod}",'
                f'internet="{internet}",same_zone="{zone}",same_region="{region}"'
            )
            total = 0
            for second in at:
                total += chance.randrange(2_000_000)
                yield f"{EGRESS_BYTES}{{{labels}}} {total} {second}\n"
    yield "# EOF\n"
