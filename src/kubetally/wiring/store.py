"""The database of the settings."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from kubetally.domain.errors import unusable_setting
from kubetally.ledger.accounts.lookup import list_clusters
from kubetally.ledger.ports.clusters import AccountCluster
from kubetally.settings import Settings
from kubetally.store.meta import access, keys
from kubetally.store.meta.accounts import SqlAccounts
from kubetally.store.meta.accounts import open_accounts as open_sql_accounts
from kubetally.store.meta.engine import default_url
from kubetally.store.meta.faults import InvalidDatabaseUrl
from kubetally.store.meta.secrets import KeyRing
from kubetally.store.reach import is_there
from kubetally.wiring.clock import SystemClock


def database_url(settings: Settings) -> str:
    """Where the database is; it may hold a password."""
    return settings.database_url or default_url(settings.home_folder)


@contextmanager
def naming_setting(name: str) -> Iterator[None]:
    """Name the variable or option in errors of a database's URL. Raises RequestError."""
    try:
        yield
    except InvalidDatabaseUrl as error:
        raise unusable_setting(name, str(error)) from error


def open_keys(settings: Settings, *, may_lock: bool = False) -> KeyRing:
    """See `store.meta.keys.open_keys`. Raises RequestError, StoreError."""
    with naming_setting("KUBETALLY_DATABASE_URL"):
        return keys.open_keys(database_url(settings), keys=settings.keys, home=settings.home_folder, may_lock=may_lock)


@contextmanager
def open_accounts(settings: Settings) -> Iterator[SqlAccounts]:
    """The accounts of the database of the settings. Raises StoreError, RequestError."""
    key_ring = open_keys(settings)
    with (
        naming_setting("KUBETALLY_DATABASE_URL"),
        open_sql_accounts(database_url(settings), key_ring, clock=SystemClock()) as accounts,
    ):
        yield accounts


@contextmanager
def open_organizations(settings: Settings) -> Iterator[access.Access]:
    """Organizations, tokens and the audit log of the database of the settings. Raises as `open_accounts`."""
    with naming_setting("KUBETALLY_DATABASE_URL"), access.open_access(database_url(settings), SystemClock()) as opened:
        yield opened


def rotate_keys(settings: Settings) -> tuple[int, str]:
    """See `store.meta.keys.rotate_keys`. Raises RequestError, StoreError."""
    with naming_setting("KUBETALLY_DATABASE_URL"):
        return keys.rotate_keys(
            database_url(settings), keys=settings.keys, home=settings.home_folder, clock=SystemClock()
        )


def load_clusters(names: Sequence[str], settings: Settings) -> list[AccountCluster]:
    """The accounts of these names or ids as clusters, each once; without names, all that are Kubernetes clusters.

    Raises: AccountNotFound, AmbiguousAccount, NotACluster, StoreError.
    """
    if not names and not settings.database_url and not is_there(settings.home_folder / "kubetally.db"):
        return []  # without an account there is no database, and none is made
    with open_accounts(settings) as accounts:
        return list_clusters(accounts, names, settings.prometheus_url)
