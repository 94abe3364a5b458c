"""Kept answers in place of the sources that gave them, to interpret them again."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from kubetally.domain.booking_comparison import Beside
from kubetally.domain.errors import KubetallyError, NotFound, SourceError
from kubetally.domain.evidence.hours import SeenHour
from kubetally.domain.infrastructure import Infrastructure
from kubetally.domain.reading import Reading
from kubetally.domain.savings import Savings
from kubetally.domain.window import Window
from kubetally.ledger.ports.sources import About
from kubetally.sources.kept import SUFFIX, KeptFile, KeptFileDamaged, KeptKind, open_kept
from kubetally.sources.opencost.kept import hours_of, reading_of
from kubetally.sources.prometheus.kept import infrastructure_of

_MAX_DISTANCE = timedelta(minutes=10)  # between answers of one collection; a running day has one every 15 minutes


def open_folder(folder: Path) -> tuple[list["KeptCosts"], dict[str, KubetallyError]]:
    """The files of costs in a folder, and the errors of unreadable files by name. Raises NotFound, if it has none."""
    files, unreadable = list[KeptFile](), dict[str, KubetallyError]()
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            files.append(open_kept(path))
        except KubetallyError as error:
            unreadable[path.name] = error
    kept = _KeptFiles(files)
    costs = [KeptCosts(kept, file) for file in files if file.kind is KeptKind.COSTS]
    if not costs and not unreadable:
        raise NotFound(
            f"{folder} {_why_empty(folder)}; KUBETALLY_KEEP_ANSWERS names the folder that they are written to",
            code="nothing_kept",
        )
    return costs, unreadable


def _why_empty(folder: Path) -> str:
    if not folder.exists():
        return "does not exist"
    return "has no kept answers about costs" if folder.is_dir() else "is not a folder"


class _KeptFiles:
    """Files of kept answers, by kind and account."""

    def __init__(self, files: Iterable[KeptFile]) -> None:
        self._by_kind = defaultdict[tuple[KeptKind, str], list[KeptFile]](list)
        for file in files:
            self._by_kind[file.kind, file.account or file.url].append(file)

    def beside(self, costs: KeptFile, kind: KeptKind, window: Window) -> KeptFile | None:
        """The file about a window that was kept with a file of costs, if any; one of metrics may cover more."""

        def distance(file: KeptFile) -> timedelta:
            return abs(file.received_at - costs.received_at)

        files = [
            file
            for file in self._by_kind[kind, costs.account or costs.url]
            if (file.window.contains(window) if kind is KeptKind.METRICS else file.window == window)
            and distance(file) <= _MAX_DISTANCE
        ]
        return min(files, key=lambda file: (distance(file), file.path), default=None)


@dataclass(frozen=True, slots=True)
class KeptCosts:
    """The port `KeptAnswer`: a file of costs, with the files that were kept with it.

    lacks: what was read and is not kept. damaged: what could not be read or interpreted.
    """

    files: _KeptFiles
    kept: KeptFile
    lacks: set[Beside] = field(default_factory=set)
    damaged: list[KubetallyError] = field(default_factory=list)

    @property
    def file(self) -> str:
        """Its name."""
        return self.kept.path.name

    @property
    def account(self) -> str | None:
        """The id of its account, if known."""
        return self.kept.account

    @property
    def url(self) -> str:
        """The address of its source, masked."""
        return self.kept.url

    @property
    def window(self) -> Window:
        """The window of its costs."""
        return self.kept.window

    @property
    def received_at(self) -> datetime:
        """When it was received."""
        return self.kept.received_at

    def source(self) -> "_KeptSource":
        """The cost source as it answered then."""
        return _KeptSource(self)

    def metrics(self) -> "_KeptMetrics | None":
        """The Prometheus as it answered then; None, which is noted, if its answers were not kept."""
        file = self.beside(KeptKind.METRICS, self.window, Beside.METRICS)
        return None if file is None else _KeptMetrics(self, file)

    def beside(self, kind: KeptKind, window: Window, what: Beside) -> KeptFile | None:
        """The file about a window that was kept with this one; None, which is noted as `what`, if there is none."""
        file = self.files.beside(self.kept, kind, window)
        if file is None:
            self.lacks.add(what)
        return file

    def note_damage(self, file: KeptFile, error: KubetallyError) -> None:
        """Note why a file can't be read or interpreted."""
        is_named = isinstance(error, KeptFileDamaged)
        self.damaged.append(error if is_named else SourceError(f"{file.path.name}: {error}", code=error.code))


class _KeptSource:
    """The port `CostSource`: a source as it answered when a file was kept."""

    def __init__(self, costs: KeptCosts) -> None:
        self.url, self.account, self._costs = costs.url, costs.account, costs

    async def read(self, window: Window) -> Reading:
        """Raises KeptFileDamaged, SourceError, RequestError."""
        if window == self._costs.window:
            return reading_of(self._costs.kept)
        file = self._costs.beside(KeptKind.COSTS, window, Beside.DAYS_AROUND)
        if file is None:
            raise self._not_kept("answer about a day around")
        return reading_of(file)

    async def hours(self, window: Window, rows: int) -> Sequence[SeenHour]:
        """Raises KeptFileDamaged, SourceError."""
        file = self._costs.beside(KeptKind.HOURS, window, Beside.HOURS)
        if file is None:
            raise self._not_kept("answer by the hour")
        try:
            return hours_of(file)
        except KubetallyError as error:
            self._costs.note_damage(file, error)
            raise

    async def wait_for_place(self) -> None:
        """Return at once."""

    async def about(self) -> About:
        """Empty, as such answers are not kept."""
        return About()

    async def savings(self) -> Savings | None:
        """None, as savings are not part of a booking."""
        return None

    def _not_kept(self, what: str) -> SourceError:
        return SourceError(f"no {what} of {self.url} was kept", code="not_kept")


class _KeptMetrics:
    """The port `InfrastructureSource`: a Prometheus as it answered when a file was kept."""

    def __init__(self, costs: KeptCosts, file: KeptFile) -> None:
        self.url, self.account, self._costs, self._file = file.url, file.account, costs, file

    async def read(self, window: Window) -> Infrastructure:
        """Raises KeptFileDamaged, SourceError, RequestError."""
        unanswered = list[str]()
        try:
            return await infrastructure_of(self._file, unanswered)
        except KubetallyError as error:
            if not unanswered:
                self._costs.note_damage(self._file, error)
            raise
        finally:
            if unanswered:
                self._costs.lacks.add(Beside.METRICS)
