"""URLs of databases, as people write them."""

import socket
import sqlite3
import struct
import threading
from pathlib import Path

import psycopg
import pymysql
import pytest
from sqlalchemy import exc

from kubetally.domain.errors import StoreError
from kubetally.store.meta.engine import default_url, open_engine, shown
from kubetally.store.meta.faults import InvalidDatabaseUrl, translated


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("mysql://kt:s3cr3t@db/costs", "mysql+pymysql://kt:***@db/costs"),
        ("mariadb://kt:s3cr3t@db:3307/costs?ssl_ca=/ca.pem", "mariadb+pymysql://kt:***@db:3307/costs"),
        ("mariadb+mariadbconnector://kt:s3cr3t@db/costs", "mariadb+pymysql://kt:***@db/costs"),
        (" postgres://kt:s3cr3t@db/costs ", "postgresql+psycopg://kt:***@db/costs"),
        ("postgresql+asyncpg://kt@db/costs?password=s3cr3t", "postgresql+psycopg://kt@db/costs"),
    ],
)
def test_a_url_gets_our_driver_and_is_shown_without_password(given: str, seen: str) -> None:
    engine = open_engine(given)
    assert shown(engine) == seen
    assert "s3cr3t" not in repr(engine).replace("?password=s3cr3t", "")
    engine.dispose()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "costs.db",
        "oracle://kt:s3cr3t@db/costs",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite://folder/file.db",
        "sqlite:///file.db",
        "sqlite:///./folder/file.db",
        "sqlite+pysqlite:///folder/file.db",
        "postgresql://kt:s3cr3t@db",
        "postgresql://kt:s3cr3t@db:port/costs",
        "://kt:s3cr3t@db/costs",
        "postgresql://kt@db:s3cr3t/costs",
        "postgresql://kt:db:s3cr3t/costs",
        "postgresql://db:s3cr3t",
    ],
)
def test_invalid_database_url_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(InvalidDatabaseUrl, match=r"Use sqlite:////folder/file\.db") as caught:
        open_engine(url)
    assert "s3cr3t" not in str(caught.value)


def test_default_file_does_not_depend_on_the_working_directory() -> None:
    assert default_url(Path("state")) == f"sqlite:///{Path.cwd()}/state/kubetally.db"


def test_the_default_is_a_file_in_the_folder_of_local_state(tmp_path: Path) -> None:
    home = tmp_path / "ä 100%?#"
    engine = open_engine(default_url(home))
    engine.dispose()
    assert [item.name for item in home.iterdir()] == ["kubetally.db"]


def test_password_that_a_server_repeats_is_not_shown() -> None:
    """A PostgreSQL, or what poses as one, that asks for the password in plain text and quotes it."""

    def talk(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            size = struct.unpack("!i", connection.recv(4))[0]
            connection.recv(size)
            connection.sendall(b"R" + struct.pack("!ii", 8, 3))
            connection.recv(1)
            password = connection.recv(struct.unpack("!i", connection.recv(4))[0] - 4).rstrip(b"\0")
            fields = b"SFATAL\0C28P01\0Mwrong password " + password + b"\0\0"
            connection.sendall(b"E" + struct.pack("!i", 4 + len(fields)) + fields)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=talk, args=(listening,), daemon=True).start()
        port = listening.getsockname()[1]
        engine = open_engine(f"postgresql://kt:s3cr3t-of-kt@127.0.0.1:{port}/costs?sslmode=disable&gssencmode=disable")
        with pytest.raises(StoreError, match=r"wrong password \*\*\*") as caught, translated(shown(engine)):
            engine.connect()
        engine.dispose()
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "is_read_only"),
    [
        (psycopg.OperationalError("could not translate host name 'pg-read-only.internal'"), False),
        (psycopg.errors.ReadOnlySqlTransaction("cannot execute INSERT"), True),
        (pymysql.err.OperationalError(2003, "Can't connect to MySQL server on 'read-only'"), False),
        (pymysql.err.OperationalError(1290, "The server is running so that it can't execute this"), True),
        (pymysql.err.OperationalError(1792, "Cannot execute statement"), True),
        (pymysql.err.OperationalError(1836, "Running in such a mode"), True),
        (sqlite3.OperationalError("no such file /mnt/read-only/readonly.db"), False),
    ],
)
def test_read_only_server_is_recognized_by_its_code(error: Exception, is_read_only: bool) -> None:
    scheme = {"psycopg": "postgresql", "pymysql": "mariadb"}.get(type(error).__module__.partition(".")[0], "sqlite")
    with pytest.raises(StoreError) as caught, translated(f"{scheme}://db/costs"):
        raise exc.OperationalError("INSERT", {}, error)
    assert ("Nothing was changed" in str(caught.value)) == is_read_only


def test_read_only_sqlite_file_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "costs.db"
    sqlite3.connect(file).execute("CREATE TABLE t (x)")
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as opened, pytest.raises(sqlite3.OperationalError) as error:
        opened.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(StoreError, match="Make the file and its folder writable"), translated("sqlite:///costs.db"):
        raise exc.OperationalError("INSERT", {}, error.value)
