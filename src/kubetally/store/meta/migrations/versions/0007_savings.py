"""What came of asking sources for savings, by account and day.

Every step can be taken again: MariaDB keeps what was done before a migration was interrupted.
"""

import sqlalchemy as sa
from alembic import op

from kubetally.store.meta.table_options import TABLE_OPTIONS, make_index

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "savings",
        sa.Column("account_id", sa.String(36), primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("error_code", sa.String(64)),
        sa.Column("error_message", sa.Text),
        sa.Column("collection_id", sa.String(64)),
        sa.Column("currency", sa.String(64)),
        sa.Column("currency_origin", sa.String(16)),
        sa.Column("row_count", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("total", sa.String(64), nullable=False, server_default="0"),
        if_not_exists=True,
        **TABLE_OPTIONS,
    )
    make_index("ix_savings_day", "day", table="savings")


def downgrade() -> None:
    """Drop the table. The rows stay in the lake."""
    op.drop_table("savings", if_exists=True)
