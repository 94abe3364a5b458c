"""Reader processes, kept as long as there is much to read."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import date
from functools import partial

from kubetally import logs
from kubetally.domain.account import Account
from kubetally.ledger.accounts.snapshot import ReadSnapshot
from kubetally.ledger.collect.collector import DayReader
from kubetally.ledger.collect.commit_queue import Booked
from kubetally.ledger.collect.reader import ShouldContinue, Unread
from kubetally.ledger.collect.schedule import READER_DIED
from kubetally.ledger.collect.workers.child import PROGRAM, ReaderProcess, day_of
from kubetally.ledger.collect.workers.messages import ReaderBuilder, Setup
from kubetally.tasks import task_group

_START_AT_ROWS = 20_000
"""Reading so many takes about as long as starting a process; after that there may be as many left."""
_IDLE_SECONDS, _GRACE_SECONDS, _START_SECONDS = 20.0, 60.0, 60.0
_POLL_SECONDS = 0.05
_log = logs.get_logger(__name__)


class ReaderPool:
    """Reads with `local_reader` first, and in processes once there is enough to read.

    processes: how many; 1 reads all in this process. start_at_rows: starts processes once so many rows were read.
    idle_seconds: ends them when nothing was read for so long. read_snapshot: what the processes know of accounts, as
    they never ask the database. deadline_seconds: of reading a day; a process that returns nothing for several of
    these, or for `answer_seconds`, is killed, as is one that is not ready after `start_seconds`.
    """

    def __init__(
        self,
        local_reader: DayReader,
        read_snapshot: ReadSnapshot,
        builder: ReaderBuilder,
        *,
        processes: int,
        deadline_seconds: float,
        start_at_rows: int = _START_AT_ROWS,
        idle_seconds: float = _IDLE_SECONDS,
        answer_seconds: float | None = None,
        start_seconds: float = _START_SECONDS,
        program: str = PROGRAM,
    ) -> None:
        if answer_seconds is None:
            # Opening the source, reading a day, looking around it and reading its hours have a deadline each.
            answer_seconds = 4 * deadline_seconds + _GRACE_SECONDS
        self._local_reader, self._read_snapshot = local_reader, read_snapshot
        self._new_process = partial(
            ReaderProcess, program, Setup(builder), answer_seconds=answer_seconds, start_seconds=start_seconds
        )
        self._count, self._start_at_rows, self._idle_seconds = processes, start_at_rows, idle_seconds
        self._rows = self._clusters = 0
        self._running: asyncio.Task[None] | None = None
        self._processes: list[ReaderProcess] = []
        self._crashed_days: set[tuple[str, date]] = set()
        """Days that a process crashed on: read one by one, and never in this process."""

    async def days(
        self, account: Account, days: Sequence[date], should_continue: ShouldContinue = lambda: True
    ) -> AsyncIterator[Booked | Unread]:
        """As `Reader.days`. If a process crashes, the days it was reading are unread, and the others not tried."""
        crashed = [day for day in days if (account.id, day) in self._crashed_days]
        left = [day for day in days if day not in crashed]
        self._clusters += 1

        def should_read_here() -> bool:
            return should_continue() and self._least_busy() is None

        try:
            if left and self._least_busy() is None:
                async for answer in self._local_reader.days(account, left, should_read_here):
                    left.remove(day_of(answer))
                    self._count_rows(answer, is_last=not left)
                    yield answer
            for some in (left, *([day] for day in crashed)):
                async for answer in self._in_process(account, some, should_continue, wait=some is not left):
                    yield answer
        finally:
            self._clusters -= 1
            if not self._clusters:
                self._rows = 0

    async def _in_process(
        self, account: Account, days: Sequence[date], should_continue: ShouldContinue, *, wait: bool
    ) -> AsyncIterator[Booked | Unread]:
        """The days as a process reads them; none of them if there is no process. wait: start one and wait for it."""
        if not days or not should_continue():
            return
        snapshot = await self._read_snapshot()
        if wait:
            await self._wait_for_process()
        process = self._least_busy()
        if process is None:
            return
        async for answer in process.days(account, days, snapshot, should_continue):
            self._crashed_days.discard((account.id, day_of(answer)))
            if isinstance(answer, Unread) and answer.code == READER_DIED:
                self._crashed_days.add((account.id, answer.day))
            yield answer

    async def _wait_for_process(self) -> None:
        """Wait until a process is ready, or none is starting."""
        self._start()
        await asyncio.sleep(0)  # until the processes are listed
        while self._least_busy() is None and any(process.is_starting for process in self._processes):  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)

    async def aclose(self) -> None:
        """End the processes, whatever they are doing."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})

    def _least_busy(self) -> ReaderProcess | None:
        """The process with the fewest tasks; None if none is ready."""
        ready = (process for process in self._processes if process.is_ready)
        return min(ready, key=lambda process: len(process.tasks), default=None)

    def _count_rows(self, answer: Booked | Unread, *, is_last: bool) -> None:
        """Count the rows read in this process, and start processes if there are enough."""
        if not isinstance(answer, Unread):
            self._rows += answer.collection.rows
        has_more = not is_last or self._clusters > 1
        if self._rows >= self._start_at_rows and has_more and self._count > 1:
            self._start()

    def _start(self) -> None:
        if self._running is None:
            self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        """Keep processes running until there is nothing to read for a while."""
        try:
            async with task_group() as group:
                keepers = [group.create_task(self._keep_running(self._add_process())) for _ in range(self._count)]
                await self._until_idle()
                for process in self._processes:
                    process.is_ready = False  # at once, so that no new task goes to a process that ends
                for keeper in keepers:
                    keeper.cancel()
        finally:
            self._rows, self._running = 0, None

    def _add_process(self) -> ReaderProcess:
        process = self._new_process()
        self._processes.append(process)
        return process

    async def _keep_running(self, process: ReaderProcess) -> None:
        """Run a process, and after a pause another one when it ends."""
        while True:
            try:
                await process.run()
            except Exception as error:  # such as no memory for it
                _log.warning("reader_not_started", error=f"{type(error).__name__}: {error}")
            finally:
                self._processes.remove(process)
            await asyncio.sleep(self._idle_seconds)
            if not self._clusters:
                return
            process = self._add_process()

    async def _until_idle(self) -> None:
        idle_for = 0.0
        while idle_for < self._idle_seconds:
            await asyncio.sleep(step := self._idle_seconds / 10)
            is_busy = self._clusters or any(process.is_starting for process in self._processes)
            idle_for = 0.0 if is_busy else idle_for + step
