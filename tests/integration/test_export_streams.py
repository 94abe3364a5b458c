"""Files of `/api/v1/exports` on a real server: whoever reads slowly or goes away holds nothing for long."""

import os
import socket
import threading
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from kubetally.domain.errors import StoreError
from kubetally.ledger.sample.make import SampleFleet
from kubetally.query.answers import LedgerAnswers
from kubetally.query.opening import open_duck
from kubetally.query.reader import LedgerReader
from kubetally.settings import Settings
from kubetally.web.v1.file_stream import MAX_FILES
from kubetally.wiring.ledger import open_ledger
from kubetally.wiring.sample import make_sample
from tests.integration.test_serve_command import eventually
from tests.served import FixedClock
from tests.service import SECRET, AccountsInMemory, cost_service, serving

PIECE = b"x" * 65_536
DAYS = "start=2026-11-16&end=2026-11-21"
HEAD = f"GET /api/v1/exports?{DAYS}&format={{}} HTTP/1.1\r\nHost: x\r\nSecret: {SECRET}\r\n\r\n"


@dataclass
class Files:
    """A ledger with files without end, or with some pieces and a failure."""

    failing_after: int | None = None
    made: int = 0
    running: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def export(self, *_: object) -> Generator[bytes, None, None]:
        self._count(running=1)
        try:
            pieces = 0
            while pieces != self.failing_after:
                self._count(made=1)
                yield PIECE
                pieces += 1
            raise StoreError("the disk is gone", retryable=True)
        finally:
            self._count(running=-1)

    def __getattr__(self, name: str) -> Any:
        """Every other question has no answer."""
        if name.startswith("_"):
            raise AttributeError(name)
        return None

    def _count(self, *, made: int = 0, running: int = 0) -> None:
        with self.lock:
            self.made += made
            self.running += running


@contextmanager
def served(files: Any) -> Iterator[str]:
    with serving(cost_service(AccountsInMemory()), ledger=files) as url:
        yield url


def ask(url: str, format_: str = "csv") -> socket.socket:
    """A client with little room that has asked for a file."""
    there = urlsplit(url)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(20)
    client.connect((there.hostname, there.port))
    client.sendall(HEAD.format(format_).encode())
    return client


@contextmanager
def reading(url: str, format_: str = "csv") -> Iterator[socket.socket]:
    """A client that has the head of its file."""
    with closing(ask(url, format_)) as client:
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        yield client


def export(url: str) -> httpx.Response:
    return httpx.get(f"{url}/api/v1/exports?{DAYS}", headers={"Secret": SECRET}, timeout=20)


def test_file_ends_when_its_client_goes_away() -> None:
    files = Files()
    with served(files) as url:
        for _ in range(2 * MAX_FILES):
            with reading(url):
                assert files.running == 1
            eventually(lambda: files.running == 0)


def test_client_that_asks_and_leaves_at_once_holds_nothing() -> None:
    files = Files()
    with served(files) as url:
        for _ in range(2 * MAX_FILES):
            ask(url).close()
        with ExitStack() as stack:

            def is_sent() -> bool:
                return stack.enter_context(closing(ask(url))).recv(4096).startswith(b"HTTP/1.1 200")

            for _ in range(MAX_FILES):
                eventually(is_sent)
        eventually(lambda: files.running == 0)


def test_slow_clients_make_no_pieces_and_hold_no_question() -> None:
    files = Files()
    with served(files) as url, reading(url), reading(url), reading(url):
        made = -1
        while made != files.made:  # the buffers of sockets fill up
            made = files.made
            for _ in range(20):
                assert httpx.get(f"{url}/healthz").status_code == 200
        assert made < 3 * 256


def test_more_files_than_allowed_are_told_to_wait() -> None:
    files = Files()
    with served(files) as url:
        with ExitStack() as clients:
            for _ in range(MAX_FILES):
                clients.enter_context(reading(url))
            refused = export(url)
        assert (refused.status_code, refused.headers["Retry-After"], refused.json()["code"]) == (503, "5", "overloaded")
        eventually(lambda: files.running == 0)
        with reading(url):
            pass


def test_failure_before_the_first_piece_is_a_problem() -> None:
    files = Files(failing_after=0)
    with served(files) as url:
        for _ in range(MAX_FILES + 1):
            assert export(url).json()["code"] == "store_error"
    assert files.running == 0


def test_failure_later_cuts_the_file_off() -> None:
    files = Files(failing_after=3)
    with served(files) as url:
        for _ in range(MAX_FILES + 1):
            with pytest.raises(httpx.RemoteProtocolError):
                export(url)
        eventually(lambda: files.running == 0)


def open_files(folder: Path) -> list[str]:
    """Files below a folder that this process has open."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.append(os.readlink(link))  # noqa: PTH115 - it may be gone
        except FileNotFoundError:
            continue
    return [path for path in found if path.startswith(str(folder)) and path.endswith(".parquet")]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_files_of_the_lake_are_closed_when_a_client_goes_away(tmp_path: Path) -> None:
    make_sample(SampleFleet(2, 400, 5, last=FixedClock().now().date().replace(day=20)), tmp_path / "home")
    with (
        open_ledger(Settings(home=str(tmp_path / "home")), FixedClock()) as ledger,
        LedgerReader(ledger, open_duck) as reader,
        served(LedgerAnswers(reader)) as url,
    ):
        for format_ in ("csv", "parquet", "csv"):
            with reading(url, format_):
                pass
            eventually(lambda: not open_files(tmp_path / "home" / "lake"))
