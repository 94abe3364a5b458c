"""Who states the currency of a collection, and accounts whose rows in the lake are to be brought in line.

Of collections that an earlier version wrote nobody knows. An OpenCost states no currency: theirs is stated where the
account states it now, else assumed. Any other source is taken to have stated it.
Every step can be taken again: MariaDB keeps what was done before a migration was interrupted.
"""

import sqlalchemy as sa
from alembic import op

from kubetally.store.meta.table_options import TABLE_OPTIONS

revision = "0004"
down_revision = "0003"

_TABLES = ("collections", "coverage")
_ACCOUNTS = sa.table("cloudaccount", sa.column("id"), sa.column("currency"))
_COLLECTIONS = sa.table(
    "collections", *map(sa.column, ("id", "account_id", "currency", "currency_origin")), sa.column("head", sa.Text)
)
_COVERAGE = sa.table("coverage", sa.column("collection_id"), sa.column("currency_origin"))


def upgrade() -> None:
    """Add the columns, fill them, and make the table."""
    for table in _TABLES:
        if "currency_origin" not in _columns(table):
            op.add_column(table, sa.Column("currency_origin", sa.String(16)))
    is_stated = sa.exists().where(
        _ACCOUNTS.c.id == _COLLECTIONS.c.account_id, _ACCOUNTS.c.currency == _COLLECTIONS.c.currency
    )
    is_opencost = _COLLECTIONS.c.head.contains('"product":"OpenCost"')
    origin = sa.case((sa.not_(is_opencost), "source"), (is_stated, "stated"), else_="assumed")
    op.execute(sa.update(_COLLECTIONS).where(_COLLECTIONS.c.currency_origin.is_(None)).values(currency_origin=origin))
    of_collection = (
        sa.select(_COLLECTIONS.c.currency_origin)
        .where(_COLLECTIONS.c.id == _COVERAGE.c.collection_id)
        .scalar_subquery()
    )
    op.execute(sa.update(_COVERAGE).values(currency_origin=of_collection))
    op.create_table(
        "reconciliations",
        sa.Column("account_id", sa.String(36), primary_key=True),
        sa.Column("requested_at", sa.BigInteger, nullable=False),
        if_not_exists=True,
        **TABLE_OPTIONS,
    )


def downgrade() -> None:
    """Drop both columns and the table. Relabelled collections keep their currency."""
    op.drop_table("reconciliations", if_exists=True)
    for table in _TABLES:
        if "currency_origin" in _columns(table):
            op.drop_column(table, "currency_origin")


def _columns(table: str) -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
