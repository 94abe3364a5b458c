"""Command lines of this program."""

import shlex
import sys
from datetime import date, timedelta
from pathlib import Path


def own_command(*args: str, home: Path | None = None) -> str:
    """The command line of this program with `args`, quoted for a shell. home: sets KUBETALLY_HOME."""
    setting = "" if home is None else f"KUBETALLY_HOME={shlex.quote(str(home))} "
    return setting + shlex.join([sys.argv[0], *args])


def days_options(first: date, *, last: date) -> tuple[str, ...]:
    """The options for a window from the first to the last day."""
    return "--start", str(first), "--end", str(last + timedelta(days=1))
