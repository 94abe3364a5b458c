"""What errors of Spark mean."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from kubetally.domain.errors import StoreError


@contextmanager
def spark_errors(master: str) -> Iterator[None]:
    """Raise errors of Spark, of the connection to it and of reading a file as StoreError."""
    try:
        yield
    except (PySparkException, Py4JError, OSError, pa.ArrowException) as error:
        raise _store_error(error, master) from error


_CONDITION = re.compile(r"\[(\w+(?:\.\w+)*)\][^\n]*")
_UNREADABLE = ("FAILED_READ_FILE", "PATH_NOT_FOUND", "CANNOT_READ_FILE", "AccessControlException")


def _store_error(error: Exception, master: str) -> StoreError:
    """What an error of Spark means. Errors of workers come as text, with a condition such as `[FAILED_READ_FILE.X]`."""
    text = str(error)
    condition = _CONDITION.search(text)
    why = condition[0] if condition else text.partition("\n")[0]
    if isinstance(error, FileNotFoundError | PermissionError) or any(name in text for name in _UNREADABLE):
        return StoreError(
            f"Spark at {master} can't read the lake, whose folder must be at the same path on every worker, and "
            f"readable there: {why}",
            code="lake_unreadable_by_spark",
        )
    return StoreError(f"Spark at {master} failed: {why}", code="spark_failed", retryable=True)
