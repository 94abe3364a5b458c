"""`kubetally maintain`, `backup` and `restore`: looking after what is kept."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from kubetally.cli.answer_file import warn
from kubetally.cli.start import start as start_up

File = Annotated[Path, typer.Argument(metavar="FILE", help="A tar file, as kubetally.tar.")]


Shorten = Annotated[
    bool,
    typer.Option("--shorten", help="Keep history for KUBETALLY_HISTORY_DAYS only, where it was kept for longer."),
]


def maintain(shorten: Shorten = False) -> None:
    """Look after the lake of collected days.

    Small files are put together, and what was replaced longer ago than history
    is kept is cleared away.

    `kubetally collect --forever`, and so `kubetally serve`, does the same once a day.

    \b
    Example:
      kubetally maintain
    """
    from kubetally.wiring.collect import maintain_once
    from kubetally.wiring.storage_health import check_storage

    settings = start_up()
    done = maintain_once(settings, shorten=shorten)
    print(f"Put together {done.compacted} files, removed {done.vacuumed}")
    for problem in check_storage(settings).problems:
        warn(str(problem))


def backup(file: File) -> None:
    """Write database and lake into one file.

    Both are as of one instant. The keys that encrypt credentials are not in it: keep them apart.

    \b
    Example:
      kubetally backup /backups/kubetally.tar
    """
    from kubetally.wiring.backup import backup as write

    done = write(start_up(), file)
    print(f"{file}: {done.rows} rows of the database, {done.files} files of the lake, {done.bytes / 2**20:.1f} MiB")


def restore(file: File) -> None:
    """Restore a backup into an empty place.

    The database and the lake have to be empty.

    \b
    Example:
      kubetally restore /backups/kubetally.tar
    """
    from kubetally.wiring.backup import restore as read

    done = read(start_up(), file)
    print(f"Restored {done.rows} rows of the database and {done.files} files of the lake")
    if done.locked:
        print(
            f"warning: no key at hand decrypts the credentials of {', '.join(done.locked)}: put the file `keys` of the "
            "old home folder into this one, or set KUBETALLY_KEYS as it was",
            file=sys.stderr,
        )
