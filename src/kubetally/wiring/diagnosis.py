"""Diagnosing clusters and stores, and replaying kept answers, with the settings."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from kubetally.domain.finding import Diagnosis
from kubetally.domain.window import Window
from kubetally.ledger.diagnose.cluster import diagnose_cluster, with_storage
from kubetally.ledger.diagnose.replay import Replay, replay_all
from kubetally.ledger.diagnose.storage import StorageCheck, StorageHealth
from kubetally.ledger.ports.clusters import AnyCluster, labels_of
from kubetally.ledger.stores import Ledger
from kubetally.settings import Settings
from kubetally.store.meta.engine import file_of
from kubetally.store.reach import nearest_there
from kubetally.tasks import run
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.clusters import currency_of
from kubetally.wiring.ledger import open_ledger
from kubetally.wiring.store import database_url


def diagnose(clusters: Sequence[AnyCluster], window: Window, settings: Settings) -> list[Diagnosis]:
    """See `diagnose_cluster`; all at once. With accounts among them also the problems of the stores."""
    from kubetally.wiring.sources import source_opener  # heavy: the clients of sources

    opener, now = source_opener(settings), SystemClock().now()

    async def diagnose_all() -> list[Diagnosis]:
        return await asyncio.gather(
            *(
                diagnose_cluster(
                    cluster,
                    opener.source(cluster),
                    opener.prometheus(cluster),
                    window,
                    now,
                    currency_of(cluster, settings),
                )
                for cluster in clusters
            )
        )

    labels = labels_of(clusters)
    diagnoses = [replace(each, account_label=labels.get(each.account_id or "")) for each in run(diagnose_all())]
    if any(diagnosis.account_id for diagnosis in diagnoses):
        return with_storage(diagnoses, check_storage(settings).problems)
    return diagnoses


def check_storage(settings: Settings) -> StorageHealth:
    """The problems of the stores now. Raises StoreError, where the database can't be opened."""
    with open_ledger(settings) as ledger:
        return storage_check(ledger, settings, is_quick=True).check()


def storage_check(
    ledger: Ledger, settings: Settings, executor: Executor | None = None, *, is_quick: bool = False
) -> StorageCheck:
    """See `StorageCheck.of`."""
    file, folder = file_of(database_url(settings)), ledger.lake_place.folder
    folders: dict[str, Path] = {} if file is None else {"database": file.parent}
    if folder is not None:
        folders["lake"] = nearest_there(folder)
    return StorageCheck.of(ledger, folders, executor=executor, is_quick=is_quick)


@contextmanager
def open_replay(settings: Settings, folder: Path) -> Iterator[Replay]:
    """The files of kept answers in a folder, each once. Nothing is written. Raises NotFound, StoreError."""
    from kubetally.sources.kept_source import open_folder  # heavy: the clients of sources

    answers, unreadable = open_folder(folder)
    with open_ledger(settings) as ledger:
        yield replay_all(answers, unreadable, ledger)
