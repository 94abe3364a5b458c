"""Real databases: a SQLite file, and servers of MariaDB and PostgreSQL from Debian's packages (`make servers`).

Servers run without systemd, as users of their own, on free ports, with data in a folder that goes away with them.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psycopg
import pymysql
import pytest
from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import URL

from kubetally.store.meta.engine import connected_engine, exclusive_transaction

USER, PASSWORD = "kubetally", "p@ss/word%3A'1"
KINDS = ("sqlite", "mariadb", "postgresql")


class Server(Protocol):
    """A database server that a test may stop, and has to start again."""

    folder: Path

    def new_database(self) -> str: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def frozen(self) -> AbstractContextManager[None]: ...


@dataclass
class Database:
    """An empty database of one test."""

    kind: str
    url: str
    folder: Path
    server: Server | None = None

    def execute(self, statement: str, **parameters: object) -> list[tuple[object, ...]]:
        """Run SQL as anybody with access could; the rows, if there are any."""
        with self._connected() as connection:
            result = connection.execute(text(statement), parameters)
            return [tuple(row) for row in result] if result.returns_rows else []

    def rows(self, statement: str) -> list[dict[str, object]]:
        """The rows of a question, by column."""
        with self._connected() as connection:
            return [dict(row) for row in connection.execute(text(statement)).mappings()]

    def columns(self, table: str) -> Sequence[Mapping[str, object]]:
        """What the database says of a table's columns."""
        with self._connected() as connection:
            return inspect(connection).get_columns(table)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        with connected_engine(self.url) as engine, exclusive_transaction(engine) as connection:
            yield connection

    def raw(self) -> bytes:
        """All that its server, or SQLite, has on disk."""
        return b"".join(file.read_bytes() for file in sorted(self.folder.rglob("*")) if file.is_file())


class ServerProcess:
    """A server's process, of the user that the server's package made when root runs the tests."""

    driver: str
    needs: tuple[Path, ...]
    user: str
    not_ready: tuple[type[Exception], ...] = (pymysql.Error, psycopg.Error)

    def __init__(self) -> None:
        missing = [file for file in self.needs if not file.exists()]
        if missing:
            pytest.fail(f"{missing[0]} is missing: `make servers` installs what the tests need")
        self.as_user = self.user if os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix=f"kubetally-{self.driver}-"))
        if self.as_user:
            shutil.chown(self.folder, self.as_user, pwd.getpwnam(self.as_user).pw_gid)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None
        try:
            self.initialize()
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def initialize(self) -> None:
        raise NotImplementedError

    def command(self) -> list[str | Path]:
        raise NotImplementedError

    def connect(self) -> None:
        raise NotImplementedError

    def create(self, name: str) -> str:
        raise NotImplementedError

    def _run(self, *command: str | Path) -> subprocess.Popen[bytes]:
        # Should the tests be killed, the server goes with them.
        with self.log.open("ab") as log:
            return subprocess.Popen(
                ["/usr/bin/setpriv", "--pdeathsig", "KILL", "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C.UTF-8"},
                user=self.as_user,
                group=pwd.getpwnam(self.as_user).pw_gid if self.as_user else None,
                extra_groups=[] if self.as_user else None,
            )

    def finish(self, *command: str | Path) -> None:
        if self._run(*command).wait(60) != 0:
            pytest.fail(f"{command[0]} failed:\n{self.log.read_text(errors='replace')[-2000:]}")

    def start(self) -> None:
        self.process = self._run(*self.command())
        until = time.monotonic() + 30
        while True:
            try:
                return self.connect()
            except self.not_ready:
                if self.process.poll() is not None or time.monotonic() > until:
                    pytest.fail(f"{self.driver} did not start:\n{self.log.read_text(errors='replace')[-2000:]}")
                time.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    stop_signal = signal.SIGTERM

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """A server that takes connections and answers nothing: all of its processes are stopped, until the end."""
        assert self.process is not None
        # The first process goes first, so that it starts no others meanwhile.
        stopped = [self.process.pid]
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            for pid in children(self.process.pid):
                os.kill(pid, signal.SIGSTOP)
                stopped.append(pid)
            while not all(map(is_stopped, stopped)):
                time.sleep(0.01)
            yield
        finally:
            for pid in stopped:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def new_database(self) -> str:
        name = f"t{uuid.uuid4().hex[:12]}"
        self.create(name)
        return URL.create(self.driver, USER, PASSWORD, "127.0.0.1", self.port, name).render_as_string(
            hide_password=False
        )

    def close(self) -> None:
        self.stop_signal = signal.SIGKILL  # nothing is to be kept
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def children(pid: int) -> list[int]:
    """The processes that a process started and that still run."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]


def is_stopped(pid: int) -> bool:
    """Whether each thread of a process that was sent SIGSTOP has stopped, or has ended."""
    states = []
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(OSError):
            states.append(task.read_text("ascii", "replace").rpartition(")")[2].split()[0])
    return set(states) <= {"T", "Z", "X"}


class MariaDb(ServerProcess):
    """MariaDB."""

    driver, user = "mariadb", "mysql"
    needs = (Path("/usr/sbin/mariadbd"), Path("/usr/bin/mariadb-install-db"))

    def initialize(self) -> None:
        first = self.folder / "first.sql"
        first.write_text(
            f"CREATE USER IF NOT EXISTS {USER}@'%' IDENTIFIED BY '{PASSWORD.replace(chr(39), chr(39) * 2)}';\n"
            f"GRANT ALL ON *.* TO {USER}@'%' WITH GRANT OPTION;\n",
            encoding="utf-8",
        )
        self.finish(
            self.needs[1],
            "--no-defaults",
            f"--datadir={self.data}",
            f"--tmpdir={self.folder}",  # another server that starts removes the temporary tables of /tmp
            "--skip-test-db",
            "--skip-name-resolve",
        )

    def command(self) -> list[str | Path]:
        return [
            self.needs[0],
            "--no-defaults",
            f"--datadir={self.data}",
            f"--socket={self.folder / 'socket'}",
            f"--tmpdir={self.folder}",  # that of the machine is shared with other servers
            f"--port={self.port}",
            f"--init-file={self.folder / 'first.sql'}",
            f"--pid-file={self.folder / 'pid'}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--innodb-flush-log-at-trx-commit=2",  # on disk, without waiting for it
            "--innodb-log-file-size=8M",
            "--innodb-buffer-pool-size=32M",
        ]

    def connect(self) -> None:
        pymysql.connect(host="127.0.0.1", port=self.port, user=USER, password=PASSWORD).close()

    def create(self, name: str) -> str:
        connection = pymysql.connect(host="127.0.0.1", port=self.port, user=USER, password=PASSWORD)
        # Latin, as old servers have it: the tables have to say what they need.
        connection.cursor().execute(f"CREATE DATABASE {name} CHARACTER SET latin1")
        connection.close()
        return name


class PostgreSql(ServerProcess):
    """PostgreSQL."""

    driver, user = "postgresql", "postgres"
    stop_signal = signal.SIGINT  # that is, without waiting for clients

    def __init__(self) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda item: int(item.parent.name))
        folder = found[-1] if found else Path("/usr/lib/postgresql/bin")
        self.needs = (folder / "postgres", folder / "initdb")
        super().__init__()

    def initialize(self) -> None:
        secret = self.folder / "password"
        secret.write_text(PASSWORD, encoding="utf-8")
        self.finish(
            self.needs[1],
            *("-D", self.data, "-U", USER, "-A", "scram-sha-256", "--pwfile", secret),
            *("--encoding=UTF8", "--locale=C.UTF-8", "--wal-segsize=1", "--no-sync"),
        )
        secret.unlink()

    def command(self) -> list[str | Path]:
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self.folder}"]
        return [
            self.needs[0],
            "-D",
            self.data,
            *(part for item in (*settings, "fsync=off", "max_connections=50") for part in ("-c", item)),
        ]

    def _connection(self) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, dbname="postgres", autocommit=True
        )

    def connect(self) -> None:
        self._connection().close()

    def create(self, name: str) -> str:
        with self._connection() as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return name


@pytest.fixture(scope="session")
def server_of() -> Iterator[Callable[[str], Server]]:
    """The server of a kind, started at the first call and stopped after the last test."""
    running: dict[str, ServerProcess] = {}

    def get(kind: str) -> Server:
        if kind not in running:
            running[kind] = MariaDb() if kind == "mariadb" else PostgreSql()
        return running[kind]

    yield get
    for item in running.values():
        with suppress(Exception):
            item.close()


def new_database(kind: str, server_of: Callable[[str], Server], tmp_path: Path) -> Database:
    if kind == "sqlite":
        folder = tmp_path / "sqlite"
        folder.mkdir(parents=True)
        return Database(kind, f"sqlite:///{folder}/100% größe.db", folder)
    server = server_of(kind)
    return Database(kind, server.new_database(), server.folder, server)


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, server_of: Callable[[str], Server], tmp_path: Path) -> Database:
    """An empty database, of each kind in turn."""
    return new_database(request.param, server_of, tmp_path)


@pytest.fixture(params=KINDS[1:])
def served_database(request: pytest.FixtureRequest, server_of: Callable[[str], Server], tmp_path: Path) -> Database:
    """An empty database of each server in turn."""
    return new_database(request.param, server_of, tmp_path)


@pytest.fixture(params=KINDS)
def other_database(request: pytest.FixtureRequest, server_of: Callable[[str], Server], tmp_path: Path) -> Database:
    """An empty database of each kind in turn, beside `database`."""
    return new_database(request.param, server_of, tmp_path / "other")
