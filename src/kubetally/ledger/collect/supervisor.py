"""The collector in a process of its own, so that reading millions of rows never delays the service."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from kubetally import logs

COMMAND = (sys.executable, "-m", "kubetally", "collect", "--forever", "--with-parent")
_STOP_SECONDS = 9.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 60.0
_log = logs.get_logger(__name__)


@contextmanager
def supervised_process(
    command: Sequence[str] = COMMAND, environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Run a process, restart it when it ends, and stop it at the end.

    It gets SIGTERM, and some seconds to finish what it is writing. Its standard input ends if this process is killed.
    environment: of the process; that of this one if None.
    """
    supervisor = _ChildSupervisor(command, environment)
    supervisor.start()
    try:
        yield
    finally:
        supervisor.stop()


class _ChildSupervisor(threading.Thread):
    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None) -> None:
        super().__init__(name="collector", daemon=True)
        self._command, self._environment, self._stopping = command, environment, threading.Event()
        self._process = self._spawn()

    def run(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            began = time.monotonic()
            code = self._process.wait()
            if self._stopping.is_set():
                return
            if time.monotonic() - began > _LONGEST_PAUSE_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            _log.warning("collector_ended", code=code, again_in_seconds=pause)
            if self._stopping.wait(pause):
                return
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            self._process = self._spawn()
            if self._stopping.is_set():  # `stop` was called meanwhile, and terminated the process before
                self._process.terminate()

    def stop(self) -> None:
        """Terminate it, and wait until it has ended."""
        self._stopping.set()
        self._process.terminate()
        self.join(_STOP_SECONDS)
        if self.is_alive():
            _log.warning("collector_killed", after_seconds=_STOP_SECONDS)
            self._process.kill()
            self.join()

    def _spawn(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(  # noqa: S603  (our own command)
            self._command, stdin=subprocess.PIPE, env=self._environment
        )
