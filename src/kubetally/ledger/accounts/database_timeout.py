"""Asking the database from the event loop, for as long as a caller should wait."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from kubetally.domain.errors import StoreError

T = TypeVar("T")
DATABASE_SECONDS = 3.5
"""Longest wait of a request for the database."""


class DatabaseSilent(StoreError):
    """The database took a question and did not answer it in time."""

    code = "database_silent"
    retryable = True

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(
            f"the database did not answer within {seconds:g} s; only costs read in the last 15 minutes are available: "
            "check that the database is running and not overloaded"
        )


async def in_time(executor: Executor | None, ask: Callable[[], T], seconds: float = DATABASE_SECONDS) -> T:
    """What `ask` returns, run on a thread of `executor`; a call that still waits for a thread is withdrawn.

    Raises: what `ask` raises; DatabaseSilent, after `seconds`.
    """
    asked = asyncio.get_running_loop().run_in_executor(executor, ask)
    try:
        await asyncio.wait((asked,), timeout=seconds)
    finally:
        is_late = not asked.done()
        if is_late:
            asked.cancel()
    if is_late:
        raise DatabaseSilent(seconds)
    return asked.result()
