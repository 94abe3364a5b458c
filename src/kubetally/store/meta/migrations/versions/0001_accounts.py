"""Organizations, of which there is one called default, and accounts.

Every step can be taken again: MariaDB keeps what was done before a migration was interrupted.
"""

import uuid
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from kubetally.store.meta.table_options import TABLE_OPTIONS

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make both tables and the default organization."""
    organization = op.create_table(
        "organization",
        sa.Column("id", sa.CHAR(36), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False, server_default="USD"),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("deleted_at", sa.BigInteger, nullable=False, server_default="0"),
        sa.UniqueConstraint("name", "deleted_at", name="uq_organization_name"),
        if_not_exists=True,
        **TABLE_OPTIONS,
    )
    op.create_table(
        "cloudaccount",
        sa.Column("id", sa.CHAR(36), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column(
            "organization_id",
            sa.CHAR(36),
            sa.ForeignKey("organization.id", name="fk_cloudaccount_organization"),
            nullable=False,
        ),
        sa.Column("kubecost_url", sa.String(255)),
        sa.Column("prometheus_url", sa.String(255)),
        sa.Column("tenant", sa.String(255)),
        sa.Column("cluster_id", sa.String(255)),
        sa.Column("currency", sa.CHAR(3)),
        sa.Column("context", sa.String(255)),
        sa.Column("credentials", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("deleted_at", sa.BigInteger, nullable=False, server_default="0"),
        sa.UniqueConstraint("organization_id", "name", "deleted_at", name="uq_cloudaccount_name"),
        if_not_exists=True,
        **TABLE_OPTIONS,
    )
    there = sa.select(organization.c.id).where(organization.c.name == "default", organization.c.deleted_at == 0)
    if op.get_bind().execute(there).first() is None:
        now = int(datetime.now(UTC).timestamp())
        op.execute(organization.insert().values(id=str(uuid.uuid4()), name="default", created_at=now))


def downgrade() -> None:
    """Drop both tables, with all that is in them."""
    op.drop_table("cloudaccount", if_exists=True)
    op.drop_table("organization", if_exists=True)
