"""Progress bars: on a terminal only, and never on standard output."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn


@contextmanager
def progress(total: int, words: str, *, quiet: bool = False) -> Iterator[Callable[[], None]]:
    """A callable to be called as each of `total` is done.

    It draws nothing if standard error is no terminal, nor if `quiet`.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda: None
        return
    with _bar() as bar:
        task = bar.add_task(words, total=total)
        yield lambda: bar.advance(task)


@contextmanager
def growing_progress(words: str) -> Iterator[tuple[Callable[[int], None], Callable[[], None]]]:
    """Two callables: to be called with how many more there are to do, and as each is done. It always draws."""
    from rich.progress import TimeRemainingColumn

    with _bar(TimeRemainingColumn()) as bar:
        task, total = bar.add_task(words, total=0), 0

        def add(count: int) -> None:
            nonlocal total
            total += count
            bar.update(task, total=total)

        yield add, lambda: bar.advance(task)


def _bar(*more: "ProgressColumn") -> "Progress":
    from rich.console import Console  # heavy: see the package
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *more)
    return Progress(*columns, console=Console(stderr=True), transient=True)
