"""Where changes are noted. All calls block."""

from collections.abc import Sequence
from typing import Protocol

from kubetally.domain.audit import AuditEntry


class Audit(Protocol):
    """Changes of accounts, tokens and organizations; each is noted with the change itself, or not at all.

    Raises: StoreError.
    """

    def newest(self, organization_id: str | None = None, *, limit: int) -> Sequence[AuditEntry]:
        """The newest changes, of one organization or of all, the newest first."""
