"""Kept answers interpreted again, with the ledger of the settings beside them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kubetally.ledger.diagnose.replay import Replay, replay_all
from kubetally.settings import Settings
from kubetally.sources.kept_source import open_folder
from kubetally.wiring.ledger import open_ledger


@contextmanager
def open_replay(settings: Settings, folder: Path) -> Iterator[Replay]:
    """The files of kept answers in a folder, each once. Nothing is written. Raises NotFound, StoreError."""
    answers, unreadable = open_folder(folder)
    with open_ledger(settings) as ledger:
        yield replay_all(answers, unreadable, ledger)
