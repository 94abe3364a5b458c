"""A process that writes to a lake until it is killed or done: `python -m tests.integration.lake_writer URL ...`."""

import sys
from itertools import count, islice

from kubetally.store.lake.delta import DeltaLake
from tests.cluster_days import cluster_day


def main(url: str, accounts: str, first: str, times: str) -> None:
    """Replace the day of all accounts (with commas between) by generation after generation, and tell of each."""
    lake = DeltaLake(url)
    print("ready", flush=True)
    sys.stdin.readline()
    for generation in islice(count(int(first)), int(times)):
        lake.put([cluster_day(account, generation, pods=40) for account in accounts.split(",")])
        print(generation, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
