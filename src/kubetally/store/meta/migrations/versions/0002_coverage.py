"""What was collected and tried, where histories begin, and leases.

Every step can be taken again: MariaDB keeps what was done before a migration was interrupted.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import MEDIUMTEXT

from kubetally.store.meta.table_options import TABLE_OPTIONS, make_index

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the four tables. None refers to accounts, so that one that is gone keeps its history."""
    op.create_table(
        "collections",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("collected_at", sa.BigInteger, nullable=False),
        sa.Column("confirmed_at", sa.BigInteger),
        sa.Column("superseded_at", sa.BigInteger),
        sa.Column("version", sa.BigInteger),
        sa.Column("last_version", sa.BigInteger),
        sa.Column("is_running", sa.Boolean, nullable=False),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("row_count", sa.BigInteger, nullable=False),
        sa.Column("hours_covered", sa.Double, nullable=False),
        sa.Column("audited", sa.Boolean, nullable=False),
        sa.Column("currency", sa.String(64), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("balance", sa.Text, nullable=False),
        sa.Column("head", sa.Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb"), nullable=False),
        if_not_exists=True,
        **TABLE_OPTIONS,
    )
    make_index("ix_collections_account_day", "account_id", "day", table="collections")
    make_index("ix_collections_phase", "phase", "superseded_at", table="collections")
    op.create_table(
        "coverage",
        sa.Column("account_id", sa.String(36), primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("collection_id", sa.String(64)),
        sa.Column("version", sa.BigInteger),
        sa.Column("state", sa.String(16)),
        sa.Column("is_running", sa.Boolean),
        sa.Column("audited", sa.Boolean),
        sa.Column("source", sa.Text),
        sa.Column("row_count", sa.BigInteger),
        sa.Column("hours_covered", sa.Double),
        sa.Column("total", sa.BigInteger),
        sa.Column("currency", sa.String(64)),
        sa.Column("collected_at", sa.BigInteger),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("tried_at", sa.BigInteger),
        sa.Column("error_code", sa.String(64)),
        sa.Column("error_message", sa.Text),
        if_not_exists=True,
        **TABLE_OPTIONS,
    )
    make_index("ix_coverage_day", "day", table="coverage")
    op.create_table(
        "histories",
        sa.Column("account_id", sa.String(36), primary_key=True),
        sa.Column("begins", sa.Date, nullable=False),
        sa.Column("found_at", sa.BigInteger, nullable=False),
        if_not_exists=True,
        **TABLE_OPTIONS,
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("holder", sa.String(36)),
        sa.Column("host", sa.String(255)),
        sa.Column("boot", sa.String(255)),
        sa.Column("pid", sa.BigInteger),
        sa.Column("started", sa.BigInteger),
        sa.Column("token", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("expires_at", sa.BigInteger, nullable=False, server_default="0"),
        if_not_exists=True,
        **TABLE_OPTIONS,
    )


def downgrade() -> None:
    """Drop the four tables, with all that is in them. The rows in the lake stay, and nobody knows of them any more."""
    for table in ("leases", "histories", "coverage", "collections"):
        op.drop_table(table, if_exists=True)
