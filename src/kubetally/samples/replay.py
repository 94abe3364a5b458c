"""An HTTP server that replays the recorded answers of an OpenCost.

A request that was not recorded is a 404 that says so, never a guess.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self
from urllib.parse import parse_qsl, urlsplit

from kubetally.samples import folders
from kubetally.samples.recorded import Answer, Params, RecordedCluster

LABEL = "X-Kubetally-Sample"
"""A header of every answer: `recorded`, or `not-recorded`."""

PLAIN = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Request:
    """A request; `params` has the last value of a repeated parameter."""

    cluster: str
    path: str
    params: Params


class ReplayHandler(BaseHTTPRequestHandler):
    """Answers GET /NAME/...; any other method is refused."""

    server: "ReplayServer"
    protocol_version = "HTTP/1.1"
    server_version = "kubetally-sample"
    sys_version = ""
    disable_nagle_algorithm = True
    timeout: ClassVar[float] = 300.0

    def do_GET(self) -> None:
        split = urlsplit(self.path)
        self.route(split.path.strip("/").split("/"), dict(parse_qsl(split.query, keep_blank_values=True)))

    def route(self, parts: Sequence[str], params: Params) -> None:
        """Answer for the cluster in the first part of the path."""
        request = Request(parts[0], "/" + "/".join(parts[1:]), params)
        cluster = self.server.clusters.get(request.cluster)
        if cluster is None:
            names = ", ".join(self.server.clusters)
            self.send(
                404, f"no sample cluster of that name; there are: {names}\n".encode(), PLAIN, label="not-recorded"
            )
            return
        self.server.asked.append(request)
        self.answer(request, cluster)

    def answer(self, request: Request, cluster: RecordedCluster) -> None:
        """Answer a request to a cluster."""
        answer = cluster.find(request.path, request.params)
        if answer is None:
            self.send_not_recorded(request, cluster)
        else:
            self.send_recorded(answer)

    def send_recorded(self, answer: Answer) -> None:
        self.send(answer.status, answer.body(), answer.content_type)

    def send_not_recorded(self, request: Request, cluster: RecordedCluster) -> None:
        if not cluster.serves(request.path):
            self.send(404, b"404 page not found\n", PLAIN)  # as the recorded server
            return
        self.server.unknown.append(request)
        text = f"this question was not recorded for the sample cluster {request.cluster}\n"
        self.send(404, text.encode(), PLAIN, label="not-recorded")

    def send(
        self,
        status: int,
        body: bytes,
        content_type: str | None = "application/json",
        *,
        label: str = "recorded",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        if content_type is not None:
            self.send_header("Content-Type", content_type)
        for key, value in {"Content-Length": str(len(body)), LABEL: label, **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (named so by the base class)
        """Log nothing, as `asked` has the requests."""


class ReplayServer(ThreadingHTTPServer):
    """Serves recorded clusters at `url`/NAME from a thread; a context manager starts and closes it."""

    daemon_threads = True
    request_queue_size = 128
    handler: ClassVar[type[ReplayHandler]] = ReplayHandler

    def __init__(self, clusters: Mapping[str, Sequence[Path]] | None = None, port: int = 0) -> None:
        """Serve the folders of `clusters`, by default the packaged samples, on 127.0.0.1; port 0 takes a free one."""
        self.clusters = {
            name: RecordedCluster.load(*paths) for name, paths in (folders() if clusters is None else clusters).items()
        }
        self.asked: list[Request] = []
        self.unknown: list[Request] = []
        self.closing = threading.Event()
        super().__init__(("127.0.0.1", port), self.handler)

    @property
    def url(self) -> str:
        """The address without a cluster."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def url_of(self, cluster: str) -> str:
        """The address of a cluster."""
        return f"{self.url}/{cluster}"

    def start(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def close(self) -> None:
        """Stop, without waiting for answers in progress."""
        self.closing.set()
        self.shutdown()
        self.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that disconnect."""
