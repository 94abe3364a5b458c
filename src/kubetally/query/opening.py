"""Opens the engine that a setting names. What an engine needs is loaded when it is opened."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from kubetally.domain.errors import StoreError

if TYPE_CHECKING:
    from kubetally.query.engine import Engine, OpenEngine

DUCKDB = "duckdb"


def engine_opener(engine: str, *, memory_bytes: int, spill_folder: str) -> "OpenEngine":
    """What opens an engine: `duckdb`, or Spark at a master such as `local[2]` or `spark://host:7077`.

    memory_bytes, spill_folder: of DuckDB; Spark has settings of its own.
    """
    if engine == DUCKDB:
        return partial(open_duck, memory_bytes=memory_bytes, spill_folder=spill_folder)
    return partial(open_spark, engine)


def open_duck(*, memory_bytes: int = 1_000_000_000, spill_folder: str | None = None) -> "Engine":
    """DuckDB in this process, on two threads. spill_folder: for what does not fit into memory; None for no such."""
    from kubetally.query.duck import DuckEngine

    return DuckEngine(memory_bytes=memory_bytes, spill_folder=spill_folder)


def open_spark(master: str, settings: Mapping[str, str] = MappingProxyType({})) -> "Engine":
    """Spark, whose driver is a process beside this one. settings: of Spark. Raises StoreError."""
    try:
        import pyspark  # noqa: F401
    except ImportError as error:
        raise StoreError(
            f"KUBETALLY_ENGINE={master} needs Spark, which is not installed: `pip install 'kubetally[spark]'`",
            code="spark_missing",
        ) from error
    from kubetally.query.spark import SparkEngine

    return SparkEngine(master, settings)
