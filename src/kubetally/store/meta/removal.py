"""When a row is marked as removed."""

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Table, func, select

from kubetally.store.meta.instants import to_seconds


def removal_second(connection: Connection, table: Table, now: datetime, *of_one_name: ColumnElement[bool]) -> int:
    """The value of `deleted_at` of a row that is removed now.

    Of two that had one name and were removed within a second, the later gets the next second.
    """
    last = connection.scalar(select(func.max(table.c.deleted_at)).where(*of_one_name))
    return max(to_seconds(now), (last or 0) + 1)
