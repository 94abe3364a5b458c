"""What Python's garbage collector need not look at."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_garbage() -> Iterator[None]:
    """Rest the garbage collector while tens of thousands of rows are made, all of which stay; also a decorator.

    It would look through them again and again and find no cycle: a quarter of the time that reading and booking a day
    takes. Afterwards they are left to its rare full rounds: `freeze` and `unfreeze` put them there unseen.
    """
    resting = not gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():  # what someone else has frozen is theirs to release
            gc.freeze()
            gc.unfreeze()
        if not resting:
            gc.enable()
