"""Commands of this program, as a shell reads them."""

import shlex
import sys
from datetime import date, timedelta
from pathlib import Path


def own_command(*args: str, home: Path | None = None) -> str:
    """This program with other arguments, and with another home folder if there is one."""
    setting = "" if home is None else f"KUBETALLY_HOME={shlex.quote(str(home))} "
    return setting + shlex.join([sys.argv[0], *args])


def days_options(first: date, last: date) -> tuple[str, ...]:
    """The options of a window from the first to the last day."""
    return "--start", str(first), "--end", str(last + timedelta(days=1))
