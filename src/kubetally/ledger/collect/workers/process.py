"""The reader process. It writes to no store, so that it can be killed at any time."""

import asyncio
import os
import signal
from collections.abc import MutableMapping
from typing import Any, BinaryIO, NoReturn

import structlog

from kubetally import logs
from kubetally.domain.collection import CollectedDay
from kubetally.domain.errors import StoreError
from kubetally.ledger.accounts.snapshot import AccountSnapshot
from kubetally.ledger.collect.commit_queue import Booked
from kubetally.ledger.collect.reader import Unread
from kubetally.ledger.collect.workers.messages import (
    Ack,
    Cancel,
    Logged,
    ReaderParts,
    ReadTask,
    Ready,
    Result,
    Setup,
    encode,
    receive,
)
from kubetally.ledger.ports.lake import PackedDay
from kubetally.tasks import run_on_uvloop

_NICENESS = 10  # requests to the service come first
_log = logs.get_logger(__name__)


def main() -> None:
    """Run the tasks that arrive on standard input and write results to standard output, until the parent is gone."""
    os.nice(_NICENESS)
    signal.signal(signal.SIGTERM, lambda *_: None)  # sent to the whole group; the parent ends this process when ready
    tasks, results = os.dup(0), os.fdopen(os.dup(1), "wb")
    # Credential plugins inherit these two: they must neither read tasks nor write among the results.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    run_on_uvloop(_serve(tasks, ResultPipe(results)))


class ResultPipe:
    """The pipe to the parent; writing blocks this process while the pipe is full."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe

    def send(self, message: object) -> None:
        """Send a message; ends this process if the parent is gone."""
        try:
            self._pipe.write(encode(message))
            self._pipe.flush()
        except BrokenPipeError:
            _exit()

    def log(self, _logger: object, level: str, event: MutableMapping[str, Any]) -> NoReturn:
        """Send a log line, which the parent writes to its own log."""
        self.send(Logged(level, str(event.pop("event", "")), {name: _plain(value) for name, value in event.items()}))
        raise structlog.DropEvent


async def _serve(tasks: int, results: ResultPipe) -> None:
    structlog.configure(processors=[structlog.processors.format_exc_info, results.log])
    messages = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(messages), os.fdopen(tasks, "rb", 0)
    )
    setup: Setup | None = await receive(messages)
    if setup is not None:
        running = _RunningTasks(setup, results)
        results.send(Ready())
        while (message := await receive(messages)) is not None:
            running.handle(message)
    _exit()


class _RunningTasks:
    """The tasks that this process works on, by number."""

    def __init__(self, setup: Setup, results: ResultPipe) -> None:
        self._parts, self._results = setup.builder.build(self._read_snapshot), results
        self._snapshot: AccountSnapshot = ()
        self._tasks: dict[int, _RunningTask] = {}

    def handle(self, message: ReadTask | Ack | Cancel) -> None:
        match message:
            case ReadTask(number, snapshot=snapshot):
                self._snapshot = snapshot or self._snapshot
                self._tasks[number] = _RunningTask(message, self._parts, self._results)
            case Ack(number, should_continue):
                self._tasks[number].acknowledge(should_continue)
            case Cancel(number):
                self._tasks.pop(number).cancel()

    async def _read_snapshot(self) -> AccountSnapshot:
        return self._snapshot


class _RunningTask:
    """A task in progress; it sends a day once the one before was acknowledged."""

    def __init__(self, task: ReadTask, parts: ReaderParts, results: ResultPipe) -> None:
        self._task, self._parts, self._results = task, parts, results
        self._may_send, self._should_continue = asyncio.Semaphore(1), True
        self._reading = asyncio.create_task(self._read_or_exit())

    def acknowledge(self, should_continue: bool) -> None:
        self._should_continue = should_continue
        self._may_send.release()

    def cancel(self) -> None:
        self._reading.cancel()

    async def _read_or_exit(self) -> None:
        try:
            await self._read()
        except Exception as error:  # a defect: the exit tells the parent, and the log says why
            _log.error("reader_failed", account=self._task.account.id, exc_info=error)
            _exit(1)

    async def _read(self) -> None:
        task = self._task
        async for day in self._parts.reader.days(task.account, task.days, lambda: self._should_continue):
            await self._may_send.acquire()
            self._results.send(Result(task.number, self._packed(day)))
        self._results.send(Result(task.number, None))

    def _packed(self, day: Booked | Unread) -> Booked | Unread:
        if not isinstance(day, CollectedDay):
            return day
        try:
            packed: list[PackedDay] = self._parts.pack([day])
        except StoreError:  # the commit meets the same error, and notes it
            return day
        return packed[0]


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _exit(code: int = 0) -> NoReturn:
    os._exit(code)  # whatever it was doing, nobody needs it
