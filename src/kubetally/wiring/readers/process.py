"""The process that reads clusters for the one that collects. It writes to no store, so that it may be killed."""

import asyncio
import os
import signal
from collections.abc import MutableMapping
from typing import Any, BinaryIO, NoReturn

import structlog

from kubetally.domain.collection import CollectedDay
from kubetally.domain.errors import StoreError
from kubetally.ledger.collect.collector import Booked
from kubetally.ledger.collect.reader import Reader, Unread
from kubetally.ledger.ports.lake import Lake
from kubetally.wiring.lake import open_lake
from kubetally.wiring.loop import run
from kubetally.wiring.opener import Fleet, Opener
from kubetally.wiring.readers.messages import Found, Left, Logged, Ready, Setup, Taken, Turn, framed, received

_NICENESS = 10  # whoever asks the service for an answer comes first
_log = structlog.get_logger(__name__)


def main() -> None:
    """Read what standard input asks for, and answer on standard output, until the other end is gone."""
    os.nice(_NICENESS)
    signal.signal(signal.SIGTERM, lambda *_: None)  # of a whole group: who collects ends us when it has done with us
    asked, answers = os.dup(0), os.fdopen(os.dup(1), "wb")
    # Credential plugins inherit these two: they may neither eat questions nor write among the answers.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    run(_serve(asked, _Answers(answers)))


class _Answers:
    """Answers on their way to the one who asked; a pipe that is full holds this process."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe

    def send(self, message: object) -> None:
        """Ends the process where nobody is there any more to read it."""
        try:
            self._pipe.write(framed(message))
            self._pipe.flush()
        except BrokenPipeError:
            _end()

    def log(self, _logger: object, level: str, event: MutableMapping[str, Any]) -> NoReturn:
        """A log line, which the other process writes among its own."""
        self.send(Logged(level, str(event.pop("event", "")), {name: _plain(value) for name, value in event.items()}))
        raise structlog.DropEvent


async def _serve(asked: int, answers: _Answers) -> None:
    structlog.configure(processors=[structlog.processors.format_exc_info, answers.log])
    questions = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(questions), os.fdopen(asked, "rb", 0)
    )
    setup = await received(questions)
    if setup is not None:
        turns = _Turns(setup, answers)
        answers.send(Ready())
        while (message := await received(questions)) is not None:
            turns.handle(message)
    _end()


class _Turns:
    """The turns of clusters that are being read."""

    def __init__(self, setup: Setup, answers: _Answers) -> None:
        settings = setup.settings
        opener = Opener(self._known_fleet, settings)
        self._reader = Reader(opener.source, opener.metrics, setup.clock, deadline_seconds=settings.deadline_seconds)
        self._lake, self._answers = open_lake(settings), answers
        self._fleet = Fleet()
        self._turns: dict[int, _Turn] = {}

    def handle(self, message: Turn | Taken | Left) -> None:
        """Do what the other process says."""
        match message:
            case Turn(number, fleet=fleet):
                self._fleet = fleet or self._fleet
                self._turns[number] = _Turn(message, self._reader, self._lake, self._answers)
            case Taken(number, goes_on):
                self._turns[number].taken(goes_on)
            case Left(number):
                self._turns.pop(number).leave()

    async def _known_fleet(self) -> Fleet:
        return self._fleet


class _Turn:
    """The days of one cluster, each of which is taken before the next one is sent."""

    def __init__(self, turn: Turn, reader: Reader, lake: Lake, answers: _Answers) -> None:
        self._turn, self._reader, self._lake, self._answers = turn, reader, lake, answers
        self._room, self._goes_on = asyncio.Semaphore(1), True
        self._reading = asyncio.create_task(self._read_or_end())

    def taken(self, goes_on: bool) -> None:
        """The day sent last is out of the way."""
        self._goes_on = goes_on
        self._room.release()

    def leave(self) -> None:
        """Nobody wants the others."""
        self._reading.cancel()

    async def _read_or_end(self) -> None:
        try:
            await self._read()
        except Exception as error:  # a defect: who waits for the day is told by our end, and the log says why
            _log.error("reader_failed", account=self._turn.account.id, exc_info=error)
            _end(1)

    async def _read(self) -> None:
        async for found in self._reader.days(self._turn.account, self._turn.days, lambda: self._goes_on):
            await self._room.acquire()
            self._answers.send(Found(self._turn.number, self._packed(found)))
        self._answers.send(Found(self._turn.number, None))

    def _packed(self, found: CollectedDay | Unread) -> Booked | Unread:
        if isinstance(found, Unread):
            return found
        try:
            return self._lake.pack([found])[0]
        except StoreError:  # whoever commits it meets the same, and notes it
            return found


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _end(code: int = 0) -> NoReturn:
    os._exit(code)  # what it was doing is nobody's any more
