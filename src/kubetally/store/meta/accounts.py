"""Accounts in SQL."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from kubetally.domain.access import OPERATOR_NAME
from kubetally.domain.account import (
    DEFAULT_ORGANIZATION,
    Account,
    AccountPlace,
    AccountType,
    Credentials,
    ListedAccount,
    Organization,
)
from kubetally.domain.audit import Subject
from kubetally.domain.errors import StoreError
from kubetally.domain.source_url import SourceUrl
from kubetally.domain.window import Clock
from kubetally.ledger.ports.accounts import (
    AccountNotFound,
    account_exists,
    account_id_taken,
)
from kubetally.store.meta.account_audit import fields_after, fields_of
from kubetally.store.meta.account_rows import (
    WITH_ORGANIZATION,
    by_id,
    find_row,
    is_called,
    not_removed,
    of_organization,
)
from kubetally.store.meta.audit import Change, note
from kubetally.store.meta.engine import WAIT_SECONDS, SqlStore, shown
from kubetally.store.meta.faults import does_not_fit, refused, translated
from kubetally.store.meta.instants import from_seconds, to_seconds
from kubetally.store.meta.organizations import find_organization, lock_organization
from kubetally.store.meta.removal import removal_second
from kubetally.store.meta.schema import ready_engine
from kubetally.store.meta.sealed_credentials import open_credentials, seal_credentials
from kubetally.store.meta.secrets import KeyRing, WrongKey
from kubetally.store.meta.tables import ACCOUNTS, NAME_LENGTH, ORGANIZATIONS, URL_LENGTH

_TYPES = frozenset(kind.value for kind in AccountType)
# On SQLite and PostgreSQL the columns would take less, or more, than on MariaDB.
_MAX_LENGTHS = {
    "id": 36,
    "name": NAME_LENGTH,
    "kubecost_url": URL_LENGTH,
    "prometheus_url": URL_LENGTH,
    "tenant": NAME_LENGTH,
    "cluster_id": NAME_LENGTH,
    "currency": 3,
    "context": NAME_LENGTH,
}
_URLS = ("kubecost_url", "prometheus_url")


@contextmanager
def open_accounts(
    database_url: str, key_ring: KeyRing, *, clock: Clock, wait_seconds: float = WAIT_SECONDS
) -> Iterator["SqlAccounts"]:
    """The accounts of a database, closed afterwards.

    A SQLite file is made and migrated as needed. A database of a server is set up when it is empty; one with older
    tables is refused until somebody runs `kubetally migrate`.
    Raises: InvalidDatabaseUrl, StoreError.
    """
    with ready_engine(database_url, wait_seconds=wait_seconds) as engine:
        yield SqlAccounts(engine, key_ring, clock)


def accounts_with_credentials(database_url: str) -> list[str]:
    """Names of the accounts that have encrypted credentials; no key is needed. Raises StoreError."""
    with ready_engine(database_url) as engine, translated(shown(engine)), engine.connect() as connection:
        kept = select(ACCOUNTS.c.name).where(ACCOUNTS.c.deleted_at == 0, ACCOUNTS.c.credentials.is_not(None))
        return sorted(connection.execute(kept).scalars())


class SqlAccounts(SqlStore):
    """The port `Accounts` on a database."""

    def __init__(self, engine: Engine, key_ring: KeyRing, clock: Clock) -> None:
        super().__init__(engine)
        self._keys, self._clock = key_ring, clock

    def organization(self, name_or_id: str = DEFAULT_ORGANIZATION) -> Organization:
        with self._reads() as connection:
            return find_organization(connection, name_or_id)

    def add(self, account: Account, *, by: str = OPERATOR_NAME) -> Account:
        return self.add_all([account], by=by)[0]

    def add_all(self, accounts: Sequence[Account], *, by: str = OPERATOR_NAME) -> list[Account]:
        now = self._clock.now()
        rows = [
            {
                "id": account.id,
                "organization_id": account.organization_id,
                "created_at": to_seconds(account.created_at or now),
                "deleted_at": 0,
                **self._columns(account),
            }
            for account in accounts
        ]
        account = accounts[0]
        try:
            with self._writes() as connection:
                for organization_id in sorted({row["organization_id"] for row in rows}):
                    lock_organization(connection, organization_id)  # nobody removes it meanwhile
                for account, row in zip(accounts, rows, strict=True):
                    removed = connection.execute(by_id(row["id"])).first()
                    if removed is None:
                        connection.execute(insert(ACCOUNTS).values(row))
                    elif removed.deleted_at:
                        connection.execute(update(ACCOUNTS).where(ACCOUNTS.c.id == row["id"]).values(row))
                    else:
                        raise account_id_taken(row["id"], name=removed.name)
                    note(connection, self._change(account, by), after=fields_of(account))
        except _Clash as clash:
            self._explain(account)
            raise clash.meaning from clash.__cause__
        return [
            replace(account, created_at=from_seconds(row["created_at"]), deleted_at=None)
            for account, row in zip(accounts, rows, strict=True)
        ]

    def find(self, name_or_id: str) -> Account:
        with self._reads() as connection:
            return self._account(find_row(connection, name_or_id))

    def all(self, organization_id: str | None = None) -> list[Account]:
        question = WITH_ORGANIZATION.where(ACCOUNTS.c.deleted_at == 0)
        if organization_id is not None:
            question = question.where(ACCOUNTS.c.organization_id == organization_id)
        with self._reads() as connection:
            accounts = [self._account(row) for row in connection.execute(question)]
        return sorted(accounts, key=lambda account: (account.name, account.id))

    def find_all(self, ids: Collection[str]) -> list[Account]:
        if not ids:
            return []
        with self._reads() as connection:
            rows = connection.execute(WITH_ORGANIZATION.where(ACCOUNTS.c.id.in_(ids), ACCOUNTS.c.deleted_at == 0))
            accounts = [self._account(row) for row in rows]
        return sorted(accounts, key=lambda account: (account.name, account.id))

    def places(self) -> list[AccountPlace]:
        names = ("id", "organization_id", "name", "type", "context", "tenant", "cluster_id", *_URLS)
        columns = (ACCOUNTS.c[name] for name in names)
        with self._reads() as connection:
            rows = connection.execute(of_organization(*columns).where(ACCOUNTS.c.deleted_at == 0)).all()
        places = [
            AccountPlace(
                id=row.id,
                organization_id=row.organization_id,
                name=row.name,
                type=self._type(row.name, row.type),
                kubecost_url=_url(row.kubecost_url),
                context=row.context,
                prometheus_url=_url(row.prometheus_url),
                tenant=row.tenant,
                cluster_id=row.cluster_id,
                organization=row.organization,
            )
            for row in rows
        ]
        return sorted(places, key=lambda place: (place.name, place.id))

    def removed(self, name_or_id: str | None = None) -> list[Account]:
        question = WITH_ORGANIZATION.where(ACCOUNTS.c.deleted_at != 0)
        if name_or_id is not None:
            question = question.where(is_called(name_or_id))
        with self._reads() as connection:
            accounts = [self._account(row) for row in connection.execute(question)]
        return sorted(accounts, key=lambda account: (account.name, account.deleted_at, account.id))

    def listed(self) -> list[ListedAccount]:
        question = select(
            ACCOUNTS.c.id, ACCOUNTS.c.name, ORGANIZATIONS.c.name, ACCOUNTS.c.deleted_at, ORGANIZATIONS.c.id
        ).join(ORGANIZATIONS, ORGANIZATIONS.c.id == ACCOUNTS.c.organization_id)
        with self._reads() as connection:
            rows = connection.execute(question).all()
        accounts = [
            ListedAccount(id_, name, organization, from_seconds(deleted_at) if deleted_at else None, organization_id)
            for id_, name, organization, deleted_at, organization_id in rows
        ]
        return sorted(accounts, key=lambda account: account.id)

    def update(self, account: Account) -> Account:
        def apply(stored: Account) -> Account:
            return replace(
                account, organization_id=stored.organization_id, created_at=stored.created_at, deleted_at=None
            )

        return self.change(account.id, apply)

    def change(self, account_id: str, apply: Callable[[Account], Account], *, by: str = OPERATOR_NAME) -> Account:
        changed: Account | None = None
        try:
            with self._writes() as connection:
                locked = select(ACCOUNTS.c.id).where(ACCOUNTS.c.id == account_id).with_for_update()
                connection.execute(locked)
                row = connection.execute(not_removed(account_id)).first()
                if row is None:
                    raise AccountNotFound(account_id)
                stored = self._account(row)
                changed = apply(stored)
                columns = self._columns(changed)
                connection.execute(update(ACCOUNTS).where(ACCOUNTS.c.id == account_id).values(columns))
                note(
                    connection, self._change(stored, by), before=fields_of(stored), after=fields_after(stored, changed)
                )
                return changed
        except _Clash as clash:
            if changed is not None:
                self._explain(changed)
            raise clash.meaning from clash.__cause__

    def remove(self, name_or_id: str, *, by: str = OPERATOR_NAME) -> None:
        with self._writes() as connection:
            row = find_row(connection, name_or_id)
            of_one_name = ACCOUNTS.c.organization_id == row.organization_id, ACCOUNTS.c.name == row.name
            deleted_at = removal_second(connection, ACCOUNTS, self._clock.now(), *of_one_name)
            connection.execute(
                update(ACCOUNTS)
                .where(ACCOUNTS.c.id == row.id, ACCOUNTS.c.deleted_at == 0)
                .values(deleted_at=deleted_at, credentials=None)
            )
            account = self._account(row)
            note(connection, self._change(account, by), before=fields_of(account))

    def _change(self, account: Account, by: str) -> Change:
        return Change(self._clock.now(), by, account.organization_id, Subject.ACCOUNT, account.id)

    def rotate(self) -> int:
        """Encrypt all credentials again with the first key; returns how many. Raises WrongKey, StoreError."""
        with self._writes() as connection:
            rows = connection.execute(
                select(ACCOUNTS).where(ACCOUNTS.c.credentials.is_not(None)).with_for_update()
            ).all()
            for row in rows:
                sealed = self._keys.encrypt(self._keys.decrypt(row.credentials or "", account=row.name))
                connection.execute(update(ACCOUNTS).where(ACCOUNTS.c.id == row.id).values(credentials=sealed))
            return len(rows)

    @contextmanager
    def _writes(self) -> Iterator[Connection]:
        """As `SqlStore._writes`. Raises _Clash, if a row clashes with another one."""
        try:
            with super()._writes() as connection:
                yield connection
        except StoreError as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
            raise _Clash(refused(self.database, "a constraint does not hold")) from error.__cause__

    def _explain(self, account: Account) -> None:
        """Raise why a row of this account was refused, where it can be found. Others may have changed things since."""
        with self._reads() as connection:
            organization = find_organization(connection, account.organization_id)
            name = connection.scalar(
                select(ACCOUNTS.c.name).where(
                    ACCOUNTS.c.organization_id == organization.id,
                    ACCOUNTS.c.name == account.name,
                    ACCOUNTS.c.deleted_at == 0,
                )
            )
            if name is not None:
                raise account_exists(account.name, organization=organization.name)
            same_id = connection.execute(by_id(account.id)).first()
            if same_id is not None and same_id.name != account.name:
                raise account_id_taken(account.id, name=same_id.name)

    def _columns(self, account: Account) -> dict[str, Any]:
        """All columns that an update changes. Raises RequestError."""
        columns: dict[str, Any] = {name: getattr(account, name) for name in _MAX_LENGTHS if name != "id"}
        for name in _URLS:
            url: SourceUrl | None = columns[name]
            columns[name] = url and url.with_login
            if url is not None and url.fault is not None:
                del columns[name]  # nobody changed it
        for name, text in {"id": account.id, **columns}.items():
            _check(name, text, _MAX_LENGTHS[name])
        if not account.locked:  # credentials that can't be read may be readable again with another key
            columns["credentials"] = seal_credentials(self._keys, account)
        return {"type": account.type.value, **columns}

    def _type(self, name: str, kind: str) -> AccountType:
        if kind not in _TYPES:
            raise refused(self.database, f"account {name!r} is of the unknown type {kind!r}")
        return AccountType(kind)

    def _account(self, row: Row[Any]) -> Account:
        kind = self._type(row.name, row.type)
        credentials = prometheus_credentials = Credentials()
        locked = None
        try:
            credentials, prometheus_credentials = open_credentials(self._keys, row)
        except WrongKey as error:
            locked = error.origin
        return Account(
            id=row.id,
            organization_id=row.organization_id,
            name=row.name,
            type=kind,
            kubecost_url=_url(row.kubecost_url),
            prometheus_url=_url(row.prometheus_url),
            tenant=row.tenant,
            cluster_id=row.cluster_id,
            currency=row.currency,
            context=row.context,
            credentials=credentials,
            prometheus_credentials=prometheus_credentials,
            locked=locked,
            default_currency=row.default_currency,
            organization=row.organization,
            created_at=from_seconds(row.created_at),
            deleted_at=from_seconds(row.deleted_at) if row.deleted_at else None,
        )


class _Clash(Exception):
    """A constraint refused a row; `meaning` is what to raise where nothing better is found."""

    def __init__(self, meaning: StoreError) -> None:
        self.meaning = meaning
        super().__init__()


def _check(field: str, value: str | None, max_length: int) -> None:
    """Refuse on every database what one of them would refuse, or cut."""
    if value is None:
        return
    if len(value) > max_length:
        raise does_not_fit(field, f"has {len(value)} characters: the limit is {max_length}")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise does_not_fit(field, "has invalid characters; remove them")


def _url(text: str | None) -> SourceUrl | None:
    if not text:
        return None
    return SourceUrl.of_stored(text) if "@" in text else _url_without_login(text)


@lru_cache(maxsize=10_000)
def _url_without_login(text: str) -> SourceUrl:
    # All accounts are read again and again, and parsing their URLs takes as long as all else.
    return SourceUrl.of_stored(text)
