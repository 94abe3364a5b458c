"""A collection as a row of `collections`, and back."""

from dataclasses import replace
from enum import StrEnum
from typing import Any

from kubetally.domain.collection import Collection
from kubetally.domain.errors import StoreError
from kubetally.domain.money import CurrencyOrigin
from kubetally.store.booking_json import (
    Head,
    balance_from_json,
    balance_to_json,
    clean,
    head_from_json,
    head_to_json,
)
from kubetally.store.meta.instants import from_microseconds, to_microseconds

_MAX_TOTAL = 2**63 - 1
SHARED_COLUMNS = (
    "account_id",
    "day",
    "is_running",
    "state",
    "audited",
    "source",
    "row_count",
    "hours_covered",
    "total",
    "currency",
    "currency_origin",
    "collected_at",
)
"""The columns that the tables of collections and of coverage have in common, beside the version."""


class Phase(StrEnum):
    """The state of a collection."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    SUPERSEDED = "superseded"
    MISSING = "missing"  # the lake lost its rows while it was current; superseded_at: when another replaced it


def row_of(collection: Collection) -> dict[str, Any]:
    """The row of a collection that is about to be committed. Raises StoreError, where its total is too large."""
    head = collection.head
    total = head.bill.total
    if abs(total) > _MAX_TOTAL:
        raise StoreError(
            f"{collection.day} of account {collection.account_id} costs {total} millionths, more than can be stored: "
            "correct the prices of its source",
            code="total_too_large",
        )
    return {
        "id": collection.id,
        "account_id": collection.account_id,
        "day": collection.day,
        "collected_at": to_microseconds(collection.collected_at),
        "is_running": collection.is_running,
        "phase": Phase.PENDING,
        "state": collection.state,
        "row_count": collection.rows,
        "hours_covered": collection.hours_covered,
        "audited": head.assets_complete,
        "currency": head.currency,
        "currency_origin": head.currency_origin,
        "source": clean(collection.source.url),
        "total": total,
        "balance": balance_to_json(collection.balance),
        "head": head_to_json(Head(collection.source, head, collection.completeness, collection.asset_sums)),
        "examined_by": collection.examined_by,
        "lake_version": collection.lake_version,
    }


def collection_of(row: Any) -> Collection:
    """The collection of a row of `COLLECTIONS`. Raises CollectionNotUnderstood."""
    head = head_from_json(row.head, collection_id=row.id)
    origin = head.booking.currency_origin if row.currency_origin is None else CurrencyOrigin(row.currency_origin)
    return Collection(
        id=row.id,
        account_id=row.account_id,
        day=row.day,
        collected_at=from_microseconds(row.collected_at),
        source=head.source,
        head=replace(head.booking, currency=row.currency, currency_origin=origin),
        rows=row.row_count,
        balance=balance_from_json(row.balance, collection_id=row.id),
        is_running=row.is_running,
        version=row.version,
        last_version=row.last_version,
        completeness=head.completeness,
        examined_by=row.examined_by,
        asset_sums=head.assets,
        lake_version=row.lake_version,
    )
