"""Fixtures that several folders of tests use."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from kubetally.samples.demo import DemoServer
from kubetally.samples.replay import ReplayServer
from tests import recordings
from tests.faults import FaultServer

# A busy machine is no failure. CI tries the same examples each time, so that a change is judged by what it changed.
settings.register_profile("kubetally", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("kubetally")

# A program that a test starts inherits what is ignored, and here it is Ctrl-C: pytest-xdist ignores it in its workers.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def replay() -> Iterator[ReplayServer]:
    """A real HTTP server with every recorded answer; `replay.url_of("aurora")` is an OpenCost."""
    with ReplayServer(recordings.folders()) as server:
        yield server


@pytest.fixture
def any_day() -> Iterator[DemoServer]:
    """The recorded clusters, asked for the last days too, of which they have no data."""
    with DemoServer(recordings.folders()) as server:
        yield server


@pytest.fixture
def faulty() -> Iterator[FaultServer]:
    """A real HTTP server that misbehaves; `faulty.fault_url("html", "aurora")` is an OpenCost with that fault."""
    with FaultServer() as server:
        yield server
