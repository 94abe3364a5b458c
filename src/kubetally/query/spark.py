"""Spark, on this machine or on a cluster: owns a session and reads the files of a scan on the workers."""

import logging
import os
import re
import shutil
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from urllib.parse import urlsplit

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
from ibis import ir
from ibis.backends.pyspark.datatypes import PySparkSchema
from ibis.expr.operations import InMemoryTable
from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext
from pyspark.core.rdd import RDD
from pyspark.errors import PySparkException
from pyspark.serializers import NoOpSerializer
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from kubetally.domain.errors import StoreError
from kubetally.ledger.ports.lake import Scan
from kubetally.query.engine import chosen, columns_of, union_of
from kubetally.store.lake.schema import ALLOCATIONS, DAY

_MAX_TABLES = 64
_CONNECT_SECONDS, _POLL_SECONDS = 5.0, 0.05
_PARTITION = f"/{DAY}="
_SETTINGS = {
    "spark.app.name": "kubetally",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.variable.substitute": "false",  # else `${env:NAME}` in a filter would be a variable of this machine
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.ui.showConsoleProgress": "false",
}
_DEFAULTS = {
    "spark.scheduler.mode": "FAIR",  # a short query does not wait for an export
    "spark.sql.shuffle.partitions": "8",
    "spark.sql.files.maxPartitionBytes": "32m",  # an export holds one partition at a time
    "spark.sql.execution.arrow.maxRecordsPerBatch": "20000",
    "spark.sql.sources.parallelPartitionDiscovery.threshold": "20000",  # files are listed here, and not by the workers
    "spark.ui.enabled": "false",
}
"""Where `spark-defaults.conf` does not say otherwise."""


class SparkEngine:
    """Runs Ibis expressions over Parquet files and Arrow tables. Threads may share it.

    All engines of a process share one application of Spark, which ends with the process.
    master: `local[2]`, `local[*]`, or `spark://host:7077`. settings: of Spark, beside `spark-defaults.conf`.
    worker_seconds: how long a query waits for a worker.
    Raises: StoreError, if Spark can't be started or the master does not answer.
    """

    def __init__(
        self, master: str, settings: Mapping[str, str] = MappingProxyType({}), *, worker_seconds: float = 30.0
    ) -> None:
        self._master, self._settings, self._worker_seconds = master, settings, worker_seconds
        self.reads_local_files, self.reads_roll_ups = _is_local(master), False
        self._opening = Lock()
        self._views = _Views(_APPLICATION.new_session(master, settings))

    def rows(self, scans: Sequence[Scan], tables: Sequence[pa.Table] = ()) -> ir.Table:
        """See `Engine.rows`."""
        with _translated(self._master):
            views = self._live_views()
            return union_of([chosen(views.of(scan.paths), scan) for scan in scans], tables)

    def run(self, expression: ir.Table) -> pa.Table:
        """See `Engine.run`."""
        with _translated(self._master):
            return self._frame(expression).toArrow().cast(expression.schema().to_pyarrow())

    def run_prepared(self, rows: ir.Table, key: Hashable, build: Callable[[ir.Table], ir.Table]) -> pa.Table:
        """See `Engine.run_prepared`; nothing is kept."""
        return self.run(build(rows))

    def batches(self, expression: ir.Table) -> Iterator[pa.RecordBatch]:
        """See `Engine.batches`. One partition is held at a time."""
        with _translated(self._master):
            frame = self._frame(expression)
            schema = to_arrow_schema(frame.schema)
            # toLocalIterator of a frame makes a Python object of each row: the batches are fetched as Arrow's bytes.
            rdd = frame._jdf.toArrowBatchRdd().toJavaRDD()
            for piece in RDD(rdd, frame.sparkSession.sparkContext, NoOpSerializer()).toLocalIterator():
                yield pa.ipc.read_record_batch(pa.py_buffer(piece), schema)

    def close(self) -> None:
        """See `Engine.close`. The application stays for other engines."""
        with _translated(self._master):
            self._views.drop()

    def _frame(self, expression: ir.Table) -> DataFrame:
        views = self._live_views()
        _await_worker(views.session.sparkContext, self._worker_seconds)
        return views.frame(expression)

    def _live_views(self) -> "_Views":
        """Those of the application, which is started again if it has ended."""
        with self._opening:
            if not _is_alive(self._views.session.sparkContext):
                self._views = _Views(_APPLICATION.new_session(self._master, self._settings))
            return self._views


class _Views:
    """The files and Arrow tables that a session knows. Threads may share it."""

    def __init__(self, session: SparkSession) -> None:
        self.session = session
        self._compile = ibis.pyspark.connect(session).compile
        self._lock = Lock()
        self._files: OrderedDict[tuple[str, ...], ir.Table] = OrderedDict()

    def frame(self, expression: ir.Table) -> DataFrame:
        """An expression as Spark's own. It is analysed, so that the views that it names may go."""
        in_memory = expression.op().find(InMemoryTable)
        with self._lock:
            for table in in_memory:
                content = _unsliced(table.data.to_pyarrow(table.schema))
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
            if paths in self._files:
                self._files.move_to_end(paths)
            else:
                self._files[paths] = self._registered(paths)
                while len(self._files) > _MAX_TABLES:
                    _, oldest = self._files.popitem(last=False)
                    self.session.catalog.dropTempView(oldest.get_name())
            return self._files[paths]

    def drop(self) -> None:
        """Forget the files."""
        with self._lock:
            while self._files:
                _, table = self._files.popitem()
                if _is_alive(self.session.sparkContext):
                    self.session.catalog.dropTempView(table.get_name())

    def _registered(self, paths: Sequence[str]) -> ir.Table:
        """Files of the same columns as a view, in the columns of the first."""
        by_folder = groupby(sorted(paths, key=_table_folder), _table_folder)
        columns = columns_of(_schema_of(paths[0]))
        frames = [self._read(folder, list(its), PySparkSchema.from_ibis(columns)) for folder, its in by_folder]
        table = ibis.table(columns, name=ibis.util.gen_name("files"))
        reduce(DataFrame.union, frames).createOrReplaceTempView(table.get_name())
        return table

    def _read(self, folder: str, paths: Sequence[str], columns: StructType) -> DataFrame:
        """The files of a table in the order of these columns; Spark itself puts the partition last."""
        reader = self.session.read.schema(columns).option("basePath", _location(folder))
        reader = reader.option("__globPaths__", "false")  # a path is no pattern, whatever its folder is called
        return reader.parquet(*map(_location, paths)).select(*columns.names)


class _Application:
    """The one application of Spark that a process may have, shared by its engines. It ends with the process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._session: SparkSession | None = None

    def new_session(self, master: str, settings: Mapping[str, str]) -> SparkSession:
        """A session of its own for an engine. The application is started for the first, or if it has ended."""
        with self._lock:
            if self._session is not None and not _is_alive(self._session.sparkContext):
                self._forget(self._session.sparkContext)
            if self._session is None:
                self._session = _started(master, settings)
            in_use = self._session.sparkContext.master
            if in_use != master:
                raise StoreError(
                    f"this process uses Spark at {in_use} already, and can't use {master}", code="spark_in_use"
                )
            with _translated(master):
                return self._session.newSession()

    def _forget(self, context: SparkContext) -> None:
        self._session = None
        gateway = SparkContext._gateway
        if gateway is not None and gateway.proc.poll() is not None:  # the driver has ended: there is nothing to stop
            context._jsc = None
            SparkContext._gateway = SparkContext._jvm = None
        context.stop()


_APPLICATION = _Application()


def _is_alive(context: SparkContext) -> bool:
    """Whether an application may run queries: it has not ended, nor has its driver."""
    try:
        return context._jsc is not None and not context._jsc.sc().isStopped()
    except (Py4JError, ConnectionError):
        return False


def _await_worker(context: SparkContext, seconds: float) -> None:
    """Return once an application has an executor. Raises StoreError, if it gets none in time."""
    if _is_local(context.master):
        return
    status = context._jsc.sc().statusTracker()
    until = time.monotonic() + seconds
    while len(status.getExecutorInfos()) < 2:  # the driver is one
        if time.monotonic() > until:
            raise StoreError(
                f"no worker of {context.master} took the query within {seconds:.0f} s: start workers, or free their "
                "cores and memory",
                code="spark_without_worker",
                retryable=True,
            )
        time.sleep(_POLL_SECONDS)


def _started(master: str, more: Mapping[str, str]) -> SparkSession:
    """A new application. Raises StoreError."""
    if shutil.which("java", path=_java_path()) is None:
        raise StoreError(
            f"KUBETALLY_ENGINE={master} needs Java 17 or 21, which was not found: install it (Debian: "
            "`openjdk-17-jre-headless`), or set JAVA_HOME",
            code="java_missing",
        )
    _check_reachable(master)
    settings = {**_SETTINGS, **more, "spark.master": master}
    if "SPARK_CONF_DIR" not in os.environ:
        options = settings.get("spark.driver.extraJavaOptions", "")
        settings["spark.driver.extraJavaOptions"] = f"-Dlog4j2.configurationFile={_LOGGING.as_uri()} {options}".strip()
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with _translated(master):
        SparkContext._ensure_initialized(conf=SparkConf(loadDefaults=False).setAll(list(settings.items())))
        conf = SparkConf().setAll(list(settings.items()))  # it has what spark-defaults.conf says, too
        for name, value in (_DEFAULTS | _own_address(master)).items():
            conf.setIfMissing(name, value)
        return SparkSession(SparkContext(conf=conf))


_LOGGERS = ("py4j", "SQLQueryContextLogger", "DataFrameQueryContextLogger")
"""They log errors that are raised, too."""
_LOGGING = Path(str(files("kubetally.query") / "spark-log4j2.properties"))


def _java_path() -> str | None:
    """Where Spark looks for Java."""
    home = os.environ.get("JAVA_HOME")
    return None if home is None else str(Path(home) / "bin")


def _is_local(master: str) -> bool:
    return master.startswith("local")


def _own_address(master: str) -> dict[str, str]:
    """Settings by which only this machine reaches the driver, if all others are on it, too."""
    is_here = all(_is_loopback(host) for host, _ in _addresses(master))
    return dict.fromkeys(("spark.driver.host", "spark.driver.bindAddress"), "127.0.0.1") if is_here else {}


def _is_loopback(host: str) -> bool:
    return host == "localhost" or host.startswith("127.")


def _addresses(master: str) -> list[tuple[str, int]]:
    """The masters of a standalone cluster; none for this machine."""
    if _is_local(master):
        return []
    parts = [urlsplit(f"//{part}") for part in master.removeprefix("spark://").split(",")]
    return [(part.hostname or "", part.port or 7077) for part in parts]


def _check_reachable(master: str) -> None:
    """Raise StoreError, unless one of the masters takes connections: Spark itself would try for a minute."""
    failures = []
    for address in _addresses(master):
        try:
            socket.create_connection(address, _CONNECT_SECONDS).close()
        except OSError as error:
            failures.append(f"{address[0]}:{address[1]}: {error.strerror or error}")
        else:
            return
    if failures:
        raise StoreError(
            f"no Spark master answers ({'; '.join(failures)}): start it, or correct or unset KUBETALLY_ENGINE",
            code="spark_unreachable",
            retryable=True,
        )


def _table_folder(path: str) -> str:
    """The folder of a table's files, or of their days' folders. Raises StoreError, for one in an object store."""
    if "://" in path:
        raise StoreError(
            "Spark reads a lake in a folder, which every worker has at the same path, and this one is in an object "
            "store: unset KUBETALLY_ENGINE, or set KUBETALLY_LAKE_URL to a folder",
            code="lake_not_on_disk",
        )
    return path.rpartition(_PARTITION if _PARTITION in path else "/")[0]


def _unsliced(table: pa.Table) -> pa.Table:
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


@contextmanager
def _translated(master: str) -> Iterator[None]:
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
