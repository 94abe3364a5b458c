"""Files and Arrow tables as views of a Spark session, which reads the files on its workers."""

from collections import OrderedDict, deque
from collections.abc import Sequence
from functools import reduce
from itertools import groupby
from pathlib import Path
from threading import Lock
from weakref import finalize

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
from ibis import ir
from ibis.backends.pyspark.datatypes import PySparkSchema
from ibis.expr.operations import InMemoryTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from kubetally.domain.errors import StoreError
from kubetally.query.engine import columns_of
from kubetally.query.spark_application import is_alive
from kubetally.store.lake.schema import ALLOCATIONS, DAY

_MAX_TABLES = 64
_PARTITION = f"/{DAY}="


class SparkViews:
    """The files and Arrow tables that a session knows. Threads may share it."""

    def __init__(self, session: SparkSession) -> None:
        self.session = session
        self._compile = ibis.pyspark.connect(session).compile
        self._lock = Lock()
        self._files = OrderedDict[tuple[str, ...], ir.Table]()
        self._unused = deque[str]()

    def frame(self, expression: ir.Table) -> DataFrame:
        """An expression as Spark's own. It is analysed, so that the views that it names may go."""
        in_memory = expression.op().find(InMemoryTable)
        with self._lock:
            for table in in_memory:
                content = _copy_whole(table.data.to_pyarrow(table.schema))
                self.session.createDataFrame(content).createOrReplaceTempView(table.name)
            try:
                return self.session.sql(self._compile(expression))
            finally:
                for table in in_memory:
                    self.session.catalog.dropTempView(table.name)

    def of(self, paths: tuple[str, ...]) -> ir.Table:
        """The rows of files. Spark's list of the files is kept.

        Raises: StoreError, for files in an object store.
        """
        with self._lock:
            if paths not in self._files:
                self._files[paths] = self._register(paths)
            self._files.move_to_end(paths)
            while len(self._files) > _MAX_TABLES:
                self._files.popitem(last=False)
            self._drop_unused()
            return self._files[paths]

    def forget(self) -> None:
        """Drop the views that no expression reads any more, also those that were kept for later ones."""
        with self._lock:
            self._files.clear()
            self._drop_unused()

    def _drop_unused(self) -> None:
        while self._unused:
            if is_alive(self.session.sparkContext):
                self.session.catalog.dropTempView(self._unused[0])
            self._unused.popleft()

    def _register(self, paths: Sequence[str]) -> ir.Table:
        """Files of the same columns as a view, in the columns of the first.

        It is dropped some time after the last expression that reads it is gone.
        """
        by_folder = groupby(sorted(paths, key=_table_folder), _table_folder)
        columns = columns_of(_schema_of(paths[0]))
        frames = [self._read(folder, list(its), PySparkSchema.from_ibis(columns)) for folder, its in by_folder]
        table = ibis.table(columns, name=ibis.util.gen_name("files"))
        reduce(DataFrame.union, frames).createOrReplaceTempView(table.get_name())
        finalize(table.op(), self._unused.append, table.get_name()).atexit = False
        return table

    def _read(self, folder: str, paths: Sequence[str], columns: StructType) -> DataFrame:
        """The files of a table in the order of these columns; Spark itself puts the partition last."""
        reader = self.session.read.schema(columns).option("basePath", _location(folder))
        reader = reader.option("__globPaths__", "false")  # a path is no pattern, whatever its folder is called
        return reader.parquet(*map(_location, paths)).select(*columns.names)


def _table_folder(path: str) -> str:
    """The folder of a table's files, or of their days' folders. Raises StoreError, for one in an object store."""
    if "://" in path:
        raise StoreError(
            "Spark reads a lake in a folder, which every worker has at the same path, and this one is in an object "
            "store: unset KUBETALLY_ENGINE, or set KUBETALLY_LAKE_URL to a folder",
            code="lake_not_on_disk",
        )
    return path.rpartition(_PARTITION if _PARTITION in path else "/")[0]


def _copy_whole(table: pa.Table) -> pa.Table:
    """A table without parts of larger arrays: of lists with nulls Spark takes no parts."""
    if not table.num_rows:
        return table
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return pa.ipc.open_stream(sink.getvalue()).read_all()


def _schema_of(path: str) -> pa.Schema:
    """The columns of a file, with the day that its path tells."""
    schema = pq.read_schema(path)
    return schema.insert(0, ALLOCATIONS.field(DAY)) if _PARTITION in path else schema


def _location(path: str) -> str:
    """A file of this machine, whatever file system is Hadoop's default."""
    return f"file:{Path(path).absolute()}"
