"""Every bad question to `/api/v1` is refused by the name of its parameter, with what to do instead."""

import http.client
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from kubetally.query.answers import LedgerAnswers
from kubetally.query.opening import open_duck
from kubetally.query.reader import LedgerReader
from tests.native import DAYS, Home
from tests.served import NOON_AFTER
from tests.service import SECRET, cost_service, serving
from tests.unit.web.test_openapi import GOLDEN

OPERATIONS: dict[str, list[str]] = {
    path: [parameter["name"] for parameter in verbs["get"].get("parameters", ()) if parameter["in"] == "query"]
    for path, verbs in json.loads(GOLDEN.read_bytes())["paths"].items()
    if path.startswith("/api/v1/") and path != "/api/v1/session"  # which has no parameters
}
_DAY = [("yesterdayish", "is not a time"), ("2026-11-20T06:00:00Z", "whole UTC days"), ("", "give both")]
_EARLY = [("1500-01-01", "before 1970"), ("1970-01-01", "3,660 are allowed")]
BAD: dict[str, list[tuple[str, str]]] = {
    "start": [*_DAY, *_EARLY, ("2026-11-23", "not after"), ("2030-01-01", "not after")],
    "end": [*_DAY, ("2026-11-19", "not after"), ("2026-11-20", "give a later end")],
    "before_start": [*_DAY, *_EARLY],
    "before_end": _DAY,
    "filter": [
        ('namespace="x"', "position 9"),
        ('colour:"x"', "position 0"),
        ('cluster:"a', "not closed"),
        ('cluster:"a"+cluster:"b"|cluster:"c"', "position"),
    ],
    "as_of": [("whenever", "is not a time"), ("2030-01-01", "in the future"), ("2030-01-01", "give an earlier one")],
    "group": [("colour", "use a comma list"), ("cluster,cluster", "twice")],
    "step": [("fortnight", "day, week, month"), ("", "day, week, month")],
    "idle": [("perhaps", "separate, weighted, even, none")],
    "order": [("colour", "comma list")],
    "limit": [("0", "from 1 to 10000"), ("-1", "from 1"), ("10001", "from 1"), ("many", "from 1"), ("", "from 1")],
    "top": [("0", "from 1 to 10000"), ("²", "from 1")],
    "cursor": [("nonsense", "`next` of the page before"), ("", "`next` of the page before")],
    "format": [("xlsx", "csv, parquet")],
    "share_namespaces": [(",", "share_namespaces")],
    "share_labels": [("team", "share_labels")],
    "share_split": [("perhaps", "weighted, even"), ("even", "share_")],
}
CASES = [
    (path, name, value, says)
    for path, names in OPERATIONS.items()
    for name in names
    for value, says in BAD.get(name, [])
]
Answer = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""
Ask = Callable[..., Answer]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    home = Home(tmp_path_factory.mktemp("home"))
    with (
        LedgerReader(home, open_duck) as reader,
        serving(cost_service(home.accounts), ledger=LedgerAnswers(reader)) as url,
    ):

        def ask(
            path: str, method: str = "GET", headers: dict[str, str] | None = None
        ) -> tuple[int, dict[str, str], bytes]:
            connection = http.client.HTTPConnection(urlsplit(url).netloc)
            connection.request(method, path, headers={"Secret": SECRET} if headers is None else headers)
            response = connection.getresponse()
            body = response.read()
            connection.close()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, body

        yield ask


def problem(answer: Answer, status: int) -> dict[str, Any]:
    """The problem that an answer is."""
    assert (answer[0], answer[1]["content-type"]) == (status, "application/problem+json")
    body: dict[str, Any] = json.loads(answer[2])
    assert (body["status"], body["type"]) == (status, "about:blank")
    assert len(body["detail"]) > 15
    return body


def test_every_parameter_has_a_bad_value_here() -> None:
    assert {name for names in OPERATIONS.values() for name in names} <= BAD.keys()


@pytest.mark.parametrize(("path", "name", "value", "says"), CASES)
def test_bad_value_is_refused_by_name(ask: Ask, path: str, name: str, value: str, says: str) -> None:
    others = {"group": "namespace"} if "format" in OPERATIONS[path] else {}
    if "before_start" in OPERATIONS[path]:
        others |= {"before_start": "2026-11-10", "before_end": "2026-11-12"}
    body = problem(ask(f"{path}?{urlencode(DAYS | others | {name: value})}"), 400)
    assert body["parameter"] in ({name, "end"} if "not after" in says else {name})
    assert says in body["detail"]
    assert body["code"]


@pytest.mark.parametrize("path", OPERATIONS)
def test_unknown_repeated_and_undecodable_parameters_are_refused(ask: Ask, path: str) -> None:
    days = urlencode(DAYS)
    for query, name, says in (
        (f"{days}&colour=blue", "colour", "use "),
        (f"{days}&strat=2026-11-20", "strat", "did you mean start"),
        (f"{days}&start=2026-11-20", "start", "twice"),
        (f"{days}&filter=%ff", "filter", "UTF-8"),
        (f"{days}&filter=%zz", "filter", "%25"),
        (f"{days}&%ff=1", "%ff", "UTF-8"),
        ("start=2026-11-20", "end", "give both"),
        ("end=2026-11-20", "start", "give both"),
        ("start=2026-12-20&end=2026-12-21", "start", "in the future"),
    ):
        body = problem(ask(f"{path}?{query}"), 400)
        assert (body["parameter"], says in body["detail"]) == (name, True), (query, body)


@pytest.mark.parametrize("path", OPERATIONS)
def test_strangers_are_refused_whatever_they_ask(ask: Ask, path: str) -> None:
    for headers in ({}, {"Secret": "wrong-but-long-enough"}):
        for query in ("", "?colour=blue"):
            assert "Secret" in problem(ask(path + query, headers=headers), 401)["detail"]


@pytest.mark.parametrize("path", OPERATIONS)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"])
def test_other_verbs_are_refused_with_those_that_are_allowed(ask: Ask, path: str, method: str) -> None:
    answer = ask(path, method)
    problem(answer, 405)
    assert answer[1]["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("path", OPERATIONS)
def test_head_has_no_body_and_options_names_the_verbs(ask: Ask, path: str) -> None:
    status, headers, body = ask(f"{path}?{urlencode(DAYS)}", "HEAD")
    expected, others, content = ask(f"{path}?{urlencode(DAYS)}")
    assert (status, body, headers.get("etag")) == (expected, b"", others.get("etag"))
    assert content
    status, headers, body = ask(path, "OPTIONS")
    assert (status, body) == (204, b"")
    assert "GET" in headers["allow"]


@pytest.mark.parametrize(
    "path", ["/api", "/api/v1", "/api/v2/costs", "/api/v1/cost", "/api/v1/costs/", "/api//v1/costs", "/api/v1/%ff"]
)
def test_unknown_paths_are_problems(ask: Ask, path: str) -> None:
    for method in ("GET", "POST"):
        assert "/docs" in problem(ask(path, method), 404)["detail"]


def test_too_long_query_is_a_problem(ask: Ask) -> None:
    assert "shorten" in problem(ask("/api/v1/costs?filter=" + "x" * 9000), 414)["detail"]


def test_expired_history_names_the_instant(ask: Ask) -> None:
    old = f"{NOON_AFTER - timedelta(days=500):%Y-%m-%d}"
    body = problem(ask(f"/api/v1/costs?{urlencode(DAYS | {'as_of': old})}"), 410)
    assert (body["parameter"], body["code"]) == ("as_of", "history_gone")


FACES = {
    "/metroculus/v2/nothing": b'"error_code"',
    "/api/v1/nothing": b'"type"',
    "/restapi/v2/nothing": b"OE0257",
    "/allocation/nothing": b"404 page not found",
    "/model/allocation": b"404 page not found",
    "/healthz/": b'"error_code"',
    "/nothing": b"<!doctype html>",
}


@pytest.mark.parametrize(("path", "sign"), FACES.items())
def test_every_face_has_its_own_errors(ask: Ask, path: str, sign: bytes) -> None:
    for method, query in (("GET", ""), ("POST", ""), ("BREW", ""), ("GET", "?q=" + "x" * 9000)):
        status, _, body = ask(path + query, method)
        assert status in {404, 405, 414}
        assert sign in body
