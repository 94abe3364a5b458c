"""`/api/v1/compare`: what changed between two periods, and why."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from tests.cluster_days import DAY, cluster_day
from tests.native import ONE, TWO, Home, body_of, money, native_client

NOW = {"start": "2026-11-21", "end": "2026-11-22"}
BEFORE = {"start": "2026-11-20", "end": "2026-11-21"}
GROUPS = ["", "namespace", "component", "cluster", "label:app", "cluster,namespace,pod", "cluster,namespace,component"]
PARTS = ("usage", "price", "new", "gone")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.store(cluster_day(ONE, day=DAY + timedelta(days=1)))
    home.store(cluster_day(TWO, day=DAY + timedelta(days=1)))
    return home


def get(client: TestClient[Any], path: str = "compare", **parameters: Any) -> dict[str, Any]:
    return body_of(client, path, **parameters)


def identity(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row["key"].values()), row["kind"], row["cloud_account_id"]


@pytest.mark.parametrize("group", GROUPS)
def test_reasons_of_a_row_sum_to_its_change(client: TestClient[Any], group: str) -> None:
    body = get(client, **NOW, group=group, limit=10_000)
    before, now = (get(client, "costs", **days, group=group, limit=10_000) for days in (BEFORE, NOW))
    was, then = ({identity(row): money(row["total_cost"]) for row in costs["rows"]} for costs in (before, now))
    assert {identity(row) for row in body["rows"]} == was.keys() | then.keys()
    for row in body["rows"]:
        key = identity(row)
        assert (money(row["before"]), money(row["now"])) == (was.get(key, 0), then.get(key, 0))
        if key not in was:
            assert row["new"] == row["change"]
        if key not in then:
            assert row["gone"] == row["change"]
    for name in ("before", "now", "change", *PARTS):
        assert sum(money(row[name]) for row in body["rows"]) == money(body["total"][name])
    for row in (*body["rows"], body["total"]):
        change = money(row["now"]) - money(row["before"])
        assert change == money(row["change"]) == sum(money(row[part]) for part in PARTS)
    assert money(body["total"]["before"]) == money(before["total"]["total_cost"])
    assert money(body["total"]["now"]) == money(now["total"]["total_cost"])


def test_usage_is_quantity_at_the_price_before(client: TestClient[Any]) -> None:
    text = 'component:"cpu"+kind:"workload"'
    row = get(client, **NOW, filter=text)["total"]
    before, now = (get(client, "costs", **days, filter='kind:"workload"')["total"] for days in (BEFORE, NOW))
    used, was = now["cpu_core_hours"], before["cpu_core_hours"]
    assert row["usage"] == pytest.approx((used - was) * before["cpu_cost"] / was, abs=1e-6)


def test_largest_change_comes_first_and_pages_have_all_rows(client: TestClient[Any]) -> None:
    whole = get(client, **NOW, group="namespace,pod", limit=10_000)
    changes = [abs(row["change"]) for row in whole["rows"] if row["kind"] == "workload"]
    assert changes == sorted(changes, reverse=True)
    assert whole["question"]["order"] == ["-absolute_change"]
    page = get(client, **NOW, group="namespace,pod", limit=3)
    rows = list(page["rows"])
    while page["next"]:
        page = get(client, **NOW, group="namespace,pod", limit=3, cursor=page["next"])
        rows += page["rows"]
    assert rows == whole["rows"]
    assert whole["count"] == len(changes)


def test_top_folds_the_rest_with_its_reasons(client: TestClient[Any]) -> None:
    body = get(client, **NOW, group="namespace,pod", top=2, order="-now")
    assert [row["kind"] for row in body["rows"] if row["kind"] in ("workload", "rest")] == [*["workload"] * 2, "rest"]
    for name in ("before", "now", "change", *PARTS):
        assert sum(money(row[name]) for row in body["rows"]) == money(body["total"][name])


def test_period_before_may_be_any(client: TestClient[Any]) -> None:
    swapped = get(client, **BEFORE, before_start=NOW["start"], before_end=NOW["end"], group="cluster,pod", limit=10_000)
    usual = get(client, **NOW, group="cluster,pod", limit=10_000)
    assert (usual["question"]["before_start"], usual["question"]["before_end"]) == (
        "2026-11-20T00:00:00Z",
        "2026-11-21T00:00:00Z",
    )
    changes = {identity(row): money(row["change"]) for row in usual["rows"]}
    assert {identity(row): -money(row["change"]) for row in swapped["rows"]} == changes


def test_period_without_data_is_null(client: TestClient[Any]) -> None:
    body = get(client, **BEFORE, group="namespace")
    assert body["before"]["coverage"]["hours_covered"] == 0
    for row in (*body["rows"], body["total"]):
        assert row["now"] is not None
        assert [row[name] for name in ("before", "change", *PARTS)] == [None] * 6


def test_missing_days_of_a_period_are_an_issue(home: Home, client: TestClient[Any]) -> None:
    home.store(cluster_day(TWO, day=DAY - timedelta(days=1)))
    days = {"start": "2026-11-20", "end": "2026-11-22", "before_start": "2026-11-19", "before_end": "2026-11-20"}
    only_two = get(client, **days, filter=f'cluster:"{TWO}"', group="namespace")
    assert "unequal_coverage" not in {issue["kind"] for issue in only_two["issues"]}
    body = get(client, **days | {"before_start": "2026-11-18"}, filter=f'cluster:"{TWO}"')
    (issue,) = (issue for issue in body["issues"] if issue["kind"] == "unequal_coverage")
    assert (issue["accounts"], issue["days"], issue["is_missing_data"]) == ([TWO], 2, False)
    assert "24 of 48 hours before and 48 of 48 now" in issue["message"]


def test_account_without_data_in_a_period_is_null_there_and_named(home: Home) -> None:
    home.store(cluster_day(ONE, day=DAY - timedelta(days=1)))
    with native_client(home) as client:
        body, by_pod = (get(client, **BEFORE, group=group, limit=10_000) for group in ("cluster", "cluster,pod"))
        swapped = get(client, start="2026-11-19", end="2026-11-20", before_start="2026-11-20", before_end="2026-11-21")
    for row in (*body["rows"], *by_pod["rows"]):
        is_known = row["cloud_account_id"] == ONE
        assert all((row[name] is not None) is is_known for name in ("before", "change", *PARTS))
    rows = {row["cloud_account_id"]: row for row in body["rows"]}
    assert money(body["total"]["new"]) == money(rows[TWO]["now"]) > 0
    assert body["total"]["before"] == rows[ONE]["before"]
    issue = body["issues"][0]
    assert (issue["kind"], issue["accounts"], issue["days"]) == ("window_without_data", [TWO], 1)
    assert (issue["start"], issue["end"]) == ("2026-11-19T00:00:00Z", "2026-11-20T00:00:00Z")
    assert "the period before has no covered hour of 1 account" in issue["message"]
    assert swapped["issues"][0]["message"].startswith("now has no covered hour of 1 account")


@pytest.mark.parametrize(
    ("parameters", "parameter"),
    [
        ({"step": "day"}, "step"),
        ({"order": "-total_cost"}, "order"),
        ({"before_start": "2026-11-18"}, "before_end"),
        ({"before_start": "2026-11-18T12:00:00Z", "before_end": "2026-11-19"}, "before_start"),
        ({"before_start": "2026-11-19", "before_end": "2026-11-18"}, "before_end"),
        ({"start": "1970-01-01", "end": "9999-01-01"}, "start"),
    ],
)
def test_bad_question_names_the_parameter(client: TestClient[Any], parameters: dict[str, Any], parameter: str) -> None:
    response = client.get("/api/v1/compare", params=NOW | parameters)
    assert (response.status_code, response.json()["parameter"]) == (400, parameter), response.text
