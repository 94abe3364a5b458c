"""What Python's garbage collector need not look at."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


class _Pause:
    """The pause that all threads share: it ends with the last of those who wanted it."""

    def __init__(self) -> None:
        self._lock, self._depth, self._was_enabled = Lock(), 0, False

    def begin(self) -> None:
        with self._lock:
            if not self._depth:
                self._was_enabled = gc.isenabled()
                gc.disable()
            self._depth += 1

    def end(self) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth:
                return
            if not gc.get_freeze_count():  # what someone else has frozen is theirs to release
                gc.freeze()
                gc.unfreeze()
            if self._was_enabled:
                gc.enable()


_pause = _Pause()


@contextmanager
def no_garbage() -> Iterator[None]:
    """Pause the garbage collector while tens of thousands of rows are made, all of which stay; also a decorator.

    It would look through them again and again and find no cycle: a quarter of the time that reading and booking a day
    takes. Afterwards they are left to its rare full rounds: `freeze` and `unfreeze` put them there unseen.
    """
    _pause.begin()
    try:
        yield
    finally:
        _pause.end()
