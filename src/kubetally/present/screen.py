"""Standard output for people: styles on a terminal and none in a pipe."""

import os
import sys
import textwrap

from rich.console import Console
from rich.text import Text

from kubetally.domain.source_identity import SourceIdentity
from kubetally.present.grid import Grid, printable


class _Console(Console):
    """A console that goes on silently when its pipe is closed, so that the command ends with its own exit code."""

    def on_broken_pipe(self) -> None:
        """Print nothing more."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def console() -> Console:
    """Standard output. Text is never interpreted as markup, and lines are never cut."""
    return _Console(file=sys.stdout, highlight=False, markup=False, emoji=False, soft_wrap=True)


def width_of(out: Console) -> int | None:
    """Columns of the terminal; None in a pipe."""
    return out.width if out.is_terminal else None


def draws_lines(out: Console) -> bool:
    """Whether lines and bars can be drawn."""
    return out.encoding.lower().startswith("utf")


def print_grid(out: Console, grid: Grid) -> None:
    """Print a table, with rules on a terminal."""
    rule = ("─" if draws_lines(out) else "-") if out.is_terminal else ""
    for line, style in grid.lines(width_of(out), rule):
        out.print(Text(line, style))


def say(out: Console, text: str, *, indent: int = 0, style: str = "") -> None:
    """Print a line. A terminal wraps it between words, with further lines indented by `indent` columns."""
    text, width = printable(text), width_of(out)
    lines = [text]
    if width is not None and len(text) > width:
        lines = textwrap.wrap(
            text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
        )
    for line in lines:
        out.print(Text(line, style))


def name_of(source: SourceIdentity) -> str:
    """The name of a cluster: that of its account, else its own, else its id, else its URL."""
    return source.account_label or source.account_name or source.cluster_name or source.cluster_id or source.url
