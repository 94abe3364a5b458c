"""Commit made-up days as a collector does: `python -m tests.integration.committing URL LAKE [FIRST [TIMES]]`."""

import sys
from itertools import count, islice

from kubetally.ledger.collect.committer import Committer
from kubetally.ledger.writing.writer import LakeWriter
from kubetally.store.lake.delta import DeltaLake
from kubetally.store.meta.metadata import open_meta
from kubetally.wiring.clock import SystemClock
from tests.cluster_days import cluster_day
from tests.integration.collected_days import KEYS


def main(database: str, url: str, first: str = "0", times: str = "1") -> None:
    """Commit a day of one account, generation after generation, and print the number of each once it is committed."""
    lake, clock = DeltaLake(url), SystemClock()
    with open_meta(database, KEYS, clock=clock) as meta:
        committer = Committer(LakeWriter(lake, meta.coverage, meta.leases, clock))
        for generation in islice(count(int(first)), int(times)):
            (outcome,) = committer.commit(lake.pack([cluster_day("a", generation)]), force=True)
            assert outcome.is_collected, outcome.why
            print(generation, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
