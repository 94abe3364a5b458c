"""Leases: locks across all processes that share a database. All calls block."""

from typing import Protocol

COMMITTER = "committer"
"""The lease of who writes to the lake."""
MAINTAINER = "maintainer"
"""The lease of who removes files from the lake, or copies them and needs them to stay; others commit beside it."""
COLLECTOR = "collector"
"""The lease of who collects by itself what is due; a backfill that somebody asks for goes on beside it."""
ACCOUNT_LIST = "account_list"
"""The lease of who writes the lake's table of accounts."""


class Lease(Protocol):
    """The right to be the only one who does something, until it is given back or the holder is gone."""

    def renew(self) -> bool:
        """Hold it longer; False where somebody else has it by now, so that the work has to stop."""
        ...

    def release(self) -> None:
        """Give it back; nothing where it is held no longer."""
        ...


class Leases(Protocol):
    """Who does what alone. Raises StoreError."""

    def acquire(self, name: str) -> Lease | None:
        """The lease of that name, or None where somebody else has it.

        A holder on this machine that is no longer running loses it at once, one on another machine after 30 s without
        renewal.
        """
        ...

    def holder(self, name: str) -> str | None:
        """Who has it, in words fit to be shown; None where nobody has."""
        ...
