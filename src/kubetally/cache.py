"""A cache that loads each value once for concurrent callers."""

import asyncio
import base64
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any, Generic, NamedTuple, TypeVar

from kubetally.domain.errors import StoreError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
T = TypeVar("T")
Cached = tuple[V, float]
"""A value, and the seconds since it was loaded."""


class GivenUp(StoreError):
    """A load was cancelled because the service is shutting down."""

    code = "given_up"
    retryable = True

    def __init__(self) -> None:
        super().__init__("the service is shutting down; retry later")


@dataclass(frozen=True, slots=True)
class Prepared(Generic[T]):
    """An answer that is not computed yet. digest: equal to an earlier one only if the answer is. compute: may block."""

    digest: str
    compute: Callable[[], T]


def digest_of(*parts: object) -> str:
    """A short text that differs for different parts; parts are compared by their repr, bytes as they are."""
    digest = hashlib.blake2b(digest_size=15)
    for part in parts:
        content = part if isinstance(part, bytes) else repr(part).encode(errors="surrogatepass")
        digest.update(b"%d:" % len(content) + content)
    return base64.urlsafe_b64encode(digest.digest()).decode()


class _Entry(NamedTuple, Generic[V]):
    value: V
    weight: int
    loaded_at: float
    fresh_seconds: float


class AsyncCache(Generic[K, V]):
    """Loads each value once for concurrent callers, and keeps it for a while. Failures are not kept.

    A load goes on until it finishes or `close` is called, even if nobody waits for it any longer.

    fresh_seconds: how long a new value is fresh; None if it is not kept, infinite by default. weigh: a value's weight,
    1 by default. max_weight: of all values together; the least recently used are removed first, the newest stays in any
    case. clock: in seconds.
    """

    def __init__(
        self,
        fresh_seconds: Callable[[V], float | None] = lambda _: inf,
        *,
        weigh: Callable[[V], int] = lambda _: 1,
        max_weight: float = inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fresh_seconds, self._weigh, self._clock = fresh_seconds, weigh, clock
        self._weight, self._max_weight = 0, max_weight
        self._entries: OrderedDict[K, _Entry[V]] = OrderedDict()
        self._loads: dict[K, asyncio.Task[V]] = {}

    def __len__(self) -> int:
        """How many values are kept, fresh or not."""
        return len(self._entries)

    @property
    def loading(self) -> int:
        """How many values are being loaded."""
        return len(self._loads)

    def peek(self, key: K) -> Cached[V] | None:
        """The value of a key if it is kept and fresh."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        age = self._clock() - entry.loaded_at
        if not 0 <= age <= entry.fresh_seconds:  # a clock set back makes no value fresh
            return None
        self._entries.move_to_end(key)
        return entry.value, age

    def last(self, key: K) -> Cached[V] | None:
        """The value of a key if it is kept, fresh or not."""
        entry = self._entries.get(key)
        return None if entry is None else (entry.value, self._clock() - entry.loaded_at)

    async def get(self, key: K, load: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """The value of a key, loaded unless it is fresh. Raises as `reload`."""
        cached = self.peek(key)
        return await self.reload(key, load) if cached is None else cached[0]

    async def reload(self, key: K, load: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """The value of a key from the load that is running, else from a new one.

        Raises: what `load` raises; GivenUp, after `close`.
        """
        task = self._loads.get(key)
        if task is None:
            task = self._loads[key] = asyncio.create_task(self._load(key, load))
            task.add_done_callback(partial(self._end_load, key))
        await asyncio.wait((task,))
        if task.cancelled():
            raise GivenUp
        return task.result()

    def forget(self, key: K) -> None:
        """Remove a value, so that the next caller loads it."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._weight -= entry.weight

    async def close(self) -> None:
        """Cancel running loads."""
        loads = list(self._loads.values())
        for task in loads:
            task.cancel()
        await asyncio.gather(*loads, return_exceptions=True)

    async def _load(self, key: K, load: Callable[[], Coroutine[Any, Any, V]]) -> V:
        value = await load()
        self.forget(key)
        fresh_seconds = self._fresh_seconds(value)
        if fresh_seconds is not None:
            self._entries[key] = entry = _Entry(value, self._weigh(value), self._clock(), fresh_seconds)
            self._weight += entry.weight
            while self._weight > self._max_weight and len(self._entries) > 1:
                self.forget(next(iter(self._entries)))
        return value

    def _end_load(self, key: K, task: asyncio.Task[V]) -> None:
        del self._loads[key]
        if not task.cancelled():
            task.exception()  # retrieved, even if nobody waits any longer
