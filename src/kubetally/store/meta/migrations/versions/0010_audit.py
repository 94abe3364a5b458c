"""Who changed what.

Every step can be taken again: MariaDB keeps what was done before a migration was interrupted.
"""

import sqlalchemy as sa
from alembic import op

from kubetally.store.meta.table_options import TABLE_OPTIONS, make_index

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "audit",
        sa.Column("id", sa.CHAR(36), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("organization_id", sa.CHAR(36), nullable=False),
        sa.Column("who", sa.String(255), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("subject", sa.String(16), nullable=False),
        sa.Column("subject_id", sa.CHAR(36), nullable=False),
        sa.Column("before_text", sa.Text, nullable=False),
        sa.Column("after_text", sa.Text, nullable=False),
        if_not_exists=True,
        **TABLE_OPTIONS,
    )
    make_index("ix_audit_organization", "organization_id", "at", table="audit")
    make_index("ix_audit_at", "at", table="audit")


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("audit", if_exists=True)
