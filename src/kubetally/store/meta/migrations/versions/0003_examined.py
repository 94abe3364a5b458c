"""Which version of the tests for missing samples a collection was examined with.

Every step can be taken again: MariaDB keeps what was done before a migration was interrupted.
"""

import sqlalchemy as sa
from alembic import op

from kubetally.store.meta.table_options import make_index

revision = "0003"
down_revision = "0002"

_TABLE, _COLUMN, _INDEX = "collections", "examined_by", "ix_collections_examined"


def upgrade() -> None:
    """Add the column; what is there was examined by none."""
    inspector = sa.inspect(op.get_bind())
    if _COLUMN not in {column["name"] for column in inspector.get_columns(_TABLE)}:
        op.add_column(_TABLE, sa.Column(_COLUMN, sa.Integer, nullable=False, server_default="0"))
    make_index(_INDEX, "phase", _COLUMN, table=_TABLE)


def downgrade() -> None:
    """Drop the column: a later upgrade has every stored day examined once more."""
    inspector = sa.inspect(op.get_bind())
    if _INDEX in {index["name"] for index in inspector.get_indexes(_TABLE)}:
        op.drop_index(_INDEX, _TABLE)
    if _COLUMN in {column["name"] for column in inspector.get_columns(_TABLE)}:
        op.drop_column(_TABLE, _COLUMN)
