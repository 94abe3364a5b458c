"""What Python's garbage collector need not look at."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_callers: list[None] = []
"""An entry for each caller of `gc_paused`, in any thread. The collector runs again once the last one has left."""


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause the garbage collector while tens of thousands of rows are made that all stay; also a decorator.

    It would look through them again and again and find no cycle: a quarter of the time that reading and booking a day
    takes. Afterwards they are left to its rare full rounds: `freeze` and `unfreeze` put them there unseen.
    """
    if not _callers and not gc.isenabled():  # the program paused it itself
        yield
        return
    _callers.append(None)
    gc.disable()
    try:
        yield
    finally:
        _callers.pop()
        # No lock: between these lines a caller can only come whose pause then ends early. It is never left paused.
        if not _callers:
            if not gc.get_freeze_count():  # what someone else has frozen is theirs to release
                gc.freeze()
                gc.unfreeze()
            gc.enable()
