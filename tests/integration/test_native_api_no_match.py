"""A filter or a shared name that matches nothing is an issue: the figures alone do not show a typing error."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from tests.cluster_days import DAY, cluster_day
from tests.native import ONE, TWO, Home, body_of

NO_ROW, NO_ACCOUNT = "no row of the window passes the filter", "no account passes the filter"
BEFORE = {"before_start": "2026-11-18", "before_end": "2026-11-20"}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def unmatched(body: dict[str, Any]) -> list[str]:
    assert not [issue for issue in body["issues"] if issue["kind"] == "no_match" and issue["is_missing_data"]]
    return [issue["message"] for issue in body["issues"] if issue["kind"] == "no_match"]


@pytest.mark.parametrize("path", ["costs", "explain", "labels", "assets"])
def test_filter_that_leaves_no_row_is_an_issue(client: TestClient[Any], path: str) -> None:
    body = body_of(client, path, filter='namespace:"nosuch"')
    assert unmatched(body) == [NO_ROW]
    assert not body.get("rows")
    assert not unmatched(body_of(client, path, filter='namespace!:"nosuch"'))
    assert not unmatched(body_of(client, path))


@pytest.mark.parametrize("group", ["", "namespace", "component", "cluster"])
@pytest.mark.parametrize("idle", ["separate", "weighted", "none"])
def test_no_row_costs_nothing_whatever_the_group(client: TestClient[Any], group: str, idle: str) -> None:
    body = body_of(client, "costs", group=group, idle=idle, filter='namespace:"nosuch"')
    assert (body["rows"], body["total"]["total_cost"], unmatched(body)) == ([], 0, [NO_ROW])


@pytest.mark.parametrize("path", ["costs", "explain", "labels", "assets", "balance", "clusters", "coverage"])
def test_filter_that_leaves_no_account_is_an_issue(client: TestClient[Any], path: str) -> None:
    assert unmatched(body_of(client, path, filter='cluster:"nosuch"')) == [NO_ACCOUNT]
    assert not unmatched(body_of(client, path, filter=f'cluster:"{ONE}"'))


def test_window_without_stored_days_has_no_row_to_miss(client: TestClient[Any]) -> None:
    body = body_of(
        client, "costs", start="2026-11-01", end="2026-11-03", filter='namespace:"shop"', share_namespaces="shop"
    )
    assert not unmatched(body)


def test_shared_names_without_a_workload_are_named(client: TestClient[Any]) -> None:
    shared = {"share_namespaces": "team-00,kube-systen", "share_labels": "app:app-0,app:nosuch"}
    messages = [
        "no workload of the window is in the shared namespace 'kube-systen'",
        "no workload of the window has the shared label 'app:nosuch'",
    ]
    for path in ("costs", "explain"):
        assert unmatched(body_of(client, path, **shared)) == messages
    assert unmatched(body_of(client, "costs", group="namespace", share_namespaces="kube-systen")) == messages[:1]
    known = {"share_namespaces": "team-00", "share_labels": "app:app-0"}
    assert not unmatched(body_of(client, "costs", **known, filter='namespace:"team-04"'))


def test_comparison_has_no_issue_of_what_one_period_has(home: Home, client: TestClient[Any]) -> None:
    home.store(*(cluster_day(each, day=DAY - timedelta(days=1), pods=1) for each in (ONE, TWO)))
    gone = body_of(client, "compare", **BEFORE, filter='namespace:"nosuch"', share_namespaces="nosuch")
    assert unmatched(gone) == [NO_ROW, "no workload of the window is in the shared namespace 'nosuch'"]
    new = body_of(client, "compare", **BEFORE, group="namespace", filter='namespace:"team-04"')
    assert [(row["before"], row["new"]) for row in new["rows"]] == [(0, new["total"]["now"])]
    assert not unmatched(new)
    shared = body_of(client, "compare", **BEFORE, group="namespace", share_namespaces="team-04")
    assert not unmatched(shared)
