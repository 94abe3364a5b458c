"""Leases: locks across all processes that share a database. All calls block."""

from typing import Protocol

COMMITTER = "committer"
"""The lease of the process that writes to the lake."""
MAINTAINER = "maintainer"
"""The lease of a process that removes or copies files of the lake; others may commit meanwhile."""
COLLECTOR = "collector"
"""The lease of the process that collects what is due; a backfill may run meanwhile."""
ACCOUNT_LIST = "account_list"
"""The lease of the process that writes the lake's table of accounts."""


class Lease(Protocol):
    """An exclusive right, until it is released or its holder is gone."""

    def renew(self) -> bool:
        """Hold it for its full length from now on; False if another process has taken it, so that work has to stop.

        An expired lease is held again if it is still free. After StoreError it may or may not be held.
        """

    def release(self) -> None:
        """Release it, if it is still held."""


class Leases(Protocol):
    """Grants leases. Raises StoreError."""

    def acquire(self, name: str) -> Lease | None:
        """The lease of that name; None if it is held, also by this process.

        It expires at once if its holder ran on this machine and has ended, else 30 s after the last renewal.
        """

    def holder(self, name: str) -> str | None:
        """The process that holds it, as `process 7 on host`; None if it is free."""
