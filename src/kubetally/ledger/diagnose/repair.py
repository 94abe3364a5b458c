"""Repairing the stores: files of the lake's logs, then damaged days, from their sources or from a backup."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from kubetally.domain.account import AccountType
from kubetally.domain.collection import CollectedDay, Collection
from kubetally.domain.damage import DamageReport, FileDamage
from kubetally.domain.errors import KubetallyError, StoreError
from kubetally.domain.repaired import LogRepair, Origin, RepairedDay, RepairedLog
from kubetally.domain.savings import SavingsDay, SavingsState
from kubetally.ledger.collect.collector import Collector
from kubetally.ledger.collect.damage import read_collection
from kubetally.ledger.collect.repair import Repairer
from kubetally.ledger.diagnose.damage import check_damage_of
from kubetally.ledger.ports.backups import UnpackedBackup
from kubetally.ledger.ports.lake import LOST, Lake, LogFile
from kubetally.ledger.ports.leases import ACCOUNT_LIST, COMMITTER, MAINTAINER
from kubetally.ledger.stores import Ledger
from kubetally.ledger.writing.lease import hold_lease

_ACCOUNTS_TABLE = "accounts"


def repair_logs(ledger: Ledger, backup: UnpackedBackup | None) -> list[RepairedLog]:
    """Put files of the logs back from the backup, and remove those that other files replace.

    An entry after the newest that no backup has is given up: the lake is then as an older copy of it would be.
    Raises: AnotherWriter, StoreError.
    """
    if not ledger.has_lake:
        return []
    lake = ledger.lake_place.open()
    if not lake.check_log(ledger.log_files.noted()):
        return []
    with hold_lease(ledger.leases, MAINTAINER, url=lake.url), hold_lease(ledger.leases, COMMITTER, url=lake.url):
        repaired = _put_logs_back(ledger, lake, backup)
        repaired += _remove_entries(ledger, lake)
        damage = lake.check_log(ledger.log_files.noted())
        for file in damage:
            if lake.is_dispensable(file) and not any(other.table == file.table and other != file for other in damage):
                _remove(ledger, lake, file)
                repaired.append(RepairedLog(file, LogRepair.REMOVED))
    return repaired


async def repair_days(
    ledger: Ledger, collector: Collector, backup: UnpackedBackup | None
) -> tuple[list[RepairedDay], DamageReport]:
    """Restore damaged days from their sources, else from the backup, else set them aside.

    Returns: the days that were repaired or set aside, and what is still damaged.
    Raises: AnotherWriter, StoreError.
    """
    lake, repairer = ledger.lake, Repairer(ledger.writer())
    copy = None if backup is None else backup.lake
    report = check_damage_of(ledger, lake)
    if report.unreadable is not None:
        return [], report
    repaired = await _collect_again(ledger, collector, report)
    days = check_damage_of(ledger, lake).days
    damaged = {day.collection.id: day for day in days.damaged}
    restored = repairer.put_back(_read_copies(copy, [day.collection for day in damaged.values()]))
    for collection in restored:
        del damaged[collection.id]
    restored += repairer.put_lost_back(_read_copies(copy, days.missing))
    repaired += [RepairedDay(collection.account_id, collection.day, Origin.BACKUP) for collection in restored]
    aside = repairer.set_aside([day.pair for day in damaged.values() if not day.is_set_aside])
    repaired += [RepairedDay(collection.account_id, collection.day, Origin.NOTHING) for collection in aside]
    repaired += _restore_savings(ledger, copy)
    damage = lake.check(ledger.log_files.noted()).damage
    repairer.mend_files([file for file in damage if file.day is not None])
    if any(file.table == _ACCOUNTS_TABLE for file in damage):
        with hold_lease(ledger.leases, ACCOUNT_LIST, url=lake.url):
            lake.remake_accounts(ledger.accounts.listed())
    repaired += _note_lost_savings(ledger)
    return repaired, check_damage_of(ledger, lake)


def _put_logs_back(ledger: Ledger, lake: Lake, backup: UnpackedBackup | None) -> list[RepairedLog]:
    """Put files back from the backup; checkpoints that a damaged entry may have gone into are removed."""
    repaired, noted = [], ledger.log_files.noted()
    for file in lake.check_log(noted):
        content = None if backup is None else backup.log_file(file, noted)
        if content is not None:
            lake.put_log_file(file, content)
            repaired.append(RepairedLog(file, LogRepair.PUT_BACK))
    for entry in [log.file for log in repaired if log.file.path.endswith(".json")]:
        for checkpoint in lake.checkpoints_from(entry):
            _remove(ledger, lake, checkpoint)
            repaired.append(RepairedLog(checkpoint, LogRepair.REMOVED))
    return repaired


def _remove_entries(ledger: Ledger, lake: Lake) -> list[RepairedLog]:
    """Set entries aside that a checkpoint replaces, and give up those that the log lacks at its end."""
    repaired, noted = [], ledger.log_files.noted()
    lost = lake.lost_log_files(noted)
    for file in lake.check_log(noted):
        name = Path(file.path).name
        if not name.endswith(".json"):
            continue
        if lake.has_checkpoint_of(file, noted):
            _remove(ledger, lake, file)
            ledger.log_files.note([LogFile(file.table, name, LOST)])
            repaired.append(RepairedLog(file, LogRepair.REMOVED))
        elif file in lost:
            ledger.log_files.forget(file.table, name=name)
            repaired.append(RepairedLog(file, LogRepair.GIVEN_UP))
    return repaired


def _remove(ledger: Ledger, lake: Lake, file: FileDamage) -> None:
    lake.put_log_file(file, None)
    ledger.log_files.forget(file.table, name=Path(file.path).name)


async def _collect_again(ledger: Ledger, collector: Collector, report: DamageReport) -> list[RepairedDay]:
    """Collect damaged and missing days of accounts that still exist; returns those that were collected."""
    clusters = {place.id for place in ledger.accounts.places() if place.type is AccountType.KUBERNETES_CNR}
    days = [(day.collection.account_id, day.collection.day) for day in report.days.damaged]
    days += [(missing.account_id, missing.day) for missing in report.days.missing]
    return [
        RepairedDay(account_id, day, Origin.SOURCE)
        for account_id, day in days
        if account_id in clusters and await _is_collected(collector, account_id, day)
    ]


async def _is_collected(collector: Collector, account_id: str, day: date) -> bool:
    try:
        report = await collector.backfill([account_id], day, end=day + timedelta(days=1))
    except KubetallyError as error:
        if isinstance(error, StoreError):
            raise
        return False
    return any(outcome.account_id == account_id for outcome in report.collected)


def _read_copies(copy: Lake | None, collections: Sequence[Collection]) -> list[CollectedDay]:
    """These collections as a backup has them; without those that it lacks, or has damaged."""
    copies = [] if copy is None else [read_collection(copy, collection) for collection in collections]
    return [day for day, error in copies if day is not None and error is None]


def _restore_savings(ledger: Ledger, copy: Lake | None) -> list[RepairedDay]:
    """Restore damaged savings from a backup; a source can't be asked for those of past days."""
    damaged = [savings for savings, _ in ledger.lake.damaged_savings(ledger.savings.stored())]
    packed = [] if copy is None else copy.packed_savings(damaged)
    for day in sorted({savings.day for savings in packed}):
        with ledger.writer().hold_lease() as leased:
            leased.replace_savings([savings for savings in packed if savings.day == day])
    return [RepairedDay(savings.account_id, savings.day, Origin.BACKUP, is_savings=True) for savings in packed]


def _note_lost_savings(ledger: Ledger) -> list[RepairedDay]:
    """Note savings that are still damaged as lost."""
    lost = [savings for savings, _ in ledger.lake.damaged_savings(ledger.savings.stored())]
    ledger.savings.note(
        [SavingsDay(savings.account_id, savings.day, SavingsState.LOST, savings.asked_at) for savings in lost]
    )
    return [RepairedDay(savings.account_id, savings.day, Origin.NOTHING, is_savings=True) for savings in lost]
