"""`kubetally maintain`, `backup` and `restore`."""

import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kubetally.cli import exits
from kubetally.cli.answer_file import warn
from kubetally.cli.start import start as start_up
from kubetally.domain.errors import RequestError
from kubetally.domain.window import rfc3339
from kubetally.ledger.ports.damage import DayDamaged
from kubetally.present.days import days_words

if TYPE_CHECKING:
    from kubetally.ledger.backup.verify import BackupContents
    from kubetally.ledger.collect.damage import CheckedDays
    from kubetally.ledger.collect.maintenance import EarlierDays
    from kubetally.ledger.diagnose.damage import DamageReport
    from kubetally.ledger.ports.lake import Maintained

File = Annotated[Path, typer.Argument(metavar="FILE", help="A tar file, such as kubetally.tar.")]


Shorten = Annotated[
    bool,
    typer.Option("--shorten", help="Shorten the retention of replaced data to KUBETALLY_HISTORY_DAYS."),
]


TrustClock = Annotated[
    bool,
    typer.Option("--trust-clock", help="Remove expired data even if nothing was collected for more than a day."),
]
Verify = Annotated[
    bool, typer.Option("--verify", help="Check FILE and describe it; exit 1 if it is damaged. Writes nothing.")
]
PartialBackup = Annotated[
    bool,
    typer.Option("--partial", help="Write FILE even if stored days are missing or damaged; never over a backup."),
]
PartialRestore = Annotated[bool, typer.Option("--partial", help="Restore even if days are missing or damaged in FILE.")]


Check = Annotated[bool, typer.Option("--check", help="Read all stored data and list damage; exit 1 if there is any.")]
Repair = Annotated[
    bool,
    typer.Option("--repair", help="Rewrite damaged days from the source or --from-backup; set others aside."),
]
FromBackup = Annotated[
    Path | None,
    typer.Option("--from-backup", metavar="FILE", help="With --repair: a file of `kubetally backup`."),
]


def maintain(
    shorten: Shorten = False,
    trust_clock: TrustClock = False,
    check: Check = False,
    repair: Repair = False,
    from_backup: FromBackup = None,
) -> None:
    """Compact the lake, remove expired data and check stored days.

    Replaced data expires after KUBETALLY_HISTORY_DAYS. Each run reads a share of
    the stored days, and marks days that are damaged, or that the lake lacks; see
    `kubetally coverage`.

    `kubetally serve` and `kubetally collect --forever` do the same once a day.

    \b
    Examples:
      kubetally maintain
      kubetally maintain --check
      kubetally maintain --repair --from-backup /backups/kubetally.tar
    """
    from kubetally.ledger.collect.maintenance import days_of_earlier_versions, maintain_and_check
    from kubetally.wiring.ledger import open_ledger
    from kubetally.wiring.storage import check_storage

    if from_backup is not None and not repair:
        raise RequestError("--from-backup requires --repair", code="repair_only")
    if check or repair:
        _check(repair=repair, from_backup=from_backup)
        return
    settings = start_up()
    with open_ledger(settings) as ledger:
        done, checked = maintain_and_check(ledger, shorten=shorten, trust_clock=trust_clock)
        earlier_days, retention = days_of_earlier_versions(ledger), ledger.retention
    _print_maintenance(done, checked, retention)
    for days in earlier_days:
        print(_describe_earlier(days))
    for problem in check_storage(settings).problems:
        warn(str(problem))


def _print_maintenance(done: "Maintained", checked: "CheckedDays", retention: timedelta) -> None:
    """Print what was done, and why expired files were kept."""
    print(f"Compacted {done.compacted} partitions, removed {done.vacuumed} expired files")
    if checked.count:
        damaged = f"{len(checked.damaged)} damaged" if checked.damaged else "none damaged"
        print(f"Checked {days_words(checked.count)}: {damaged}")
    else:
        print("No stored day is due for a check today")
    if done.kept is not None and done.kept > retention:
        print(
            f"Replaced data is still kept for {done.kept.days} days, as set before, not for {retention.days} "
            "(KUBETALLY_HISTORY_DAYS); --shorten applies the shorter retention"
        )
    if done.silence is not None:
        print(_explain_silence(done, *done.silence))


def _explain_silence(done: "Maintained", since: datetime, until: datetime) -> str:
    """Why expired files were kept, and what removes them."""
    why = f"Kept {done.held_back} expired files: nothing was collected from {rfc3339(since)} to {rfc3339(until)}"
    if not done.is_all_kept:
        return (
            f"{why}, so the clock of this machine may be ahead. If it is right, they are removed after more days of "
            "collecting; --trust-clock removes them now"
        )
    return (
        f"{why}. Gaps of more than 30 hours do not count towards the retention, because the clock may be ahead in "
        "them, and the other days are fewer than the retention. While collecting has such gaps, only --trust-clock "
        "removes files"
    )


def _describe_earlier(days: "EarlierDays") -> str:
    """What days of an earlier version lack, and how to add it."""
    span = f"from {days.first} to {days.last}" if days.last > days.first else f"({days.first})"
    end = days.last + timedelta(days=1)
    return (
        f"{days.account}: an earlier version stored {days_words(days.number)} {span} without containers, "
        "annotations, volumes, load balancers, maxima and idle shares. `kubetally backfill "
        f"{days.account} --from {days.first} --to {end}` adds them for days that the source still has"
    )


def _check(*, repair: bool, from_backup: Path | None) -> None:
    """List the damage, or what is left of it after a repair. Raises typer.Exit."""
    from kubetally.ledger.diagnose.repair import Origin
    from kubetally.wiring.backups import check as find
    from kubetally.wiring.backups import repair as mend

    settings = start_up()
    if repair:
        logs, days, found = mend(settings, from_backup)
        for log in logs:
            print(f"{log.file.table}/{log.file.path}: {log.repair}")
        for day in days:
            nothing = "lost" if day.is_savings else "set aside, as no source or backup has it; its costs are unknown"
            done = nothing if day.origin is Origin.NOTHING else f"rewritten from {day.origin}"
            print(f"{found.name(day.account_id)} {day.day}{' (savings)' if day.is_savings else ''}: {done}")
    else:
        found = find(settings)
    _list(found)
    verdict = ": no damage" if found.is_well else ""
    print(f"Read {found.files.files} files and {days_words(found.days.count)}{verdict}", flush=True)
    if found.files.without_checksum:
        print(f"{found.files.without_checksum} files have no checksums: another program or version wrote them")
    if not found.is_well:
        if not found.is_damaged:
            exits.complain("the database lacks days of the lake; see above for what to do")
            raise typer.Exit(exits.LAKE_DAMAGED)
        exits.complain(
            "some damage could not be repaired; use another backup with --from-backup, or restore one elsewhere"
            if repair
            else "the lake is damaged; `kubetally maintain --repair` rewrites damaged days, and with --from-backup "
            "files of a log as well"
        )
        raise typer.Exit(exits.LAKE_DAMAGED)


def _list(found: "DamageReport") -> None:
    """Print each damage."""
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
        error = damaged.error  # its message would repeat the day and name this command
        why = f"{error.table}: {error.why}; {error.effect}" if isinstance(error, DayDamaged) else str(error)
        print(f"{kind}: {collection.day} of {found.name(collection.account_id)}{stored}: {why}")
    for missing in found.days.missing:
        stored = f"stored {rfc3339(missing.collected_at)}"
        print(f"missing: {missing.day} of {found.name(missing.account_id)} ({stored}): the lake lacks its rows")
    for savings, error in found.savings:
        print(f"damaged: savings of {found.name(savings.account_id)} on {savings.day}: {error.why}; {error.effect}")
    for message in found.unknown:
        print(f"unknown: {message}")


def backup(file: File, verify: Verify = False, partial: PartialBackup = False) -> None:
    """Write database and lake to one file.

    Both are as of the same instant. The file is verified before it replaces an
    older one; if days are missing or damaged, it does not. It does not hold the
    keys that encrypt credentials: back them up separately.

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
    """Print what a backup holds, and its problems."""
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
    return f"as of {instant}, {accounts}, {days_words(contents.days)}"


def _warn(contents: "BackupContents") -> None:
    for problem in contents.problems:
        print(f"warning: {problem}", file=sys.stderr)


def restore(file: File, partial: PartialRestore = False) -> None:
    """Restore a backup into an empty database and lake.

    The file is verified first.

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
