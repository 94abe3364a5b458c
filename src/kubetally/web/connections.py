"""Limits on idle connections: the HTTP server accepts any number of them from one client.

The server has no hook for connections, so the sockets of the process are checked twice a second. Above a limit, the
connections that have been idle longest are shut down. A connection with a running request is never shut down, and a
new one has time to send its request.
"""

import asyncio
import os
import resource
import socket
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kubetally import logs
from kubetally.web.proxies import TrustedProxies, limit_key

Peer = tuple[str, int]
DEFAULT_PER_ADDRESS: Final = 128
_OPEN_FILES: Final = Path("/dev/fd")
_MAX_FILES: Final = 65_536
_RESERVED_FILES: Final = 256  # for databases, the lake, sources
_log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections there may be, and how long they may take.

    per_address: idle connections of one client address; trusted proxies have no such limit. total: of all clients.
    head_seconds: for a request's head, and for the first or next request of a connection. unread_seconds: for bytes
    that a client does not read. grace_seconds: before a new connection may be shut down. every_seconds: between checks.
    """

    per_address: int = DEFAULT_PER_ADDRESS
    total: int = 16_384
    head_seconds: float = 5.0
    unread_seconds: float = 30.0
    grace_seconds: float = 1.0
    every_seconds: float = 0.5


class Connections:
    """The connections of the service, from its requests and its sockets. For one event loop."""

    def __init__(self, proxies: TrustedProxies | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._proxies, self._now = proxies or TrustedProxies(), now
        self._busy: dict[Peer, int] = {}
        self._active: dict[Peer, float] = {}
        self._by_inode: dict[int, _Connection | None] = {}

    def began(self, client: tuple[str, int] | None) -> None:
        """Note that a request of this client begins."""
        if client is not None:
            peer = _peer(client)
            self._busy[peer] = self._busy.get(peer, 0) + 1

    def ended(self, client: tuple[str, int] | None) -> None:
        """Note that a request of this client has been answered."""
        if client is None:
            return
        peer = _peer(client)
        self._active[peer] = self._now()
        running = self._busy.pop(peer, 0) - 1
        if running > 0:
            self._busy[peer] = running

    async def keep_limits(self, port: int, limits: ConnectionLimits) -> None:
        """Shut down connections over the limits, until cancelled."""
        while True:
            await asyncio.sleep(limits.every_seconds)
            try:
                closed = self.trim(port, limits)
            except OSError as error:  # too many open files; tried again after `every_seconds`
                _log.warning("connections_not_counted", why=error.strerror)
                continue
            for address, count in closed.items():
                _log.warning("connections_closed", address=address, count=count, why="too many idle connections")

    def trim(self, port: int, limits: ConnectionLimits) -> Counter[str]:
        """Shut down connections over the limits, and return how many by address."""
        connections = list(self._open_connections(port, limits))
        peers = {connection.peer for connection in connections}
        self._active = {peer: seconds for peer, seconds in self._active.items() if peer in peers}
        counts = Counter(connection.address for connection in connections if not connection.is_proxy)
        excess = Counter(
            {address: count - limits.per_address for address, count in counts.items() if count > limits.per_address}
        )
        total_excess, closed = len(connections) - limits.total, Counter[str]()
        if not excess and total_excess <= 0:
            return closed
        newest = self._now() - limits.grace_seconds
        for connection in sorted(connections, key=self._last_active):
            is_excess = (
                not connection.is_proxy and excess[connection.address] > 0 and self._last_active(connection) < newest
            )
            if (is_excess or total_excess > 0) and connection.peer not in self._busy and connection.shut_down():
                excess[connection.address] -= 1
                total_excess -= 1
                closed[connection.address] += 1
        return closed

    def _last_active(self, connection: "_Connection") -> float:
        return max(connection.since, self._active.get(connection.peer, 0.0))

    def _open_connections(self, port: int, limits: ConnectionLimits) -> Iterator["_Connection"]:
        """The open connections to a port of this process; each socket is inspected once."""
        known, self._by_inode = self._by_inode, {}
        for entry in _OPEN_FILES.iterdir():
            file = int(entry.name)
            with suppress(OSError):  # closed meanwhile
                status = os.fstat(file)
                if not stat.S_ISSOCK(status.st_mode):
                    continue
                inode = status.st_ino
                connection = known[inode] if inode in known else self._inspect(file, inode, port, limits)
                if connection is not None:
                    connection.file = file
                    yield connection
                self._by_inode[inode] = connection

    def _inspect(self, file: int, inode: int, port: int, limits: ConnectionLimits) -> "_Connection | None":
        """The connection of a client; None for any other socket."""
        with suppress(OSError), socket.socket(fileno=os.dup(file)) as copy:
            if copy.family not in {socket.AF_INET, socket.AF_INET6} or copy.getsockname()[1] != port:
                return None
            host, peer_port = copy.getpeername()[:2]  # fails for the listening socket
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                copy.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(limits.unread_seconds * 1000))
            is_proxy = self._proxies.trusts(host)
            return _Connection(file, inode, (host, peer_port), limit_key(host), is_proxy, self._now())
        return None


def _peer(client: tuple[str, int]) -> Peer:
    """The peer of a request's scope; granian has the port as text."""
    return client[0], int(client[1])


@dataclass(slots=True)
class _Connection:
    file: int
    inode: int
    peer: Peer
    address: str
    is_proxy: bool
    since: float

    def shut_down(self) -> bool:
        """Shut the connection down, so that the server closes it. False if the file is another one by now."""
        with suppress(OSError), socket.socket(fileno=os.dup(self.file)) as copy:
            if os.fstat(copy.fileno()).st_ino == self.inode:
                copy.shutdown(socket.SHUT_RDWR)
                return True
        return False


def max_connections(wanted: int) -> int:
    """How many connections the limit of open files allows, at most `wanted`; raises the soft limit to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = _MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_FILES)
    with suppress(OSError, ValueError):
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if soft != resource.RLIM_INFINITY and soft < files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    files = files if soft == resource.RLIM_INFINITY else min(files, soft)
    return min(wanted, max(files // 2, files - _RESERVED_FILES))
