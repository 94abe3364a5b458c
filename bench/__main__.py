"""`python -m bench` measures all and rewrites the table of docs/benchmarks.md; `python -m bench NAME` prints one."""

import sys
from collections.abc import Sequence
from importlib import import_module

from bench.table import Line, markdown, rewrite

BENCHES = (
    "decode_and_book",
    "ten_clusters",
    "service",
    "access",
    "prometheus",
    "lake",
    "export",
    "coverage",
    "query",
    "collector",
    "kills",
    "startup",
)
"""Modules, loaded when it is their turn: the memory of a process is counted from that of the one that starts it."""


def main(names: Sequence[str]) -> int:
    """Exit 1 where a figure is missed, 2 where a name is unknown."""
    unknown = set(names) - set(BENCHES)
    if unknown:
        print(f"no bench {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    lines: list[Line] = [line for name in names or BENCHES for line in import_module(f"bench.{name}").lines()]
    print(markdown(lines))
    if not names:
        rewrite(markdown(lines))
    return 1 if any(line.reached is False for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
