"""Counting what is asked of sources, for those who run the service."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

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
    """What has been asked of sources since the start: by question and outcome (`ok`, or the code of an error)."""

    questions: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    seconds: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def asking(self, question: str) -> Iterator[None]:
        """Count what happens inside."""
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


class Counted:
    """A source whose questions are counted."""

    def __init__(self, source: CostSource, tally: Tally) -> None:
        self._source, self._tally = source, tally

    @property
    def url(self) -> str:
        return self._source.url

    async def read(self, window: Window) -> Reading:
        with self._tally.asking("read"):
            return await self._source.read(window)

    async def hours(self, window: Window, rows: int) -> Sequence[SeenHour]:
        with self._tally.asking("hours"):
            return await self._source.hours(window, rows)

    async def wait_for_place(self) -> None:
        await self._source.wait_for_place()

    async def about(self) -> About:
        with self._tally.asking("about"):
            return await self._source.about()

    async def savings(self) -> Savings | None:
        with self._tally.asking("savings"):
            return await self._source.savings()


class CountedMetrics:
    """A Prometheus whose requests are counted."""

    def __init__(self, source: MetricsSource, tally: Tally) -> None:
        self._source, self._tally = source, tally

    @property
    def url(self) -> str:
        return self._source.url

    async def read(self, window: Window) -> Infrastructure:
        with self._tally.asking("infrastructure"):
            return await self._source.read(window)

    async def points(self, window: Window, names: Sequence[str]) -> MeasuredSeries:
        with self._tally.asking("points"):
            return await self._source.points(window, names)
