"""The native API shares namespaces and labels, and every answer keeps its total."""

import csv
import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from tests.native import DAYS, Home, body_of, money

SHARES = [
    {"share_namespaces": "team-00"},
    {"share_namespaces": "team-01,team-02", "share_split": "even"},
    {"share_labels": "app:app-0"},
    {"share_namespaces": "team-04", "share_labels": "app:app-1,app:app-0", "idle": "weighted"},
]
GROUPS = ["", "cluster", "kind", "component", "namespace", "cluster,pod", "label:app", "namespace,component"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def ask(client: TestClient[Any], path: str = "costs", **parameters: Any) -> dict[str, Any]:
    return body_of(client, path, **parameters)


def total(rows: list[dict[str, Any]], name: str = "total_cost") -> Decimal:
    return sum((money(row[name]) for row in rows), Decimal())


@pytest.mark.parametrize("share", SHARES)
def test_total_stays_whatever_is_shared(home: Home, client: TestClient[Any], share: dict[str, str]) -> None:
    for group in GROUPS:
        body = ask(client, group=group, limit=1000, **share)
        assert total(body["rows"]) == money(body["total"]["total_cost"]) == home.bill


def test_shared_namespace_leaves_and_returns_as_shared_cost(client: TestClient[Any]) -> None:
    before, after = (ask(client, group="namespace", **share)["rows"] for share in ({}, SHARES[0]))
    (left,) = (row for row in before if row["key"]["namespace"] == "team-00")
    assert not [row for row in after if row["key"]["namespace"] == "team-00"]
    workloads = ([row for row in rows if row["kind"] == "workload"] for rows in (before, after))
    was, now = (total(rows, "shared_cost") for rows in workloads)
    assert now - was == money(left["total_cost"]) - money(left["shared_cost"])


@pytest.mark.parametrize("share", SHARES)
def test_export_and_explanation_agree_with_the_answer(client: TestClient[Any], share: dict[str, str]) -> None:
    rows = ask(client, group="namespace,pod", limit=1000, **share)["rows"]
    response = client.get("/api/v1/exports", params=DAYS | {"group": "namespace,pod"} | share)
    lines = list(csv.DictReader(io.StringIO(response.text)))
    assert [money(line["total_cost"]) for line in lines] == [money(row["total_cost"]) for row in rows]
    explained = ask(client, "explain", filter='kind:"workload"', **share)
    assert total(explained["lines"]) == money(explained["total"]["total_cost"])
    assert total(explained["lines"]) == total([row for row in rows if row["kind"] == "workload"])


def test_explanation_says_what_the_question_gives(home: Home, client: TestClient[Any]) -> None:
    stored, shared = (ask(client, "explain", filter='kind:"workload"', **share)["lines"] for share in ({}, SHARES[0]))
    assert {(line["given_share"], line["given_in_words"]) for line in stored} == {(None, None)}
    own = {(line["cluster"], line["pod"], line["container"]): money(line["shared_cost"]) for line in stored}
    for line in shared:
        given = money(line["given_share"])
        assert money(line["shared_cost"]) - given == own[line["cluster"], line["pod"], line["container"]]
        assert (line["given_in_words"] is not None) is (given > 0)
    assert any(line["given_share"] for line in shared)
    cpu = ask(client, "explain", filter='kind:"workload"+component:"cpu"', **SHARES[0])["lines"]
    assert {line["given_share"] for line in cpu} == {0.0}


def test_comparison_takes_the_same_sharing(home: Home, client: TestClient[Any]) -> None:
    body = ask(client, "compare", group="namespace", **SHARES[1])
    assert money(body["total"]["now"]) == home.bill
    assert body["question"]["share_namespaces"] == ["team-01", "team-02"]


def test_answer_repeats_what_is_shared(client: TestClient[Any]) -> None:
    shared = ask(client, share_labels="app.kubernetes.io/name:web")["question"]
    assert (shared["share_namespaces"], shared["share_labels"]) == ([], ["app_kubernetes_io_name:web"])
    assert shared["share_split"] == "weighted"
    assert ask(client)["question"]["share_split"] is None


@pytest.mark.parametrize(
    ("parameters", "parameter"),
    [
        ({"share_namespaces": "kube-*"}, "share_namespaces"),
        ({"share_labels": "team"}, "share_labels"),
        ({"share_namespaces": "a", "share_split": "fair"}, "share_split"),
        ({"share_split": "even"}, "share_split"),
    ],
)
def test_bad_sharing_is_a_problem_that_names_the_parameter(
    client: TestClient[Any], parameters: dict[str, str], parameter: str
) -> None:
    for path in ("costs", "exports"):
        response = client.get(f"/api/v1/{path}", params=DAYS | {"group": "namespace"} | parameters)
        assert (response.status_code, response.json()["parameter"]) == (400, parameter)


def test_stored_rows_are_exported_as_they_are(client: TestClient[Any]) -> None:
    response = client.get("/api/v1/exports", params=DAYS | SHARES[0])
    assert (response.status_code, response.json()["parameter"]) == (400, "share_namespaces")
