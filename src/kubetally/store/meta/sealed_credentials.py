"""Credentials of accounts, encrypted in their rows."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row

from kubetally.domain.account import Account, Credentials
from kubetally.store.meta.faults import does_not_fit
from kubetally.store.meta.secrets import KeyRing, WrongKey
from kubetally.store.meta.tables import CREDENTIALS_BYTES


def seal_credentials(keys: KeyRing, account: Account) -> str | None:
    """The credentials, encrypted together with the id, so that they are useless in another account's row.

    None if there are none. Raises RequestError, where they are too long.
    """
    if account.credentials.is_empty and account.prometheus_credentials.is_empty:
        return None
    plain = {
        "account": account.id,
        **_to_json(account.credentials),
        "prometheus": _to_json(account.prometheus_credentials),
    }
    sealed = keys.encrypt(json.dumps(plain))
    if len(sealed) > CREDENTIALS_BYTES:
        raise does_not_fit("credentials", "are too long: leave out headers that are not needed")
    return sealed


def open_credentials(keys: KeyRing, row: Row[Any]) -> tuple[Credentials, Credentials]:
    """The credentials for the cost source, and those for its Prometheus. Raises WrongKey."""
    if row.credentials is None:
        return Credentials(), Credentials()
    plain: Mapping[str, Any] = json.loads(keys.decrypt(row.credentials, account=row.name))
    if plain["account"] != row.id:
        raise WrongKey(row.name, origin=keys.origin)
    return _from_json(plain), _from_json(plain["prometheus"])


def _to_json(credentials: Credentials) -> dict[str, Any]:
    return {
        "token": credentials.token,
        "user": credentials.user,
        "password": credentials.password,
        "headers": dict(credentials.headers),
    }


def _from_json(plain: Mapping[str, Any]) -> Credentials:
    return Credentials(plain["token"], plain["user"], plain["password"], plain["headers"])
