"""Files whose clients take nothing give way to others; the time is that of a test."""

import asyncio
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import pytest

from kubetally.domain.errors import RequestError
from kubetally.ledger.costs.service import Overloaded
from kubetally.web.v1.file_stream import STALLED_SECONDS, FileStream, FileStreams


@dataclass
class Timers:
    """Timers that run out when the test says so."""

    running: dict[asyncio.TimerHandle, Callable[[], object]] = field(default_factory=dict)

    def __call__(self, seconds: float, call: Callable[[], object]) -> asyncio.TimerHandle:
        assert seconds == STALLED_SECONDS
        handle = asyncio.get_running_loop().call_later(1e6, call)
        self.running[handle] = call
        return handle

    @property
    def due(self) -> list[Callable[[], object]]:
        return [call for handle, call in self.running.items() if not handle.cancelled()]

    def run_out(self) -> None:
        for call in self.due:
            call()
        for handle in self.running:
            handle.cancel()


def pieces(*sizes: int) -> Generator[bytes, None, None]:
    for size in sizes:
        yield b"x" * size


async def opened(streams: FileStreams, *sizes: int) -> FileStream:
    """A stream, as soon as there is a place for it."""
    while True:
        try:
            return await streams.open(pieces(*sizes))
        except Overloaded:
            await asyncio.sleep(0)


async def test_client_that_takes_nothing_gives_way() -> None:
    timers = Timers()
    streams = FileStreams(1, timers)
    stalled = await streams.open(pieces(1, 1, 1, 1))
    assert len(await anext(stalled)) == 1
    with pytest.raises(Overloaded):
        await streams.open(pieces(1))
    timers.run_out()
    other = await opened(streams, 1, 1)
    assert [len(piece) async for piece in other] == [1, 1]
    with pytest.raises(RequestError, match="cut off") as refused:
        [part async for part in stalled]
    assert refused.value.code == "stalled_client"


async def test_client_that_never_begins_gives_way() -> None:
    timers = Timers()
    streams = FileStreams(1, timers)
    stalled = await streams.open(pieces(1, 1, 1))
    timers.run_out()
    await opened(streams, 1)
    with pytest.raises(RequestError, match="cut off"):
        [part async for part in stalled]


async def test_timer_runs_only_while_a_client_has_something_to_take() -> None:
    timers = Timers()
    stream = await FileStreams(1, timers).open(pieces(1, 1))
    assert [len(timers.due) async for _ in stream] == [1, 1]
    assert timers.due == []


async def test_large_piece_is_taken_in_parts() -> None:
    stream = await FileStreams(1, Timers()).open(pieces(600_000, 0, 3))
    assert [len(part) async for part in stream] == [262_144, 262_144, 75_712, 3]
