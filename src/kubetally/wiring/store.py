"""Where accounts are kept."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from kubetally.domain.errors import StoreError
from kubetally.domain.window import Clock
from kubetally.settings import Settings
from kubetally.store.meta.accounts import SqlAccounts, accounts_with_credentials
from kubetally.store.meta.accounts import open_accounts as open_sql_accounts
from kubetally.store.meta.engine import default_url
from kubetally.store.meta.faults import InvalidDatabaseUrl
from kubetally.store.meta.secrets import KeyRing, NoKeys, WrongKey
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.environment import UnusableSetting


def open_keys(settings: Settings, *, may_lock: bool = False) -> KeyRing:
    """The keys of the settings, which are made where there are none.

    may_lock: also where there are credentials that the new keys do not decrypt.
    Raises: UnusableKeys; NoKeys with the accounts that it locks; UnusableSetting, StoreError, of the database.
    """

    def encrypted() -> list[str]:
        with url_named("KUBETALLY_DATABASE_URL"):
            return [] if may_lock else accounts_with_credentials(database_url(settings))

    try:
        return KeyRing.open(settings.keys, settings.home_folder, encrypted)
    except NoKeys as error:
        if error.accounts:
            raise
        names = list[str]()
        with suppress(StoreError, InvalidDatabaseUrl):  # which says so itself once there are keys
            names = accounts_with_credentials(database_url(settings))
        raise NoKeys(error.origin, names) from None


@contextmanager
def open_accounts(settings: Settings, clock: Clock | None = None) -> Iterator[SqlAccounts]:
    """The accounts of the database of the settings. Raises StoreError, UnusableSetting."""
    keys = open_keys(settings)
    with (
        url_named("KUBETALLY_DATABASE_URL"),
        open_sql_accounts(database_url(settings), keys, clock=clock or SystemClock()) as accounts,
    ):
        yield accounts


@contextmanager
def url_named(place: str) -> Iterator[None]:
    """What is wrong with a database's URL, with the variable or option that holds it. Raises UnusableSetting."""
    try:
        yield
    except InvalidDatabaseUrl as error:
        raise UnusableSetting(place, str(error)) from error


def database_url(settings: Settings) -> str:
    """Where accounts are kept; it may hold a password."""
    return settings.database_url or default_url(settings.home_folder)


def rotate_keys(settings: Settings) -> tuple[int, str]:
    """Encrypt all credentials with a new key, or where the environment has the keys with the first of them.

    Returns how many accounts were concerned, and where the keys are. Raises UnusableKeys, WrongKey, StoreError.
    """
    with open_accounts(settings) as accounts:  # a key that is lost is no reason for a new one
        for account in accounts.all():
            if account.locked is not None:
                raise WrongKey(account.name, account.locked)
    home = settings.home_folder
    keys = KeyRing.open(settings.keys, home) if settings.keys else KeyRing.put_before(home)
    with open_sql_accounts(database_url(settings), keys, clock=SystemClock()) as accounts:
        return accounts.rotate(), keys.origin
