"""Keeping what was asked for, and asking once for whoever wants the same at the same time."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, Generic, TypeVar

from kubetally.domain.errors import StoreError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Bounded(Generic[K, V]):
    """Values up to a weight altogether; those not wanted for longest leave first. The newest always stays."""

    def __init__(self, most: int) -> None:
        self._most, self._weight = most, 0
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        """The value of a key, which is wanted from now on; None where there is none."""
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V, weight: int = 1) -> None:
        """Keep a value, in place of any that the key had."""
        self.drop(key)
        self._values[key] = (value, weight)
        self._weight += weight
        while self._weight > self._most and len(self._values) > 1:
            self.drop(next(iter(self._values)))

    def drop(self, key: K) -> None:
        """Forget a key, if there is one."""
        found = self._values.pop(key, None)
        if found is not None:
            self._weight -= found[1]


class GivenUp(StoreError):
    """What was asked for was given up, because the service stops."""

    code = "given_up"
    retryable = True

    def __init__(self) -> None:
        super().__init__("the service stops: ask again when it is back")


class SingleFlight(Generic[K, V]):
    """Asks once for all who want the same key at the same time; the answer is not kept any longer than that.

    Who leaves does not end the flight for the others: it goes on by itself until `close`.
    """

    def __init__(self) -> None:
        self._flights: dict[K, asyncio.Task[V]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def __call__(self, key: K, ask: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """The answer of the flight that is under way for the key, else of a new one.

        Raises: what `ask` raises; GivenUp, after `close`.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.create_task(ask())
            flight.add_done_callback(partial(self._landed, key))
        await asyncio.wait((flight,))
        if flight.cancelled():
            raise GivenUp
        return flight.result()

    async def close(self) -> None:
        """Give up what is under way."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    def _landed(self, key: K, flight: asyncio.Task[V]) -> None:
        del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # seen, even where everyone has left


class AsyncCache(Generic[K, V]):
    """Loads a value once for all who want it, and keeps it for `seconds`. Failures are not kept.

    empty_seconds: how long None is kept; as long as any value if not given.
    """

    def __init__(
        self, seconds: float, *, empty_seconds: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds, self._clock = seconds, clock
        self._empty_seconds = seconds if empty_seconds is None else empty_seconds
        self._values: dict[K, tuple[float, V]] = {}
        self._loads: SingleFlight[K, V] = SingleFlight()

    async def get(self, key: K, load: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """The value of a key, loaded if it is not kept. Raises what `load` raises."""
        kept = self._values.get(key)
        if kept is None or self._clock() > kept[0]:
            value = await self._loads(key, load)
            kept = self._values[key] = self._clock() + (self._empty_seconds if value is None else self._seconds), value
        return kept[1]

    def forget(self, key: K) -> None:
        """Load it again the next time."""
        self._values.pop(key, None)
