"""A sample fleet, as lines of text."""

import shlex
from datetime import date, timedelta
from pathlib import Path

from kubetally.present.commands import days_options, own_command
from kubetally.present.screen import console, say


def print_sample(*, clusters: int, days: int, last: date, rows: int, home: Path) -> None:
    """Print its size and folder, and the command for its costs."""
    print(f"{clusters} clusters, {days} days until {last}, {rows:,} rows.")
    say(
        console(),
        "Its clusters have no running source: ask for these days only. A note says that savings could not be read; "
        "the lake has them.",
    )
    command = own_command("costs", *days_options(last - timedelta(days=days - 1), last=last), home=home)
    print(f"Written to {shlex.quote(str(home))}. Try:  {command}")
