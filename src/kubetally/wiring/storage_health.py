"""Checking the stores of the settings: database, lake and their disks."""

from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from kubetally.ledger.diagnose.storage import StorageCheck, StorageHealth
from kubetally.ledger.ports.damage import FileDamage
from kubetally.ledger.ports.lake import Lake
from kubetally.ledger.stores import Ledger
from kubetally.settings import Settings
from kubetally.store.meta.engine import file_of
from kubetally.store.reach import nearest_there
from kubetally.wiring.ledger import open_ledger
from kubetally.wiring.store import database_url


def check_storage(settings: Settings) -> StorageHealth:
    """The problems there are now. Raises StoreError, where the database can't be opened."""
    with open_ledger(settings) as ledger:
        return storage_check(ledger, settings, is_short=True).check()


def storage_check(
    ledger: Ledger, settings: Settings, executor: Executor | None = None, *, is_short: bool = False
) -> StorageCheck:
    """Checks of these stores. is_short: those of a command, which leaves out a lake that nothing was stored in."""
    file, folder = file_of(database_url(settings)), ledger.lake_place.folder
    folders: dict[str, Path] = {}
    if file is not None:
        folders["database"] = file.parent
    if folder is not None:
        folders["lake"] = nearest_there(folder)
    is_needed = not is_short or ledger.has_lake or ledger.coverage.last_version() is not None
    # To read a log of years takes many requests of an object store: there maintenance looks at it, once a day.
    log_damage = None if folder is None else partial(_find_log_damage, ledger)
    return StorageCheck(
        ledger.coverage,
        ledger.leases,
        lambda: ledger.lake if is_needed else None,
        folders,
        log_damage=log_damage,
        executor=executor,
    )


def _find_log_damage(ledger: Ledger, lake: Lake) -> Sequence[FileDamage]:
    return lake.check_log(ledger.log_files.noted())
