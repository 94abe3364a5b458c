"""Connections that send nothing, send slowly or never read do not lock out others."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from urllib.parse import urlencode, urlsplit

import httpx
import pytest

from kubetally.samples.replay import ReplayServer
from kubetally.web.connections import ConnectionLimits
from tests.faults import FaultServer
from tests.integration.test_serve_command import eventually
from tests.service import PATH, SECRET, AccountsInMemory, E, S, account, account_id, cost_service, serving

LIMITS = ConnectionLimits(per_address=20, total=400, head_seconds=60, grace_seconds=0.1, every_seconds=0.05)
GOOD = {"cloud_account_id": account_id(1), "start_date": S, "end_date": E}
WITH_SECRET = {"Secret": SECRET}
BEGUN = [
    b"",
    b"G",
    f"GET {PATH} HTTP/1.1\r\nHost: x\r\nSecret: {SECRET}\r\n".encode(),
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nslow",
    f"GET {PATH}?{urlencode(GOOD)}&detail_level=workload HTTP/1.1\r\nHost: x\r\nSecret: {SECRET}\r\n\r\n".encode(),
]


@contextmanager
def connected(url: str, count: int, started: bytes = b"", source: str = "127.0.0.1") -> Iterator[list[socket.socket]]:
    """Connections that send a part of a request, or nothing."""
    there = urlsplit(url)
    with ExitStack() as stack:
        many = []
        for _ in range(count):
            one = stack.enter_context(socket.socket())
            one.settimeout(20)
            one.bind((source, 0))
            one.connect((there.hostname, there.port))
            one.sendall(started)
            many.append(one)
        yield many


def until_closed(connection: socket.socket) -> None:
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        pass


@pytest.fixture(scope="module")
def url(replay: ReplayServer) -> Iterator[str]:
    with serving(cost_service(AccountsInMemory([account(1, replay.url_of("aurora"))])), limits=LIMITS) as url:
        yield url


@pytest.mark.parametrize("started", BEGUN)
def test_idle_connections_lock_nobody_out(url: str, started: bytes) -> None:
    with connected(url, 300, started) as many:
        for address in ("127.0.0.1", "127.0.0.2"):
            with httpx.Client(transport=httpx.HTTPTransport(local_address=address), timeout=20) as client:
                assert client.get(f"{url}/healthz").status_code == 200
                assert client.get(url + PATH, params=GOOD, headers=WITH_SECRET).status_code == 200
        until_closed(many[0])  # the oldest are closed first


def test_running_request_is_not_cut(faulty: FaultServer) -> None:
    accounts = AccountsInMemory([account(1, faulty.fault_url("slow", "aurora"))])
    with serving(cost_service(accounts), limits=LIMITS) as url, ThreadPoolExecutor(1) as one:
        asked = one.submit(httpx.get, url + PATH, params=GOOD, headers=WITH_SECRET, timeout=30)  # type: ignore[arg-type]
        eventually(lambda: [question for question in faulty.asked if question.path == "/allocation"])
        with connected(url, 60) as many:
            until_closed(many[0])
        faulty.release.set()
        assert asked.result().status_code == 200


def test_total_is_limited_below_the_limit_per_address(replay: ReplayServer) -> None:
    limits = ConnectionLimits(per_address=50, total=60, head_seconds=60, grace_seconds=0.1, every_seconds=0.05)
    with serving(cost_service(AccountsInMemory()), limits=limits) as url, ExitStack() as stack:
        groups = [stack.enter_context(connected(url, 45, source=f"127.0.0.{n}")) for n in range(2, 6)]
        assert httpx.get(f"{url}/healthz", timeout=20).status_code == 200
        until_closed(groups[0][0])


def test_request_head_must_arrive_in_time(replay: ReplayServer) -> None:
    limits = ConnectionLimits(head_seconds=0.2)
    with serving(cost_service(AccountsInMemory()), limits=limits) as url:
        for started in BEGUN[:3]:
            with connected(url, 1, started) as [one]:
                until_closed(one)
