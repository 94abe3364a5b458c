"""A filter or a shared name that matches nothing is an issue: the figures alone do not show a typing error."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from tests.cluster_days import DAY, cluster_day
from tests.native import DAYS, ONE, TWO, Home, body_of
from tests.service import account

NO_ROW = "no row of the window passes the filter"
NO_SUCH = f"{NO_ROW}: none has the namespace 'nosuch'"
NO_ACCOUNT = "no account passes the filter: none has the name 'nosuch'"
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
    assert unmatched(body) == [NO_ROW if path == "assets" else NO_SUCH]
    assert not body.get("rows")
    assert not unmatched(body_of(client, path, filter='namespace!:"team-00"'))
    assert not unmatched(body_of(client, path))


@pytest.mark.parametrize("group", ["", "namespace", "component", "cluster"])
@pytest.mark.parametrize("idle", ["separate", "weighted", "none"])
def test_no_row_costs_nothing_whatever_the_group(client: TestClient[Any], group: str, idle: str) -> None:
    body = body_of(client, "costs", group=group, idle=idle, filter='namespace:"nosuch"')
    assert (body["rows"], body["total"]["total_cost"], unmatched(body)) == ([], 0, [NO_SUCH])


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
    shared = {"share_namespaces": "team-00,kube-systen", "share_labels": "app:app-0,app:app-9"}
    messages = [
        "no workload of the window is in the shared namespace 'kube-systen'",
        "no workload of the window has the shared label 'app:app-9' (did you mean app:app-0 or app:app-1?)",
    ]
    for path in ("costs", "explain"):
        assert unmatched(body_of(client, path, **shared)) == messages
    assert unmatched(body_of(client, "costs", group="namespace", share_namespaces="kube-systen")) == messages[:1]
    known = {"share_namespaces": "team-00", "share_labels": "app:app-0"}
    assert not unmatched(body_of(client, "costs", **known, filter='namespace:"team-04"'))


def test_comparison_has_no_issue_of_what_one_period_has(home: Home, client: TestClient[Any]) -> None:
    home.store(*(cluster_day(each, day=DAY - timedelta(days=1), pods=1) for each in (ONE, TWO)))
    gone = body_of(client, "compare", **BEFORE, filter='namespace:"nosuch"', share_namespaces="nosuch")
    assert unmatched(gone) == [NO_SUCH, "no workload of the window is in the shared namespace 'nosuch'"]
    new = body_of(client, "compare", **BEFORE, group="namespace", filter='namespace:"team-04"')
    assert [(row["before"], row["new"]) for row in new["rows"]] == [(0, new["total"]["now"])]
    assert not unmatched(new)
    shared = body_of(client, "compare", **BEFORE, group="namespace", share_namespaces="team-04")
    assert not unmatched(shared)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('namespace:"taem-00"', "the namespace 'taem-00' (did you mean team-00 or team-01 or team-02?)"),
        ('namespace:"TEAM-01"', "the namespace 'TEAM-01' (did you mean team-01 or team-00 or team-02?)"),
        ('controller:"ap-1"', "the controller 'ap-1' (did you mean app-1 or app-0?)"),
        ('service:"servce-0"', "the service 'servce-0' (did you mean service-0 or service-1?)"),
        ('label[app]:"app-7"', "the label 'app:app-7' (did you mean app:app-0 or app:app-1?)"),
        ('label[apq]:"app-0"', "the label 'apq:app-0' (did you mean app?)"),
        ('label:"apq"', "the label 'apq' (did you mean app?)"),
        ('product:"app-7"', "the product 'app-7' (did you mean app-0 or app-1?)"),
        ('namespace_label[team]:"tea-01"', None),
        ('node:"node-0"+namespace:"x","taem-01"', "the namespace 'x' or the namespace 'taem-01' (did you mean team-01"),
    ],
)
def test_mistyped_name_in_a_filter_names_the_nearest(client: TestClient[Any], text: str, words: str | None) -> None:
    (message,) = unmatched(body_of(client, "costs", filter=text))
    assert message.startswith(f"{NO_ROW}: none has {words or 'the namespace label '}")
    assert "did you mean" in message


def test_names_that_exist_but_not_together_are_not_suggested(client: TestClient[Any]) -> None:
    assert unmatched(body_of(client, "costs", filter='namespace:"team-00"+controller:"app-1"+node:"node-4"')) == [
        NO_ROW
    ]
    assert unmatched(body_of(client, "costs", filter='namespace~:"nosuch"')) == [NO_ROW]


def test_name_without_a_row_among_others_is_named(client: TestClient[Any]) -> None:
    text = 'namespace:"team-00","taem-01"|controller:"app-0"'
    (message,) = unmatched(body_of(client, "costs", group="namespace", filter=text))
    assert message.startswith("no row of the window has the namespace 'taem-01' (did you mean team-01")
    known = 'namespace:"team-00","team-01"+node:"node-0"'
    assert not unmatched(body_of(client, "costs", group="namespace,node", filter=known))


@pytest.mark.parametrize("group", ["", "pod", "namespace", "component", "cluster"])
@pytest.mark.parametrize(
    "text", ['namespace!:"taem-01"', 'namespace:"team-00","taem-01"', 'namespace!:"team-00","taem-01"+cluster!:"x"']
)
def test_mistyped_namespace_is_named_whatever_the_group(client: TestClient[Any], group: str, text: str) -> None:
    of_namespace, *of_account = unmatched(body_of(client, "costs", group=group, filter=text))
    assert of_namespace.startswith("no row of the window has the namespace 'taem-01' (did you mean team-01")
    assert of_account == ["no account has the name 'x'"] * ("cluster" in text)
    assert not unmatched(body_of(client, "costs", group=group, filter=text.replace("taem", "team").partition("+")[0]))


def test_name_that_is_left_out_is_no_reason_for_no_row(client: TestClient[Any]) -> None:
    messages = unmatched(body_of(client, "costs", filter='namespace!:"nosuch"+pod:"nosuch"'))
    assert messages == [
        f"{NO_ROW}: none has the pod 'nosuch'",
        "no row of the window has the namespace 'nosuch'",
    ]
    assert unmatched(body_of(client, "costs", filter='cluster:"cluster-1"+cluster!:"cluster-1","nosuch"')) == [
        "no account passes the filter"
    ]


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("label:apq", "the label 'apq' (did you mean app?)"),
        ("namespace,label:apq", "the label 'apq' (did you mean app?)"),
        ("namespace_label:teem", "the namespace label 'teem' (did you mean team?)"),
        ("annotation:nosuch", "the annotation 'nosuch'"),
    ],
)
def test_key_that_no_workload_has_is_an_issue(client: TestClient[Any], group: str, words: str) -> None:
    assert unmatched(body_of(client, "costs", group=group)) == [f"no workload of the window has {words}"]
    assert unmatched(body_of(client, "costs", group=group, top=1)) == [f"no workload of the window has {words}"]
    assert not unmatched(body_of(client, "costs", group="label:app,namespace_label:team"))


def test_mistyped_account_is_named(client: TestClient[Any]) -> None:
    for path in ("costs", "clusters"):
        (message,) = unmatched(body_of(client, path, filter='cluster:"clutser-1"'))
        assert message.startswith("no account passes the filter: none has the name 'clutser-1' (did you mean cluster-1")
        (message,) = unmatched(body_of(client, path, filter='cluster:"cluster-1","clutser-2"'))
        assert message.startswith("no account has the name 'clutser-2' (did you mean cluster-2")


def test_comparison_names_what_is_like_a_name_in_either_period(home: Home, client: TestClient[Any]) -> None:
    home.store(*(cluster_day(each, day=DAY - timedelta(days=1), pods=1) for each in (ONE, TWO)))
    (message,) = unmatched(body_of(client, "compare", **BEFORE, group="namespace", filter='namespace:"taem-04"'))
    assert "did you mean team-04" in message
    (message,) = unmatched(body_of(client, "compare", **BEFORE, group="label:apq"))
    assert message == "no workload of the window has the label 'apq' (did you mean app?)"


def test_account_that_gets_another_name_changes_the_answer(home: Home, client: TestClient[Any]) -> None:
    question = DAYS | {"filter": 'cluster:"clutser-7"'}
    etag = client.get("/api/v1/costs", params=question).headers["etag"]
    assert client.get("/api/v1/costs", params=question, headers={"If-None-Match": etag}).status_code == 304
    home.accounts.add(replace(account(7, "http://seven.test"), name="cluster-7"))
    assert (
        "did you mean cluster-7" in client.get("/api/v1/costs", params=question, headers={"If-None-Match": etag}).text
    )
