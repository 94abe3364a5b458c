"""All stored days of an account at once, in SQL: counts, currencies, deletion."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, case, delete, func, select, update

from kubetally.domain.money import CurrencyOrigin
from kubetally.domain.window import Clock
from kubetally.ledger.ports.account_days import CurrencyConflict, Relabelled, account_is_active
from kubetally.ledger.ports.accounts import AccountNotFound
from kubetally.store.meta.collection_rows import Phase
from kubetally.store.meta.engine import SqlStore
from kubetally.store.meta.instants import to_microseconds
from kubetally.store.meta.tables import (
    ACCOUNTS,
    COLLECTION_FACTS,
    COLLECTIONS,
    COVERAGE,
    HISTORIES,
    RECONCILIATIONS,
    SAVINGS,
)
from kubetally.store.meta.upsert import put

_IDS_AT_ONCE = 500
_NO_CURRENCY = '"product":"OpenCost"'
"""In the head of a collection whose source states no currency."""


class SqlAccountDays(SqlStore):
    """The port `AccountDays` on a database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        super().__init__(engine)
        self._clock = clock

    def relabel(self, account_id: str, *, stated: str | None, currency: str, origin: CurrencyOrigin) -> Relabelled:
        with self._writes() as connection:
            row = connection.execute(
                select(ACCOUNTS.c.name).where(ACCOUNTS.c.id == account_id, ACCOUNTS.c.deleted_at == 0).with_for_update()
            ).first()
            if row is None:
                raise AccountNotFound(account_id)
            labels = connection.execute(_labels(account_id)).all()
            conflicts = [
                label
                for label in labels
                if label.phase == Phase.CONFIRMED and _is_stated(label) and label.currency != currency
            ]
            if conflicts:
                raise CurrencyConflict(
                    row.name, wanted=currency, stored=conflicts[0].currency, days=[label.day for label in conflicts]
                )
            others = [
                label
                for label in labels
                if not _is_stated(label) and (label.currency, label.currency_origin) != (currency, origin)
            ]
            _label(connection, [label.id for label in others], currency, origin)
            connection.execute(update(ACCOUNTS).where(ACCOUNTS.c.id == account_id).values(currency=stated))
            changed = [label for label in others if label.currency != currency]
            if _label_savings(connection, account_id, currency, origin) or changed:
                self._request(connection, account_id)
            stored = sorted(label.day for label in changed if label.phase == Phase.CONFIRMED)
            return Relabelled(tuple(stored), tuple(sorted({label.currency for label in changed})))

    def purge(self, account_id: str) -> int:
        with self._writes() as connection:
            question = select(ACCOUNTS.c.name, ACCOUNTS.c.deleted_at).where(ACCOUNTS.c.id == account_id)
            row = connection.execute(question.with_for_update()).first()
            if row is not None and not row.deleted_at:
                raise account_is_active(row.name)
            days = connection.execute(
                select(func.count()).where(COVERAGE.c.account_id == account_id, COVERAGE.c.collection_id.is_not(None))
            ).scalar_one()
            for table in (COLLECTION_FACTS, COLLECTIONS, COVERAGE, HISTORIES, SAVINGS):
                connection.execute(delete(table).where(table.c.account_id == account_id))
            self._request(connection, account_id)
            return int(days)

    def unreconciled(self) -> list[str]:
        with self._reads() as connection:
            return list(
                connection.scalars(select(RECONCILIATIONS.c.account_id).order_by(RECONCILIATIONS.c.requested_at))
            )

    def currencies(self, account_id: str) -> dict[str, str]:
        of_days = select(COLLECTIONS.c.id, COLLECTIONS.c.currency).where(COLLECTIONS.c.account_id == account_id)
        question = of_days.union_all(
            select(SAVINGS.c.collection_id, SAVINGS.c.currency).where(
                SAVINGS.c.account_id == account_id, SAVINGS.c.collection_id.is_not(None)
            )
        )
        with self._reads() as connection:
            return {id_: currency for id_, currency in connection.execute(question).all()}  # noqa: C416 (rows are no pairs)

    def reconciled(self, account_id: str) -> None:
        with self._writes() as connection:
            connection.execute(delete(RECONCILIATIONS).where(RECONCILIATIONS.c.account_id == account_id))

    def _request(self, connection: Connection, account_id: str) -> None:
        now = to_microseconds(self._clock.now())
        put(connection, RECONCILIATIONS, [{"account_id": account_id, "requested_at": now}])


def _labels(account_id: str) -> Any:
    return select(
        COLLECTIONS.c.id,
        COLLECTIONS.c.day,
        COLLECTIONS.c.phase,
        COLLECTIONS.c.currency,
        COLLECTIONS.c.currency_origin,
        # The head is read only if it is needed.
        case((COLLECTIONS.c.currency_origin.is_(None), COLLECTIONS.c.head.contains(_NO_CURRENCY)), else_=False).label(
            "is_silent"
        ),
    ).where(COLLECTIONS.c.account_id == account_id)


def _is_stated(collection: Any) -> bool:
    """Whether the source stated the currency; for collections of earlier versions, whether it may have."""
    origin: str | None = collection.currency_origin
    return not collection.is_silent if origin is None else origin == CurrencyOrigin.SOURCE


def _label(connection: Connection, ids: Sequence[str], currency: str, origin: CurrencyOrigin) -> None:
    for start in range(0, len(ids), _IDS_AT_ONCE):
        some, label = ids[start : start + _IDS_AT_ONCE], {"currency": currency, "currency_origin": origin}
        connection.execute(update(COLLECTIONS).where(COLLECTIONS.c.id.in_(some)).values(label))
        connection.execute(update(COVERAGE).where(COVERAGE.c.collection_id.in_(some)).values(label))


def _label_savings(connection: Connection, account_id: str, currency: str, origin: CurrencyOrigin) -> bool:
    """Label stored savings whose currency the source does not state; returns whether any had another."""
    silent = (SAVINGS.c.account_id == account_id, SAVINGS.c.currency_origin != CurrencyOrigin.SOURCE)
    others = connection.scalar(select(func.count()).where(*silent, SAVINGS.c.currency != currency)) or 0
    connection.execute(update(SAVINGS).where(*silent).values(currency=currency, currency_origin=origin))
    return others > 0
