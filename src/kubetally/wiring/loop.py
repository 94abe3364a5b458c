"""The loop that many requests run on."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from kubetally import tasks

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """What it returns, on the quickest loop there is: most of a round's time is spent on many small requests."""
    return tasks.run(work, _new_loop())


def _new_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # which there is none of for Windows
        return None
    return uvloop.new_event_loop
