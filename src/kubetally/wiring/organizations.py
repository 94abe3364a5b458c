"""The organizations of the settings' database."""

from collections.abc import Iterator
from contextlib import contextmanager

from kubetally.settings import Settings
from kubetally.store.meta.organizations import SqlOrganizations
from kubetally.store.meta.schema import ready_engine
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.store import database_url, naming_setting


@contextmanager
def open_organizations(settings: Settings) -> Iterator[SqlOrganizations]:
    """The organizations; no key is needed. Raises StoreError, RequestError."""
    with naming_setting("KUBETALLY_DATABASE_URL"), ready_engine(database_url(settings)) as engine:
        yield SqlOrganizations(engine, SystemClock())
