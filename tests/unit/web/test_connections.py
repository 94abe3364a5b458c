"""Which connections are shut down above a limit, on real sockets."""

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from kubetally.web.connections import ConnectionLimits, Connections, max_connections
from kubetally.web.proxies import TrustedProxies

LIMITS = ConnectionLimits(per_address=4, total=100, grace_seconds=1)


@dataclass
class Now:
    at: float = 100.0

    def __call__(self) -> float:
        return self.at


class Listening:
    """A server that has accepted ten connections; `clients` and `accepted` are in order."""

    def __init__(self, stack: ExitStack) -> None:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port = server.getsockname()[1]
        self.clients, self.accepted = [], []
        for _ in range(10):
            self.clients.append(stack.enter_context(socket.create_connection(("127.0.0.1", self.port))))
            self.accepted.append(stack.enter_context(server.accept()[0]))

    def open(self) -> list[int]:
        """Numbers of the connections that are open."""
        for client in self.clients:
            client.setblocking(False)
        return [number for number, client in enumerate(self.clients) if not ended(client)]


def ended(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False


def as_in_scope(client: socket.socket) -> tuple[str, int]:
    """The address of a client as granian has it, with the port as text."""
    host, port = client.getsockname()
    return host, str(port)  # type: ignore[return-value]


@pytest.fixture
def server() -> Iterator[Listening]:
    with ExitStack() as stack:
        yield Listening(stack)


def test_longest_idle_connections_are_shut_down(server: Listening) -> None:
    now = Now()
    connections = Connections(now=now)
    assert not connections.trim(server.port, LIMITS), "new connections have time to send a request"
    now.at += 2
    for number in (0, 3):  # 0 has been answered, the request of 3 is running
        connections.began(as_in_scope(server.clients[number]))
    connections.ended(as_in_scope(server.clients[0]))
    assert connections.trim(server.port, LIMITS) == {"127.0.0.1": 6}
    left = server.open()
    assert len(left) == 4
    assert {0, 3} <= set(left)


def test_trusted_proxies_have_only_the_total_limit(server: Listening) -> None:
    now = Now()
    connections = Connections(TrustedProxies.parse("127.0.0.0/8"), now)
    connections.trim(server.port, LIMITS)
    now.at += 2
    assert not connections.trim(server.port, LIMITS)
    assert connections.trim(server.port, ConnectionLimits(per_address=4, total=7)) == {"127.0.0.1": 3}
    assert len(server.open()) == 7


def test_other_sockets_are_left_alone(server: Listening) -> None:
    now = Now()
    connections = Connections(now=now)
    for _ in range(2):
        assert not connections.trim(server.port + 1, ConnectionLimits(per_address=0, total=0))
        now.at += 2
    assert len(server.open()) == 10


def test_connections_leave_room_for_other_files() -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert 0 < max_connections(1_000_000) < limit[1]
    assert max_connections(10) == 10
