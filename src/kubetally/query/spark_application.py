"""The one application of Spark that a process may have: started, reached, and found alive or ended."""

import logging
import os
import shutil
import socket
import time
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from threading import Lock
from urllib.parse import urlsplit

from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

from kubetally.domain.errors import StoreError
from kubetally.query.spark_errors import spark_errors

_CONNECT_SECONDS, _POLL_SECONDS = 5.0, 0.05
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


class _Application:
    """The one application of Spark that a process may have, shared by its engines. It ends with the process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._session: SparkSession | None = None

    def new_session(self, master: str, settings: Mapping[str, str]) -> SparkSession:
        """A session of its own for an engine. The application is started for the first, or if it has ended."""
        with self._lock:
            if self._session is not None and not is_alive(self._session.sparkContext):
                self._forget(self._session.sparkContext)
            if self._session is None:
                self._session = _start(master, settings)
            in_use = self._session.sparkContext.master
            if in_use != master:
                raise StoreError(
                    f"this process uses Spark at {in_use} already, and can't use {master}", code="spark_in_use"
                )
            with spark_errors(master):
                return self._session.newSession()

    def _forget(self, context: SparkContext) -> None:
        self._session = None
        gateway = SparkContext._gateway
        if gateway is not None and gateway.proc.poll() is not None:  # the driver has ended: there is nothing to stop
            context._jsc = None
            SparkContext._gateway = SparkContext._jvm = None
        context.stop()


APPLICATION = _Application()


def is_alive(context: SparkContext) -> bool:
    """Whether an application may run queries: it has not ended, nor has its driver."""
    try:
        return context._jsc is not None and not context._jsc.sc().isStopped()
    except (Py4JError, ConnectionError):
        return False


def await_worker(context: SparkContext, seconds: float) -> None:
    """Return once an application has an executor. Raises StoreError, if it gets none in time."""
    if is_local(context.master):
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


def _start(master: str, more: Mapping[str, str]) -> SparkSession:
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
    with spark_errors(master):
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


def is_local(master: str) -> bool:
    """Whether Spark runs in this machine, not on a cluster."""
    return master.startswith("local")


def _own_address(master: str) -> dict[str, str]:
    """Settings by which only this machine reaches the driver, if all others are on it, too."""
    is_here = all(_is_loopback(host) for host, _ in _addresses(master))
    return dict.fromkeys(("spark.driver.host", "spark.driver.bindAddress"), "127.0.0.1") if is_here else {}


def _is_loopback(host: str) -> bool:
    return host == "localhost" or host.startswith("127.")


def _addresses(master: str) -> list[tuple[str, int]]:
    """The masters of a standalone cluster; none for this machine."""
    if is_local(master):
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
