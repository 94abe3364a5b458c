"""Checksums of the files of the lake's logs.

Of the files that are there, the first writer of the new version notes those that can be read.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_OPTIONS = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_bin"}.items()
}


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "log_files",
        sa.Column("table_name", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("crc", sa.BigInteger, nullable=False),
        if_not_exists=True,
        **_OPTIONS,
    )


def downgrade() -> None:
    """Drop the table: a later upgrade notes the files as they are then."""
    op.drop_table("log_files", if_exists=True)
