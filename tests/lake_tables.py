"""Rows and assets of one day as the lake's tables."""

import pyarrow as pa

from kubetally.domain.collection import CollectedDay
from kubetally.store.lake.encode import allocation_tables, asset_tables


def allocation_table(day: CollectedDay) -> pa.Table:
    return allocation_tables([day])[0]


def asset_table(day: CollectedDay) -> pa.Table:
    return asset_tables([day])[0]
