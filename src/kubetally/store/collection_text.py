"""Converts collections to text for commits of the lake, from which a database can be restored."""

import base64
import zlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime

import msgspec

from kubetally.domain.collection import Collection
from kubetally.store.booking_json import (
    CollectionNotUnderstood,
    Head,
    balance_from_json,
    balance_to_json,
    head_from_json,
    head_to_json,
)


class _Record(msgspec.Struct, frozen=True):
    id: str
    account_id: str
    day: date
    collected_at: datetime
    rows: int
    examined_by: int
    head: str
    balance: str
    lake_version: int = 1


def collections_to_text(collections: Iterable[Collection]) -> str:
    """The collections, compressed, as ASCII."""
    records = [
        _Record(
            *(
                collection.id,
                collection.account_id,
                collection.day,
                collection.collected_at,
                collection.rows,
                collection.examined_by,
            ),
            head_to_json(Head(collection.source, collection.head, collection.completeness, collection.asset_sums)),
            balance_to_json(collection.balance),
            collection.lake_version,
        )
        for collection in collections
    ]
    return base64.b85encode(zlib.compress(msgspec.json.encode(records))).decode()


def collections_from_text(text: str) -> list[Collection]:
    """What `collections_to_text` was given, without versions. Raises CollectionNotUnderstood."""
    try:
        records = msgspec.json.decode(zlib.decompress(base64.b85decode(text)), type=list[_Record])
    except (ValueError, zlib.error) as error:
        raise CollectionNotUnderstood("of a commit", why=str(error)) from error
    return [_collection(record) for record in records]


def _collection(record: _Record) -> Collection:
    head = head_from_json(record.head, collection_id=record.id)
    return Collection(
        *(record.id, record.account_id, record.day, record.collected_at, head.source),
        replace(head.booking, rows=()),
        record.rows,
        balance_from_json(record.balance, collection_id=record.id),
        completeness=head.completeness,
        examined_by=record.examined_by,
        asset_sums=head.assets,
        lake_version=record.lake_version,
    )
