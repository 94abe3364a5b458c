"""The keys of a database: opened, made where nothing was encrypted yet, and rotated."""

from contextlib import suppress
from pathlib import Path

from kubetally.domain.errors import StoreError
from kubetally.domain.window import Clock
from kubetally.store.meta.accounts import accounts_with_credentials, open_accounts
from kubetally.store.meta.faults import InvalidDatabaseUrl
from kubetally.store.meta.secrets import KeyRing, NoKeys, WrongKey


def open_keys(database_url: str, *, keys: str | None, home: Path, may_lock: bool = False) -> KeyRing:
    """The keys of KUBETALLY_KEYS or of the home folder, which are made if there are none.

    may_lock: also if there are credentials that the new keys do not decrypt.
    Raises: UnusableKeys; NoKeys with the accounts whose credentials it locks; InvalidDatabaseUrl, StoreError.
    """
    try:
        return KeyRing.open(keys, home, lambda: [] if may_lock else accounts_with_credentials(database_url))
    except NoKeys as error:
        if error.accounts:
            raise
        names = list[str]()
        with suppress(StoreError, InvalidDatabaseUrl):  # reported by the database itself once there are keys
            names = accounts_with_credentials(database_url)
        raise NoKeys(error.origin, names) from None


def rotate_keys(database_url: str, *, keys: str | None, home: Path, clock: Clock) -> tuple[int, str]:
    """Encrypt all credentials with a new key, or with the first of KUBETALLY_KEYS if it is set.

    Returns the number of accounts concerned, and where the keys are.
    Raises: UnusableKeys, WrongKey, InvalidDatabaseUrl, StoreError.
    """
    with open_accounts(database_url, open_keys(database_url, keys=keys, home=home), clock=clock) as accounts:
        for account in accounts.all():
            if account.locked is not None:  # a new key would not decrypt it either
                raise WrongKey(account.name, origin=account.locked)
    ring = KeyRing.open(keys, home) if keys else KeyRing.put_before(home)
    with open_accounts(database_url, ring, clock=clock) as accounts:
        return accounts.rotate(), ring.origin
