"""SIGTERM and SIGINT: the day in hand is committed first, and the others stay due."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(Exception):
    """A signal ended the work; what was being written is written."""


async def until_stopped(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`. A signal cancels it. Raises Stopped."""
    task = asyncio.ensure_future(work)
    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await asyncio.wait({task})
    if task.cancelled():
        raise Stopped
    return task.result()


def stop_event() -> asyncio.Event:
    """An event that is set by a signal."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.set)
    return stop
