"""A reverse proxy on the machine of the service, as nginx's plain `proxy_pass` is one."""

import http.client
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "host"})


class ReverseProxy(ThreadingHTTPServer):
    """Passes every GET on, with the service's own address as `Host` and the headers of `adds`."""

    daemon_threads = True

    def __init__(self, upstream: str, adds: Mapping[str, str] | None = None) -> None:
        self.upstream, self.adds = urlsplit(upstream).netloc, dict(adds or {})
        super().__init__(("127.0.0.1", 0), _Handler)
        self._thread = Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: ReverseProxy

    def do_GET(self) -> None:
        connection = http.client.HTTPConnection(self.server.upstream, timeout=20)
        given = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        connection.request("GET", self.path, headers=given | self.server.adds | {"Connection": "close"})
        answer = connection.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {*_HOP_BY_HOP, "content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        connection.close()

    def log_message(self, *_: object) -> None:
        pass
