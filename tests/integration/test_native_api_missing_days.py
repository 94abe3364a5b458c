"""An answer that lacks days or hours says how many of which accounts, whether these were ever tried or not."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from kubetally.domain.collection import NO_DATA
from kubetally.domain.window import HOUR, Window
from tests.cluster_days import DAY, cluster_day
from tests.native import COLLECTED, ONE, TWO, Home, body_of
from tests.served import NOON_AFTER

PATHS = ("costs", "clusters", "coverage", "assets", "balance", "explain", "labels")
NEXT, TODAY = DAY + timedelta(days=1), NOON_AFTER.date()
WHICH = "no data: `kubetally coverage` shows which"
BACKFILL = ", `kubetally backfill` collects past days"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def store(home: Home, account_id: str, *days: date) -> None:
    home.store(*(cluster_day(account_id, day=day, collected_at=COLLECTED) for day in days))


def gaps(client: TestClient[Any], path: str = "costs", **parameters: str) -> list[dict[str, Any]]:
    """The issues of an answer that say that data is missing."""
    return [issue for issue in body_of(client, path, **parameters)["issues"] if issue["is_missing_data"]]


def messages(client: TestClient[Any], path: str = "costs", **parameters: str) -> list[str]:
    return [issue["message"] for issue in gaps(client, path, **parameters)]


@pytest.mark.parametrize("path", PATHS)
def test_days_that_were_never_tried_are_missing(client: TestClient[Any], path: str) -> None:
    (issue,) = gaps(client, path, start="2026-11-15")
    assert issue["message"] == f"12 days of cluster-1, cluster-2 have {WHICH}{BACKFILL}"
    assert (issue["kind"], issue["accounts"], issue["days"]) == ("window_without_data", sorted([ONE, TWO]), 12)
    assert (issue["start"], issue["end"]) == ("2026-11-15T00:00:00Z", "2026-11-22T00:00:00Z")


def test_comparison_names_the_days_of_each_period(client: TestClient[Any]) -> None:
    its = gaps(client, "compare", before_start="2026-11-18", before_end="2026-11-21")
    named = {(issue["start"][:10], issue["days"]) for issue in its if WHICH in issue["message"]}
    assert named == {("2026-11-21", 2), ("2026-11-18", 4)}


def test_window_with_all_its_days_lacks_nothing(home: Home, client: TestClient[Any]) -> None:
    store(home, ONE, NEXT)
    store(home, TWO, NEXT)
    assert not gaps(client)


def test_hours_that_are_not_over_are_not_missing(client: TestClient[Any]) -> None:
    today = {"start": "2026-11-20", "end": "2026-11-24", "filter": f'cluster:"{ONE}"'}
    assert messages(client, **today) == [f"2 days and 12 hours of cluster-1 have {WHICH}{BACKFILL}"]
    assert not gaps(client, end="2026-11-21")


def test_hours_that_a_running_day_lacks_are_missing(home: Home, client: TestClient[Any]) -> None:
    copy = cluster_day(ONE, day=TODAY, is_running=True, collected_at=NOON_AFTER - HOUR)
    span = Window(NOON_AFTER - 12 * HOUR, NOON_AFTER - HOUR)
    head = replace(copy.collection.head, window=span, covered=(span,))
    home.store(replace(copy, collection=replace(copy.collection, head=head)))
    today = {"start": f"{TODAY}", "end": "2026-11-24", "filter": f'cluster:"{ONE}"'}
    assert messages(client, **today) == [f"1 hour of cluster-1 has {WHICH}"]


def test_day_that_failed_is_named_once(home: Home, client: TestClient[Any]) -> None:
    home.coverage.failed(ONE, NEXT, NOON_AFTER, code=NO_DATA, message="the source has no data")
    assert messages(client) == [
        f"1 day of cluster-2 has {WHICH}{BACKFILL}",
        "1 day could not be collected: the source has no data",
    ]


def test_days_after_the_removal_of_an_account_are_not_missing(home: Home, client: TestClient[Any]) -> None:
    home.accounts.remove(ONE)
    assert [issue["accounts"] for issue in gaps(client)] == [[TWO]]


def test_days_at_an_instant_say_when_they_were_missing(client: TestClient[Any]) -> None:
    as_of = "2026-11-23T11:00:00Z"
    assert messages(client, as_of=as_of) == [f"2 days of cluster-1, cluster-2 had no data at {as_of}"]


def test_answer_changes_once_a_missing_day_is_stored(home: Home, client: TestClient[Any]) -> None:
    assert [issue["accounts"] for issue in gaps(client)] == [sorted([ONE, TWO])]
    store(home, ONE, NEXT)
    assert [issue["accounts"] for issue in gaps(client)] == [[TWO]]
