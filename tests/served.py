"""A source whose answers a test writes, over a real socket; and the instant at which tests are."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

NOON_AFTER = datetime(2026, 11, 23, 12, tzinfo=UTC)
"""Half a day after the last recorded sample."""


@dataclass(frozen=True)
class FixedClock:
    """A clock that stands still."""

    at: datetime = NOON_AFTER

    def now(self) -> datetime:
        return self.at


@dataclass(frozen=True)
class Asked:
    """A question as it came; parameters as pairs, in their order."""

    path: str
    pairs: tuple[tuple[str, str], ...]
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def params(self) -> dict[str, str]:
        return dict(self.pairs)


@dataclass(frozen=True)
class Reply:
    """An answer that is more than JSON with status 200."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


NOT_FOUND = Reply(404, b"404 page not found\n", "text/plain")
Answers = Callable[[Asked], Any]


class Served(ThreadingHTTPServer):
    """Answers each GET, and each POST of a form, with what `answers` makes of it: a Reply, or what becomes JSON."""

    daemon_threads = True
    request_queue_size = 128  # with 5, a client of several connections waits a second for the next

    def __init__(self, answers: Answers) -> None:
        self.answers, self.asked = answers, list[Asked]()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: a client that hangs up while it is answered is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: Served
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer(urlsplit(self.path).query)

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def _answer(self, form: str) -> None:
        pairs = tuple(parse_qsl(form, keep_blank_values=True))
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(urlsplit(self.path).path, pairs, self.command, headers)
        self.server.asked.append(asked)
        said = self.server.answers(asked)
        reply = said if isinstance(said, Reply) else Reply(200, json.dumps(said).encode())
        self.send_response(reply.status)
        for name, value in {
            "Content-Type": reply.content_type,
            "Content-Length": str(len(reply.body)),
            **reply.headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (named so by the base class)
        """Nothing: the questions are kept in `asked`."""
