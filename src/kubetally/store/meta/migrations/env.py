"""Run by Alembic: `store.meta.schema` hands in the connection, and commits."""

from alembic import context

from kubetally.store.meta.schema import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
