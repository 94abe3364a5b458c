"""What was not measured and which issues stored days have, in rows; and the version of the lake's columns of each.

Every step can be taken again: MariaDB keeps what was done before a migration was interrupted.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import MEDIUMTEXT

from kubetally.store.meta.table_options import TABLE_OPTIONS, make_index

revision = "0006"
down_revision = "0005"

_COMPONENTS = ("cpu", "ram", "gpu", "pv", "node_disk", "load_balancer", "network", "management", "shared", "external")
_DAYS_AT_ONCE, _HOUR = 500, timedelta(hours=1)
_COLLECTIONS = sa.table("collections", *map(sa.column, ("id", "hours_covered", "head")))
_COVERAGE = sa.table("coverage", sa.column("account_id"), sa.column("day", sa.Date), sa.column("collection_id"))
_FACTS = sa.table(
    "collection_facts",
    *(sa.column("account_id"), sa.column("day", sa.Date), sa.column("ordinal"), sa.column("collection_id")),
    *(sa.column("what"), sa.column("hours"), sa.column("issue")),
)


def upgrade() -> None:
    """Make the table, fill it from the heads of the collections that hold, and add the column."""
    op.create_table(
        "collection_facts",
        sa.Column("account_id", sa.String(36), primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("collection_id", sa.String(64), nullable=False),
        sa.Column("what", sa.String(64), nullable=False),
        sa.Column("hours", sa.Double),
        sa.Column("issue", sa.Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb")),
        if_not_exists=True,
        **TABLE_OPTIONS,
    )
    make_index("ix_collection_facts_what", "what", "account_id", "day", "hours", table="collection_facts")
    _fill()
    if "lake_version" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("collections")}:
        op.add_column("collections", sa.Column("lake_version", sa.Integer, nullable=False, server_default="1"))
    make_index("ix_collections_lake_version", "phase", "lake_version", "account_id", "day", table="collections")


def downgrade() -> None:
    """Drop the table and the column. The heads have all that is in the table."""
    indexes = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes("collections")}
    if "ix_collections_lake_version" in indexes:
        op.drop_index("ix_collections_lake_version", "collections")
    if "lake_version" in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("collections")}:
        op.drop_column("collections", "lake_version")
    op.drop_table("collection_facts", if_exists=True)


def _fill() -> None:
    connection = op.get_bind()
    connection.execute(sa.delete(_FACTS))
    holds = sa.select(_COVERAGE).where(_COVERAGE.c.collection_id.is_not(None))
    days = connection.execute(holds).all()
    for begin in range(0, len(days), _DAYS_AT_ONCE):
        some = {day.collection_id: day for day in days[begin : begin + _DAYS_AT_ONCE]}
        question = sa.select(_COLLECTIONS).where(_COLLECTIONS.c.id.in_(list(some)))
        rows = [
            {
                "account_id": some[found.id].account_id,
                "day": some[found.id].day,
                "ordinal": ordinal,
                "collection_id": found.id,
                **fact,
            }
            for found in connection.execute(question).all()
            for ordinal, fact in enumerate(_facts(found))
        ]
        if rows:
            connection.execute(sa.insert(_FACTS), rows)


def _facts(collection: Any) -> Iterator[Mapping[str, object]]:
    """The facts in a head; of one that can't be read, that it can't."""
    try:
        booking = msgspec.json.decode(collection.head)["booking"]
        all_issues = booking["issues"]
        issues = [(issue, str(issue["kind"]), _hours(issue.get("window"), booking["window"])) for issue in all_issues]
        missing = [component for component in _COMPONENTS if component in booking["not_measured"]]
    except (msgspec.DecodeError, AttributeError, LookupError, TypeError, ValueError):
        yield _unreadable(collection.id)
        return
    for component in missing:
        yield {"what": component, "hours": collection.hours_covered, "issue": None}
    for issue, kind, hours in issues:
        yield {"what": kind, "hours": hours, "issue": msgspec.json.encode(issue).decode()}


def _hours(window: Mapping[str, str] | None, of: Mapping[str, str]) -> float | None:
    """Hours of the booking's window that an issue is about; None where it names no time."""
    if window is None:
        return None
    start = max(datetime.fromisoformat(window["start"]), datetime.fromisoformat(of["start"]))
    end = min(datetime.fromisoformat(window["end"]), datetime.fromisoformat(of["end"]))
    return max((end - start) / _HOUR, 0.0)


def _unreadable(collection_id: str) -> Mapping[str, object]:
    issue = {
        "kind": "source_warning",
        "message": f"what is kept of collection {collection_id} can't be read, so that its issues are not known",
        "source": None,
        "window": None,
        "subject": "history",
        "facts": {"code": "collection_not_understood"},
    }
    return {"what": issue["kind"], "hours": None, "issue": msgspec.json.encode(issue).decode()}
