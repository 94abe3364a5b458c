"""Bringing a database to a revision of its tables."""

from kubetally.store.meta import schema
from kubetally.store.meta.engine import connected_engine, shown


def migrate(database_url: str, *, revision: str) -> tuple[str, str | None]:
    """Bring a database to a revision; returns its URL without password, and the revision it has now.

    Raises: InvalidDatabaseUrl, RequestError, StoreError.
    """
    change = schema.upgrade if is_newest(revision) else schema.downgrade
    reached = change(database_url, revision=revision)
    with connected_engine(database_url) as engine:
        return shown(engine), reached


def is_newest(revision: str) -> bool:
    """Whether it is the revision that this version works with."""
    return revision in {"head", schema.NEWEST}
