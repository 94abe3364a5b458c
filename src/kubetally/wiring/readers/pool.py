"""Processes that read clusters, as long as there is much to read."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from itertools import count
from pathlib import Path

import structlog

from kubetally.domain.account import Account
from kubetally.domain.window import Clock
from kubetally.ledger.collect.collector import Booked, DayReader
from kubetally.ledger.collect.reader import DAYS_PER_CLUSTER, ShouldContinue, Unread, not_tried
from kubetally.ledger.collect.schedule import READER_DIED
from kubetally.settings import Settings
from kubetally.tasks import task_group
from kubetally.wiring.opener import Fleet
from kubetally.wiring.readers.messages import Found, Left, Logged, Ready, Setup, Taken, Turn, framed, received

_WORTH_ROWS = 20_000
"""Reading so many takes about as long as it takes to start a process; who has read them may have as many to read."""
_IDLE_SECONDS, _GRACE_SECONDS, _START_SECONDS = 20.0, 60.0, 60.0
_PIPE_BYTES, _LOOK_SECONDS = 2**20, 0.05
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_PROGRAM = "import sys; sys.path[:] = {path!r}; from kubetally.wiring.readers.process import main; main()"
_log = structlog.get_logger(__name__)


class ReaderPool:
    """Reads `here` first, and in processes once there is as much to read as makes up for starting them.

    processes: how many; with one there is none but this one. worth_rows: of so many they are started.
    fleet: as `Opener` takes it; the processes never ask the database. patience_seconds: one that gives nothing for
    longer is killed, as is one that is not ready after `start_seconds`. program: what a process runs, with `{path}` for
    where it finds its modules.
    """

    def __init__(
        self,
        here: DayReader,
        fleet: Callable[[], Awaitable[Fleet]],
        settings: Settings,
        clock: Clock,
        *,
        processes: int,
        worth_rows: int = _WORTH_ROWS,
        idle_seconds: float = _IDLE_SECONDS,
        patience_seconds: float | None = None,
        start_seconds: float = _START_SECONDS,
        program: str = _PROGRAM,
    ) -> None:
        if (
            patience_seconds is None
        ):  # it opens the source, reads a day, looks around it and checks its hours, each with a deadline
            patience_seconds = 4 * settings.deadline_seconds + _GRACE_SECONDS
        self._here, self._fleet = here, fleet
        setup = Setup(replace(settings, keys=None, secret=None, database_url=None, optscale_database_url=None), clock)
        self._new_process = partial(_Process, program, setup, patience_seconds, start_seconds)
        self._count, self._worth_rows, self._idle_seconds = processes, worth_rows, idle_seconds
        self._rows = self._turns = 0
        self._running: asyncio.Task[None] | None = None
        self._processes: list[_Process] = []
        self._crashed_days: set[tuple[str, date]] = set()
        """Days in whose reading a process died: never read here, where all would end with it, and one by one there."""

    async def days(
        self, account: Account, days: Sequence[date], should_continue: ShouldContinue = lambda: True
    ) -> AsyncIterator[Booked | Unread]:
        """As `Reader.days`. Where a process dies, the days in hand are told as unread, and the others are left."""
        deadly = [day for day in days if (account.id, day) in self._crashed_days]
        left = [day for day in days if day not in deadly]
        self._turns += 1
        try:
            if left and self._free() is None:
                async for found in self._here.days(account, left, lambda: should_continue() and self._free() is None):
                    left.remove(_day_of(found))
                    self._note(found, is_last=not left)
                    yield found
            for some in (left, *([day] for day in deadly)):
                async for found in self._in_process(account, some, should_continue, has_to_be=some is not left):
                    yield found
        finally:
            self._turns -= 1
            if not self._turns:
                self._rows = 0

    async def _in_process(
        self, account: Account, days: Sequence[date], should_continue: ShouldContinue, *, has_to_be: bool
    ) -> AsyncIterator[Booked | Unread]:
        """The days as a process reads them; where there is none, one is waited for if it has to be, else they stay."""
        if not days or not should_continue():
            return
        fleet = await self._fleet()
        if has_to_be:
            await self._some_process()
        process = self._free()  # asked now: it may have died meanwhile
        if process is None:
            return
        async for found in process.days(account, days, fleet, should_continue):
            self._crashed_days.discard((account.id, _day_of(found)))
            if isinstance(found, Unread) and found.code == READER_DIED:
                self._crashed_days.add((account.id, found.day))
            yield found

    async def _some_process(self) -> None:
        """Until one is ready, or there will be none."""
        self._start()
        await asyncio.sleep(0)  # until they are known, where they were not there
        while self._free() is None and any(one.is_starting for one in self._processes):  # noqa: ASYNC110  (rare)
            await asyncio.sleep(_LOOK_SECONDS)

    async def close(self) -> None:
        """End the processes, whatever they do."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})

    def _free(self) -> "_Process | None":
        """The one that has least to do; None while there is none."""
        return min((one for one in self._processes if one.is_ready), key=lambda one: len(one.turns), default=None)

    def _note(self, found: Booked | Unread, *, is_last: bool) -> None:
        """Count what was read here; processes are for those who have more."""
        if not isinstance(found, Unread):
            self._rows += found.collection.rows
        has_more = not is_last or self._turns > 1
        if self._rows >= self._worth_rows and has_more and self._count > 1:
            self._start()

    def _start(self) -> None:
        if self._running is None:
            self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        """Have processes until there is nothing to read for a while."""
        try:
            async with task_group() as group:
                places = [group.create_task(self._keep_one(self._another())) for _ in range(self._count)]
                await self._idle()
                for process in self._processes:
                    process.is_ready = False  # at once: who begins now is not to get one that ends
                for place in places:
                    place.cancel()
        finally:
            self._rows, self._running = 0, None

    def _another(self) -> "_Process":
        process = self._new_process()
        self._processes.append(process)
        return process

    async def _keep_one(self, process: "_Process") -> None:
        """Have it, and after a pause another one where it ends. Where there is none, reading goes on here."""
        while True:
            try:
                await process.run()
            except Exception as error:  # such as no memory for it
                _log.warning("reader_not_started", error=f"{type(error).__name__}: {error}")
            finally:
                self._processes.remove(process)
            await asyncio.sleep(self._idle_seconds)
            if not self._turns:
                return
            process = self._another()

    async def _idle(self) -> None:
        idle_for = 0.0
        while idle_for < self._idle_seconds:
            await asyncio.sleep(step := self._idle_seconds / 10)
            is_busy = self._turns or any(one.is_starting for one in self._processes)
            idle_for = 0.0 if is_busy else idle_for + step


class _Process:
    """A process that reads, seen from the one that collects."""

    def __init__(self, program: str, setup: Setup, patience_seconds: float, start_seconds: float) -> None:
        self._program, self._setup = program, setup
        self._patience_seconds, self._start_seconds = patience_seconds, start_seconds
        self._numbers = count()
        self._process: asyncio.subprocess.Process | None = None
        self._fleet: Fleet | None = None
        self._why_killed: str | None = None
        self.is_starting, self.is_ready = True, False
        self.turns: dict[int, asyncio.Queue[_Told]] = {}

    async def run(self) -> None:
        """Start it, and take its answers until it ends or this is cancelled. Raises OSError."""
        # A session of its own: Ctrl-C is for the one that collects, which ends this one when it is done with it.
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
            await self._hand_out(self._process)
        except TimeoutError:
            self._kill(f"was not ready after {self._start_seconds:g} s")
        except Exception as error:  # such as another version of ourselves, put in place while we run
            _log.error("reader_not_understood", exc_info=error)
            self._kill("was not understood: please report it with the log")
        finally:
            await self._reap(self._process)

    async def days(
        self, account: Account, days: Sequence[date], fleet: Fleet, should_continue: ShouldContinue
    ) -> AsyncIterator[Booked | Unread]:
        """The days as it reads them; each is taken before it sends the next."""
        number, left = next(self._numbers), list(days)
        found = self.turns[number] = asyncio.Queue[_Told]()
        self._send(Turn(number, account, days, None if fleet is self._fleet else fleet))
        self._fleet = fleet
        try:
            while (day := await self._next(found)) is not None:
                if isinstance(day, _Death):
                    for one in left[:DAYS_PER_CLUSTER]:
                        yield Unread(account.id, one, READER_DIED, f"the process that read it {day.how}")
                    for one in left[DAYS_PER_CLUSTER:]:
                        yield not_tried(account, one)
                    return
                left.remove(_day_of(day))
                yield day
                self._send(Taken(number, should_continue()))
        finally:
            del self.turns[number]
            self._send(Left(number))

    async def _next(self, found: "asyncio.Queue[_Told]") -> "_Told":
        try:
            async with asyncio.timeout(self._patience_seconds):
                return await found.get()
        except TimeoutError:
            self._kill(f"gave nothing for {self._patience_seconds:g} s")
            return await found.get()  # its death

    async def _hand_out(self, process: asyncio.subprocess.Process) -> None:
        """Hand what it sends to those who wait for it, until its end. Raises TimeoutError where it is never ready."""
        assert process.stdout  # noqa: S101
        async with asyncio.timeout(self._start_seconds) as until_ready:
            while (message := await received(process.stdout)) is not None:
                match message:
                    case Ready():
                        until_ready.reschedule(None)
                        self.is_starting, self.is_ready = False, True
                    case Logged(level, event, facts):
                        getattr(_log, level)(event, **facts)
                    case Found(number, day) if number in self.turns:
                        self.turns[number].put_nowait(day)

    def _kill(self, why: str) -> None:
        self.is_starting = self.is_ready = False
        self._why_killed = why
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def _reap(self, process: asyncio.subprocess.Process) -> None:
        """See that it is gone, and tell those who wait for it."""
        self.is_starting = self.is_ready = False
        has_ended = process.stdout is not None and process.stdout.at_eof()
        is_news = has_ended or self._why_killed is not None
        if not is_news:
            self._kill("is no longer needed")
        try:
            code = await process.wait()
        finally:
            how = self._why_killed or _how_it_ended(process.returncode)
            for turn in self.turns.values():
                turn.put_nowait(_Death(how))
        if is_news:
            _log.warning("reader_died", how=how, code=code, turns=len(self.turns))

    def _send(self, message: object) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        pipe = self._process.stdin
        assert pipe  # noqa: S101
        if not pipe.is_closing():
            with suppress(RuntimeError):  # the loop closed it, as the process is gone, and has not said so yet
                pipe.write(framed(message))


@dataclass(frozen=True, slots=True)
class _Death:
    """The end of a process with days in hand. how: in words that go on from "the process"."""

    how: str


def _how_it_ended(code: int | None) -> str:
    if code == -signal.SIGKILL:
        hint = "where memory is short, KUBETALLY_COLLECT_AT_ONCE and KUBETALLY_COLLECT_PROCESSES take less of it"
        return f"was killed (signal 9): {hint}"
    how = f"was killed (signal {-code})" if code is not None and code < 0 else f"ended with code {code}"
    return f"{how}: please report it with the log"


_Told = Booked | Unread | _Death | None


@asynccontextmanager
async def reader_pool(
    here: DayReader, fleet: Callable[[], Awaitable[Fleet]], settings: Settings, clock: Clock
) -> AsyncIterator[ReaderPool]:
    """Reading on as many cores as the settings and the machine allow; its processes end with it."""
    pool = ReaderPool(here, fleet, settings, clock, processes=min(settings.collect_processes, usable_cores()))
    try:
        yield pool
    finally:
        await pool.close()


def usable_cores(quota_file: Path = _CPU_QUOTA) -> int:
    """Cores that this process may use, of which a container may have less than the machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # no cgroup v2, or no quota
        quota, period = quota_file.read_text().split()
        cores = min(cores, -(-int(quota) // int(period)))
    return max(1, cores)


def _day_of(found: Booked | Unread) -> date:
    return found.day if isinstance(found, Unread) else found.collection.day
