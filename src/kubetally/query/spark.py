"""Spark, on this machine or on a cluster, as an engine of queries."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from threading import Lock
from types import MappingProxyType

import pyarrow as pa
from ibis import ir
from pyspark.core.rdd import RDD
from pyspark.serializers import NoOpSerializer
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import to_arrow_schema

from kubetally.ledger.ports.lake import Scan
from kubetally.query.engine import chosen, union_of
from kubetally.query.spark_application import APPLICATION, await_worker, is_alive, is_local
from kubetally.query.spark_errors import spark_errors
from kubetally.query.spark_views import SparkViews


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
        self.reads_local_files, self.reads_roll_ups = is_local(master), False
        self._opening = Lock()
        self._views = SparkViews(APPLICATION.new_session(master, settings))

    def rows(self, scans: Sequence[Scan], tables: Sequence[pa.Table] = ()) -> ir.Table:
        """See `Engine.rows`."""
        with spark_errors(self._master):
            views = self._live_views()
            return union_of([chosen(views.of(scan.paths), scan) for scan in scans], tables)

    def run(self, expression: ir.Table) -> pa.Table:
        """See `Engine.run`."""
        with spark_errors(self._master):
            return self._frame(expression).toArrow().cast(expression.schema().to_pyarrow())

    def run_prepared(self, rows: ir.Table, key: Hashable, build: Callable[[ir.Table], ir.Table]) -> pa.Table:
        """See `Engine.run_prepared`; nothing is kept."""
        return self.run(build(rows))

    def batches(self, expression: ir.Table) -> Iterator[pa.RecordBatch]:
        """See `Engine.batches`. One partition is held at a time."""
        with spark_errors(self._master):
            frame = self._frame(expression)
            schema = to_arrow_schema(frame.schema)
            # toLocalIterator of a frame makes a Python object of each row: the batches are fetched as Arrow's bytes.
            rdd = frame._jdf.toArrowBatchRdd().toJavaRDD()
            for piece in RDD(rdd, frame.sparkSession.sparkContext, NoOpSerializer()).toLocalIterator():
                yield pa.ipc.read_record_batch(pa.py_buffer(piece), schema)

    def close(self) -> None:
        """See `Engine.close`. The application stays for other engines."""
        with spark_errors(self._master):
            self._views.forget()

    def _frame(self, expression: ir.Table) -> DataFrame:
        views = self._live_views()
        await_worker(views.session.sparkContext, self._worker_seconds)
        return views.frame(expression)

    def _live_views(self) -> SparkViews:
        """Those of the application, which is started again if it has ended."""
        with self._opening:
            if not is_alive(self._views.session.sparkContext):
                self._views = SparkViews(APPLICATION.new_session(self._master, self._settings))
            return self._views
