"""What the demo shows of a cluster of the user's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kubetally import logs
from kubetally.cli.demo import _own_cluster


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    logs.configure_later(None)


def test_repr_of_own_cluster_shows_no_password(tmp_path: Path) -> None:
    shown = repr(_own_cluster("http://jane:hunter2@host.example:9003", str(tmp_path)))
    assert "host.example:9003" in shown
    assert "jane" not in shown
    assert "hunter2" not in shown
