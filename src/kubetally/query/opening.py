"""Opens the engine that a setting names. What an engine needs is loaded when it is opened."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kubetally.query.engine import Engine


def open_duck(*, memory_limit: str = "1GB", spill_folder: str | None = None) -> "Engine":
    """DuckDB in this process, on two threads."""
    from kubetally.query.duck import DuckEngine

    return DuckEngine(memory_limit=memory_limit, spill_folder=spill_folder)
