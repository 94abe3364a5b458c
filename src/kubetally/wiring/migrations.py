"""Changes of the tables of databases."""

import asyncio
from collections.abc import Mapping

from kubetally.domain.source_url import SourceUrl
from kubetally.settings import Settings
from kubetally.sources.address import check_address
from kubetally.store.meta import migrate as tables
from kubetally.store.meta import optscale
from kubetally.wiring.store import database_url, naming_setting

is_newest = tables.is_newest


def migrate(settings: Settings, revision: str = "head") -> tuple[str, str | None]:
    """See `store.meta.migrate.migrate`."""
    with naming_setting("KUBETALLY_DATABASE_URL"):
        return tables.migrate(database_url(settings), revision=revision)


def migrate_optscale(url: str, urls: Mapping[str, SourceUrl] | None, settings: Settings) -> optscale.Changed:
    """Add the column and set `urls`, by account id; None drops it. Raises RequestError, SourceError, StoreError."""
    for place in (urls or {}).values():
        seconds, allow_link_local = settings.connect_seconds, settings.allow_link_local
        asyncio.run(check_address(place, connect_seconds=seconds, allow_link_local=allow_link_local))
    is_setting = url == settings.optscale_database_url
    with naming_setting("KUBETALLY_OPTSCALE_DATABASE_URL" if is_setting else "--database-url"):
        return optscale.down(url) if urls is None else optscale.up(url, urls)
