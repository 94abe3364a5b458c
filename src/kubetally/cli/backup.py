"""`kubetally backup` and `kubetally restore`."""

from pathlib import Path
from typing import Annotated

import typer

from kubetally.cli import exits
from kubetally.cli.answer_file import warn
from kubetally.cli.start import start as start_up

File = Annotated[Path, typer.Argument(metavar="FILE", help="A tar file, such as kubetally.tar.")]
Verify = Annotated[
    bool, typer.Option("--verify", help="Check FILE and describe it; exit 1 if it is damaged. Writes nothing.")
]
PartialBackup = Annotated[
    bool,
    typer.Option("--partial", help="Write FILE even if stored days are missing or damaged; never over a backup."),
]
PartialRestore = Annotated[bool, typer.Option("--partial", help="Restore even if days are missing or damaged in FILE.")]


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
    from kubetally.ledger.backup.write import write_backup
    from kubetally.present.backup import print_backup
    from kubetally.wiring.backups import backups_of
    from kubetally.wiring.ledger import open_ledger

    settings = start_up()
    if verify:
        _verify(file)
        return
    written = write_backup(lambda: open_ledger(settings), backups_of(settings), file, partial=partial)
    print_backup(file, written)
    for problem in written.contents.problems:
        warn(problem)


def _verify(file: Path) -> None:
    """Print what a backup holds. Raises typer.Exit, if it is damaged."""
    from kubetally.ledger.ports.backups import BackupUnusable
    from kubetally.present.backup import print_contents
    from kubetally.wiring import backups

    try:
        contents = backups.verify(file)
    except BackupUnusable as error:
        exits.complain(f"{file} is not a complete backup ({error.why})")
        raise typer.Exit(exits.BACKUP_DAMAGED) from None
    print_contents(file, contents)
    if contents.problems:
        raise typer.Exit(exits.BACKUP_DAMAGED)


def restore(file: File, partial: PartialRestore = False) -> None:
    """Restore a backup into an empty database and lake.

    The file is verified first.

    \b
    Example:
      kubetally restore /backups/kubetally.tar
    """
    from kubetally.ledger.backup.restore import restore_backup
    from kubetally.present.backup import print_restored
    from kubetally.wiring.backups import backups_of
    from kubetally.wiring.ledger import open_ledger

    settings = start_up()
    restored = restore_backup(lambda: open_ledger(settings, may_lock=True), backups_of(settings), file, partial=partial)
    print_restored(restored)
    for problem in restored.contents.problems:
        warn(problem)
    if restored.locked:
        warn(
            f"no key at hand decrypts the credentials of {', '.join(restored.locked)}: put the file `keys` of the old "
            "home folder into this one, or set KUBETALLY_KEYS as it was"
        )
