"""Counts requests to sources, for the metrics of the service."""

import time
from collections import defaultdict
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from kubetally.domain.errors import KubetallyError
from kubetally.domain.evidence.hours import SeenHour
from kubetally.domain.infrastructure import Infrastructure
from kubetally.domain.reading import Reading
from kubetally.domain.savings import Savings
from kubetally.domain.series import MeasuredSeries
from kubetally.domain.window import Window
from kubetally.ledger.ports.sources import About, CostSource, MetricsSource


@dataclass(slots=True)
class Tally:
    """Requests to sources since the start, by question and outcome (`ok`, `cut`, or the code of an error)."""

    questions: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    seconds: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def counting(self, question: str) -> Iterator[None]:
        """Count the block as one request."""
        began, outcome = time.monotonic(), "ok"
        try:
            yield
        except KubetallyError as error:
            outcome = error.code
            raise
        except BaseException:
            outcome = "cut"
            raise
        finally:
            self.questions[question, outcome] += 1
            self.seconds[question, outcome] += time.monotonic() - began


class _Source(Protocol):
    @property
    def url(self) -> str: ...


S = TypeVar("S", bound=_Source)
T = TypeVar("T")


class _Counted(Generic[S]):
    """A source whose requests are counted."""

    def __init__(self, source: S, tally: Tally) -> None:
        self._source, self._tally = source, tally

    @property
    def url(self) -> str:
        return self._source.url

    async def _count(self, question: str, answer: Awaitable[T]) -> T:
        with self._tally.counting(question):
            return await answer


class CountedCosts(_Counted[CostSource]):
    """A cost source whose requests are counted."""

    async def read(self, window: Window) -> Reading:
        return await self._count("read", self._source.read(window))

    async def hours(self, window: Window, rows: int) -> Sequence[SeenHour]:
        return await self._count("hours", self._source.hours(window, rows))

    async def wait_for_place(self) -> None:
        await self._source.wait_for_place()

    async def about(self) -> About:
        return await self._count("about", self._source.about())

    async def savings(self) -> Savings | None:
        return await self._count("savings", self._source.savings())


class CountedMetrics(_Counted[MetricsSource]):
    """A Prometheus whose requests are counted."""

    async def read(self, window: Window) -> Infrastructure:
        return await self._count("infrastructure", self._source.read(window))

    async def points(self, window: Window, names: Sequence[str]) -> MeasuredSeries:
        return await self._count("points", self._source.points(window, names))
