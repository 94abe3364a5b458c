"""Serves an application until a signal stops it."""

import asyncio
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from kubetally import logs
from kubetally.domain.errors import RequestError
from kubetally.web.connections import ConnectionLimits, max_connections
from kubetally.web.instrumented_app import InstrumentedApp

STOP_SECONDS: Final = 8.0
NOTICE_SECONDS: Final = 0.5
LAST_SECONDS: Final = 2.0  # for answers that say the service is shutting down
_CONNECTIONS: Final = 2048
_THREADS: Final = 64
_BIGGEST_HEAD: Final = 64 * 1024
_log = logs.get_logger(__name__)


class AddressNotFree(RequestError):
    """The server can't listen there."""

    code = "address_not_free"

    def __init__(self, host: str, port: int, why: str) -> None:
        self.host, self.port = host, port
        super().__init__(
            f"can't listen on {host} port {port}: {why}; choose another with --port, or stop what listens there"
        )


def check_address(host: str, port: int) -> None:
    """Check that the server can listen there. Raises AddressNotFree."""
    _free_address(host, port)


def serve(
    app: InstrumentedApp,
    host: str = "127.0.0.1",
    port: int = 8080,
    *,
    listening: Callable[[str], None] = lambda url: None,
    stop_seconds: float = STOP_SECONDS,
    limits: ConnectionLimits | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish running requests within `stop_seconds`.

    port: 0 for any free one. listening: called with the URL once connections are accepted. Raises AddressNotFree.
    """

    async def until_signal() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        # Names are resolved on it too, which may take seconds; the default executor has only a few threads.
        loop.set_default_executor(ThreadPoolExecutor(_THREADS, "web"))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await run(app, host, port, stop, listening=listening, stop_seconds=stop_seconds, limits=limits)

    asyncio.run(until_signal())


async def run(
    app: InstrumentedApp,
    host: str,
    port: int,
    stop: asyncio.Event,
    *,
    listening: Callable[[str], None] = lambda url: None,
    stop_seconds: float = STOP_SECONDS,
    limits: ConnectionLimits | None = None,
) -> None:
    """Serve as `serve` does, on the running event loop and until `stop` is set."""
    host, port = _free_address(host, port)
    limits = limits or ConnectionLimits()
    total = max_connections(limits.total)
    server = Server(
        app,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=_CONNECTIONS,
        backpressure=total,  # no connection is accepted beyond it, so the limits are lower
        http1_settings=HTTP1Settings(
            header_read_timeout=round(limits.head_seconds * 1000), max_buffer_size=_BIGGEST_HEAD
        ),
        log_enabled=False,
    )
    server.workers_kill_timeout = stop_seconds  # type: ignore[assignment]
    running = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop.wait())
    ready = asyncio.create_task(_announce(host, port, listening))
    limiting = asyncio.create_task(app.connections.keep_limits(port, replace(limits, total=total * 9 // 10)))
    try:
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        limiting.cancel()
        ready.cancel()
        stopping.cancel()
    if not running.done():
        _log.info("stopping", seconds=stop_seconds)
        app.service_state.is_stopping = True
        await asyncio.sleep(NOTICE_SECONDS)  # probes notice, and new connections are still answered
        server.stop()  # type: ignore[no-untyped-call]
        await asyncio.wait((running,), timeout=stop_seconds - LAST_SECONDS)
    await app.cancel_reads()
    try:
        await running
    except TimeoutError:
        _log.warning("connections_cut", after_seconds=stop_seconds)


async def _announce(host: str, port: int, listening: Callable[[str], None]) -> None:
    """Call `listening` with the URL as soon as connections are accepted."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  (a wildcard is no destination)
    while True:
        with suppress(OSError):
            _, writer = await asyncio.open_connection(reachable, port)
            writer.close()
            break
        await asyncio.sleep(0.02)
    listening(f"http://{f'[{reachable}]' if ':' in reachable else reachable}:{port}")


def _free_address(host: str, port: int) -> tuple[str, int]:
    """The numeric address and the port (a free one for 0), which can be bound. Raises AddressNotFree."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            bound: tuple[Any, ...] = probe.getsockname()
            return str(bound[0]), int(bound[1])
    except OSError as error:
        raise AddressNotFree(host, port, error.strerror or str(error)) from error
