"""What runs queries, built from the settings."""

from typing import TYPE_CHECKING

from kubetally.domain.errors import unusable_setting
from kubetally.query.opening import DUCKDB, engine_opener
from kubetally.settings import Settings, size_in_bytes

if TYPE_CHECKING:
    from kubetally.query.engine import OpenEngine

_MIN_MEMORY = 100_000_000


def query_engine(settings: Settings, *, in_process: bool = False) -> "OpenEngine":
    """What opens the engine of the settings. Raises RequestError, for a memory that no query fits into.

    in_process: DuckDB in any case.
    """
    memory = size_in_bytes(settings.query_memory)
    if memory < _MIN_MEMORY:
        raise unusable_setting("KUBETALLY_QUERY_MEMORY", f"{settings.query_memory} is less than 100MB")
    folder = settings.query_spill or str(settings.home_folder.absolute())
    return engine_opener(DUCKDB if in_process else settings.engine, memory_bytes=memory, spill_folder=folder)
