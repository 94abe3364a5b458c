"""Tokens of organizations.

Every step can be taken again: MariaDB keeps what was done before a migration was interrupted.
"""

import sqlalchemy as sa
from alembic import op

from kubetally.store.meta.table_options import TABLE_OPTIONS

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "token",
        sa.Column("id", sa.CHAR(36), primary_key=True),
        sa.Column(
            "organization_id",
            sa.CHAR(36),
            sa.ForeignKey("organization.id", name="fk_token_organization"),
            nullable=False,
        ),
        sa.Column("digest", sa.CHAR(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("filter", sa.Text, nullable=False),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("last_used_at", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
        sa.UniqueConstraint("digest", name="uq_token_digest"),
        if_not_exists=True,
        **TABLE_OPTIONS,
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("token", if_exists=True)
