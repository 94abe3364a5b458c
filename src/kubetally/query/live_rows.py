"""Rows of days that were asked live, as a table beside the files of the lake."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from kubetally.domain.collection import CollectedDay, new_collected_day
from kubetally.domain.live_costs import LiveCosts

if TYPE_CHECKING:
    import pyarrow as pa

Encode = Callable[[Sequence[CollectedDay]], "Sequence[pa.Table]"]
"""Makes a table of each day, in the columns of the lake's files."""


def live_rows(
    live: Iterable[tuple[str, LiveCosts]], currency: str | None, encode: Encode, now: datetime
) -> list["pa.Table"]:
    """The rows that were asked live in a currency, as one table, if there are any. live: by cluster."""
    collected = [
        new_collected_day(
            f"live-{number}",
            account_id=id_,
            day=booking.window.start.date(),
            collected_at=now,
            source=costs.source,
            booking=booking,
            assets=(),
        )
        for id_, costs in live
        for number, booking in enumerate(costs.bookings)
        if booking.currency == currency and booking.rows
    ]
    return [_add_day(collected, encode(collected))] if collected else []


def _add_day(days: Sequence[CollectedDay], tables: Sequence["pa.Table"]) -> "pa.Table":
    """The rows of days, with the day itself, which files of the lake have in their path."""
    import pyarrow as pa

    parts = [
        table.append_column("day", pa.array([day.collection.day] * table.num_rows, pa.date32()))
        for day, table in zip(days, tables, strict=True)
    ]
    return pa.concat_tables(parts)
