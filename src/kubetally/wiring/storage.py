"""Checking the stores of the settings."""

from concurrent.futures import Executor
from pathlib import Path

from kubetally.ledger.diagnose.storage import StorageCheck, StorageHealth
from kubetally.ledger.stores import Ledger
from kubetally.settings import Settings
from kubetally.store.meta.engine import file_of
from kubetally.store.reach import nearest_there
from kubetally.wiring.ledger import open_ledger
from kubetally.wiring.store import database_url


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
