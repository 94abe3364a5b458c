"""Running an application on a real socket until a signal stops it."""

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
from kubetally.web.watch import InstrumentedApp

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
    """Raises AddressNotFree, where the server could not listen now."""
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
    """Answer until SIGTERM or SIGINT, then finish what is under way, for `stop_seconds` at most.

    `listening` is called with the URL once connections are taken; port 0 takes a free one. Raises AddressNotFree.
    """

    async def until_told() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        # Names are resolved there too, which may take seconds each; the default has only a thread or two a core.
        loop.set_default_executor(ThreadPoolExecutor(_THREADS, "web"))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await run(app, host, port, stop, listening=listening, stop_seconds=stop_seconds, limits=limits)

    asyncio.run(until_told())


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
    """The same on a loop that runs already, until `stop` is set."""
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
        backpressure=total,  # beyond it nobody is accepted, so that limits are kept below it
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
        app.life.is_stopping = True
        await asyncio.sleep(NOTICE_SECONDS)  # probes see it, and whoever is just connecting is still answered
        server.stop()  # type: ignore[no-untyped-call]
        await asyncio.wait((running,), timeout=stop_seconds - LAST_SECONDS)
    await app.give_up()
    try:
        await running
    except TimeoutError:
        _log.warning("connections_cut", after_seconds=stop_seconds)


async def _announce(host: str, port: int, listening: Callable[[str], None]) -> None:
    """Tell of the URL as soon as connections are taken."""
    there = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  (what one binds is not where one goes)
    while True:
        with suppress(OSError):
            _, writer = await asyncio.open_connection(there, port)
            writer.close()
            break
        await asyncio.sleep(0.02)
    listening(f"http://{f'[{there}]' if ':' in there else there}:{port}")


def _free_address(host: str, port: int) -> tuple[str, int]:
    """The address as a number, and the port, a free one for 0; that it can be bound has been seen."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            bound: tuple[Any, ...] = probe.getsockname()
            return str(bound[0]), int(bound[1])
    except OSError as error:
        raise AddressNotFree(host, port, error.strerror or str(error)) from error
