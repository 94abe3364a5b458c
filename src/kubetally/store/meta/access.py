"""Organizations, tokens and the audit log on one database, without keys."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from kubetally.domain.window import Clock
from kubetally.store.meta.audit import SqlAudit
from kubetally.store.meta.organizations import SqlOrganizations
from kubetally.store.meta.schema import ready_engine
from kubetally.store.meta.tokens import SqlTokens


class Access(NamedTuple):
    """Organizations, their tokens, and who changed what."""

    organizations: SqlOrganizations
    tokens: SqlTokens
    audit: SqlAudit

    def organization_id(self, name_or_id: str | None) -> str | None:
        """The id of the organization that somebody named; None for all. Raises NotFound, StoreError."""
        return None if name_or_id is None else self.organizations.find(name_or_id).id


@contextmanager
def open_access(database_url: str, clock: Clock) -> Iterator[Access]:
    """What is known of organizations, closed afterwards; set up as `open_accounts` does. Raises StoreError."""
    with ready_engine(database_url) as engine:
        yield Access(SqlOrganizations(engine, clock), SqlTokens(engine, clock), SqlAudit(engine))
