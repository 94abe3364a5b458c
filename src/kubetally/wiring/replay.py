"""Kept answers interpreted again, with the ledger of the settings beside them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from kubetally.domain.booking_comparison import Beside
from kubetally.domain.errors import KubetallyError, NotFound
from kubetally.domain.window import Window
from kubetally.ledger.diagnose.replay import Replayed, replay_answers
from kubetally.settings import Settings
from kubetally.sources.kept import SUFFIX, KeptFile, KeptKind, open_kept
from kubetally.sources.kept_source import KeptFiles, KeptMetrics, KeptSource, Missing, metrics_beside
from kubetally.wiring.ledger import open_ledger


class NothingKept(NotFound):
    """A folder has no kept answers."""

    code = "nothing_kept"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(
            f"{folder} {self._why(folder)}; KUBETALLY_KEEP_ANSWERS names the folder that they are written to"
        )

    @staticmethod
    def _why(folder: Path) -> str:
        if not folder.exists():
            return "does not exist"
        return "has no kept answers about costs" if folder.is_dir() else "is no folder"


@dataclass(frozen=True, slots=True)
class DamagedFile:
    """A file of which not even the question can be read."""

    file: str
    why: KubetallyError


@dataclass(frozen=True, slots=True)
class Replay:
    """What became of each file. account_names: by id, of all accounts that are not purged."""

    files: Iterator[Replayed | DamagedFile]
    account_names: Mapping[str, str]


@contextmanager
def open_replay(settings: Settings, folder: Path) -> Iterator[Replay]:
    """The files of kept answers in a folder, each once. Nothing is written. Raises NothingKept, StoreError."""
    paths = sorted(folder.glob(f"*{SUFFIX}"))
    if not paths:
        raise NothingKept(folder)
    with open_ledger(settings) as ledger:
        opened, damaged = list[KeptFile](), list[DamagedFile]()
        for path in paths:
            try:
                opened.append(open_kept(path))
            except KubetallyError as error:
                damaged.append(DamagedFile(path.name, error))
        kept = KeptFiles(opened)
        answers = [_CostsFile(kept, file) for file in kept.of_kind(KeptKind.COSTS)]
        if not answers and not damaged:
            raise NothingKept(folder)

        def files() -> Iterator[Replayed | DamagedFile]:
            yield from replay_answers(answers, ledger.coverage, lambda: ledger.lake)
            yield from damaged

        yield Replay(files(), {account.id: account.name for account in ledger.accounts.listed()})


@dataclass(frozen=True, slots=True)
class _CostsFile:
    """A file of costs, with those that were kept beside it."""

    files: KeptFiles
    kept: KeptFile
    missing: Missing = field(default_factory=Missing)

    @property
    def file(self) -> str:
        return self.kept.path.name

    @property
    def account(self) -> str | None:
        return self.kept.account

    @property
    def url(self) -> str:
        return self.kept.url

    @property
    def window(self) -> Window:
        return self.kept.window

    @property
    def received_at(self) -> datetime:
        return self.kept.received_at

    @property
    def lacks(self) -> set[Beside]:
        return self.missing.lacks

    @property
    def damaged(self) -> list[KubetallyError]:
        return self.missing.damaged

    def source(self) -> KeptSource:
        return KeptSource(self.files, self.kept, self.missing)

    def metrics(self) -> KeptMetrics | None:
        return metrics_beside(self.files, self.kept, self.missing)
