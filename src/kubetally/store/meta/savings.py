"""Results of collecting savings, in SQL."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import select

from kubetally.domain.money import CurrencyOrigin
from kubetally.domain.savings import SavingsDay, SavingsState
from kubetally.store.booking_json import clean
from kubetally.store.meta.engine import SqlStore
from kubetally.store.meta.instants import from_microseconds, to_microseconds
from kubetally.store.meta.tables import CODE_LENGTH, SAVINGS
from kubetally.store.meta.upsert import put

_MESSAGE_LENGTH = 2000


class SqlSavingsDays(SqlStore):
    """The port `SavingsDays` on a database."""

    changes_answers = False

    def of_day(self, day: date) -> dict[str, SavingsDay]:
        question = select(SAVINGS).where(SAVINGS.c.day == day)
        with self._reads() as connection:
            return {row.account_id: savings_day_of(row) for row in connection.execute(question)}

    def stored(self) -> list[SavingsDay]:
        question = (
            select(SAVINGS).where(SAVINGS.c.collection_id.is_not(None)).order_by(SAVINGS.c.day, SAVINGS.c.account_id)
        )
        with self._reads() as connection:
            return [savings_day_of(row) for row in connection.execute(question)]

    def note(self, days: Sequence[SavingsDay]) -> None:
        rows = [_row_of(day) for day in days]
        with self._writes() as connection:
            put(connection, SAVINGS, rows)


def _row_of(day: SavingsDay) -> dict[str, object]:
    return {
        "account_id": day.account_id,
        "day": day.day,
        "state": day.state,
        "asked_at": to_microseconds(day.asked_at),
        "error_code": None if day.code is None else day.code[:CODE_LENGTH],
        "error_message": None if day.why is None else clean(day.why)[:_MESSAGE_LENGTH],
        "collection_id": day.collection_id,
        "currency": day.currency,
        "currency_origin": day.currency_origin,
        "row_count": day.rows,
        "total": str(day.total),
    }


def savings_day_of(row: Any) -> SavingsDay:
    """The savings day of a row of the table."""
    return SavingsDay(
        row.account_id,
        row.day,
        SavingsState(row.state),
        from_microseconds(row.asked_at),
        row.error_code,
        row.error_message,
        row.collection_id,
        row.currency,
        None if row.currency_origin is None else CurrencyOrigin(row.currency_origin),
        row.row_count,
        int(row.total),
    )
