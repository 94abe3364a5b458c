"""A database server that is frozen: it takes connections, and answers nothing."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import psycopg
from sqlalchemy import text

from kubetally.samples.replay import ReplayServer
from kubetally.store.meta.engine import open_engine
from kubetally.store.meta.faults import translated
from tests.errors import raises_code
from tests.integration.databases import Database, served_database, server_of
from tests.integration.test_accounts_command import GIVEN, Home, home
from tests.integration.test_serve_command import DAY_S, PATH, SECRET, E, Program, S, eventually, serve, start

__all__ = ["home", "serve", "served_database", "server_of", "start"]
LIMIT_SECONDS = 20  # for the whole of a slow machine; a driver without limits hangs for a minute, or for ever


def test_frozen_database_gives_cached_answers_or_503_within_5_s(
    serve: Callable[..., Program], home: Home, replay: ReplayServer, served_database: Database
) -> None:
    there = {"KUBETALLY_DATABASE_URL": served_database.url}
    account_id = replace(home, settings=there).add("prod", "--url", replay.url_of("aurora"))
    program = serve("--no-collector", KUBETALLY_SECRET=SECRET, **there)
    assert served_database.server is not None
    with httpx.Client(base_url=program.url, headers={"Secret": SECRET}, timeout=LIMIT_SECONDS) as client:

        def ask(account_id: str = account_id, start: int = S) -> httpx.Response:
            return client.get(PATH, params={"cloud_account_id": account_id, "start_date": start, "end_date": E})

        fresh = ask()
        assert fresh.status_code == 200
        assert "\nkubetally_clusters 1.0\n" in client.get("/metrics").text
        page = {"window": "2026-11-20,2026-11-23"}
        assert "247.45" in client.get("/", params=page).text
        with served_database.server.frozen(), ThreadPoolExecutor(12) as many:
            remembered = [many.submit(ask) for _ in range(24)]
            others = [many.submit(ask, start=S + DAY_S) for _ in range(6)]
            unknown = [many.submit(ask, GIVEN) for _ in range(6)]
            for answer in (future.result() for future in remembered):
                assert (answer.status_code, answer.content) == (200, fresh.content)
                assert answer.headers["x-kubetally-cache"] == "hit"
                assert int(answer.headers["age"]) >= 0
            for answer in (future.result() for future in (*others, *unknown)):
                assert answer.status_code == 503
                assert answer.json()["error"]["error_code"] == "U0503"
                assert answer.headers["x-kubetally-error"] in {"database_silent", "store_unavailable"}
                assert answer.headers["retry-after"] == "5"
            assert ask().status_code == 200
            assert "247.45" in client.get("/", params=page).text
            assert client.get("/healthz").status_code == 200
            answer = client.get("/readyz")
            assert (answer.status_code, answer.json()["problems"]) == (503, ["database_unreadable"])
            figures = client.get("/metrics").text
            assert "\nkubetally_clusters 1.0\n" in figures
            assert "\nkubetally_collecting_age_seconds " in figures
        eventually(lambda: ask(start=S + DAY_S).status_code == 200)
        assert ask(GIVEN).status_code == 404
    assert "database_silent" in program.err
    assert program.stop() == 0


def test_a_silent_server_ends_the_connection_within_its_limit(served_database: Database) -> None:
    """Whether a statement is under way or the server is frozen before: no thread hangs for longer."""
    engine = open_engine(served_database.url, answer_seconds=1)
    sleep = "SELECT pg_sleep(20)" if served_database.kind == "postgresql" else "SELECT SLEEP(20)"
    with raises_code("store_unavailable"), translated("the database"), engine.connect() as connection:
        connection.execute(text(sleep))
    assert served_database.server is not None
    with translated("the database"), engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    with served_database.server.frozen(), raises_code("store_unavailable"), translated("the database"):
        engine.connect()
    with translated("the database"), engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    engine.dispose()


def test_writers_of_postgresql_wait_longer_than_its_own_limit(served_database: Database) -> None:
    engine = open_engine(served_database.url)
    with engine.connect() as connection:
        if served_database.kind == "postgresql":
            assert isinstance(connection.connection.dbapi_connection, psycopg.Connection)
            assert connection.execute(text("SHOW statement_timeout")).scalar() == "1min"
        else:
            limit = connection.execute(text("SELECT @@innodb_lock_wait_timeout")).scalar()
            assert limit == 30
    engine.dispose()
