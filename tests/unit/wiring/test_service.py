"""The service and the address that it listens at."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kubetally.ledger.collect.supervisor import supervised_process
from kubetally.settings import Settings
from kubetally.web.server import AddressNotFree
from kubetally.wiring.service import Started, run_service

HOST = "127.0.0.1"


def not_started(_: Started) -> None:
    pytest.fail("it listens")


@contextmanager
def listener(port: int = 0) -> Iterator[int]:
    """A socket that listens; yields its port."""
    with socket.socket() as server:
        server.bind((HOST, port))
        server.listen()
        yield server.getsockname()[1]


@contextmanager
def taking(port: int) -> Iterator[None]:
    """What listens at a port as long as the service runs, since its collector was started."""
    with listener(port):
        yield


@pytest.fixture
def free_port() -> int:
    with listener() as port:
        return port


def test_a_port_that_is_taken_is_told_before_anything_is_opened(tmp_path: Path) -> None:
    home = Settings(home=str(tmp_path / "home"))
    with (
        listener() as port,
        pytest.raises(AddressNotFree, match=f"port {port}: Address already in use; choose another with --port"),
    ):
        run_service(home, HOST, port, started=not_started, collector=supervised_process())
    assert not (tmp_path / "home").exists()


def test_port_that_is_taken_after_the_check_is_an_error(tmp_path: Path, free_port: int) -> None:
    with pytest.raises(AddressNotFree, match=f"port {free_port}: Address already in use"):
        run_service(Settings(home=str(tmp_path)), HOST, free_port, started=not_started, collector=taking(free_port))


def test_demo_takes_a_free_port_if_its_own_is_taken_meanwhile(tmp_path: Path, free_port: int) -> None:
    urls = []

    def stop(started: Started) -> None:
        urls.append(started.url)
        signal.raise_signal(signal.SIGTERM)

    settings, collector = Settings(home=str(tmp_path)), taking(free_port)
    run_service(settings, HOST, free_port, started=stop, or_free_port=True, collector=collector)
    [url] = urls
    assert url.startswith(f"http://{HOST}:")
    assert not url.endswith(f":{free_port}")
