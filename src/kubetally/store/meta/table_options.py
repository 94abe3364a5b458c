"""How migrations make tables and indexes on every database."""

import sqlalchemy as sa
from alembic import op

TABLE_OPTIONS = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_bin"}.items()
}
"""Of tables in MariaDB, so that texts compare there as in the other databases."""


def make_index(name: str, *columns: str, table: str) -> None:
    """Make an index, unless it is there: MySQL does not know CREATE INDEX IF NOT EXISTS."""
    if name not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, list(columns))
