"""What happens around every request: its id, its line in the log, its figures, and what no route ever sees."""

import re
import secrets
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, Final, NoReturn
from urllib.parse import quote

from litestar import Litestar, Request
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Send

from kubetally import logs
from kubetally.web.connections import Connections
from kubetally.web.documentation import SWAGGER
from kubetally.web.faces import no_such_path
from kubetally.web.ops.metrics import HttpMetrics
from kubetally.web.ops.routes import ServiceState
from kubetally.web.problems import Problem
from kubetally.web.proxies import TrustedProxies
from kubetally.web.wrong_secrets import WrongSecrets, is_wrong

LONGEST_QUERY: Final = 8192
CACHE: Final = "kubetally_cache"  # where a route leaves in the scope's state whether it had a hit, for the log
_PROCESS, _NUMBERS = secrets.token_hex(4).encode(), count(1)  # an id of its own for each request of each process
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_SLASHED = frozenset({"/", f"{SWAGGER}/"})
_SAFE = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))


class InstrumentedApp(Litestar):
    """A Litestar application that tells of each of its requests, and can be told that it ends.

    http_metrics, life, connections, proxies, wrong_secrets: set before the first request. give_up: ends what is asked
    of sources, so that who waits is answered. remembered: the answer of a request that needs no route, else None.
    no_head: what the paths begin with whose routes see HEAD themselves; elsewhere it is answered as GET is, without
    the body.
    """

    http_metrics: HttpMetrics
    life: ServiceState
    connections: Connections
    proxies: TrustedProxies
    wrong_secrets: WrongSecrets
    give_up: Callable[[], Awaitable[None]]
    remembered: Callable[[HTTPScope], ASGIApp | None]
    no_head: tuple[str, ...] = ()
    log: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer, and tell of it."""
        if scope["type"] == "http":
            if self.log is None:  # bound once, with the settings that logs have by now: each binding costs time
                self.log = logs.bound_logger(__name__)
            await _Watched(self, scope, send).answer(super().__call__, receive)
        else:
            await super().__call__(scope, receive, send)


class _Watched:
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
            problem = _refused(self._scope)
            remembered = self._app.remembered(self._scope) if problem is None else None
            if remembered is not None:
                await remembered(self._scope, receive, self._send_on)
            elif problem is None:
                await app(self._scope, receive, self.send)
            else:
                self._scope["litestar_app"] = self._scope["app"] = self._app
                response = problem.response().to_asgi_response(app=None, request=Request(self._scope))
                await response(self._scope, receive, self.send)
        finally:
            self._app.connections.ended(peer)
            self._tell()

    async def send(self, message: Message) -> None:
        if self._is_replaced:  # the rest of an answer that was not sent
            return
        if message["type"] == "http.response.start" and is_wrong(self._scope):
            address = self._app.proxies.client(self._scope)
            if not await self._app.wrong_secrets.wait(address):
                problem = Problem(None, status=429, headers={"Retry-After": "5"})
                response = problem.response().to_asgi_response(app=None, request=Request(self._scope))
                await response(self._scope, _nothing, self._send_on)
                self._is_replaced = True
                return
        await self._send_on(message)

    async def _send_on(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            message["headers"] = [*message["headers"], (b"x-request-id", self._id), *_SAFE]
        elif self._is_head and message["type"] == "http.response.body":
            message["body"] = b""
        await self._send(message)

    def _tell(self) -> None:
        """Count it, and write its line. The query and the headers stay out: either may hold what is secret."""
        scope, seconds = self._scope, time.perf_counter() - self._began
        status = self._status or 499  # the caller left before the answer began
        path, method = scope.get("path_template"), self._method
        self._app.http_metrics.answered(path or "other", status, seconds)
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
    raise AssertionError("an answer of ours reads nothing")


def _refused(scope: HTTPScope) -> Problem | None:
    """What the routes must not see: Litestar takes a path with a slash at its end for the one without.

    Below `/docs` it has a 404 of its own.
    """
    path = scope["path"]
    if path not in _SLASHED and (path.endswith("/") or "//" in path or path.startswith("/docs/")):
        return no_such_path(path)
    if len(scope["query_string"]) > LONGEST_QUERY:
        return Problem(None, status=414)
    return None


def _request_id(scope: HTTPScope) -> bytes:
    """The caller's own id where it is a harmless one, else a new one."""
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return given if _ID.fullmatch(given) else b"%s-%x" % (_PROCESS, next(_NUMBERS))
