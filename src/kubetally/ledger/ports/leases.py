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
        """Renew it; False if another process has taken it, so that the work has to stop."""

    def release(self) -> None:
        """Release it, if it is still held."""


class Leases(Protocol):
    """Grants leases. Raises StoreError."""

    def acquire(self, name: str) -> Lease | None:
        """The lease of that name; None if another process holds it.

        It expires at once if its holder ran on this machine and has ended, else 30 s after the last renewal.
        """

    def holder(self, name: str) -> str | None:
        """The process that holds it, to be shown; None if there is none."""
