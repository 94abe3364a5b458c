"""A reader process as its parent sees it."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from itertools import count

from kubetally import logs
from kubetally.domain.account import Account
from kubetally.ledger.accounts.snapshot import AccountSnapshot
from kubetally.ledger.collect.commit_queue import Booked
from kubetally.ledger.collect.reader import DAYS_PER_CLUSTER, ShouldContinue, Unread, not_tried
from kubetally.ledger.collect.schedule import READER_DIED
from kubetally.ledger.collect.workers.messages import (
    Ack,
    Cancel,
    Logged,
    ReadTask,
    Ready,
    Result,
    Setup,
    encode,
    receive,
)

PROGRAM = "import sys; sys.path[:] = {path!r}; from kubetally.ledger.collect.workers.process import main; main()"
_PIPE_BYTES = 2**20
_log = logs.get_logger(__name__)


class ReaderProcess:
    """One reader process.

    program: what it runs, with `{path}` for its module path. answer_seconds: it is killed if it returns nothing for
    longer. start_seconds: it is killed if it is not ready after that.
    """

    def __init__(self, program: str, setup: Setup, *, answer_seconds: float, start_seconds: float) -> None:
        self._program, self._setup = program, setup
        self._answer_seconds, self._start_seconds = answer_seconds, start_seconds
        self._numbers = count()
        self._process: asyncio.subprocess.Process | None = None
        self._snapshot: AccountSnapshot | None = None
        self._why_killed: str | None = None
        self.is_starting, self.is_ready = True, False
        self.tasks: dict[int, asyncio.Queue[_Answer]] = {}

    async def run(self) -> None:
        """Start it and distribute its results, until it ends or this is cancelled. Raises OSError."""
        # A session of its own: Ctrl-C is for the parent, which ends this process when it no longer needs it.
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-c",
            self._program.format(path=sys.path),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_PIPE_BYTES,
            start_new_session=True,
        )
        try:
            self._send(self._setup)
            await self._distribute(self._process)
        except TimeoutError:
            self._kill(f"was not ready after {self._start_seconds:g} s")
        except Exception as error:  # such as another version of the program, installed while this one runs
            _log.error("reader_not_understood", exc_info=error)
            self._kill("sent a message that could not be read; please report this with the log")
        finally:
            await self._reap(self._process)

    async def days(
        self, account: Account, days: Sequence[date], snapshot: AccountSnapshot, should_continue: ShouldContinue
    ) -> AsyncIterator[Booked | Unread]:
        """The days as the process reads them. It sends the next one when this one was taken."""
        number, left = next(self._numbers), list(days)
        answers = self.tasks[number] = asyncio.Queue[_Answer]()
        self._send(ReadTask(number, account, days, None if snapshot is self._snapshot else snapshot))
        self._snapshot = snapshot
        try:
            while (answer := await self._next(answers)) is not None:
                if isinstance(answer, _Crash):
                    for day in left[:DAYS_PER_CLUSTER]:
                        yield Unread(account.id, day, READER_DIED, f"the reader process {answer.how}")
                    for day in left[DAYS_PER_CLUSTER:]:
                        yield not_tried(account, day)
                    return
                left.remove(day_of(answer))
                yield answer
                self._send(Ack(number, should_continue()))
        finally:
            del self.tasks[number]
            self._send(Cancel(number))

    async def _next(self, answers: "asyncio.Queue[_Answer]") -> "_Answer":
        try:
            async with asyncio.timeout(self._answer_seconds):
                return await answers.get()
        except TimeoutError:
            self._kill(f"returned nothing for {self._answer_seconds:g} s")
            return await answers.get()  # its crash

    async def _distribute(self, process: asyncio.subprocess.Process) -> None:
        """Hand results to the tasks that wait for them. Raises TimeoutError if it is not ready in time."""
        assert process.stdout  # noqa: S101
        async with asyncio.timeout(self._start_seconds) as until_ready:
            while (message := await receive(process.stdout)) is not None:
                match message:
                    case Ready():
                        until_ready.reschedule(None)
                        self.is_starting, self.is_ready = False, True
                    case Logged(level, event, facts):
                        getattr(_log, level)(event, **facts)
                    case Result(number, day) if number in self.tasks:
                        self.tasks[number].put_nowait(day)

    def _kill(self, why: str) -> None:
        self.is_starting = self.is_ready = False
        self._why_killed = why
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def _reap(self, process: asyncio.subprocess.Process) -> None:
        """Wait until it has ended, and tell its tasks."""
        self.is_starting = self.is_ready = False
        has_ended = process.stdout is not None and process.stdout.at_eof()
        is_news = has_ended or self._why_killed is not None
        if not is_news:
            self._kill("is no longer needed")
        try:
            code = await process.wait()
        finally:
            how = self._why_killed or _how_it_ended(process.returncode)
            for answers in self.tasks.values():
                answers.put_nowait(_Crash(how))
        if is_news:
            _log.warning("reader_died", how=how, code=code, turns=len(self.tasks))

    def _send(self, message: object) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        pipe = self._process.stdin
        assert pipe  # noqa: S101
        if not pipe.is_closing():
            with suppress(RuntimeError):  # the loop closed it, because the process is gone
                pipe.write(encode(message))


@dataclass(frozen=True, slots=True)
class _Crash:
    """The end of a process that had tasks. how: words that follow "the reader process"."""

    how: str


_Answer = Booked | Unread | _Crash | None


def _how_it_ended(code: int | None) -> str:
    if code == -signal.SIGKILL:
        hint = "if memory is short, lower KUBETALLY_COLLECT_AT_ONCE or KUBETALLY_COLLECT_PROCESSES"
        return f"was killed (signal 9): {hint}"
    how = f"was killed (signal {-code})" if code is not None and code < 0 else f"ended with code {code}"
    return f"{how}; please report this with the log"


def day_of(answer: Booked | Unread) -> date:
    """The day of an answer."""
    return answer.day if isinstance(answer, Unread) else answer.collection.day
