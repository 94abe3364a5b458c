"""Accounts in SQL."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from kubetally.domain.account import Account, AccountType, Credentials, ListedAccount, Organization
from kubetally.domain.errors import StoreError
from kubetally.domain.window import Clock
from kubetally.ledger.ports.accounts import (
    DEFAULT_ORGANIZATION,
    AccountNotFound,
    AccountPlace,
    AmbiguousAccount,
    account_exists,
    account_id_taken,
    organization_not_found,
)
from kubetally.store.meta.engine import WAIT_SECONDS, shown
from kubetally.store.meta.faults import does_not_fit, refused, translated
from kubetally.store.meta.schema import ready_engine
from kubetally.store.meta.sealed_credentials import open_credentials, seal_credentials
from kubetally.store.meta.secrets import KeyRing, WrongKey
from kubetally.store.meta.tables import NAME_LENGTH, URL_LENGTH, AccountRow, OrganizationRow

_TYPES = frozenset(kind.value for kind in AccountType)
# On SQLite and PostgreSQL the columns would take less, or more, than on MariaDB.
_LONGEST = {
    "id": 36,
    "name": NAME_LENGTH,
    "kubecost_url": URL_LENGTH,
    "prometheus_url": URL_LENGTH,
    "tenant": NAME_LENGTH,
    "cluster_id": NAME_LENGTH,
    "currency": 3,
    "context": NAME_LENGTH,
}


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
    """Names of the accounts whose credentials are kept encrypted; no key is needed. Raises StoreError."""
    with ready_engine(database_url) as engine, translated(shown(engine)), engine.connect() as connection:
        kept = select(AccountRow.name).where(AccountRow.deleted_at == 0, AccountRow.credentials.is_not(None))
        return sorted(connection.execute(kept).scalars())


class SqlAccounts:
    """The port `Accounts` on a database. Each call is one transaction of its own; any thread may call."""

    def __init__(self, engine: Engine, key_ring: KeyRing, clock: Clock) -> None:
        self._engine, self._keys, self._clock = engine, key_ring, clock
        self._writing = engine.execution_options(immediate=True)

    def __repr__(self) -> str:
        return f"SqlAccounts({self.database!r})"

    @property
    def database(self) -> str:
        """Where they are kept, without password."""
        return shown(self._engine)

    def organization(self, name: str = DEFAULT_ORGANIZATION) -> Organization:
        """An organization by its name. Raises NotFound, StoreError."""
        with self._reads() as session:
            row = session.scalars(
                select(OrganizationRow).where(OrganizationRow.name == name, OrganizationRow.deleted_at == 0)
            ).first()
            if row is None:
                raise organization_not_found(name)
            return Organization(row.id, row.name, row.currency, _instant(row.created_at))

    def add(self, account: Account) -> Account:
        """Keep a new account; its time of creation is now where it has none, in whole seconds.

        Raises: RequestError, NotFound, StoreError.
        """
        return self.add_all([account])[0]

    def add_all(self, accounts: Sequence[Account]) -> list[Account]:
        """Keep several new accounts, all or none. An account that was removed may come back under its id.

        Raises: as `add`.
        """
        now = self._clock.now()
        rows = [
            {
                "id": account.id,
                "organization_id": account.organization_id,
                "created_at": _seconds(account.created_at or now),
                "deleted_at": 0,
                **self._columns(account),
            }
            for account in accounts
        ]
        account = accounts[0]
        try:
            with self._writes() as session:
                for account, row in zip(accounts, rows, strict=True):  # noqa: B007  (the one that clashes is explained)
                    removed = session.get(AccountRow, row["id"])
                    if removed is None:
                        session.add(AccountRow(**row))
                    elif removed.deleted_at:
                        for name, value in row.items():
                            setattr(removed, name, value)
                    else:
                        raise account_id_taken(row["id"], removed.name)
                    session.flush()
        except _Clash as clash:
            self._explain(account)
            raise clash.meaning from clash.__cause__
        return [
            replace(account, created_at=_instant(row["created_at"]), deleted_at=None)
            for account, row in zip(accounts, rows, strict=True)
        ]

    def find(self, name_or_id: str) -> Account:
        """A living account by its id, else by its name. Raises AccountNotFound, AmbiguousAccount, StoreError."""
        with self._reads() as session:
            return self._account(_found(session, name_or_id))

    def all(self, organization_id: str | None = None) -> list[Account]:
        """The living accounts, by name: in the order of its code points, on every database. Raises StoreError."""
        question = select(AccountRow).where(AccountRow.deleted_at == 0)
        if organization_id is not None:
            question = question.where(AccountRow.organization_id == organization_id)
        with self._reads() as session:
            accounts = [self._account(row) for row in session.scalars(question)]
        return sorted(accounts, key=lambda one: (one.name, one.id))

    def places(self) -> list[AccountPlace]:
        """The same accounts without their credentials, by name. Raises StoreError."""
        columns = (AccountRow.id, AccountRow.name, AccountRow.type, AccountRow.kubecost_url, AccountRow.context)
        with self._reads() as session:
            rows = session.execute(select(*columns, AccountRow.prometheus_url).where(AccountRow.deleted_at == 0)).all()
        places = [
            AccountPlace(id_, name, self._type(name, kind), url, context, prometheus_url)
            for id_, name, kind, url, context, prometheus_url in rows
        ]
        return sorted(places, key=lambda place: (place.name, place.id))

    def removed(self, name_or_id: str | None = None) -> list[Account]:
        """Removed accounts, those of this id or name if one is given, by name and then by when they were removed."""
        question = select(AccountRow).where(AccountRow.deleted_at != 0)
        if name_or_id is not None:
            question = question.where(or_(AccountRow.id == name_or_id, AccountRow.name == name_or_id))
        with self._reads() as session:
            accounts = [self._account(row) for row in session.scalars(question)]
        return sorted(accounts, key=lambda account: (account.name, account.deleted_at, account.id))

    def listed(self) -> list[ListedAccount]:
        """All accounts, removed ones too, by id. Raises StoreError."""
        question = select(AccountRow.id, AccountRow.name, OrganizationRow.name, AccountRow.deleted_at).join(
            OrganizationRow, OrganizationRow.id == AccountRow.organization_id
        )
        with self._reads() as session:
            rows = session.execute(question).all()
        accounts = [
            ListedAccount(id_, name, organization, _instant(deleted_at) if deleted_at else None)
            for id_, name, organization, deleted_at in rows
        ]
        return sorted(accounts, key=lambda account: account.id)

    def update(self, account: Account) -> Account:
        """Replace everything but the id, organization and time of creation.

        Raises: AccountNotFound, RequestError, StoreError.
        """
        columns = self._columns(account)
        try:
            with self._writes() as session:
                row = session.scalars(_living(account.id).with_for_update()).first()
                if row is None:
                    raise AccountNotFound(account.id)
                for name, value in columns.items():
                    setattr(row, name, value)
                session.flush()
                return replace(
                    account,
                    organization_id=row.organization_id,
                    created_at=_instant(row.created_at),
                    deleted_at=None,
                )
        except _Clash as clash:
            self._explain(account)
            raise clash.meaning from clash.__cause__

    def change(self, account_id: str, apply: Callable[[Account], Account]) -> Account:
        """Replace an account by what `apply` makes of it, with nobody between; otherwise as `update`."""
        changed: Account | None = None
        try:
            with self._writes() as session:
                row = session.scalars(_living(account_id).with_for_update()).first()
                if row is None:
                    raise AccountNotFound(account_id)
                changed = apply(self._account(row))
                for name, value in self._columns(changed).items():
                    setattr(row, name, value)
                session.flush()
                return changed
        except _Clash as clash:
            if changed is not None:
                self._explain(changed)
            raise clash.meaning from clash.__cause__

    def remove(self, name_or_id: str) -> None:
        """Mark an account as deleted and forget its credentials, whose key is not needed.

        Raises: AccountNotFound, AmbiguousAccount, StoreError.
        """
        with self._writes() as session:
            row = _found(session, name_or_id)
            # Of two that had one name and were removed within a second, the later gets the next second.
            last = session.scalar(
                select(func.max(AccountRow.deleted_at)).where(
                    AccountRow.organization_id == row.organization_id, AccountRow.name == row.name
                )
            )
            deleted_at = max(_seconds(self._clock.now()), (last or 0) + 1)
            session.execute(
                update(AccountRow)
                .where(AccountRow.id == row.id, AccountRow.deleted_at == 0)
                .values(deleted_at=deleted_at, credentials=None)
            )

    def rotate(self) -> int:
        """Encrypt all credentials anew, with the first key, or none; return how many. Raises WrongKey, StoreError."""
        with self._writes() as session:
            rows = session.scalars(
                select(AccountRow).where(AccountRow.credentials.is_not(None)).with_for_update()
            ).all()
            for row in rows:
                row.credentials = self._keys.encrypt(self._keys.decrypt(row.credentials or "", row.name))
            return len(rows)

    @contextmanager
    def _reads(self) -> Iterator[Session]:
        with translated(self.database), Session(self._engine) as session:
            yield session

    @contextmanager
    def _writes(self) -> Iterator[Session]:
        """A transaction; what clashes with another row comes out as `_Clash`, after it was rolled back."""
        with translated(self.database):
            try:
                with Session(self._writing) as session, session.begin():
                    yield session
            except IntegrityError as error:
                raise _Clash(refused(self.database, "a constraint does not hold")) from error

    def _explain(self, account: Account) -> None:
        """Raise why a row of this account was refused, where it can be found. Others may have changed things since."""
        with self._reads() as session:
            organization = session.get(OrganizationRow, account.organization_id)
            if organization is None:
                raise organization_not_found(account.organization_id)
            name = session.scalar(
                select(AccountRow.name).where(
                    AccountRow.organization_id == organization.id,
                    AccountRow.name == account.name,
                    AccountRow.deleted_at == 0,
                )
            )
            if name is not None:
                raise account_exists(account.name, organization.name)
            same_id = session.get(AccountRow, account.id)
            if same_id is not None and same_id.name != account.name:
                raise account_id_taken(account.id, same_id.name)

    def _columns(self, account: Account) -> dict[str, Any]:
        """All columns that an update changes. Raises RequestError."""
        for field, longest in _LONGEST.items():
            _check(field, getattr(account, field), longest)
        return {
            "name": account.name,
            "type": account.type.value,
            "kubecost_url": account.kubecost_url,
            "prometheus_url": account.prometheus_url,
            "tenant": account.tenant,
            "cluster_id": account.cluster_id,
            "currency": account.currency,
            "context": account.context,
            # What can't be read may be readable again with another key.
            **({} if account.locked else {"credentials": seal_credentials(self._keys, account)}),
        }

    def _type(self, name: str, kind: str) -> AccountType:
        if kind not in _TYPES:
            raise refused(self.database, f"account {name!r} is of the unknown type {kind!r}")
        return AccountType(kind)

    def _account(self, row: AccountRow) -> Account:
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
            kubecost_url=row.kubecost_url,
            prometheus_url=row.prometheus_url,
            tenant=row.tenant,
            cluster_id=row.cluster_id,
            currency=row.currency,
            context=row.context,
            credentials=credentials,
            prometheus_credentials=prometheus_credentials,
            locked=locked,
            created_at=_instant(row.created_at),
            deleted_at=_instant(row.deleted_at) if row.deleted_at else None,
        )


class _Clash(Exception):
    """A constraint refused a row; `meaning` is what to raise where nothing better is found."""

    def __init__(self, meaning: StoreError) -> None:
        self.meaning = meaning
        super().__init__()


def _living(account_id: str) -> Any:
    return select(AccountRow).where(AccountRow.id == account_id, AccountRow.deleted_at == 0)


def _found(session: Session, name_or_id: str) -> AccountRow:
    row: AccountRow | None = session.scalars(_living(name_or_id)).first()
    if row is not None:
        return row
    rows = session.scalars(select(AccountRow).where(AccountRow.name == name_or_id, AccountRow.deleted_at == 0)).all()
    if not rows:
        living = session.execute(select(AccountRow.name, AccountRow.id).where(AccountRow.deleted_at == 0)).all()
        raise AccountNotFound(name_or_id, names=[row.name for row in living], ids=[row.id for row in living])
    if len(rows) > 1:
        raise AmbiguousAccount(name_or_id, sorted(row.id for row in rows))
    return rows[0]


def _check(field: str, value: str | None, longest: int) -> None:
    """Refuse on every database what one of them would refuse, or cut."""
    if value is None:
        return
    if len(value) > longest:
        raise does_not_fit(field, f"has {len(value)} characters: give at most {longest}")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise does_not_fit(field, "holds characters that are no text: leave them out")


def _seconds(instant: datetime) -> int:
    return int(instant.timestamp())


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
