"""Commit one made-up day as a collector does: `python -m tests.integration.committing DATABASE_URL LAKE`."""

import sys

from kubetally.ledger.collect.commit import Committer
from kubetally.store.lake.delta import DeltaLake
from kubetally.store.meta.metadata import open_meta
from kubetally.wiring.clock import SystemClock
from tests.cluster_days import cluster_day
from tests.integration.collected_days import KEYS


def main(database: str, url: str) -> None:
    """Commit a day of one account."""
    lake, clock = DeltaLake(url), SystemClock()
    with open_meta(database, KEYS, clock=clock) as meta:
        committer = Committer(lake, meta.coverage, meta.leases, clock)
        (outcome,) = committer.commit(lake.pack([cluster_day("a")]))
        assert outcome.is_collected


if __name__ == "__main__":
    main(*sys.argv[1:])
