"""Sources that think for a while before each answer, in a process of their own: `python -m bench.slow_sources`."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from subprocess import PIPE, Popen

from kubetally import samples
from kubetally.samples.recorded import Params
from kubetally.samples.replay import ReplayHandler, ReplayServer

NAMES = tuple(f"cluster-{number}" for number in range(1, 11))
HANGING = "hanging"
MONEY, ALL = "money", "all"
THINKING_SECONDS = 1.0
_MONEY_PATHS = frozenset({"allocation", "assets"})


class _SlowHandler(ReplayHandler):
    server: "_SlowServer"

    def route(self, parts: Sequence[str], params: Params) -> None:
        if parts[0] == HANGING:
            self.server.closing.wait()
            return
        if self.server.slow == ALL or parts[-1] in _MONEY_PATHS:
            time.sleep(THINKING_SECONDS)
        super().route(parts, params)


class _SlowServer(ReplayServer):
    handler = _SlowHandler

    def __init__(self, slow: str) -> None:
        self.slow = slow
        recorded = tuple(samples.folders().values())
        super().__init__({name: recorded[i % len(recorded)] for i, name in enumerate((*NAMES, HANGING))})


@contextmanager
def serving(slow: str) -> Iterator[str]:
    """The address without a cluster; `slow` says whether MONEY questions alone take their time, or ALL."""
    with Popen([sys.executable, "-m", "bench.slow_sources", slow], stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()  # which ends it


if __name__ == "__main__":
    with _SlowServer(sys.argv[1]) as server:
        print(server.url, flush=True)
        sys.stdin.read()
