"""Limits on connections that ask nothing: the server underneath accepts any number from one client, and waits.

It has no hook for connections, so this looks at the sockets of the process, twice a second, and shuts down those that
are too many: the ones that have asked nothing for longest. A connection with a request under way is never shut down,
and a new one has time to send its request, so that clients which ask are served, whoever else is connected.
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
from kubetally.web.proxies import TrustedProxies, counted

Peer = tuple[str, int]
DEFAULT_PER_ADDRESS: Final = 128
_OPEN_FILES: Final = Path("/dev/fd")
_MAX_FILES: Final = 65_536
_RESERVED_FILES: Final = 256  # for databases, the lake, sources
_log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections there may be.

    per_address: that ask nothing, of one client address; proxies that are trusted have no such limit. total: of all
    clients. head_seconds: for a request's head, and for the first or next request of a connection. unread_seconds: for
    bytes that a client does not take. grace_seconds: how long a new connection counts for nothing; every_seconds: how
    often they are counted.
    """

    per_address: int = DEFAULT_PER_ADDRESS
    total: int = 16_384
    head_seconds: float = 5.0
    unread_seconds: float = 30.0
    grace_seconds: float = 1.0
    every_seconds: float = 0.5


class Connections:
    """The connections of the service, as the application and the sockets show them. One event loop uses it."""

    def __init__(self, proxies: TrustedProxies | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._proxies, self._now = proxies or TrustedProxies(), now
        self._busy: dict[Peer, int] = {}
        self._active: dict[Peer, float] = {}
        self._seen: dict[int, _Connection | None] = {}

    def began(self, client: tuple[str, int] | None) -> None:
        """A request of this connection begins."""
        if client is not None:
            peer = _peer(client)
            self._busy[peer] = self._busy.get(peer, 0) + 1

    def ended(self, client: tuple[str, int] | None) -> None:
        """It has been answered."""
        if client is None:
            return
        peer = _peer(client)
        self._active[peer] = self._now()
        left = self._busy.pop(peer, 0) - 1
        if left > 0:
            self._busy[peer] = left

    async def keep_limits(self, port: int, limits: ConnectionLimits) -> None:
        """Shut down what is too many, until cancelled."""
        while True:
            await asyncio.sleep(limits.every_seconds)
            try:
                closed = self.trim(port, limits)
            except OSError as error:  # too many files for one more: tried again at once
                _log.warning("connections_not_counted", why=error.strerror)
                continue
            for address, count in closed.items():
                _log.warning("connections_closed", address=address, count=count, why="too many that ask nothing")

    def trim(self, port: int, limits: ConnectionLimits) -> Counter[str]:
        """Shut down connections over the limits; returns how many, by address."""
        found = list(self._found(port, limits))
        self._active = {peer: self._active[peer] for connection in found if (peer := connection.peer) in self._active}
        counts = Counter(connection.address for connection in found if not connection.is_proxy)
        excess = Counter(
            {address: count - limits.per_address for address, count in counts.items() if count > limits.per_address}
        )
        left, closed = len(found) - limits.total, Counter[str]()
        if not excess and left <= 0:
            return closed
        young = self._now() - limits.grace_seconds
        for connection in sorted(found, key=self._last_active):
            is_excess = (
                not connection.is_proxy and excess[connection.address] > 0 and self._last_active(connection) < young
            )
            if (is_excess or left > 0) and connection.peer not in self._busy and connection.shut_down():
                excess[connection.address] -= 1
                left -= 1
                closed[connection.address] += 1
        return closed

    def _last_active(self, connection: "_Connection") -> float:
        return max(connection.since, self._active.get(connection.peer, 0.0))

    def _found(self, port: int, limits: ConnectionLimits) -> Iterator["_Connection"]:
        """The connections to a port of ours; each socket is looked into once."""
        seen, self._seen = self._seen, {}
        for entry in _OPEN_FILES.iterdir():
            file = int(entry.name)
            with suppress(OSError):  # closed meanwhile
                status = os.fstat(file)
                if not stat.S_ISSOCK(status.st_mode):
                    continue
                inode = status.st_ino
                one = seen[inode] if inode in seen else self._looked_into(file, inode, port, limits)
                if one is not None:
                    one.file = file
                    yield one
                self._seen[inode] = one

    def _looked_into(self, file: int, inode: int, port: int, limits: ConnectionLimits) -> "_Connection | None":
        """The connection of a client; None for any other socket."""
        with suppress(OSError), socket.socket(fileno=os.dup(file)) as copy:
            if copy.family not in {socket.AF_INET, socket.AF_INET6} or copy.getsockname()[1] != port:
                return None
            host, peer_port = copy.getpeername()[:2]  # fails for the socket that listens
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                copy.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(limits.unread_seconds * 1000))
            is_proxy = self._proxies.trusts(host)
            return _Connection(file, inode, (host, peer_port), counted(host), is_proxy, self._now())
        return None


def _peer(client: tuple[str, int]) -> Peer:
    """The peer of a request's scope, where granian has the port as text."""
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
        """End it; the server sees that and closes it. The number of a file may be another's by now."""
        with suppress(OSError), socket.socket(fileno=os.dup(self.file)) as copy:
            if os.fstat(copy.fileno()).st_ino == self.inode:
                copy.shutdown(socket.SHUT_RDWR)
                return True
        return False


def max_connections(wanted: int) -> int:
    """How many connections there is room for, at most `wanted`, with as many open files as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = _MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_FILES)
    with suppress(OSError, ValueError):
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if soft != resource.RLIM_INFINITY and soft < files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    files = files if soft == resource.RLIM_INFINITY else min(files, soft)
    return min(wanted, max(files // 2, files - _RESERVED_FILES))
