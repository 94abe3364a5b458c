"""An answer without any stored day says why, and what to do."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from kubetally.domain.collection import NO_DATA
from tests.cluster_days import DAY, cluster_day
from tests.native import COLLECTED, ONE, TWO, Home, body_of
from tests.served import NOON_AFTER

PATHS = ("costs", "compare", "clusters", "coverage", "assets", "balance", "explain", "labels")
NO_ACCOUNTS = "there are no accounts: add one with `kubetally accounts add NAME --url URL`"
NOTHING_YET = (
    "nothing is collected yet: `kubetally serve` stores the first days within minutes, `kubetally collect` at once"
)
BEFORE = {"start": "2026-11-13", "end": "2026-11-16"}
AFTER = {"start": "2026-11-22", "end": "2026-11-24"}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path, is_collected=False)


def store(home: Home) -> None:
    home.store(*(cluster_day(each, collected_at=COLLECTED) for each in (ONE, TWO)))


def causes(body: dict[str, Any]) -> list[tuple[str, str]]:
    """The kinds and messages of issues that say that data is missing."""
    return [(issue["kind"], issue["message"]) for issue in body["issues"] if issue["is_missing_data"]]


@pytest.mark.parametrize("path", PATHS)
def test_no_account_says_how_to_add_one(home: Home, client: TestClient[Any], path: str) -> None:
    home.accounts.accounts.clear()
    assert causes(body_of(client, path)) == [("nothing_collected", NO_ACCOUNTS)]
    assert causes(body_of(client, path, filter='cluster:"one"')) == [("nothing_collected", NO_ACCOUNTS)]


@pytest.mark.parametrize("path", PATHS)
def test_accounts_without_any_day_say_how_they_are_collected(client: TestClient[Any], path: str) -> None:
    body = body_of(client, path)
    assert causes(body) == [("nothing_collected", NOTHING_YET)]
    assert body["issues"][0]["accounts"] == sorted([ONE, TWO])
    assert body_of(client, path, filter=f'cluster:"{ONE}"')["issues"][0]["accounts"] == [ONE]


@pytest.mark.parametrize("path", PATHS)
def test_window_before_all_stored_days_names_these(home: Home, client: TestClient[Any], path: str) -> None:
    store(home)
    home.store(cluster_day(ONE, day=DAY + timedelta(days=1), collected_at=COLLECTED))
    body = body_of(client, path, **BEFORE)
    words = "is stored; all stored days are within 20-21 Nov 2026 UTC: `kubetally backfill` collects past days"
    assert causes(body)[0] == ("window_without_data", f"no day of 13-15 Nov 2026 UTC {words}")
    assert (body["issues"][0]["start"], body["issues"][0]["days"]) == ("2026-11-13T00:00:00Z", 6)
    of_two = body_of(client, path, **BEFORE, filter=f'cluster:"{TWO}"')
    assert "within 20 Nov 2026 UTC" in causes(of_two)[0][1]


def test_window_behind_all_stored_days_asks_to_collect(home: Home, client: TestClient[Any]) -> None:
    store(home)
    words = "is stored; all stored days are within 20 Nov 2026 UTC: `kubetally collect` collects what is due"
    message = f"no day of 22-23 Nov 2026 UTC {words}"
    assert causes(body_of(client, "costs", **AFTER)) == [("window_without_data", message)]


def test_day_that_failed_says_that_it_did(home: Home, client: TestClient[Any]) -> None:
    home.coverage.failed(ONE, DAY, NOON_AFTER, code=NO_DATA, message="the source has no data")
    words = "1 day could not be collected: the source has no data"
    assert causes(body_of(client, "costs", end="2026-11-21", filter=f'cluster:"{ONE}"')) == [("source_failed", words)]


def test_instant_before_the_first_collection_asks_for_a_later_one(home: Home, client: TestClient[Any]) -> None:
    store(home)
    words = "no day of 20-21 Nov 2026 UTC was stored at 2026-11-22T00:00:00Z: use a later instant"
    assert causes(body_of(client, "costs", as_of="2026-11-22")) == [("window_without_data", words)]


def test_filter_that_no_account_passes_is_all_that_is_wrong(client: TestClient[Any]) -> None:
    body = body_of(client, "costs", filter='cluster:"nosuch"')
    assert [issue["kind"] for issue in body["issues"]] == ["no_match"]


def test_days_of_other_currencies_are_stored_days(home: Home, client: TestClient[Any]) -> None:
    store(home)
    assert not causes(body_of(client, "costs", filter='currency!:"USD"'))


def test_answer_changes_once_other_days_are_stored(home: Home, client: TestClient[Any]) -> None:
    first = client.get("/api/v1/costs", params=BEFORE)
    store(home)
    then = client.get("/api/v1/costs", params=BEFORE, headers={"If-None-Match": first.headers["ETag"]})
    assert then.status_code == 200
    assert causes(then.json())[0][0] == "window_without_data"


def test_removed_accounts_are_none_to_collect(home: Home, client: TestClient[Any]) -> None:
    for account in list(home.accounts.accounts):
        home.accounts.remove(account.id)
    assert causes(body_of(client, "costs")) == [("nothing_collected", NO_ACCOUNTS)]
