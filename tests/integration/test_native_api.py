"""`/api/v1/costs`: every view has the same sum, and bad questions are named."""

import csv
import io
import json
import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from litestar.testing import TestClient

from kubetally.cache import digest_of
from kubetally.domain.question.filter import Field
from kubetally.domain.question.group import PLAIN
from kubetally.domain.window import rfc3339
from kubetally.store.lake.schema import ALLOCATIONS, COST_COLUMNS
from kubetally.web.v1.cursor import read_cursor, write_cursor
from tests.cluster_days import DAY, cluster_day
from tests.native import COLLECTED, DAYS, ONE, Home, body_of, money

PATH = "/api/v1/costs"
KNOWN_VALUES = {Field.KIND: "idle", Field.COMPONENT: "cpu"}
"""Of fields that have no others."""
GROUPS = [
    "",
    "cluster",
    "kind",
    "component",
    "namespace",
    "pod",
    "cluster,namespace",
    "namespace,component",
    "label:app",
]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def costs(client: TestClient[Any], **parameters: Any) -> dict[str, Any]:
    return body_of(client, "costs", **parameters)


def total(rows: list[dict[str, Any]]) -> Decimal:
    return sum((money(row["total_cost"]) for row in rows), Decimal())


@pytest.mark.parametrize("group", GROUPS)
def test_rows_of_all_pages_have_the_sum_of_the_bill(home: Home, client: TestClient[Any], group: str) -> None:
    for extra in ({}, {"step": "day"}, {"limit": 2}, {"top": 1}, {"idle": "weighted"}):
        body = costs(client, group=group, **extra)
        rows = list(body["rows"])
        while body["next"]:
            body = costs(client, group=group, **extra, cursor=body["next"])
            rows += body["rows"]
        assert total(rows) == money(body["total"]["total_cost"]) == home.bill
        assert all(set(row["key"]) == set(filter(None, group.split(","))) for row in rows)


def test_answer_repeats_the_question_with_its_defaults(client: TestClient[Any]) -> None:
    body = costs(client, group="namespace", filter='namespace!:"a"')
    assert body["question"] == {
        "start": "2026-11-20T00:00:00Z",
        "end": "2026-11-22T00:00:00Z",
        "group": ["namespace"],
        "step": None,
        "filter": {"field": "namespace", "op": "!:", "values": ["a"], "position": 0},
        "idle": "separate",
        "share_namespaces": [],
        "share_labels": [],
        "share_split": None,
        "order": ["-total_cost"],
        "limit": 200,
        "top": None,
        "as_of": None,
    }
    assert (body["currency"], body["coverage"]["hours_asked"], body["coverage"]["hours_covered"]) == ("USD", 96, 48)


def test_pages_are_of_one_lake_though_it_changes(home: Home, client: TestClient[Any]) -> None:
    first = costs(client, group="pod", limit=3)
    home.store(cluster_day(ONE, 1))
    rows, page = list(first["rows"]), first
    while page["next"]:
        page = costs(client, group="pod", limit=3, cursor=page["next"])
        rows += page["rows"]
    assert total(rows) == home.bill
    assert money(costs(client)["total"]["total_cost"]) != home.bill


def test_days_without_data_are_null_and_no_match_is_zero(client: TestClient[Any]) -> None:
    steps = costs(client, step="day")["steps"]
    assert [step["total_cost"] is None for step in steps] == [False, True]
    assert costs(client, start="2026-11-18", end="2026-11-19")["total"]["total_cost"] is None
    nothing = costs(client, filter='namespace:"no-such"', group="namespace")
    assert (nothing["total"]["total_cost"], nothing["rows"]) == (0, [])


@pytest.mark.parametrize(
    ("parameters", "parameter"),
    [
        ({"group": "colour"}, "group"),
        ({"limit": 0}, "limit"),
        ({"colour": "blue"}, "colour"),
        ({"cursor": "x"}, "cursor"),
    ],
)
def test_bad_question_is_a_problem_that_names_the_parameter(
    client: TestClient[Any], parameters: dict[str, Any], parameter: str
) -> None:
    response = client.get(PATH, params=DAYS | parameters)
    assert (response.status_code, response.headers["content-type"]) == (400, "application/problem+json")
    assert (response.json()["parameter"], response.json()["status"]) == (parameter, 400)


def test_cursor_of_another_question_is_refused(client: TestClient[Any]) -> None:
    cursor = costs(client, group="pod", limit=1)["next"]
    response = client.get(PATH, params=DAYS | {"group": "node", "cursor": cursor})
    assert (response.status_code, response.json()["parameter"]) == (400, "cursor")


def test_cursor_leads_to_no_answer_of_another_question(client: TestClient[Any]) -> None:
    cursor, theirs = (
        read_cursor(costs(client, group=group, limit=1, **days)["next"])
        for group, days in (("pod", {}), ("node,pod", {"end": "2026-11-23"}))
    )
    for answer in (theirs.answer, digest_of(theirs.question, theirs.answer), "x"):
        forged = write_cursor(cursor._replace(answer=answer))
        response = client.get(PATH, params=DAYS | {"group": "pod", "limit": 1, "cursor": forged})
        assert (response.status_code, response.json()["code"]) == (410, "pages_gone")


def test_strangers_and_other_verbs_are_refused(client: TestClient[Any]) -> None:
    for headers in ({"Secret": ""}, {"Secret": "wrong"}):
        assert client.get(PATH, params=DAYS, headers=headers).status_code == 401
    response = client.post(PATH)
    assert (response.status_code, response.headers["content-type"]) == (405, "application/problem+json")


def test_removed_account_keeps_its_history(home: Home, client: TestClient[Any]) -> None:
    home.accounts.gone.append(home.accounts.accounts.pop())
    body = costs(client, group="cluster")
    assert money(body["total"]["total_cost"]) == home.bill
    assert {row["key"]["cluster"] for row in body["rows"]} == {"cluster-1", "cluster-2"}


def export(client: TestClient[Any], **parameters: Any) -> bytes:
    response = client.get("/api/v1/exports", params=DAYS | parameters)
    assert response.status_code == 200, response.text
    return response.content


def parts(row: dict[str, Any]) -> Decimal:
    return sum((Decimal(row[name] or 0) for name in COST_COLUMNS), Decimal())


@pytest.mark.parametrize("question", [{"group": "cluster,pod"}, {"group": "namespace", "step": "day", "idle": "even"}])
def test_export_has_the_rows_of_the_answer(client: TestClient[Any], question: dict[str, str]) -> None:
    body = costs(client, **question, limit=10_000)
    lines = list(csv.DictReader(io.StringIO(export(client, **question).decode())))
    assert len(lines) == len(body["rows"])
    assert sum(Decimal(line["total_cost"]) for line in lines) == money(body["total"]["total_cost"])
    assert [line["total_cost"] for line in lines] == [f"{row['total_cost']:.6f}" for row in body["rows"]]


@pytest.mark.parametrize("asked", [{"step": "day", "idle": "even"}, {"start": "2026-11-01", "end": "2026-11-02"}])
def test_export_says_what_was_asked_and_how_much_is_covered(client: TestClient[Any], asked: dict[str, str]) -> None:
    asked = {"group": "namespace", "filter": 'namespace:"team-01"|kind:"idle"', "share_labels": "app:app-1"} | asked
    body = costs(client, **asked)
    table = pq.read_table(io.BytesIO(export(client, **asked, format="parquet")))
    question = {name: fact for name, fact in body["question"].items() if name not in {"order", "limit", "top"}}
    assert json.loads(table.schema.metadata[b"question"]) == question
    assert json.loads(table.schema.metadata[b"coverage"]) == body["coverage"]
    assert table["currency"].to_pylist() == [body["currency"]] * len(body["rows"])
    lines = csv.DictReader(io.StringIO(export(client, **asked).decode()))
    assert [line["currency"] for line in lines] == [body["currency"]] * len(body["rows"])


@pytest.mark.parametrize(("order", "is_by_time"), [("", True), ("namespace", False)])
def test_steps_of_an_export_are_in_order_of_time(
    home: Home, client: TestClient[Any], order: str, is_by_time: bool
) -> None:
    home.store(cluster_day(ONE, day=DAY + timedelta(days=1)))
    asked = {"group": "namespace", "step": "day", "order": order}
    lines = list(csv.DictReader(io.StringIO(export(client, **asked).decode())))
    starts = [line["window_start"] for line in lines]
    assert len(set(starts)) == 2
    assert (starts == sorted(starts)) is is_by_time
    body = costs(client, **asked, limit=10_000)
    by_step = sorted(body["rows"], key=lambda row: row["window_start"]) if is_by_time else body["rows"]
    assert [line["total_cost"] for line in lines] == [f"{row['total_cost']:.6f}" for row in by_step]


@pytest.mark.parametrize("group", [*PLAIN, "label:app", "cluster,kind", "namespace,Kind,component"])
def test_columns_of_an_export_have_names_of_their_own(client: TestClient[Any], group: str) -> None:
    table = pq.read_table(io.BytesIO(export(client, group=group, format="parquet")))
    names = [name.lower() for name in table.schema.names]
    assert len(set(names)) == len(names)
    assert {"kind", *group.split(",")} <= set(table.schema.names) | {"kind"}


def test_export_by_kind_names_the_rest(client: TestClient[Any]) -> None:
    lines = list(csv.DictReader(io.StringIO(export(client, group="kind,pod", top="1").decode())))
    rows = costs(client, group="kind,pod", top="1")["rows"]
    assert [line["kind"] for line in lines] == [row["kind"] for row in rows]
    assert "rest" in {line["kind"] for line in lines}


@pytest.mark.parametrize("question", [{"filter": 'component:"cpu"'}, {"filter": 'component!:"gpu"', "group": "pod"}])
def test_hours_and_waste_are_of_no_component(client: TestClient[Any], question: dict[str, str]) -> None:
    body = costs(client, **question)
    for row in (body["total"], *body["rows"]):
        unknown = [name for name in row if name.endswith(("_hours", "_bytes", "_efficiency"))]
        assert len(unknown) == 15
        assert [row[name] for name in (*unknown, "waste")] == [None] * 16
    lines = csv.DictReader(io.StringIO(export(client, **{"group": "pod"} | question).decode()))
    assert {line["waste"] for line in lines} == {""}


def test_export_without_group_has_the_stored_rows(home: Home, client: TestClient[Any]) -> None:
    lines = list(csv.DictReader(io.StringIO(export(client).decode())))
    assert len(lines) == sum(day.collection.rows for day in home.days)
    assert sum(map(parts, lines)) == home.bill
    assert all(re.fullmatch(r"-?\d+\.\d{6}|", line[name]) for line in lines for name in COST_COLUMNS)
    table = pq.read_table(io.BytesIO(export(client, format="parquet")))
    assert table.schema.names == ALLOCATIONS.names
    assert table.num_rows == len(lines)


@pytest.mark.parametrize("text", ['kind:"idle"', 'cluster:"cluster-1"', 'component:"cpu"', 'pod:"no-such"'])
def test_stored_rows_of_a_filter_have_its_total(client: TestClient[Any], text: str) -> None:
    lines = csv.DictReader(io.StringIO(export(client, filter=text).decode()))
    assert sum(map(parts, lines)) == money(costs(client, filter=text)["total"]["total_cost"])


@pytest.mark.parametrize("asked", [
    {"start": "2026-11-01", "end": "2026-11-03"}, {"filter": 'cluster:"none"'}, {"filter": 'currency:"EUR"'},
    {"filter": 'namespace:"none"'}, {"filter": 'component:"cpu"+cluster:"none"'},
])  # fmt: skip
def test_export_of_no_rows_has_the_columns(client: TestClient[Any], asked: dict[str, str]) -> None:
    for group in ({}, {"group": "namespace"}):
        columns = export(client, **asked, **group).decode().splitlines()
        assert columns == export(client, **group).decode().splitlines()[:1]
        table = pq.read_table(io.BytesIO(export(client, **asked, **group, format="parquet")))
        assert table.num_rows == 0
        assert table.schema == pq.read_schema(io.BytesIO(export(client, **group, format="parquet")))


def test_export_of_a_bad_question_is_a_problem(client: TestClient[Any]) -> None:
    for parameters, parameter in (({"format": "xlsx"}, "format"), ({"idle": "even"}, "idle"), ({"limit": 1}, "limit")):
        response = client.get("/api/v1/exports", params=DAYS | parameters)
        assert (response.status_code, response.json()["parameter"]) == (400, parameter)


@pytest.mark.parametrize("asked", [{}, {"filter": 'component:"cpu"'}, {"start": "2026-11-01", "end": "2026-11-02"}])
def test_labels_say_of_which_costs_they_are(client: TestClient[Any], asked: dict[str, str]) -> None:
    body = client.get("/api/v1/labels", params=DAYS | asked | {"limit": 5}).json()
    whole = costs(client, **asked)
    about = ("currency", "currency_assumed", "coverage", "assets_complete", "not_measured", "issues")
    assert [body[name] for name in about] == [whole[name] for name in about]
    assert body["total"] == {name: whole["total"][name] for name in body["total"]}
    names = ("start", "end", "filter", "as_of")
    assert body["question"] == {name: whole["question"][name] for name in names} | {"limit": 5}


def test_labels_cost_what_their_values_cost(client: TestClient[Any]) -> None:
    response = client.get("/api/v1/labels", params=DAYS)
    assert response.status_code == 200
    labels = {(label["dimension"], label["key"]): label["total_cost"] for label in response.json()["labels"]}
    for (dimension, key), cost in labels.items():
        name = f"{dimension}:{key}"
        rows = [row for row in costs(client, group=name, limit=10_000)["rows"] if row["key"][name] is not None]
        assert total(rows) == money(cost)
    assert labels


@pytest.mark.parametrize(
    "text",
    [
        *(f'{field}!:"{KNOWN_VALUES.get(field, "no-such")}"' for field in Field),
        'component:"cpu"',
        'namespace:"team-01"|component:"ram"',
    ],
)
def test_labels_cost_what_passes_a_filter_on_any_field(client: TestClient[Any], text: str) -> None:
    response = client.get("/api/v1/labels", params=DAYS | {"filter": text})
    assert response.status_code == 200, response.text
    app = next(label for label in response.json()["labels"] if (label["dimension"], label["key"]) == ("label", "app"))
    rows = costs(client, group="label:app", filter=text)["rows"]
    assert money(app["total_cost"]) == total([row for row in rows if row["key"]["label:app"] is not None]) > 0


def test_exports_and_labels_are_of_an_instant(home: Home, client: TestClient[Any]) -> None:
    def answers(**parameters: str) -> list[Any]:
        labels = client.get("/api/v1/labels", params=DAYS | parameters).json()["labels"]
        return [labels, sorted(export(client, **parameters).splitlines()), export(client, group="pod", **parameters)]

    before = answers()
    home.store(cluster_day(ONE, 1, collected_at=COLLECTED + timedelta(hours=4)))
    after = answers()
    assert all(new != old for new, old in zip(after, before, strict=True))
    assert answers(as_of=rfc3339(COLLECTED + timedelta(hours=1))) == before
