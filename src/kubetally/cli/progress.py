"""A progress bar while sources are asked: on a terminal only, and never on standard output."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(of: int, doing: str | None = None, *, quiet: bool = False) -> Iterator[Callable[[], None]]:
    """A callable to be called as each of `of` ends, which are clusters unless `doing` says what.

    It draws nothing where standard error is no terminal, nor if `quiet`.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console  # heavy: see the package
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        asking = "Asking 1 cluster" if of == 1 else f"Asking {of} clusters"
        task = bar.add_task(doing or asking, total=of)
        yield lambda: bar.advance(task)
