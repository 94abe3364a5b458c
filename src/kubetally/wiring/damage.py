"""`kubetally maintain --check` and `--repair`: what of the lake is damaged, and writing it anew."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path

from kubetally.domain.account import AccountType
from kubetally.domain.collection import CollectedDay, Collection
from kubetally.domain.errors import KubetallyError, StoreError
from kubetally.domain.savings import SavingsDay, SavingsState
from kubetally.ledger.collect.collector import Collector
from kubetally.ledger.collect.damage import CheckedDays, check_days, note_damage, read_collection
from kubetally.ledger.collect.lease import hold_lease
from kubetally.ledger.collect.repair import Repairer
from kubetally.ledger.ports.damage import DayDamaged, FileDamage, LakeCheck
from kubetally.ledger.ports.lake import LOST, Lake, LogFile, NotedLog
from kubetally.ledger.ports.leases import ACCOUNT_LIST, COMMITTER, MAINTAINER
from kubetally.ledger.stores import Ledger
from kubetally.settings import Settings
from kubetally.store.lake.checking import sound_crc
from kubetally.store.lake.schema import TableName
from kubetally.store.temporary import temporary_folder, writing_temporarily
from kubetally.tasks import run_on_uvloop as run
from kubetally.wiring.backup_file import LAKE, Source, opened_backup, read_manifest
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.collect import with_collector
from kubetally.wiring.lake import has_lake, open_lake
from kubetally.wiring.ledger import open_ledger
from kubetally.wiring.unknown_days import told_unknown_days


class Origin(StrEnum):
    """Where a damaged day was written anew from; set aside where there was nothing."""

    SOURCE = "its source"
    BACKUP = "the backup"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Found:
    """What a check found.

    names: of accounts, by id. unreadable: why the tables can't be opened at all. unknown: what days of the lake the
    database does not know, and what to do. savings: those that are damaged, and how.
    """

    files: LakeCheck
    days: CheckedDays
    names: dict[str, str]
    unreadable: StoreError | None = None
    unknown: Sequence[str] = ()
    savings: Sequence[tuple[SavingsDay, DayDamaged]] = ()

    @property
    def is_well(self) -> bool:
        """Whether nothing is damaged, set aside or missing, and the database knows all days of the lake."""
        return not (self.is_damaged or self.unknown)

    @property
    def is_damaged(self) -> bool:
        """Whether something is damaged, set aside or missing."""
        return bool(self.files.damage or self.unreadable or self.days.damaged or self.days.missing or self.savings)

    def name(self, account_id: str) -> str:
        """What an account is called; its id, where it is not known any more."""
        return self.names.get(account_id, account_id)


@dataclass(frozen=True, slots=True)
class Repaired:
    """A day, or its savings, and where it was written anew from."""

    account_id: str
    day: date
    origin: Origin
    is_savings: bool = False


class LogMend(StrEnum):
    """What was done about a damaged file of a log."""

    PUT_BACK = "put back from the backup"
    REMOVED = "taken away, as other files make up for it"
    GIVEN_UP = "no backup has it: what lake and database differ in is told and collected again"


@dataclass(frozen=True, slots=True)
class MendedLog:
    """A damaged file of a log, and what was done about it."""

    file: FileDamage
    mend: LogMend


def check(settings: Settings) -> Found:
    """Read all that is stored, and note in coverage which days are damaged, and which are no longer.

    Raises: StoreError, of a database or lake that can't be reached.
    """
    with open_ledger(settings) as ledger:
        return _check(ledger, open_lake(settings), settings)


def _check(ledger: Ledger, lake: Lake, settings: Settings) -> Found:
    names = {account.id: account.name for account in [*ledger.accounts.removed(), *ledger.accounts.all()]}
    if not has_lake(settings) and ledger.coverage.last_version() is None:
        return Found(LakeCheck(), CheckedDays(), names)
    files = lake.check(ledger.log_files.noted())
    try:
        lake.make()
    except StoreError as error:
        if error.retryable:
            raise
        return Found(files, CheckedDays(), names, error)
    days = check_days(ledger.coverage, lake)
    news = (day.pair for day in days.damaged if day.noticed_at is None)
    note_damage(ledger.coverage, news, SystemClock().now())
    ledger.coverage.clear_damage(days.well_again)
    unknown = told_unknown_days(ledger, lake)
    return Found(files, days, names, unknown=unknown, savings=lake.damaged_savings(ledger.savings.stored()))


def repair(settings: Settings, backup: Path | None = None) -> tuple[list[MendedLog], list[Repaired], Found]:
    """Put damaged files of the logs back, then write damaged days anew; and what is damaged still.

    Days come from the source, else from a backup, else they are set aside.
    Raises: BackupUnusable, TemporaryFolderUnusable, before anything is changed; AnotherWriter, StoreError.
    """
    with _unpacked(backup) as folder:
        mended = _mend_logs(settings, folder)
        copy = None if folder is None else _lake_in(folder)
        repaired, found = run(
            with_collector(settings, None, lambda ledger, collector, _: _repair(settings, ledger, collector, copy))
        )
    return mended, repaired, found


def _mend_logs(settings: Settings, copy: Path | None) -> list[MendedLog]:
    """Put files of the logs back from the unpacked backup, and set aside what other files make up for.

    An entry after the newest that no backup has is given up: the lake is then as an older copy of it would be.
    """
    if not has_lake(settings):
        return []
    with open_ledger(settings) as ledger:
        lake, noted = open_lake(settings), ledger.log_files.noted()
        if not lake.check_log(noted):
            return []
        with hold_lease(ledger.leases, MAINTAINER, lake.url), hold_lease(ledger.leases, COMMITTER, lake.url):
            mended = _put_logs_back(ledger, lake, copy)
            mended += _do_without_entries(ledger, lake)
            damage = lake.check_log(ledger.log_files.noted())
            for file in damage:
                if lake.is_dispensable(file) and not any(one.table == file.table and one != file for one in damage):
                    _take_away(ledger, lake, file)
                    mended.append(MendedLog(file, LogMend.REMOVED))
        return mended


def _put_logs_back(ledger: Ledger, lake: Lake, copy: Path | None) -> list[MendedLog]:
    """Put files back from the unpacked backup; checkpoints that a damaged entry may have gone into are taken away."""
    mended, noted = [], ledger.log_files.noted()
    for file in lake.check_log(noted):
        if (content := _copied_log_file(copy, file, noted)) is not None:
            lake.put_log_file(file, content)
            mended.append(MendedLog(file, LogMend.PUT_BACK))
    for entry in [log.file for log in mended if log.file.path.endswith(".json")]:
        for checkpoint in lake.checkpoints_from(entry):
            _take_away(ledger, lake, checkpoint)
            mended.append(MendedLog(checkpoint, LogMend.REMOVED))
    return mended


def _do_without_entries(ledger: Ledger, lake: Lake) -> list[MendedLog]:
    """Set entries aside that a checkpoint makes up for, and give those up that the log lacks at its end."""
    mended, noted = [], ledger.log_files.noted()
    lost = lake.lost_log_files(noted)
    for file in lake.check_log(noted):
        name = Path(file.path).name
        if not name.endswith(".json"):
            continue
        if lake.has_checkpoint_of(file, noted):
            _take_away(ledger, lake, file)
            ledger.log_files.note([LogFile(file.table, name, LOST)])
            mended.append(MendedLog(file, LogMend.REMOVED))
        elif file in lost:
            ledger.log_files.forget(file.table, name)
            mended.append(MendedLog(file, LogMend.GIVEN_UP))
    return mended


def _take_away(ledger: Ledger, lake: Lake, file: FileDamage) -> None:
    lake.put_log_file(file, None)
    ledger.log_files.forget(file.table, Path(file.path).name)


def _copied_log_file(copy: Path | None, damage: FileDamage, noted: NotedLog) -> bytes | None:
    """A damaged file of a log as the backup has it, where that is what was written; None where it is not."""
    if copy is None or not (file := copy / damage.table / damage.path).is_file():
        return None
    content = file.read_bytes()
    crc = sound_crc(file.name, content)
    return content if crc is not None and noted.get((damage.table, file.name), crc) == crc else None


async def _repair(
    settings: Settings, ledger: Ledger, collector: Collector, copy: Lake | None
) -> tuple[list[Repaired], Found]:
    lake, repairer = ledger.lake, Repairer(ledger.writer())
    found = _check(ledger, lake, settings)
    if found.unreadable is not None:
        return [], found
    clusters = {one.id for one in ledger.accounts.all() if one.type is AccountType.KUBERNETES_CNR}
    asked = [(day.collection.account_id, day.collection.day) for day in found.days.damaged]
    asked += [(missing.account_id, missing.day) for missing in found.days.missing]
    repaired = [
        Repaired(account_id, day, Origin.SOURCE)
        for account_id, day in asked
        if account_id in clusters and await _is_collected(collector, account_id, day)
    ]
    days = _check(ledger, lake, settings).days
    left = {day.collection.id: day for day in days.damaged}
    written = repairer.put_back(_copied(copy, [day.collection for day in left.values()]))
    for one in written:
        del left[one.id]
    written += repairer.put_lost_back(_copied(copy, days.missing))
    repaired += [Repaired(one.account_id, one.day, Origin.BACKUP) for one in written]
    aside = repairer.set_aside([day.pair for day in left.values() if not day.is_set_aside])
    repaired += [Repaired(one.account_id, one.day, Origin.NOTHING) for one in aside]
    repaired += _restored_savings(ledger, copy)
    damage = lake.check(ledger.log_files.noted()).damage
    repairer.mend_files([file for file in damage if file.day is not None])
    if any(file.table == TableName.ACCOUNTS for file in damage):
        with hold_lease(ledger.leases, ACCOUNT_LIST, lake.url):
            lake.remake_accounts(ledger.accounts.listed())
    lost = [one for one, _ in lake.damaged_savings(ledger.savings.stored())]
    ledger.savings.note([SavingsDay(one.account_id, one.day, SavingsState.LOST, one.asked_at) for one in lost])
    repaired += [Repaired(one.account_id, one.day, Origin.NOTHING, is_savings=True) for one in lost]
    return repaired, _check(ledger, lake, settings)


def _restored_savings(ledger: Ledger, copy: Lake | None) -> list[Repaired]:
    """Put damaged savings back from a backup. A source can't be asked for those of past days."""
    damaged = [one for one, _ in ledger.lake.damaged_savings(ledger.savings.stored())]
    packed = [] if copy is None else copy.packed_savings(damaged)
    for day in sorted({one.day for one in packed}):
        with ledger.writer().hold_lease() as leased:
            leased.replace_savings([one for one in packed if one.day == day])
    return [Repaired(one.account_id, one.day, Origin.BACKUP, is_savings=True) for one in packed]


def _copied(copy: Lake | None, collections: Sequence[Collection]) -> list[CollectedDay]:
    """These collections as a backup has them; without those that it lacks, or has damaged."""
    copies = [] if copy is None else [read_collection(copy, one) for one in collections]
    return [found for found, error in copies if found is not None and error is None]


async def _is_collected(collector: Collector, account_id: str, day: date) -> bool:
    try:
        report = await collector.backfill(account_id, day, day + timedelta(days=1))
    except KubetallyError as error:
        if isinstance(error, StoreError):
            raise
        return False
    return any(outcome.account_id == account_id for outcome in report.collected)


def _lake_in(folder: Path) -> Lake:
    from kubetally.store.lake.delta import DeltaLake  # heavy: pyarrow and deltalake

    return DeltaLake(str(folder))


@contextmanager
def _unpacked(backup: Path | None) -> Iterator[Path | None]:
    """The lake in a backup, unpacked for a while. Raises BackupUnusable, TemporaryFolderUnusable."""
    if backup is None:
        yield None
        return
    with temporary_folder() as folder, opened_backup(backup) as tar:
        source = Source(tar, backup, read_manifest(tar, backup))
        for member in tar.getmembers()[1:-1]:
            target = folder / member.name.removeprefix(LAKE)
            with writing_temporarily():
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as into:
                    source.read(member, into)
        yield folder
