"""Changes of the tables of databases."""

import asyncio
from collections.abc import Mapping

from kubetally.settings import Settings
from kubetally.store.meta import optscale, schema
from kubetally.store.meta.engine import open_engine, shown
from kubetally.store.meta.optscale import Changed
from kubetally.wiring.limits import check_address
from kubetally.wiring.store import database_url, naming_setting


def migrate(settings: Settings, revision: str = "head") -> tuple[str, str | None]:
    """Bring the settings' database to a revision; returns its URL without password, and the revision it has now.

    Raises: SchemaMismatch, RequestError, StoreError.
    """
    url = database_url(settings)
    with naming_setting("KUBETALLY_DATABASE_URL"):
        reached = schema.upgrade(url, revision) if is_newest(revision) else schema.downgrade(url, revision)
    engine = open_engine(url)
    try:
        return shown(engine), reached
    finally:
        engine.dispose()


def is_newest(revision: str) -> bool:
    """Whether it is the revision that this version works with."""
    return revision in {"head", schema.NEWEST}


def migrate_optscale(url: str, urls: Mapping[str, str] | None, settings: Settings) -> Changed:
    """Add the column and set `urls`, by account id; None drops it.

    Raises: AddressRefused, SchemaMismatch, RequestError, StoreError.
    """
    for place in (urls or {}).values():
        asyncio.run(check_address(place, settings))
    is_setting = url == settings.optscale_database_url
    with naming_setting("KUBETALLY_OPTSCALE_DATABASE_URL" if is_setting else "--database-url"):
        return optscale.down(url) if urls is None else optscale.up(url, urls)
