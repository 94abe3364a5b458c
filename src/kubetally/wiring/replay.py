"""Kept answers interpreted again, with the ledger of the settings beside them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from kubetally.domain.errors import KubetallyError, NotFound
from kubetally.domain.evidence import is_in_doubt
from kubetally.domain.window import Window
from kubetally.ledger.costs.live import book_request
from kubetally.ledger.costs.requests import Question
from kubetally.ledger.diagnose.replay import Interpreted, Replayed, replay_answers
from kubetally.settings import Settings
from kubetally.sources.opencost.interpret import interpret
from kubetally.sources.opencost.kept import SUFFIX, Kept, KeptFile, open_kept
from kubetally.wiring.ledger import open_ledger


class NothingKept(NotFound):
    """A folder has no kept answers."""

    code = "nothing_kept"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(f"{folder} has no kept answers; KUBETALLY_KEEP_ANSWERS names the folder they are written to")


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
        answers, damaged = list[_File](), list[DamagedFile]()
        for path in paths:
            try:
                answers.append(_File(open_kept(path)))
            except KubetallyError as error:
                damaged.append(DamagedFile(path.name, error))

        def files() -> Iterator[Replayed | DamagedFile]:
            yield from replay_answers(answers, ledger.coverage, lambda: ledger.lake)
            yield from damaged

        yield Replay(files(), {account.id: account.name for account in ledger.accounts.listed()})


def book_kept(kept: Kept) -> Interpreted:
    """What this version makes of kept answers: without what a Prometheus measured beside them."""
    reading = interpret(kept.answers, kept.question)
    question = Question(kept.question.window, kept.question.window)
    return Interpreted(book_request(kept.question.url, question, reading, None), is_in_doubt(reading))


@dataclass(frozen=True, slots=True)
class _File:
    """A file as a kept answer."""

    kept: KeptFile

    @property
    def file(self) -> str:
        return self.kept.path.name

    @property
    def account(self) -> str | None:
        return self.kept.account

    @property
    def url(self) -> str:
        return self.kept.question.url

    @property
    def window(self) -> Window:
        return self.kept.question.window

    @property
    def received_at(self) -> datetime:
        return self.kept.received_at

    def interpret(self) -> Interpreted:
        return book_kept(self.kept.read())
