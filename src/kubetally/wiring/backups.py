"""Backing up, verifying, restoring, checking and repairing what the settings' database and lake hold."""

from contextlib import nullcontext
from pathlib import Path

from kubetally.domain.backup import BackupContents
from kubetally.domain.damage import DamageReport
from kubetally.domain.repaired import RepairedDay, RepairedLog
from kubetally.ledger.backup.verify import verify_backup
from kubetally.ledger.diagnose.repair import repair_days, repair_logs
from kubetally.settings import Settings
from kubetally.store.backup.reading import open_backup, unpack_lake
from kubetally.store.backup.writing import TarBackups
from kubetally.tasks import run_on_uvloop as run
from kubetally.wiring.collect import with_collector
from kubetally.wiring.ledger import lake_location, open_ledger
from kubetally.wiring.store import database_url


def backups_of(settings: Settings) -> TarBackups:
    """What writes and restores backups of the settings' database and lake."""
    return TarBackups(database_url(settings), lake_location(settings).open_files)


def verify(file: Path) -> BackupContents:
    """See `verify_backup`."""
    with open_backup(file) as opened:
        return verify_backup(opened)


def repair(settings: Settings, backup: Path | None) -> tuple[list[RepairedLog], list[RepairedDay], DamageReport]:
    """See `repair_logs`, then `repair_days`. Raises BackupUnusable before anything is changed; StoreError."""
    with nullcontext() if backup is None else unpack_lake(backup) as unpacked:
        with open_ledger(settings) as ledger:
            logs = repair_logs(ledger, unpacked)
        days, report = run(
            with_collector(settings, None, lambda ledger, collector, _: repair_days(ledger, collector, unpacked))
        )
    return logs, days, report
