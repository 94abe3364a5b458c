"""The contents of a backup, and what is missing or damaged."""

from collections import defaultdict
from collections.abc import Container, Iterable
from datetime import date

from kubetally.domain.backup import BackupContents
from kubetally.domain.collection import Collection
from kubetally.domain.damage import CollectionGone, DayDamaged, FileDamage
from kubetally.domain.errors import KubetallyError, StoreError
from kubetally.domain.savings import SavingsDay
from kubetally.domain.words import name_some
from kubetally.ledger.collect.damage import find_damaged
from kubetally.ledger.ports.backups import Backup, DumpSummary
from kubetally.ledger.ports.lake import Lake

_MAX_NAMED = 5


def verify_backup(backup: Backup) -> BackupContents:
    """Read a backup to its end, and compare its parts with each other.

    Raises: BackupUnusable, TemporaryFolderUnusable.
    """
    changed = tuple(f"{name} differs from its checksum" for name in backup.changed_members())
    files = len(backup.lake_files)
    try:
        summary = backup.summarize()
    except KubetallyError as error:
        return BackupContents(backup.instant, 0, 0, files, (*changed, str(error)))
    with backup.open_lake() as lake:
        problems = _find_problems(lake, summary)
    return BackupContents(
        backup.instant or summary.confirmed_at,
        len(summary.accounts.keys() - summary.removed),
        sum(not collection.is_running for collection in summary.days),
        files,
        (*changed, *problems),
    )


def find_lost_days(*, older: DumpSummary, newer: DumpSummary) -> list[str]:
    """Complete days that `newer` lacks, by account; accounts that were removed since do not count."""
    newer_days = {(collection.account_id, collection.day) for collection in newer.days}
    lost = [
        collection
        for collection in older.days
        if not collection.is_running
        and collection.account_id not in newer.removed
        and (collection.account_id, collection.day) not in newer_days
    ]
    return _by_account(lost, older)


def _find_problems(lake: Lake, summary: DumpSummary) -> list[str]:
    """Damaged files of the lake, and days that can't be read as the database recorded them."""
    try:
        damage = lake.check(summary.log_files).damage
    except StoreError as error:
        return [str(error)]
    try:
        lake.make()
    except StoreError as error:
        return [_file_words(file) for file in damage] or [str(error)]
    by_day: dict[date, list[Collection]] = defaultdict(list)
    for collection in summary.days:
        by_day[collection.day].append(collection)
    by_problem: dict[str, list[Collection | SavingsDay]] = defaultdict(list)
    listed = {(file.table, file.day) for file in damage}
    for _, collections in sorted(by_day.items()):
        by_id = {collection.id: collection for collection in collections}
        for id_, why in find_damaged(lake, collections, by_sums=True):
            by_problem[_problem_words(why, listed)].append(by_id[id_])
    for savings, damaged in lake.damaged_savings(summary.savings):
        by_problem[_problem_words(damaged, listed)].append(savings)
    days = [f"{problem} {words}" for problem, its in by_problem.items() for words in _by_account(its, summary)]
    return [*days, *(_file_words(file) for file in damage)]


def _problem_words(error: StoreError, listed: Container[tuple[str, date | None]]) -> str:
    """The problem of a day; short, if a damaged file of it is listed too."""
    if isinstance(error, CollectionGone):
        return "the lake lacks rows of"
    if not isinstance(error, DayDamaged):
        return f"{error}:"
    if (error.table, error.day) in listed:
        return f"damaged {error.table} of"
    return f"damaged {error.table} ({error.why}) of"


def _file_words(file: FileDamage) -> str:
    use = "" if file.is_current else ", which only history needs"
    return f"{file.table}: the file {file.path}{use}: {file.why}"


def _by_account(days: Iterable[Collection | SavingsDay], summary: DumpSummary) -> list[str]:
    """`aurora, cygnus: 2026-11-20, 2026-11-21 and 30 more`, for accounts that have the same days."""
    by_account: dict[str, set[date]] = defaultdict(set)
    for day in days:
        by_account[summary.accounts.get(day.account_id, day.account_id)].add(day.day)
    by_days: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name, dates in sorted(by_account.items()):
        by_days[tuple(map(str, sorted(dates)))].append(name)
    return [f"{name_some(names, _MAX_NAMED)}: {name_some(dates, _MAX_NAMED)}" for dates, names in by_days.items()]
