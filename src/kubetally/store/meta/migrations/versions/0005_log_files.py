"""Checksums of the files of the lake's logs.

Of the files that are there, the first writer of the new version notes those that can be read.
"""

import sqlalchemy as sa
from alembic import op

from kubetally.store.meta.table_options import TABLE_OPTIONS

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "log_files",
        sa.Column("table_name", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("crc", sa.BigInteger, nullable=False),
        if_not_exists=True,
        **TABLE_OPTIONS,
    )


def downgrade() -> None:
    """Drop the table: a later upgrade notes the files as they are then."""
    op.drop_table("log_files", if_exists=True)
