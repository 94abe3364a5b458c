"""The service and the address that it listens at."""

import socket
from pathlib import Path

import pytest

from kubetally.ledger.collect.supervisor import supervised_process
from kubetally.settings import Settings
from kubetally.web.server import AddressNotFree
from kubetally.wiring.service import Started, run_service


def test_a_port_that_is_taken_is_told_before_anything_is_opened(tmp_path: Path) -> None:
    def started(_: Started) -> None:
        pytest.fail("it listens")

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with pytest.raises(AddressNotFree, match=f"port {port}: Address already in use; choose another with --port"):
            run_service(
                Settings(home=str(tmp_path / "home")),
                "127.0.0.1",
                port,
                started=started,
                collector=supervised_process(),
            )
    assert not (tmp_path / "home").exists()
