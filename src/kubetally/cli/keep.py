"""`kubetally maintain`, `backup` and `restore`: looking after what is kept."""

import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kubetally.cli import exits
from kubetally.cli.answer_file import warn
from kubetally.cli.days import days_in_words
from kubetally.cli.start import start as start_up
from kubetally.domain.errors import RequestError
from kubetally.domain.window import rfc3339
from kubetally.ledger.ports.damage import DayDamaged

if TYPE_CHECKING:
    from kubetally.ledger.backup.verify import BackupContents
    from kubetally.ledger.diagnose.damage import DamageReport
    from kubetally.ledger.ports.lake import Maintained

File = Annotated[Path, typer.Argument(metavar="FILE", help="A tar file, as kubetally.tar.")]


Shorten = Annotated[
    bool,
    typer.Option("--shorten", help="Keep history for KUBETALLY_HISTORY_DAYS only, where it was kept for longer."),
]


TrustClock = Annotated[
    bool,
    typer.Option("--trust-clock", help="Remove old history also if nothing was collected for more than a day."),
]
Verify = Annotated[
    bool, typer.Option("--verify", help="Read FILE and say what it holds; exit 1 if it is damaged. Writes nothing.")
]
PartialBackup = Annotated[
    bool,
    typer.Option("--partial", help="Write FILE also where stored days are missing or damaged; never over a backup."),
]
PartialRestore = Annotated[
    bool, typer.Option("--partial", help="Restore also where days are missing or damaged in FILE.")
]


Check = Annotated[
    bool, typer.Option("--check", help="Read all that is stored and list what is damaged; exit 1 if anything is.")
]
Repair = Annotated[
    bool,
    typer.Option("--repair", help="Write damaged days anew: from the source, else from --from-backup; else set aside."),
]
FromBackup = Annotated[
    Path | None, typer.Option("--from-backup", metavar="FILE", help="With --repair: a backup of `kubetally backup`.")
]


class RepairOnly(RequestError):
    """A backup was named without being asked to repair from it."""

    code = "repair_only"

    def __init__(self) -> None:
        super().__init__("--from-backup goes with --repair")


def maintain(
    shorten: Shorten = False,
    trust_clock: TrustClock = False,
    check: Check = False,
    repair: Repair = False,
    from_backup: FromBackup = None,
) -> None:
    """Look after the lake of collected days.

    Small files are put together, and what was replaced longer ago than history
    is kept is cleared away. Days that lake and database differ in are noted:
    see `kubetally coverage`.

    `kubetally collect --forever`, and so `kubetally serve`, does the same once a day.

    \b
    Examples:
      kubetally maintain
      kubetally maintain --check
      kubetally maintain --repair --from-backup /backups/kubetally.tar
    """
    from kubetally.ledger.collect.maintenance import days_of_earlier_versions, maintain_and_check
    from kubetally.wiring.diagnosis import check_storage
    from kubetally.wiring.ledger import open_ledger

    if from_backup is not None and not repair:
        raise RepairOnly
    if check or repair:
        _check(repair=repair, from_backup=from_backup)
        return
    settings = start_up()
    with open_ledger(settings) as ledger:
        done = maintain_and_check(ledger, shorten=shorten, trust_clock=trust_clock)
        earlier_days = days_of_earlier_versions(ledger)
    print(f"Put together {done.compacted} files, removed {done.vacuumed}")
    if done.silence is not None:
        print(_of_silence(done, *done.silence))
    for days in earlier_days:
        span = f"from {days.first} to {days.last}" if days.last > days.first else f"({days.first})"
        end = days.last + timedelta(days=1)
        print(
            f"{days.account}: an earlier version stored {days_in_words(days.number)} {span}, without containers, "
            "annotations, volumes, load balancers, maxima and idle shares. `kubetally backfill "
            f"{days.account} --from {days.first} --to {end}` adds them for the days that the source still has"
        )
    for problem in check_storage(settings).problems:
        warn(str(problem))


def _of_silence(done: "Maintained", since: datetime, until: datetime) -> str:
    """Why old files of history were kept, and what removes them."""
    why = f"Kept {done.held_back} old files of history: nothing was collected from {rfc3339(since)} to {rfc3339(until)}"
    if not done.is_all_kept:
        return (
            f"{why}, so this machine's clock may be ahead. If it is right, collecting goes on and removes them later; "
            "--trust-clock removes them now"
        )
    return (
        f"{why}. Pauses of more than 30 hours do not count, as the clock may be ahead in them; the rest is less than "
        "history is kept. As long as collecting pauses like this, only --trust-clock removes anything"
    )


def _check(*, repair: bool, from_backup: Path | None) -> None:
    """List what is damaged, or still is once it was repaired. Raises typer.Exit."""
    from kubetally.ledger.diagnose.repair import Origin
    from kubetally.wiring.backups import check as find
    from kubetally.wiring.backups import repair as mend

    settings = start_up()
    if repair:
        mended, repaired, found = mend(settings, from_backup)
        for log in mended:
            print(f"{log.file.table}/{log.file.path}: {log.repair}")
        for one in repaired:
            nothing = "lost" if one.is_savings else "set aside, as no source or backup has it: its costs are unknown"
            done = nothing if one.origin is Origin.NOTHING else f"written anew from {one.origin}"
            print(f"{found.name(one.account_id)} {one.day}{' (savings)' if one.is_savings else ''}: {done}")
    else:
        found = find(settings)
    _list(found)
    verdict = ": nothing is damaged" if found.is_well else ""
    print(f"Read {found.files.files} files and {days_in_words(found.days.count)}{verdict}", flush=True)
    if found.files.without_checksum:
        print(f"{found.files.without_checksum} files have no checksums: another program or version wrote them")
    if not found.is_well:
        if not found.is_damaged:
            exits.complain("the database does not know all days of the lake: what is listed says what to do")
            raise typer.Exit(exits.LAKE_DAMAGED)
        what = (
            "could not be repaired: name another backup with --from-backup, or restore one into an empty place"
            if repair
            else "is damaged: `kubetally maintain --repair` writes days anew, with --from-backup also files of a log"
        )
        exits.complain(f"what is listed {what}")
        raise typer.Exit(exits.LAKE_DAMAGED)


def _list(found: "DamageReport") -> None:
    """List what a check found."""
    for file in found.files.damage:
        written = "" if file.written_at is None else f", written {rfc3339(file.written_at)}"
        day = "" if file.day is None else f" (day {file.day}{written}{'' if file.is_current else ', replaced since'})"
        print(f"damaged: {file.table}/{file.path}{day}: {file.why}")
    if found.unreadable is not None and not found.files.damage:
        print(f"damaged: {found.unreadable}")
    for damaged in found.days.damaged:
        collection = damaged.collection
        kind = "set aside" if damaged.is_set_aside else "damaged"
        since = "" if damaged.noticed_at is None else f", noticed before {rfc3339(damaged.noticed_at)}"
        stored = f" (stored {rfc3339(collection.collected_at)}{since})"
        error = damaged.error  # its own words would name the day again, and this command
        why = f"{error.table}: {error.why}; {error.effect}" if isinstance(error, DayDamaged) else str(error)
        print(f"{kind}: {collection.day} of {found.name(collection.account_id)}{stored}: {why}")
    for missing in found.days.missing:
        stored = f"stored {rfc3339(missing.collected_at)}"
        print(f"missing: {missing.day} of {found.name(missing.account_id)} ({stored}): the lake lacks its rows")
    for savings, error in found.savings:
        print(f"damaged: savings of {found.name(savings.account_id)} on {savings.day}: {error.why}; {error.effect}")
    for words in found.unknown:
        print(f"unknown: {words}")


def backup(file: File, verify: Verify = False, partial: PartialBackup = False) -> None:
    """Write database and lake into one file.

    Both are as of one instant. The file is read again before it takes the place
    of an older one: days that are missing or damaged are named, and the older
    file stays. The keys that encrypt credentials are not in it: keep them apart.

    \b
    Examples:
      kubetally backup /backups/kubetally.tar
      kubetally backup --verify /backups/kubetally.tar
    """
    from kubetally.wiring.backups import backup as write

    settings = start_up()
    if verify:
        _verify(file)
        return
    done = write(settings, file, partial=partial)
    print(f"{file}: {done.rows} rows of the database, {done.files} files of the lake, {done.bytes / 2**20:.1f} MiB")
    print(f"{_described(done.contents)}{'' if done.contents.days else ': no day is stored yet'}")
    _warn(done.contents)


def _verify(file: Path) -> None:
    """Say whether a backup is whole, and what is wrong with it."""
    from kubetally.ledger.ports.backups import BackupUnusable
    from kubetally.wiring.backups import verify

    try:
        contents = verify(file)
    except BackupUnusable as error:
        exits.complain(f"{file} is not a complete backup ({error.why})")
        raise typer.Exit(exits.BACKUP_DAMAGED) from None
    print(f"{file}: {_described(contents)}, {contents.files} files of the lake")
    for problem in contents.problems:
        print(f"  {problem}")
    if contents.problems:
        raise typer.Exit(exits.BACKUP_DAMAGED)


def _described(contents: "BackupContents") -> str:
    instant = "an unknown instant" if contents.instant is None else rfc3339(contents.instant)
    accounts = f"{contents.accounts} account{'' if contents.accounts == 1 else 's'}"
    return f"as of {instant}, {accounts}, {days_in_words(contents.days)}"


def _warn(contents: "BackupContents") -> None:
    for problem in contents.problems:
        print(f"warning: {problem}", file=sys.stderr)


def restore(file: File, partial: PartialRestore = False) -> None:
    """Restore a backup into an empty place.

    The database and the lake have to be empty. The file is verified first.

    \b
    Example:
      kubetally restore /backups/kubetally.tar
    """
    from kubetally.wiring.backups import restore as read

    done = read(start_up(), file, partial=partial)
    print(f"Restored {done.rows} rows of the database and {done.files} files of the lake: {_described(done.contents)}")
    _warn(done.contents)
    if done.locked:
        print(
            f"warning: no key at hand decrypts the credentials of {', '.join(done.locked)}: put the file `keys` of the "
            "old home folder into this one, or set KUBETALLY_KEYS as it was",
            file=sys.stderr,
        )
