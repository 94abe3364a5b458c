"""`/api/v1/explain`: a figure down to the rows of the ledger that make it."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from kubetally.domain.collection import window_of
from kubetally.sources.opencost.client import day_requests
from tests.cluster_days import DAY, cluster_day
from tests.native import ONE, TWO, Home, body_of, money

FIGURES = [
    {},
    {"filter": 'namespace:"team-01"'},
    {"filter": 'namespace:"team-01"+component:"cpu"'},
    {"filter": 'cluster:"cluster-1"+component:"ram","cpu"'},
    {"filter": 'kind:"idle"'},
    {"idle": "weighted"},
    {"idle": "even", "filter": 'component:"cpu"'},
    {"idle": "none"},
    {"filter": 'namespace:"no-such"'},
]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.store(cluster_day(ONE, day=DAY + timedelta(days=1), pods=300))
    return home


def get(client: TestClient[Any], path: str = "explain", **parameters: Any) -> dict[str, Any]:
    return body_of(client, path, **parameters)


def amounts(rows: list[dict[str, Any]]) -> dict[str, Decimal]:
    names = [name for name in (rows[0] if rows else {}) if name.endswith("_cost")]
    return {name: sum((money(row[name]) for row in rows), Decimal()) for name in names}


@pytest.mark.parametrize("figure", FIGURES)
def test_lines_and_days_add_up_to_the_figure(client: TestClient[Any], figure: dict[str, str]) -> None:
    body = get(client, **figure)
    total = {name: money(amount) for name, amount in get(client, "costs", **figure)["total"].items() if "_cost" in name}
    assert {name: money(amount) for name, amount in body["total"].items()} == total
    assert amounts(body["days"]) == total
    assert amounts(body["lines"]) == (total if body["lines"] else {})
    sizes = [abs(line["total_cost"]) for line in body["lines"] if line["kind"] != "rest"]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(line.get("count", 1) for line in body["lines"]) == body["count"]


def test_at_most_200_rows_are_listed_and_the_rest_is_one_line(client: TestClient[Any]) -> None:
    lines = get(client)["lines"]
    assert (len(lines), lines[-1]["kind"], lines[-1]["day"], lines[-1]["rules"]) == (201, "rest", None, [])
    assert lines[-1]["count"] == get(client)["count"] - 200


def test_line_says_where_when_and_by_which_rules(client: TestClient[Any]) -> None:
    body = get(client, filter='namespace:"team-01"+component:"cpu"', end="2026-11-21")
    line = body["lines"][0]
    assert (line["day"], line["kind"], line["namespace"], line["controller_kind"]) == (
        "2026-11-20",
        "workload",
        "team-01",
        "deployment",
    )
    assert line["cluster"] in ("cluster-1", "cluster-2")
    assert line["cpu_core_hours"] > 0
    assert line["rules"] == ["B2", "B7", "B8"] == [rule["name"] for rule in body["rules"]]
    assert all(rule["text"].endswith(".") for rule in body["rules"])


def test_sources_have_the_request_that_was_sent(client: TestClient[Any]) -> None:
    sources = get(client)["sources"]
    assert {source["cloud_account_id"]: source["day"] for source in sources} == {ONE: "2026-11-21", TWO: "2026-11-20"}
    assert {source["source"]["url"] for source in sources} == {"http://opencost.test"}
    for source in sources:
        day = window_of(DAY + timedelta(days=source["cloud_account_id"] == ONE))
        assert [(request["path"], request["parameters"]) for request in source["requests"]] == [
            (path, dict(parameters)) for path, parameters in day_requests(day, None)
        ]
        assert source["requests"][0]["parameters"]["window"] == str(day)


def test_day_without_data_is_null(client: TestClient[Any]) -> None:
    body = get(client, start="2026-11-19")
    assert [day["total_cost"] is None for day in body["days"]] == [True, False, False]
    nothing = get(client, start="2026-11-18", end="2026-11-19")
    assert (nothing["total"]["total_cost"], nothing["lines"], nothing["sources"]) == (None, [], [])


def test_question_to_costs_can_be_sent_as_it_is(client: TestClient[Any]) -> None:
    question = {"group": "namespace,pod", "step": "day", "order": "-cpu_cost,pod", "top": "3", "limit": "2"}
    cursor = get(client, "costs", **question)["next"]
    assert get(client, **question, cursor=cursor) == get(client)
