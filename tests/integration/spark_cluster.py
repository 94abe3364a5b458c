"""A real Spark cluster: a standalone master and two workers from the package pyspark, on free ports of 127.0.0.1.

One cluster serves all processes of pytest-xdist. A keeper starts it, and stops it when the last process that uses it
has ended, however that ended: each holds a connection to the keeper.
"""

import fcntl
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest

from kubetally.query.engine import Engine
from kubetally.query.opening import open_spark

_QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""For processes of Java that end soon: they compile less."""
SETTINGS = {
    "spark.cores.max": "2",
    "spark.executor.memory": "512m",
    "spark.executor.extraJavaOptions": _QUICK,
    "spark.driver.extraJavaOptions": _QUICK,
    "spark.sql.shuffle.partitions": "2",
    "spark.scheduler.minRegisteredResourcesRatio": "1.0",  # the first query waits for both executors
    "spark.scheduler.maxRegisteredResourcesWaitingTime": "90s",
}
"""Of an application: an executor on each worker, with room for other applications."""
ON_SPARK = [
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # PySpark leaves closing to the collector
    pytest.mark.timeout(240),  # a busy machine takes long to start processes of Java
]
"""Marks of tests that use Spark."""
_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "LC_ALL": "C.UTF-8",
    "SPARK_LOCAL_IP": "127.0.0.1",
    "SPARK_DAEMON_MEMORY": "256m",
    "SPARK_DAEMON_JAVA_OPTS": _QUICK,
}
_DIES_WITH_PARENT = ("/usr/bin/setpriv", "--pdeathsig", "KILL", "--")
_START_SECONDS = 90.0


class SparkCluster:
    """The processes of a cluster."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._processes = folder, list[subprocess.Popen[str]]()
        self.url = _last_word(self._start("master.Master"), "Starting Spark master at spark://")
        slots = ["--cores", "4", "--memory", "4g"]  # of which an application takes as much as its settings say
        workers = [
            self._start("worker.Worker", *slots, "--work-dir", str(folder / f"work-{number}"), self.url)
            for number in range(2)
        ]
        for worker in workers:
            _last_word(worker, "Successfully registered with master ")

    def _start(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        import pyspark

        command = Path(pyspark.__file__).parent / "bin" / "spark-class"
        address = ["--host", "127.0.0.1", "--port", "0", "--webui-port", "0"]
        process = subprocess.Popen(
            # Should the keeper be killed, its cluster goes with it.
            [*_DIES_WITH_PARENT, command, f"org.apache.spark.deploy.{name}", *address, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=self._folder,
            env={**_ENVIRONMENT, "HOME": str(self._folder)},
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def stop(self) -> None:
        """Kill the processes with their executors."""
        for process in self._processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _last_word(process: subprocess.Popen[str], until: str) -> str:
    """That of the first line of a process's log that has a text; nothing waits for a reader of the rest."""
    assert process.stderr is not None
    log = []
    for line in process.stderr:
        log.append(line)
        if until in line:
            Thread(target=process.stderr.read, daemon=True).start()
            return line.split()[-1]
    raise RuntimeError("".join(log[-20:]))


def keep(listener: socket.socket) -> None:
    """Run a cluster for all who are connected, each of whom is sent its URL; stop with the last."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="kubetally-spark-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        cluster = SparkCluster(folder)
        stack.callback(cluster.stop)
        users = stack.enter_context(selectors.DefaultSelector())
        users.register(listener, selectors.EVENT_READ)
        is_used = True
        while is_used:
            for key, _ in users.select():
                if key.fileobj is listener:
                    connection, _ = listener.accept()
                    connection.sendall(f"{cluster.url}\n".encode())
                    users.register(connection, selectors.EVENT_READ)
                else:
                    users.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]
                    is_used = len(users.get_map()) > 1
        listener.close()


@contextmanager
def cluster_url(folder: Path) -> Iterator[str]:
    """The URL of the cluster that all processes share which give the same folder."""
    place = folder / "spark.socket"
    with (folder / "spark.lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        user, url = _joined(place) or _joined(_start_keeper(place)) or (None, "")
    if user is None:
        log = place.with_suffix(".log").read_text(errors="replace")
        pytest.fail(f"Spark did not start; `make servers` installs the Java that it needs:\n{log[-2000:]}")
    with user:
        yield url


def _joined(place: Path) -> tuple[socket.socket, str] | None:
    """A connection to the keeper, and the URL of its cluster; None without a keeper."""
    user = socket.socket(socket.AF_UNIX)
    user.settimeout(_START_SECONDS)
    try:
        user.connect(str(place))
        url = user.makefile(encoding="ascii").readline().strip()
    except OSError:
        url = ""
    if not url:
        user.close()
        return None
    return user, url


def _start_keeper(place: Path) -> Path:
    place.unlink(missing_ok=True)
    log, end = place.with_suffix(".log"), os.open(os.devnull, os.O_RDWR)
    with socket.socket(socket.AF_UNIX) as listener, log.open("wb") as output:
        listener.bind(str(place))
        listener.listen()
        os.set_inheritable(listener.fileno(), True)
        files = [(os.POSIX_SPAWN_DUP2, end, 0), *((os.POSIX_SPAWN_DUP2, output.fileno(), number) for number in (1, 2))]
        command = [sys.executable, "-m", "tests.integration.spark_cluster", str(listener.fileno())]
        os.posix_spawn(sys.executable, command, os.environ, file_actions=files, setsid=True)
    os.close(end)
    return place


@pytest.fixture(scope="session")
def spark_url(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[str]:
    """The master of a running cluster."""
    folder = tmp_path_factory.getbasetemp()
    with cluster_url(folder if worker_id == "master" else folder.parent) as url:
        yield url


@pytest.fixture(scope="session")
def spark(spark_url: str) -> Iterator[Engine]:
    """An engine on the cluster, with an executor on each worker."""
    engine = open_spark(spark_url, SETTINGS)
    yield engine
    engine.close()


if __name__ == "__main__":
    keep(socket.socket(fileno=int(sys.argv[1])))
