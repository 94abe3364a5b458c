"""`python -m bench` measures all and rewrites the table of docs/benchmarks.md; `python -m bench NAME` prints one."""

import sys
from collections.abc import Callable, Sequence

from bench import collector, decode_and_book, lake, prometheus, service, ten_clusters
from bench.table import Line, markdown, rewrite

BENCHES: dict[str, Callable[[], list[Line]]] = {
    "decode_and_book": decode_and_book.lines,
    "ten_clusters": ten_clusters.lines,
    "service": service.lines,
    "prometheus": prometheus.lines,
    "lake": lake.lines,
    "collector": collector.lines,
}


def main(names: Sequence[str]) -> int:
    """Exit 1 where a figure is missed, 2 where a name is unknown."""
    unknown = set(names) - set(BENCHES)
    if unknown:
        print(f"no bench {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    lines = [line for name in names or BENCHES for line in BENCHES[name]()]
    print(markdown(lines))
    if not names:
        rewrite(markdown(lines))
    return 1 if any(line.reached is False for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
