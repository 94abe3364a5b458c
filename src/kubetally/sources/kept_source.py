"""Kept answers in the place of the systems that gave them: what was asked of these then can be asked again."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from kubetally.domain.booking_comparison import Beside
from kubetally.domain.errors import KubetallyError, SourceError
from kubetally.domain.evidence.hours import SeenHour
from kubetally.domain.infrastructure import Infrastructure
from kubetally.domain.reading import Reading
from kubetally.domain.savings import Savings
from kubetally.domain.window import Window
from kubetally.ledger.ports.sources import About
from kubetally.sources.kept import KeptFile, KeptFileDamaged, KeptKind
from kubetally.sources.opencost.kept import hours_of, reading_of
from kubetally.sources.prometheus.kept import infrastructure_of

_ASKED_TOGETHER = timedelta(minutes=10)  # a running day is collected every 15 minutes


class KeptFiles:
    """Files of kept answers, by account."""

    def __init__(self, files: Iterable[KeptFile]) -> None:
        self._by_kind = defaultdict[tuple[KeptKind, str], list[KeptFile]](list)
        for file in files:
            self._by_kind[file.kind, file.account or file.url].append(file)

    def of_kind(self, kind: KeptKind) -> list[KeptFile]:
        """All files of a kind."""
        return [file for (its, _), files in self._by_kind.items() if its is kind for file in files]

    def beside(self, costs: KeptFile, kind: KeptKind, window: Window) -> KeptFile | None:
        """The file about a window that was kept nearest to one of costs; None if none was kept with it.

        One of metrics may be about a longer window.
        """

        def distance(file: KeptFile) -> timedelta:
            return abs(file.received_at - costs.received_at)

        files = [
            file
            for file in self._by_kind[kind, costs.account or costs.url]
            if (file.window.contains(window) if kind is KeptKind.METRICS else file.window == window)
        ]
        nearest = min(files, key=lambda file: (distance(file), file.path), default=None)
        return nearest if nearest is not None and distance(nearest) <= _ASKED_TOGETHER else None


@dataclass(frozen=True, slots=True)
class Missing:
    """What was asked of kept answers in vain: lacks is not kept, damaged could not be read or interpreted."""

    lacks: set[Beside] = field(default_factory=set)
    damaged: list[KubetallyError] = field(default_factory=list)


class KeptSource:
    """A cost source as it answered when a file was kept."""

    def __init__(self, files: KeptFiles, costs: KeptFile, missing: Missing) -> None:
        self.url = costs.url
        self._files, self._costs, self._missing = files, costs, missing

    async def read(self, window: Window) -> Reading:
        """Raises KeptFileDamaged, SourceError, RequestError."""
        if window == self._costs.window:
            return reading_of(self._costs)
        file = self._files.beside(self._costs, KeptKind.COSTS, window)
        if file is None:
            self._missing.lacks.add(Beside.DAYS_AROUND)
            raise self._not_kept("answer about a day around")
        return reading_of(file)

    async def hours(self, window: Window, rows: int) -> Sequence[SeenHour]:
        """Raises KeptFileDamaged, SourceError."""
        file = self._files.beside(self._costs, KeptKind.HOURS, window)
        if file is None:
            self._missing.lacks.add(Beside.HOURS)
            raise self._not_kept("answer by the hour")
        try:
            return hours_of(file)
        except KubetallyError as error:
            self._missing.damaged.append(unreadable(file, error))
            raise

    async def wait_for_place(self) -> None:
        """Nothing has to be found out."""

    async def about(self) -> About:
        """Nothing: what a source told of itself is not kept."""
        return About()

    async def savings(self) -> Savings | None:
        """None: savings make no part of a booking."""
        return None

    def _not_kept(self, what: str) -> SourceError:
        return SourceError(f"no {what} of {self.url} was kept", code="not_kept")


class KeptMetrics:
    """A Prometheus as it answered when a file of costs was kept."""

    def __init__(self, file: KeptFile, missing: Missing) -> None:
        self.url = file.url
        self._file, self._missing = file, missing

    async def read(self, window: Window) -> Infrastructure:
        """Raises KeptFileDamaged, SourceError, RequestError."""
        unanswered = list[str]()
        try:
            infrastructure = await infrastructure_of(self._file, unanswered)
        except KubetallyError as error:
            if not unanswered:
                self._missing.damaged.append(unreadable(self._file, error))
            raise
        finally:
            if unanswered:
                self._missing.lacks.add(Beside.METRICS)
        return infrastructure


def metrics_beside(files: KeptFiles, costs: KeptFile, missing: Missing) -> KeptMetrics | None:
    """The Prometheus of a file of costs; None if no answer of one was kept, which is noted."""
    file = files.beside(costs, KeptKind.METRICS, costs.window)
    if file is None:
        missing.lacks.add(Beside.METRICS)
        return None
    return KeptMetrics(file, missing)


def unreadable(file: KeptFile, why: KubetallyError) -> KubetallyError:
    """An error of interpreting a file, which names it."""
    if isinstance(why, KeptFileDamaged):
        return why
    return SourceError(f"{file.path.name}: {why}", code=why.code)
