"""What a client or the service has already is not computed again, and never stays when it changes."""

from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from ibis import ir

from kubetally.query.answers import LedgerAnswers
from kubetally.query.duck import DuckEngine
from kubetally.query.reader import LedgerReader
from tests.cluster_days import cluster_day
from tests.kept import Away
from tests.native import DAYS, ONE, Home, native_client
from tests.served import NOON_AFTER, FixedClock
from tests.service import SECRET, cost_service, serving

FROM_DATABASE = ("clusters", "coverage")
PATHS = ["costs", "compare", "assets", "labels", "clusters", "coverage", "balance"]


@dataclass
class Counted:
    """Opens an engine that counts what it runs. failures: how many runs fail first."""

    runs: list[ir.Table] = field(default_factory=list)
    failures: int = 0

    def __call__(self) -> DuckEngine:
        return _CountingEngine(self)


class _CountingEngine(DuckEngine):
    def __init__(self, counted: Counted) -> None:
        super().__init__()
        self._counted = counted

    def run(self, expression: ir.Table) -> Any:
        self._count(expression)
        return super().run(expression)

    def run_prepared(self, rows: ir.Table, key: Hashable, build: Callable[[ir.Table], ir.Table]) -> Any:
        self._count(rows)
        return super().run_prepared(rows, key, build)

    def _count(self, expression: ir.Table) -> None:
        self._counted.runs.append(expression)
        if len(self._counted.runs) <= self._counted.failures:
            raise Away("the engine is away")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@contextmanager
def asking(home: Home, engine: Counted) -> Iterator[Any]:
    """Asks a path of the native API, with the tag of an answer that the client has."""
    with native_client(home, engine) as client:

        def ask(path: str, tag: str = "", **parameters: object) -> httpx.Response:
            headers = {"If-None-Match": tag} if tag else {}
            response = client.get(f"/api/v1/{path}", params=DAYS | parameters, headers=headers)
            assert response.status_code in {200, 304}, response.text
            return response

        yield ask


@pytest.mark.parametrize("path", PATHS)
def test_client_with_the_answer_is_told_so_without_a_query(home: Home, path: str) -> None:
    engine = Counted()
    with asking(home, engine) as ask:
        tag = ask(path).headers["etag"]
    engine.runs.clear()
    with asking(home, engine) as ask:
        for header in (tag, f"W/{tag}", f'"other", {tag}'):
            again = ask(path, header)
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
            assert again.headers["cache-control"] == "private, no-cache"
    assert engine.runs == []


@pytest.mark.parametrize("path", PATHS)
def test_same_question_of_the_same_ledger_is_computed_once(home: Home, path: str) -> None:
    engine = Counted()
    with asking(home, engine) as ask:
        first = ask(path)
        count = len(engine.runs)
        assert ask(path).content == first.content
        assert len(engine.runs) == count
        assert bool(count) is (path not in FROM_DATABASE)


@pytest.mark.parametrize("path", PATHS)
def test_tag_differs_once_the_answer_may(home: Home, path: str) -> None:
    with asking(home, Counted()) as ask:
        tags = [ask(path).headers["etag"]]
        home.store(cluster_day(ONE, 1))
        tags.append(ask(path).headers["etag"])
        home.accounts.accounts[0] = replace(home.accounts.accounts[0], name="renamed")
        tags.append(ask(path).headers["etag"])
        home.coverage.failed(ONE, date(2026, 11, 21), NOON_AFTER, code="x", message="y")
        tags.append(ask(path).headers["etag"])
        tags += [ask(path, start="2026-11-19").headers["etag"], ask(path, limit=1).headers["etag"]]
    assert len(set(tags)) == len(tags)


def test_each_page_and_order_has_its_tag(home: Home) -> None:
    with asking(home, Counted()) as ask:
        first = ask("costs", group="pod", limit=3)
        cursor = first.json()["next"]
        second = ask("costs", group="pod", limit=3, cursor=cursor)
        ordered = ask("costs", group="pod", limit=3, order="pod")
        assert len({page.headers["etag"] for page in (first, second, ordered)}) == 3
        assert ask("costs", second.headers["etag"], group="pod", limit=3, cursor=cursor).status_code == 304


def test_tag_of_a_window_that_runs_changes_every_hour(home: Home) -> None:
    tags = []
    for minutes in (0, 59, 60):
        home.clock = FixedClock(NOON_AFTER + timedelta(minutes=minutes))
        with asking(home, Counted()) as ask:
            tags.append([ask("costs", end=end).headers["etag"] for end in ("2026-11-22", "2026-11-24")])
    (over, running), (still_over, still_running), (later_over, later_running) = tags
    assert over == still_over == later_over
    assert running == still_running != later_running


@pytest.mark.parametrize("path", PATHS)
def test_pages_are_of_one_ledger_or_gone(home: Home, path: str) -> None:
    group = {"group": "pod"} if path in {"costs", "compare"} else {}
    with asking(home, Counted()) as ask:
        expected = _pages(ask, path, **group)
        first = ask(path, limit=1, **group).json()
        home.store(cluster_day(ONE, 1))
        assert _pages(ask, path, first["next"], **group) == expected[1:]
        assert _pages(ask, path, **group) != expected
    parameters = DAYS | group | {"limit": 1, "cursor": first["next"]}
    with native_client(home) as client:  # which has kept nothing
        gone = client.get(f"/api/v1/{path}", params=parameters)
    assert (gone.status_code, gone.json()["code"]) == (410, "pages_gone")


def _pages(ask: Callable[..., httpx.Response], path: str, cursor: str | None = None, **parameters: str) -> list[Any]:
    """All pages of a row each, from a cursor on; all from the first without one."""
    pages = []
    while cursor or not pages:
        page = ask(path, limit=1, **parameters, **({"cursor": cursor} if cursor else {})).json()
        pages.append(page)
        cursor = page["next"]
    return pages


def test_further_page_outlives_a_restart_but_not_a_change(home: Home) -> None:
    with asking(home, Counted()) as ask:
        cursor = ask("costs", group="pod", limit=3).json()["next"]
        expected = ask("costs", group="pod", limit=3, cursor=cursor).content
    with asking(home, Counted()) as ask:
        assert ask("costs", group="pod", limit=3, cursor=cursor).content == expected
    home.store(cluster_day(ONE, 1))
    with native_client(home) as client:
        gone = client.get("/api/v1/costs", params=DAYS | {"group": "pod", "limit": 3, "cursor": cursor})
    assert (gone.status_code, gone.json()["code"]) == (410, "pages_gone")
    assert "begin again" in gone.json()["detail"]


def test_many_clients_who_ask_the_same_compute_it_once(home: Home) -> None:
    engine = Counted()
    with (
        LedgerReader(home, engine) as reader,
        serving(cost_service(home.accounts), ledger=LedgerAnswers(reader)) as url,
        httpx.Client(base_url=url, headers={"Secret": SECRET}, params=DAYS | {"group": "pod"}) as client,
        ThreadPoolExecutor(20) as threads,
    ):
        bodies = set(threads.map(lambda _: client.get("/api/v1/costs").raise_for_status().content, range(50)))
    assert len(bodies) == len(engine.runs) == 1


def test_failed_answer_is_not_kept(home: Home) -> None:
    engine = Counted(failures=1)
    with native_client(home, engine) as client:
        assert client.get("/api/v1/costs", params=DAYS).status_code == 503
        assert client.get("/api/v1/costs", params=DAYS).status_code == 200
