"""The file of a backup, read: its members, whether they are as they were written, and what it holds.

It is a tar of the database's dump and of the lake's files. Its last member is the manifest: the SHA-256 of each member
before it, in their order. The time of its members is the instant that it is of.
"""

import hashlib
import tarfile
import unicodedata
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO, BinaryIO

import msgspec

from kubetally.domain.collection import Collection
from kubetally.domain.errors import KubetallyError, RequestError, StoreError
from kubetally.domain.savings import SavingsDay
from kubetally.ledger.collect.damage import find_damaged
from kubetally.ledger.ports.damage import CollectionGone, DayDamaged, FileDamage
from kubetally.ledger.ports.lake import Lake
from kubetally.store.lake.archive import Member, archived_lake
from kubetally.store.lake.faults import LakeNewer, LakeProtocolNewer
from kubetally.store.meta.backup import DumpDamaged, DumpIsNewer, DumpSummary, NotADump, check_revision, summarize
from kubetally.store.temporary import TemporaryFolderUnusable, temporary_file

DUMP, LAKE, END = "metadata.jsonl", "lake/", "complete"
_PIECE_BYTES = 8 << 20
_NAMED_AT_MOST = 5


class BackupUnusable(RequestError):
    """A file that is no whole backup."""

    code = "backup_unusable"

    def __init__(self, file: str, why: str) -> None:
        self.file, self.why = file, why
        super().__init__(f"{file} is no whole backup ({why}), and nothing of it was restored: use another copy of it")


@dataclass(frozen=True, slots=True)
class Contents:
    """What a backup holds.

    instant: that it is of; of a file of an earlier version, when its newest day was stored; None where it has none.
    days: stored days that are over, of all accounts. problems: what is missing or damaged; none of a good one.
    """

    instant: datetime | None
    accounts: int
    days: int
    files: int
    problems: tuple[str, ...]


def verify_backup(file: Path) -> Contents:
    """Read a backup to its end, and compare its parts with each other.

    Raises: BackupUnusable, where it is none; TemporaryFolderUnusable.
    """
    with opened_backup(file) as tar:
        manifest = read_manifest(tar, file)
        problems = [
            f"{member.name} is not as it was written"
            for member in tar.getmembers()[:-1]
            if _is_changed(tar, member, file, manifest)
        ]
        return _contents(tar, file, problems)


def newer_than_known(file: Path) -> str | None:
    """Why only a newer Kubetally can read this backup; None where it is none of a newer one, or no backup.

    Raises: TemporaryFolderUnusable.
    """
    with suppress(BackupUnusable, NotADump, OSError), opened_backup(file) as tar:
        with understood(file):
            first = tar.next()
            dump = tar.extractfile(first) if first is not None and first.name == DUMP and first.isreg() else None
        if dump is None:
            return None
        try:
            check_revision(dump)
            members = _lake_members(tar, file)
            with archived_lake(file, members) as lake:
                lake.make()
        except (DumpIsNewer, LakeNewer, LakeProtocolNewer) as error:
            return str(error)
        except TemporaryFolderUnusable:  # it says nothing of the backup, which may be a newer one
            raise
        except StoreError:
            return None
    return None


def dumped_days(file: Path) -> tuple[DumpSummary, datetime | None] | None:
    """What a file's dump tells, and the instant that it is of; None where the file is no backup.

    Raises: DumpIsNewer, CollectionNotUnderstood.
    """
    with suppress(BackupUnusable, NotADump, DumpDamaged, OSError), opened_backup(file) as tar:
        read_manifest(tar, file)
        summary = _summary(tar, file)
        return summary, _instant(tar, summary)
    return None


def lost_days(older: DumpSummary, newer: DumpSummary) -> list[str]:
    """Days that are over and that `newer` lacks, by account; those of accounts that were removed since do not count."""
    newer_days = {(one.account_id, one.day) for one in newer.days}
    lost = [
        one
        for one in older.days
        if not one.is_running and one.account_id not in newer.removed and (one.account_id, one.day) not in newer_days
    ]
    return _by_account(lost, older)


def _contents(tar: tarfile.TarFile, file: Path, problems: list[str]) -> Contents:
    try:
        summary = _summary(tar, file)
    except KubetallyError as error:
        return Contents(_instant(tar, None), 0, 0, len(tar.getmembers()) - 2, (*problems, str(error)))
    members = _lake_members(tar, file)
    with archived_lake(file, members) as lake:
        found = _problems_of_lake(lake, summary)
    over = [one for one in summary.days if not one.is_running]
    return Contents(
        _instant(tar, summary),
        len(summary.accounts.keys() - summary.removed),
        len(over),
        len(members),
        (*problems, *found),
    )


def _lake_members(tar: tarfile.TarFile, file: Path) -> dict[str, Member]:
    """The lake's files in a backup, by their path in the lake. Raises: BackupUnusable."""
    with understood(file):
        members = [member for member in tar.getmembers() if member.name.startswith(LAKE)]
    for member in members:
        _check_regular(member, file)
        _check_name(member.name, file)
    return {member.name.removeprefix(LAKE): Member(member.offset_data, member.size) for member in members}


def _check_regular(member: tarfile.TarInfo, file: Path) -> None:
    """Raises: BackupUnusable, for a link, folder, device or pipe."""
    if not member.isreg() or member.issparse():
        raise BackupUnusable(str(file), f"{member.name!r} is no regular file")


def _check_name(name: str, file: Path) -> None:
    """Raises: BackupUnusable, where a member would not be a file below the lake."""
    if not _is_of_lake(name):
        raise BackupUnusable(str(file), f"{name!r} is no name of a file of the lake")


def _problems_of_lake(lake: Lake, summary: DumpSummary) -> list[str]:
    """Damaged files of the lake, and days that can't be read as the database recorded them."""
    try:
        damage = lake.check(summary.log_files).damage
    except StoreError as error:
        return [str(error)]
    try:
        lake.make()
    except StoreError as error:
        return [_told_file(file) for file in damage] or [str(error)]
    by_day: dict[date, list[Collection]] = defaultdict(list)
    for one in summary.days:
        by_day[one.day].append(one)
    days_of_why: dict[str, list[Collection | SavingsDay]] = defaultdict(list)
    explained = {(file.table, file.day) for file in damage}
    for _, some in sorted(by_day.items()):
        by_id = {one.id: one for one in some}
        for id_, found in find_damaged(lake, some, by_sums=True):
            days_of_why[_why(found, explained)].append(by_id[id_])
    for savings, damaged in lake.damaged_savings(summary.savings):
        days_of_why[_why(damaged, explained)].append(savings)
    days = [f"{why} {words}" for why, its in days_of_why.items() for words in _by_account(its, summary)]
    return [*days, *(_told_file(file) for file in damage)]


def _why(error: StoreError, explained: Container[tuple[str, date | None]]) -> str:
    """What is wrong with a day, without what a damaged file of it tells already."""
    if isinstance(error, CollectionGone):
        return "the lake lacks rows of"
    if not isinstance(error, DayDamaged):
        return f"{error}:"
    if (error.table, error.day) in explained:
        return f"damaged {error.table} of"
    return f"damaged {error.table} ({error.why}) of"


def _told_file(file: FileDamage) -> str:
    use = "" if file.is_current else ", which only history needs"
    return f"{file.table}: the file {file.path}{use}: {file.why}"


def _summary(tar: tarfile.TarFile, file: Path) -> DumpSummary:
    with understood(file, f"{DUMP} can't be read"):
        dump = tar.extractfile(DUMP)
    assert dump is not None  # noqa: S101 - it is a regular file
    return summarize(dump)


def _instant(tar: tarfile.TarFile, summary: DumpSummary | None) -> datetime | None:
    written = tar.getmembers()[0].mtime
    if written:
        return datetime.fromtimestamp(written, UTC)
    return None if summary is None else summary.confirmed_at


def _is_changed(tar: tarfile.TarFile, member: tarfile.TarInfo, file: Path, manifest: Mapping[str, str]) -> bool:
    digest = hashlib.sha256()
    for piece in pieces(tar, member, file):
        digest.update(piece)
    return digest.hexdigest() != manifest[member.name]


def _by_account(days: Iterable[Collection | SavingsDay], summary: DumpSummary) -> list[str]:
    """`aurora, cygnus: 2026-11-20, 2026-11-21 and 30 more`, for the accounts that have the same days."""
    by_account: dict[str, set[date]] = defaultdict(set)
    for one in days:
        by_account[summary.accounts.get(one.account_id, one.account_id)].add(one.day)
    by_days: dict[tuple[date, ...], list[str]] = defaultdict(list)
    for name, dates in sorted(by_account.items()):
        by_days[tuple(sorted(dates))].append(name)
    return [f"{_first(names)}: {_first(dates)}" for dates, names in by_days.items()]


def _first(values: Sequence[object]) -> str:
    """The first of these, and how many more there are."""
    more = len(values) - _NAMED_AT_MOST
    return ", ".join(map(str, values[:_NAMED_AT_MOST])) + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True, slots=True)
class Source:
    """A backup that is read, and the hashes that its members have to have."""

    tar: tarfile.TarFile
    file: Path
    manifest: Mapping[str, str]

    def read(self, member: tarfile.TarInfo, into: IO[bytes], *, or_changed: bool = False) -> None:
        """Copy a member, and go back to the start of the copy. Raises BackupUnusable, unless it may be changed."""
        digest = spool(pieces(self.tar, member, self.file), into)
        if digest != self.manifest[member.name] and not or_changed:
            raise BackupUnusable(str(self.file), f"{member.name} is not as it was written")

    def copy(self, member: tarfile.TarInfo, max_in_memory: int = 0, *, or_changed: bool = False) -> BinaryIO:
        """A temporary copy of a member, at its start. Raises: as `read`, and TemporaryFolderUnusable."""
        return temporary_file(lambda into: self.read(member, into, or_changed=or_changed), max_in_memory)[0]


def pieces(tar: tarfile.TarFile, member: tarfile.TarInfo, file: Path) -> Iterator[bytes]:
    """What is in a member, piece by piece. Raises BackupUnusable."""
    with understood(file, f"{member.name} can't be read"):
        content = tar.extractfile(member)
    while content is not None:
        with understood(file, f"{member.name} can't be read"):
            piece = content.read(_PIECE_BYTES)
        if not piece:
            return
        yield piece


def spool(pieces: Iterable[bytes], into: IO[bytes]) -> str:
    """Write all pieces and go back to the start; their SHA-256."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
        into.write(piece)
    into.seek(0)
    return digest.hexdigest()


@contextmanager
def opened_backup(file: Path) -> Iterator[tarfile.TarFile]:
    """Raises BackupUnusable."""
    with understood(file):
        is_there = file.exists()
    if not is_there:
        raise BackupUnusable(str(file), "there is no such file")
    with ExitStack() as stack:
        with understood(file):
            tar = stack.enter_context(tarfile.open(file, "r:"))
        yield tar


def read_manifest(tar: tarfile.TarFile, file: Path) -> dict[str, str]:
    """The manifest, once the members are those that it names and none would be written elsewhere.

    Raises: BackupUnusable.
    """
    with understood(file):
        members = tar.getmembers()
    names = [member.name for member in members]
    if not names or names[0] != DUMP or names[-1] != END:
        raise BackupUnusable(str(file), "it is cut off, or none of Kubetally's")
    for member in members:
        _check_regular(member, file)
    for name in names[1:-1]:
        _check_name(name, file)
    with understood(file, "its list of files can't be read"):
        manifest = msgspec.json.decode(b"".join(pieces(tar, members[-1], file)), type=dict[str, str])
    if names[:-1] != list(manifest):
        raise BackupUnusable(str(file), "its files are not those of its list")
    return manifest


def _is_of_lake(name: str) -> bool:
    """Whether a member is a file below the lake, under a name that a lake can have."""
    if not name.startswith(LAKE) or any(unicodedata.category(one) in {"Cc", "Cs"} for one in name):
        return False
    return "\\" not in name and not {"", ".", ".."} & set(name.split("/"))


@contextmanager
def understood(file: Path, why: str = "") -> Iterator[None]:
    """What fails in reading a tar or its manifest, as ours. Raises BackupUnusable."""
    try:
        yield
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise BackupUnusable(str(file), f"{why}: {error}" if why else str(error)) from error
