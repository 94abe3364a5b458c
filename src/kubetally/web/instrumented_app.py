"""Wraps every request: its id, its log line, its metrics, and requests that no route may see."""

import re
import secrets
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, Final, NoReturn, Protocol
from urllib.parse import quote

from litestar import Litestar, Request
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Send

from kubetally import logs
from kubetally.web.connections import Connections
from kubetally.web.documentation import SWAGGER
from kubetally.web.problems import LONGEST_QUERY, Failure, Problem
from kubetally.web.proxies import TrustedProxies
from kubetally.web.service_state import ServiceState
from kubetally.web.wrong_secrets import WrongSecrets, is_wrong

CACHE: Final = "kubetally_cache"  # key of the scope's state: hit or miss, for the log
_PROCESS, _NUMBERS = secrets.token_hex(4).encode(), count(1)  # together unique for each request
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_SLASHED = frozenset({"/", f"{SWAGGER}/"})
_SAFE = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))


class RequestCounter(Protocol):
    """Counts requests."""

    def count_request(self, path: str, status: int, seconds: float) -> None:
        """Count a request. path: of a route."""


class InstrumentedApp(Litestar):
    """A Litestar application that logs and counts each of its requests. All attributes are set before the first one.

    problem_at: the response to a failure at a path. cancel_reads: cancels requests to sources, so that clients
    do not wait. cached_answer: the answer to a request without a route, else None. no_head: prefixes of paths whose
    routes handle HEAD themselves; elsewhere it is answered like GET, without the body.
    """

    http_metrics: RequestCounter
    service_state: ServiceState
    connections: Connections
    proxies: TrustedProxies
    wrong_secrets: WrongSecrets
    problem_at: Callable[[str, Failure], Problem]
    cancel_reads: Callable[[], Awaitable[None]]
    cached_answer: Callable[[HTTPScope], ASGIApp | None]
    no_head: tuple[str, ...] = ()
    log: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, log it and count it."""
        if scope["type"] == "http":
            if self.log is None:  # bound once because binding takes time, and late because logs are set up late
                self.log = logs.bound_logger(__name__)
            await _InstrumentedRequest(self, scope, send).answer(super().__call__, receive)
        else:
            await super().__call__(scope, receive, send)


class _InstrumentedRequest:
    def __init__(self, app: InstrumentedApp, scope: HTTPScope, send: Send) -> None:
        self._app, self._scope, self._send = app, scope, send
        self._began, self._status, self._is_replaced = time.perf_counter(), 0, False
        scope.setdefault("state", {})
        self._id = _request_id(scope)
        self._path, self._method = scope["path"], scope["method"]
        self._is_head = self._method == "HEAD" and not self._path.startswith(app.no_head)
        if self._is_head:
            scope["method"] = "GET"

    async def answer(self, app: Any, receive: Receive) -> None:
        peer = self._scope["client"]
        self._app.connections.began(peer)
        try:
            failure = _reject(self._scope)
            cached = self._app.cached_answer(self._scope) if failure is None else None
            if cached is not None:
                await cached(self._scope, receive, self._forward)
            elif failure is None:
                await app(self._scope, receive, self.send)
            else:
                self._scope["litestar_app"] = self._scope["app"] = self._app
                await self._problem(failure)(self._scope, receive, self.send)
        finally:
            self._app.connections.ended(peer)
            self._record()

    async def send(self, message: Message) -> None:
        if self._is_replaced:  # the rest of a replaced response
            return
        if message["type"] == "http.response.start" and is_wrong(self._scope):
            address = self._app.proxies.client(self._scope)
            if not await self._app.wrong_secrets.wait(address):
                await self._problem(Failure(429))(self._scope, _nothing, self._forward)
                self._is_replaced = True
                return
        await self._forward(message)

    def _problem(self, failure: Failure) -> ASGIApp:
        response = self._app.problem_at(self._path, failure).response()
        return response.to_asgi_response(app=None, request=Request(self._scope))

    async def _forward(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            message["headers"] = [*message["headers"], (b"x-request-id", self._id), *_SAFE]
        elif self._is_head and message["type"] == "http.response.body":
            message["body"] = b""
        await self._send(message)

    def _record(self) -> None:
        """Count the request and log it, without query and headers, which may contain secrets."""
        scope, seconds = self._scope, time.perf_counter() - self._began
        status = self._status or 499  # the client closed the connection before the response
        path, method = scope.get("path_template"), self._method
        self._app.http_metrics.count_request(path or "other", status, seconds)
        facts = {} if CACHE not in scope["state"] else {"cache": scope["state"][CACHE]}
        self._app.log.info(
            "request",
            method="GET" if method == "GET" else quote(method[:20]),
            path=path or quote(self._path[:200]),
            status=status,
            ms=round(seconds * 1000, 1),
            id=self._id.decode(),
            **facts,
        )


async def _nothing() -> NoReturn:
    raise AssertionError("a problem's response reads nothing")


def _reject(scope: HTTPScope) -> Failure | None:
    """The failure of a request that no route may see, else None.

    Litestar would treat a path with a trailing slash as the path without it, and it has its own 404 below `/docs`.
    """
    path = scope["path"]
    if path not in _SLASHED and (path.endswith("/") or "//" in path or path.startswith("/docs/")):
        return Failure(404)
    if len(scope["query_string"]) > LONGEST_QUERY:
        return Failure(414)
    return None


def _request_id(scope: HTTPScope) -> bytes:
    """The client's `X-Request-Id` if it is harmless, else a new id."""
    sent = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return sent if _ID.fullmatch(sent) else b"%s-%x" % (_PROCESS, next(_NUMBERS))
