"""The web service over a real socket, compared with the existing API."""

import concurrent.futures
import contextlib
import html
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx
import msgspec
import pytest
from litestar.testing import TestClient

from kubetally.domain.account import Account, AccountType, Credentials
from kubetally.domain.source_url import SourceUrl
from kubetally.domain.window import LATEST_UNIX
from kubetally.ledger.costs.service import CostService
from kubetally.ledger.costs.stored_days import History
from kubetally.present.answer import ClusterCosts
from kubetally.samples.replay import ReplayServer
from kubetally.store.meta.faults import unavailable
from kubetally.web.app import create_app
from kubetally.web.metroculus import wire
from tests.faults import FaultServer
from tests.integration.commands import WHOLE, call, recorded_but
from tests.integration.test_many_namespaces import NAMESPACES, source
from tests.kept import CoverageInMemory, LakeInMemory
from tests.served import NOON_AFTER, NOT_FOUND, Asked, FixedClock, Reply, Served
from tests.service import PATH, SECRET, AccountsInMemory, E, S, account, account_id, by_http, cost_service, serving

ONE = account_id(1)
GOOD = {"cloud_account_id": ONE, "start_date": S, "end_date": E}
WITH_SECRET = {"Secret": SECRET}
JSON = 'application/json; charset="utf-8"'
REASONS = {
    "OM0002": "Not found",
    "OM0003": "{} method not allowed",
    "OM0005": "Bad secret",
    "OM0006": "Invalid {}",
    "OM0007": "This resource requires authorization",
    "OM0008": "{} is not provided",
    "OM0009": "{} is unavailable",
}


@dataclass
class MovableClock:
    """A clock that a test sets."""

    at: datetime = NOON_AFTER

    def now(self) -> datetime:
        return self.at


@dataclass
class World:
    """A running service, its accounts and its clock."""

    url: str
    accounts: AccountsInMemory
    service: CostService
    clock: MovableClock
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, timeout=20)

    def __enter__(self) -> "World":
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def get(self, **params: object) -> httpx.Response:
        return self.client.get(PATH, params=params, headers=WITH_SECRET)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def world(replay: ReplayServer) -> Iterator[World]:
    clock = MovableClock()
    accounts = AccountsInMemory(
        [
            account(1, replay.url_of("aurora"), name="aurora"),
            account(2, "http://127.0.0.1:1", name="dead"),
            account(3, "", name="bucket", type=AccountType.AWS_CNR),
            account(4, replay.url_of("cygnus"), name="<script>alert(1)</script>"),
        ]
    )
    service = cost_service(accounts, clock)
    with serving(service, clock) as url, World(url, accounts, service, clock) as world:
        yield world


def is_error(answer: httpx.Response, status: int, code: str, *params: str) -> bool:
    """Whether the answer is exactly this error."""
    reason = REASONS[code].format(*params)
    body = {"error": {"status_code": status, "error_code": code, "reason": reason, "params": list(params)}}
    assert answer.text == json.dumps(body)
    assert answer.headers["content-type"] == JSON
    assert answer.status_code == status
    return True


# --- secrets and methods ---


@pytest.mark.parametrize("verb", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"])
@pytest.mark.parametrize("headers", [{}, {"Secret": ""}, {"Authorization": f"Bearer {SECRET}"}])
@pytest.mark.parametrize("path", [PATH, "/metroculus/v2/kubecost_metrics", "/metroculus/v2/kubecost_savings"])
def test_every_method_without_secret_is_401(world: World, verb: str, headers: dict[str, str], path: str) -> None:
    assert is_error(world.client.request(verb, path, headers=headers), 401, "OM0007")


@pytest.mark.parametrize("secret", ["wrong", SECRET[:-1], SECRET + "x", SECRET.upper()])
@pytest.mark.parametrize("verb", ["GET", "POST"])
def test_wrong_secret_is_403_before_any_other_check(world: World, verb: str, secret: str) -> None:
    assert is_error(world.client.request(verb, PATH, headers={"Secret": secret}), 403, "OM0005")


def test_wrong_secrets_are_slowed_down_but_not_the_right_one(draco: World) -> None:
    """Of sixty concurrent requests some wait and the others are 429; the right secret is answered meanwhile."""
    with concurrent.futures.ThreadPoolExecutor(60) as many:
        wrong = [many.submit(draco.client.get, PATH, headers={"Secret": f"wrong-{n}"}) for n in range(60)]
        assert draco.get(**GOOD).status_code == 200
        assert draco.client.get("/", headers=WITH_SECRET).status_code == 200
        assert not all(future.done() for future in wrong)
        answers = [future.result() for future in wrong]
    refused = [answer for answer in answers if answer.status_code == 403]
    assert all(is_error(answer, 403, "OM0005") for answer in refused)
    assert len(refused) >= 26
    others = {(answer.status_code, answer.headers.get("retry-after")) for answer in answers if answer not in refused}
    assert others == {(429, "5")}


def test_secret_that_is_not_ascii_is_403(world: World) -> None:
    assert is_error(world.client.get(PATH, headers={"Secret": "sécret".encode()}), 403, "OM0005")  # type: ignore[dict-item]


@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW", "TRACE"])
def test_other_methods_are_405(world: World, verb: str) -> None:
    answer = world.client.request(verb, PATH, headers=WITH_SECRET, params=GOOD)  # type: ignore[arg-type]
    assert is_error(answer, 405, "OM0003", verb)
    assert answer.headers["allow"] == "GET"


def test_head_is_405_without_a_body(world: World) -> None:
    answer = world.client.head(PATH, headers=WITH_SECRET)
    assert (answer.status_code, answer.content) == (405, b"")


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics", "/style.css", "/openapi.json", "/nothing"])
def test_head_is_answered_like_get_without_body(world: World, path: str) -> None:
    got, answer = (world.client.request(verb, path, headers=WITH_SECRET) for verb in ("GET", "HEAD"))
    assert (answer.status_code, answer.content) == (got.status_code, b"")
    assert answer.headers["content-type"] == got.headers["content-type"]
    if path != "/metrics":  # which counts the other request
        assert answer.headers["content-length"] == got.headers["content-length"] != "0"
    assert world.client.get(path, headers=WITH_SECRET).content, "the connection goes on"


def test_head_of_the_page_needs_the_secret(world: World) -> None:
    assert world.client.head("/").status_code == 401


def test_head_does_not_use_up_a_sign_in_link(world: World) -> None:
    assert world.client.head("/sign-in", params={"token": "any"}).status_code == 405


ROUTER = {"error": {"status_code": 404, "error_code": "OM0002", "reason": "Not found", "params": []}}
REST = {"error": {"status_code": 404, "error_code": "OE0257", "reason": "Not found", "params": []}}
DETAILS = {
    "type": "about:blank",
    "title": "Not Found",
    "status": 404,
    "detail": "there is nothing at this address: /docs lists what there is",
}
OPENCOST = {"code": 404, "message": "404 page not found"}


@pytest.mark.parametrize(
    ("path", "media_type", "body"),
    [
        *(
            (path, "application/json", ROUTER)
            for path in (
                PATH + "/", "/metroculus/v2/nothing", "/metroculus/v2", "/metroculus", "//metroculus/v2/x", "/healthz/",
            )
        ),
        ("/restapi/v2/nothing", "application/json", REST),
        ("/restapi/v2/organizations/", "application/json", REST),
        ("/auth/v2/nothing", "application/json", REST),
        ("/api/v1/nothing", "application/problem+json", DETAILS),
        ("/api/v1/costs/", "application/problem+json", DETAILS),
        ("/allocation/nothing", "application/json", OPENCOST),
        ("/model/assets/nothing", "application/json", OPENCOST),
        ("/model/", "application/json", OPENCOST),
    ],
)  # fmt: skip
@pytest.mark.parametrize("headers", [{}, WITH_SECRET, {"Accept": "text/html"}])
def test_404_has_the_format_of_its_api(
    world: World, path: str, media_type: str, body: object, headers: dict[str, str]
) -> None:
    status, found, content = raw_get(world.url, path, headers)
    assert (status, found, json.loads(content)) == (404, media_type, body)


@pytest.mark.parametrize("path", ["/nothing", "/docs/nothing", "/apis", "/metroculusx", "/clusters/%3Cb%3E", "/a//b"])
def test_404_elsewhere_is_an_html_page(world: World, path: str) -> None:
    status, media_type, content = raw_get(world.url, path, {"Accept": "application/json"})
    assert (status, media_type) == (404, "text/html; charset=utf-8")
    assert b"<h1>Not found</h1>" in content
    assert b"<b>" not in content


def raw_get(url: str, path: str, headers: dict[str, str]) -> tuple[int, str, bytes]:
    """Status, content type and body of a path that is sent unchanged."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, answer.headers["content-type"], answer.read()
    connection.close()
    return found


# --- the validation matrix ---

BAD_NUMBERS = (
    "",
    " ",
    "1.5",
    "abc",
    "0x10",
    "1e3",
    "1_000",
    "\u0661",
    "9" * 20,
    str(LATEST_UNIX + 1),
    "-1",
    "--1",
    "nan",
)
MATRIX: list[tuple[dict[str, object], int, str, str]] = [
    ({"cloud_account_id": None}, 400, "OM0008", "cloud_account_id"),
    ({"cloud_account_id": ""}, 400, "OM0008", "cloud_account_id"),
    ({"cloud_account_id": "  "}, 400, "OM0008", "cloud_account_id"),
    ({"cloud_account_id": None, "start_date": "abc"}, 400, "OM0008", "cloud_account_id"),
    ({"start_date": None}, 400, "OM0008", "start_date"),
    ({"end_date": None}, 400, "OM0008", "end_date"),
    *(({"start_date": text}, 400, "OM0006", "start_date") for text in BAD_NUMBERS),
    *(({"end_date": text}, 400, "OM0006", "end_date") for text in (*BAD_NUMBERS, "0")),
    ({"start_date": 0, "end_date": 0}, 400, "OM0006", "end_date"),
    ({"start_date": E, "end_date": S}, 400, "OM0006", "end_date"),
    ({"start_date": "abc", "end_date": None}, 400, "OM0006", "start_date"),
    *(({"detail_level": text}, 400, "OM0006", "detail_level") for text in ("", "everything", "Namespace", "pod")),
    *(({"limit": text}, 400, "OM0006", "limit") for text in (*BAD_NUMBERS, "0", str(2**31))),
    *(({"offset": text}, 400, "OM0006", "offset") for text in (*BAD_NUMBERS, str(2**31))),
    ({"cloud_account_id": "nobody", "limit": "x"}, 400, "OM0006", "limit"),
]


@pytest.mark.parametrize(("change", "status", "code", "name"), MATRIX)
def test_invalid_parameters_have_the_error_of_the_api(
    world: World, change: dict[str, object], status: int, code: str, name: str
) -> None:
    params = {key: value for key, value in (GOOD | change).items() if value is not None}
    assert is_error(world.get(**params), status, code, name)


@pytest.mark.parametrize(
    "unknown",
    [
        account_id(99),
        account_id(3),
        "aurora",
        "1",
        ONE.upper().replace("4000", "4ABC"),
        f"{{{ONE}}}",
        "' OR 1=1 --",
        "*",
    ],
)
def test_id_of_no_cluster_is_404(world: World, unknown: str) -> None:
    for path in (PATH, "/metroculus/v2/kubecost_metrics", "/metroculus/v2/kubecost_savings"):
        params = GOOD | {"cloud_account_id": unknown}
        assert is_error(world.client.get(path, params=params, headers=WITH_SECRET), 404, "OM0002")  # type: ignore[arg-type]


def test_undecodable_query_is_400_and_unknown_parameter_ignored(world: World) -> None:
    answer = world.client.get(f"{PATH}?cloud_account_id=%ff", headers=WITH_SECRET)
    body = {"error": {"status_code": 400, "error_code": "U0400", "reason": "Bad Request", "params": []}}
    assert (answer.status_code, answer.text) == (400, json.dumps(body))
    assert world.client.get(f"{PATH}?{urlencode(GOOD)}&newer=%ff&window=7d", headers=WITH_SECRET).status_code == 200


def test_last_of_two_values_counts_without_blanks(world: World) -> None:
    query = f"cloud_account_id=x&cloud_account_id=+{ONE}%20&start_date=abc&start_date=%09{S}+&end_date={E}&end_date={E}"
    answer = world.client.get(f"{PATH}?{query}", headers=WITH_SECRET)
    assert answer.status_code == 200
    assert answer.json()["start_date"] == S


def test_too_long_query_is_414(world: World) -> None:
    assert world.client.get(f"{PATH}?{'x' * 9000}", headers=WITH_SECRET).status_code == 414


# --- the answer ---


def test_answer_has_every_key_of_the_contract_and_adds_up(world: World) -> None:
    answer = world.get(**GOOD)
    body = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (200, JSON)
    msgspec.json.decode(answer.content, type=ClusterCosts)
    assert [body[key] for key in GOOD] == [ONE, S, E]
    summary = body["summary"]
    assert summary["total_cost"] == 247.445919
    assert round(sum(summary.values()) - summary["total_cost"], 6) == summary["total_cost"]
    classes = ("internet", "region", "zone")
    assert sum(body["breakdown"][f"network_{network_class}_cost"] for network_class in classes) == pytest.approx(
        summary["network_cost"]
    )
    assert "breakdown_by_namespace" not in body


@pytest.mark.parametrize("level", ["namespace", "workload"])
def test_rows_have_the_documented_keys_and_add_up_to_the_total(world: World, level: str) -> None:
    answer = world.get(**GOOD, detail_level=level)
    body = answer.json()
    msgspec.json.decode(answer.content, type=ClusterCosts)
    rows = body["breakdown_by_namespace"] + body["lines"]
    assert round(sum(row["total_cost"] for row in rows), 6) == body["summary"]["total_cost"]
    assert "pagination" not in body


def test_default_window_is_the_last_seven_days(world: World) -> None:
    answer = world.get(cloud_account_id=ONE)
    body = answer.json()
    midnight = NOON_AFTER.replace(hour=0)
    assert body["start_date"] == (midnight - timedelta(days=6)).timestamp()
    assert body["end_date"] == (midnight + timedelta(days=1)).timestamp()
    assert body["status"] == "partial"  # only three of these days were recorded
    assert {error["code"] for error in body["errors"]} == {"source_refused"}


def test_end_on_second_59_is_inclusive_and_repeated(world: World) -> None:
    exclusive, inclusive = world.get(**GOOD).json(), world.get(**GOOD | {"end_date": E - 1}).json()
    assert (exclusive["end_date"], inclusive["end_date"]) == (E, E - 1)
    assert {**inclusive, "end_date": E} == exclusive


def test_equal_dates_cost_nothing(world: World) -> None:
    body = world.get(**GOOD | {"end_date": S}).json()
    assert (body["status"], body["summary"]["total_cost"], body["end_date"]) == ("ok", 0, S)
    assert world.get(**GOOD | {"start_date": S + 59, "end_date": S + 59}).json()["summary"]["total_cost"] == 0


def test_window_to_the_latest_date_is_answered(world: World) -> None:
    answer = world.get(**GOOD | {"start_date": E + 86400 * 365, "end_date": LATEST_UNIX})
    assert (answer.status_code, answer.json()["end_date"]) == (200, 253_402_300_799)


def test_dead_source_is_424_with_its_masked_url(world: World) -> None:
    answer = world.get(**GOOD | {"cloud_account_id": account_id(2)})
    assert is_error(answer, 424, "OM0009", "http://127.0.0.1:1")
    assert answer.headers["x-kubetally-error"] == "source_unreachable"


def test_series_without_prometheus_are_empty_and_say_why(world: World) -> None:
    for name, lists, shape in (
        ("kubecost_metrics", {"metrics": {}}, wire.Metrics),
        ("kubecost_savings", {"cpu_savings": [], "memory_savings": []}, wire.Savings),
    ):
        params = GOOD | {"metrics": "kubecost_cluster_management_cost,kubecost_a"}
        answer = world.client.get(f"/metroculus/v2/{name}", params=params, headers=WITH_SECRET)  # type: ignore[arg-type]
        body = answer.json()
        msgspec.json.decode(answer.content, type=shape)
        assert body.items() >= (GOOD | lists).items()
        assert "Prometheus" in body["errors"][0]["message"]


@pytest.mark.parametrize("metrics", ["up", "kubecost_a,node_cpu_hourly_cost", 'kubecost_a"}', "kubecost_a{b='c'}"])
def test_foreign_metric_names_are_400(world: World, metrics: str) -> None:
    params = GOOD | {"metrics": metrics}
    answer = world.client.get("/metroculus/v2/kubecost_metrics", params=params, headers=WITH_SECRET)  # type: ignore[arg-type]
    assert is_error(answer, 400, "OM0006", "metrics")


def curl(command: str, **environment: str) -> Any:
    """The output of a command of the design note, run by bash without its `jq`."""
    done = subprocess.run(
        ["/bin/bash", "-c", command],
        capture_output=True, text=True, env=os.environ | environment, timeout=30, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_design_note_curl_commands_work(world: World) -> None:
    port = urlsplit(world.url).port
    summary = curl(
        'curl -sS -H "Secret: $CLUSTER_SECRET" \\\n'
        f'  "http://localhost:{port}/metroculus/v2/kubecost_cluster_costs?cloud_account_id={ONE}'
        "&start_date=$(date -u -d '2026-11-20' +%s)&end_date=$(date -u -d '2026-11-23' +%s)\"",
        CLUSTER_SECRET=SECRET,
    )["summary"]
    assert summary.keys() >= {
        "total_cost", "cpu_cost", "ram_cost", "pv_cost", "management_cost", "load_balancer_cost", "network_cost",
    }  # fmt: skip
    assert summary["total_cost"] == 247.445919
    efficiency = curl(
        'curl -sS -H "Secret: $CLUSTER_SECRET" \\\n'
        f'  "http://localhost:{port}/metroculus/v2/kubecost_cluster_costs?cloud_account_id={ONE}&detail_level=namespace"',
        CLUSTER_SECRET=SECRET,
    )["efficiency"]
    assert set(efficiency) == {"cpu_efficiency", "ram_efficiency", "total_efficiency"}
    assert all(0 < ratio < 3 for ratio in efficiency.values())


# --- the cache ---


@pytest.fixture
def draco(replay: ReplayServer) -> Iterator[World]:
    """A separate service, whose clock and accounts a test may change."""
    clock, accounts = MovableClock(), AccountsInMemory([account(1, replay.url_of("draco"))])
    service = cost_service(accounts, clock)
    with serving(service, clock) as url, World(url, accounts, service, clock) as world:
        yield world


def test_answer_is_cached_for_900_seconds_and_not_901(draco: World, replay: ReplayServer) -> None:
    first = draco.get(**GOOD)
    asked = len(replay.asked)
    assert first.headers["x-kubetally-cache"] == "miss"
    draco.clock.at += timedelta(seconds=900)
    kept = draco.get(**GOOD)
    assert (kept.headers["x-kubetally-cache"], kept.headers["age"]) == ("hit", "900")
    assert kept.content == first.content
    for level in ("namespace", "workload"):
        assert draco.get(**GOOD, detail_level=level, limit=1).headers["x-kubetally-cache"] == "hit"
    assert len(replay.asked) == asked
    draco.clock.at += timedelta(seconds=1)
    again = draco.get(**GOOD)
    assert (again.headers["x-kubetally-cache"], again.headers["age"]) == ("miss", "0")
    assert len(replay.asked) > asked


def test_cached_answer_differs_in_cache_header_and_id_only(draco: World) -> None:
    first, second = draco.get(**GOOD), draco.get(**GOOD)
    headers = [{**answer.headers, "date": ""} for answer in (first, second)]
    assert [answer.pop("x-kubetally-cache") for answer in headers] == ["miss", "hit"]
    assert headers[0].pop("x-request-id") != headers[1].pop("x-request-id")
    assert headers[0] == headers[1]
    assert first.content == second.content


def test_cached_answer_needs_the_secret(draco: World) -> None:
    assert draco.get(**GOOD).status_code == 200
    assert draco.get(**GOOD).headers["x-kubetally-cache"] == "hit"
    assert is_error(draco.client.get(PATH, params=GOOD), 401, "OM0007")
    assert is_error(draco.client.get(PATH, params=GOOD, headers={"Secret": "wrong"}), 403, "OM0005")
    assert is_error(draco.client.post(PATH, params=GOOD, headers=WITH_SECRET), 405, "OM0003", "POST")
    longest = 8192 - len(urlencode(GOOD)) - len("&x=")
    assert draco.get(**GOOD, x="x" * longest).headers["x-kubetally-cache"] == "hit"
    assert draco.get(**GOOD, x="x" * (longest + 1)).status_code == 414


@pytest.mark.parametrize(
    ("change", "status", "currency"),
    [
        ({"cluster_id": "another"}, 424, None),
        ({"currency": "EUR"}, 200, "EUR"),
        ({"credentials": Credentials(token="changed")}, 200, "USD"),
        ({"tenant": "another"}, 200, "USD"),
    ],
)
def test_changed_account_is_read_again(
    draco: World, replay: ReplayServer, change: dict[str, Any], status: int, currency: str | None
) -> None:
    first = draco.get(**GOOD)
    asked = len(replay.asked)
    draco.accounts.update(replace(draco.accounts.accounts[0], **change))
    time.sleep(0.6)  # a lookup of an account is cached for half a second
    answer = draco.get(**GOOD)
    assert len(replay.asked) > asked
    assert (answer.status_code, answer.json().get("currency")) == (status, currency)
    if status == 200:
        assert answer.headers["x-kubetally-cache"] == "miss"
        assert answer.json()["summary"] == first.json()["summary"]


def test_account_moved_to_a_dead_source_is_424(draco: World, replay: ReplayServer) -> None:
    assert draco.get(**GOOD).status_code == 200
    asked = len(replay.asked)
    dead = SourceUrl.parse("http://127.0.0.1:1")
    draco.accounts.update(replace(draco.accounts.accounts[0], kubecost_url=dead))
    time.sleep(0.6)
    assert draco.get(**GOOD).status_code == 424
    assert len(replay.asked) == asked


def test_renamed_account_stays_cached_and_removed_one_is_404(draco: World) -> None:
    draco.get(**GOOD)
    draco.accounts.update(replace(draco.accounts.accounts[0], name="renamed"))
    time.sleep(0.6)
    assert draco.get(**GOOD).headers["x-kubetally-cache"] == "hit"
    draco.accounts.remove(ONE)
    time.sleep(0.6)
    assert is_error(draco.get(**GOOD), 404, "OM0002")


def test_50_concurrent_misses_read_each_day_once(faulty: FaultServer) -> None:
    accounts = AccountsInMemory([account(1, faulty.fault_url("slow", "aurora"))])
    with serving(cost_service(accounts)) as url, concurrent.futures.ThreadPoolExecutor(50) as many:
        ask = [many.submit(httpx.get, url + PATH, params=GOOD, headers=WITH_SECRET, timeout=30) for _ in range(50)]
        time.sleep(1)  # all 50 wait for this read
        faulty.release.set()
        answers = [future.result() for future in ask]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    asked = Counter((request.path, request.params.get("window", "")) for request in faulty.asked)
    assert set(asked.values()) == {1}, asked
    assert sum(path == "/allocation" for path, _ in asked) == 3


def test_disconnected_client_does_not_cancel_the_read(faulty: FaultServer) -> None:
    accounts = AccountsInMemory([account(1, faulty.fault_url("slow", "aurora"))])
    with serving(cost_service(accounts)) as url, concurrent.futures.ThreadPoolExecutor(2) as two:
        with pytest.raises(httpx.ReadTimeout):  # the first client, which started the read
            httpx.get(url + PATH, params=GOOD, headers=WITH_SECRET, timeout=0.5)
        other = two.submit(httpx.get, url + PATH, params=GOOD, headers=WITH_SECRET, timeout=30)
        time.sleep(0.3)
        faulty.release.set()
        assert other.result().status_code == 200
    assert sum(request.path == "/allocation" for request in faulty.asked) == 3


@pytest.mark.parametrize("fault", ["noassets", "503"])
def test_failures_and_partial_answers_are_not_cached(faulty: FaultServer, fault: str) -> None:
    accounts = AccountsInMemory([account(1, faulty.fault_url(fault, "aurora"))])
    with serving(cost_service(accounts)) as url:
        answers = [httpx.get(url + PATH, params=GOOD, headers=WITH_SECRET) for _ in range(2)]
    if fault == "503":
        assert all(is_error(answer, 424, "OM0009", faulty.fault_url(fault, "aurora")) for answer in answers)
    else:
        for answer in answers:
            body = answer.json()
            assert (answer.status_code, body["status"]) == (200, "partial")
            assert body["errors"][0]["kind"] == "source_failed"
            assert answer.headers["x-kubetally-cache"] == "miss"
    money = [request for request in faulty.asked if request.path == "/allocation"]
    assert len(money) == 2 * len(set(map(str, money)))


def test_pages_are_disjoint_and_complete_and_keep_the_totals() -> None:
    import random

    with Served(source(random.Random(1))) as served:  # noqa: S311
        accounts = AccountsInMemory([account(1, served.url)])
        with serving(cost_service(accounts)) as url, httpx.Client(base_url=url, headers=WITH_SECRET) as client:

            def page(**params: object) -> Any:
                return client.get(PATH, params=GOOD | {"detail_level": "workload"} | params).json()  # type: ignore[arg-type]

            whole = page()
            pages = [page(limit=60, offset=offset) for offset in range(0, 300, 60)]
            past = page(limit=60, offset=300)
            rest = page(offset=249)
        asked = Counter((request.path, request.params.get("window", "")) for request in served.asked)
    assert set(asked.values()) == {1}
    for name in ("breakdown_by_namespace", "breakdown_by_workload"):
        assert [row for page in pages for row in page[name]] == whole[name]
        assert len(whole[name]) == 250
        assert past[name] == []
        assert len(rest[name]) == 1
    assert {row["namespace"] for row in whole["breakdown_by_namespace"]} == set(NAMESPACES)
    for page in (*pages, past, rest):
        assert page["summary"] == whole["summary"]
        assert page["lines"] == whole["lines"]
        assert set(page["pagination"]["total_count"].values()) == {250}


@pytest.mark.parametrize(
    "query",
    [
        "page=" + "9" * 5000,
        "&".join(f"a{n}={n}" for n in range(100)),
        "page=%00&window=%ff%fe",
        "window=%E2%80%AE7d&page=-1",
        "page=\u00b2",
        "window=&page=",
        "=&=&&&",
        "window=0,253402300799",
    ],
)
def test_any_query_of_the_page_is_answered(world: World, query: str) -> None:
    answer = world.client.get("/?" + query.encode().decode("latin-1"), headers=WITH_SECRET, timeout=60)
    assert answer.status_code in {200, 400}


def test_defect_of_one_account_does_not_hide_the_others(faulty: FaultServer) -> None:
    @asynccontextmanager
    async def opened(opened_account: Account) -> AsyncIterator[Any]:
        if opened_account.id == account_id(2):
            raise ZeroDivisionError
        async with by_http(opened_account) as source:
            yield source

    accounts = AccountsInMemory([account(1, faulty.url_of("draco")), account(2, "http://127.0.0.1:1")])
    with serving(cost_service(accounts, opened=opened)) as url:
        answer = httpx.get(f"{url}/?window=2026-11-20,2026-11-23", headers=WITH_SECRET, timeout=30)
    assert answer.status_code == 200
    assert "709.04" in answer.text
    assert "unexpected error" in answer.text


def test_page_with_more_rows_than_the_cache_is_read_once(replay: ReplayServer) -> None:
    names = ("aurora", "cygnus", "draco")
    accounts = AccountsInMemory([account(number, replay.url_of(name)) for number, name in enumerate(names, 1)])
    service = cost_service(accounts, max_rows=1)
    with serving(service) as url:
        pages, questions = [], []
        for _ in range(3):
            pages.append(httpx.get(f"{url}/?window=2026-11-20,2026-11-23", headers=WITH_SECRET, timeout=30).text)
            questions.append(sum(service.tally.questions.values()))
    assert all(total in page for page in pages[1:] for total in ("247.45", "594.36", "709.04"))
    assert "refresh" not in pages[-1]
    assert questions[1] == questions[2], "nothing was asked again"


# --- operators ---


def test_probes_and_metrics_show_no_account(world: World) -> None:
    world.get(**GOOD)
    assert world.client.get("/healthz").json() == {"status": "ok", "version": "1.2.3-test"}
    assert world.client.get("/readyz").json() == {"status": "ready", "version": "1.2.3-test"}
    figures = world.client.get("/metrics")
    assert figures.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    for line in (
        r'kubetally_http_requests_total\{path="/metroculus/v2/kubecost_cluster_costs",status="200"\} [1-9]',
        r'kubetally_source_questions_total\{outcome="ok",question="read"\} [1-9]',
        r'kubetally_cache_questions_total\{result="hit"\} \d',
        r"kubetally_cache_age_seconds_count \d",
        r'kubetally_http_request_seconds_bucket\{le="\+Inf",path="/healthz"\} [1-9]',
    ):
        assert re.search(line, figures.text), line
    assert ONE not in figures.text


def test_metrics_show_progress_and_survive_its_failure(replay: ReplayServer) -> None:
    coverage = CoverageInMemory()
    coverage.failed(account_id(1), date(2026, 11, 21), NOON_AFTER, code="source_unavailable", message="nobody answers")
    accounts = AccountsInMemory([account(1, replay.url_of("aurora")), account(2, replay.url_of("draco"))])
    with serving(cost_service(accounts, history=History(coverage, LakeInMemory))) as url:
        figures = httpx.get(f"{url}/metrics").text
    for line in ("kubetally_clusters 2.0", "kubetally_clusters_behind 2.0", "kubetally_days_failing 1.0"):
        assert f"\n{line}\n" in figures
    assert account_id(1) not in figures
    accounts.failure = unavailable("sqlite:///here", "it is gone")
    with serving(cost_service(accounts, history=History(coverage, LakeInMemory))) as url:
        answer = httpx.get(f"{url}/metrics")
    assert answer.status_code == 200
    assert "kubetally_clusters" not in answer.text
    assert "kubetally_build_info" in answer.text


def test_unreadable_accounts_are_503_and_not_ready(draco: World) -> None:
    draco.accounts.failure = unavailable("sqlite:///here", "it is gone")
    answer = draco.client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
    assert answer.json()["problems"] == ["database_unreadable"]
    assert draco.client.get("/healthz").status_code == 200
    answer = draco.get(**GOOD)
    assert (answer.status_code, answer.json()["error"]["error_code"]) == (503, "U0503")
    assert answer.headers["retry-after"] == "5"
    draco.accounts.failure = None
    assert draco.get(**GOOD).status_code == 200


def test_defect_is_u0500_without_details(draco: World) -> None:
    draco.accounts.failure = ZeroDivisionError("with a secret in it")
    answer = draco.get(**GOOD)
    body = {"error": {"status_code": 500, "error_code": "U0500", "reason": "Internal Server Error", "params": []}}
    assert (answer.status_code, answer.text) == (500, json.dumps(body))


def test_harmless_request_id_of_the_client_is_kept(world: World) -> None:
    assert world.client.get("/healthz", headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
    for odd in ("a b", "x" * 65, "<b>"):
        assert world.client.get("/healthz", headers={"X-Request-Id": odd}).headers["x-request-id"] != odd


def test_slow_and_silent_clients_do_not_delay_others(world: World) -> None:
    there = urlsplit(world.url)
    address = (str(there.hostname), there.port or 0)
    held = [socket.create_connection(address) for _ in range(20)]
    for connection in held:
        request = f"GET {PATH}?{urlencode(GOOD)}&detail_level=workload HTTP/1.1\r\nHost: x\r\nSecret: {SECRET}\r\n"
        connection.sendall(request.encode())  # half of them never finish their request, the others never read
    for connection in held[::2]:
        connection.sendall(b"\r\n")
    began = time.monotonic()
    assert world.get(**GOOD).status_code == 200
    assert time.monotonic() - began < 2
    for connection in held:
        connection.close()


# --- pages ---


def test_page_shows_every_cluster_escaped(world: World) -> None:
    page = world.client.get("/", params={"window": "2026-11-20,2026-11-23"}, headers=WITH_SECRET)
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for words in (
        "247.45 USD",
        "aurora",
        "dead",
        "difference",
        "ok, assets complete, 72 of 72 h",
        "is unavailable",
        'href="/docs"',
        ONE,
    ):
        assert words in page.text
    assert "<script" not in page.text
    assert "&lt;script&gt;alert(1)" in page.text
    assert "bucket" not in page.text
    assert SECRET not in page.text
    assert "curl -H" in page.text


def without_days(*days: str) -> Callable[[Asked], Any]:
    """Aurora's source without data of some days of November; a day that ends with ! fails."""

    def answers(asked: Asked) -> Any:
        if asked.path.startswith("/allocation"):
            for day in days:
                if f"-{day.strip('!')}T" in asked.params["window"].partition(",")[0]:
                    if "!" in day:
                        return Reply(500, json.dumps({"code": 500, "message": f"R&D {day}"}).encode())
                    return {"code": 200, "data": [None]}
        return sound(asked)

    return answers


sound = recorded_but(lambda _path, _data: None)


def page_of(answers: Callable[[Asked], Any], window: str) -> str:
    """The page of an account with such a source as text, with single blanks."""
    with Served(answers) as source:
        service = cost_service(AccountsInMemory([account(1, source.url, name="prod")]))
        with serving(service) as url:
            return httpx.get(url, params={"window": window}, headers=WITH_SECRET, timeout=20).text


def words_of(markup: str) -> str:
    return " ".join(html.unescape(re.sub("<[^>]*>", "", markup)).split())


def test_page_shows_missing_data_and_when() -> None:
    page = page_of(without_days("20", "22!"), "2026-11-20,2026-11-23")
    missing, after = page.split("<table>")[0], page.split("</table>")[1]
    assert "partial, assets complete, 24 of 72 h" in missing
    assert "missing: the source holds no data of this window (20 Nov 2026 UTC)" in words_of(missing)
    assert "'R&D 22!'; check the log of the source (22 Nov 2026 UTC)" in words_of(missing)
    assert "R&amp;D" in missing
    assert "note: the management fee of the cluster is not measured by this source" in words_of(after)
    assert "missing:" not in words_of(after)
    assert "<details" not in page


def test_page_folds_long_lists() -> None:
    days = [f"{day:02}" + ("!" if day % 2 else "") for day in range(3, 20)]
    page = page_of(without_days(*days), "2026-11-03,2026-11-23")
    shown, folded = page.split("<table>")[0].split("<details><summary>", 1)
    assert shown.count("<li ") == 5
    assert re.match(r"\d more</summary>", folded)
    assert "8 periods, 4-18 Nov 2026 UTC" in words_of(page)
    assert "10 Nov 2026 UTC" in words_of(page)


def test_cluster_without_data_shows_window_and_no_figures() -> None:
    page = page_of(without_days("20"), "2026-11-20,2026-11-21")
    assert "no data, 0 of 24 h" in page
    assert "the source holds no data of this window (20 Nov 2026 UTC)" in words_of(page)
    assert "0.00" not in page


def test_page_and_command_line_print_the_same_text(replay: ReplayServer) -> None:
    printed = call("costs", "--url", replay.url_of("aurora"), *WHOLE).out
    page = words_of(page_of(sound, "2026-11-20,2026-11-23").replace("</th>", " ").replace("</td>", " "))
    _, _, *lines, blank, _ = printed.splitlines()
    assert (blank, len(lines)) == ("", 14)
    for line in lines:
        assert " ".join(line.split()) in page


def test_page_marks_both_accounts_of_a_duplicate_cluster(replay: ReplayServer) -> None:
    url = replay.url_of("aurora")
    accounts = AccountsInMemory([account(1, url, name="here"), account(2, f"{url}/", name="there")])
    with serving(cost_service(accounts)) as address:
        page = words_of(
            httpx.get(address, params={"window": "2026-11-20,2026-11-23"}, headers=WITH_SECRET, timeout=20).text
        )
    for other in ("here", "there"):
        assert f"seems to be that of {other} too: its cost is in the answers more than once" in page


def test_error_of_a_cluster_does_not_repeat_its_account(world: World) -> None:
    page = world.client.get("/", params={"window": "2026-11-20,2026-11-23"}, headers=WITH_SECRET).text
    assert "is unavailable" in page
    assert "account 0" not in page


def test_curl_command_on_the_page_reads_the_secret_file() -> None:
    def command(secret_file: str | None) -> str:
        app = create_app(
            cost_service(AccountsInMemory()), SECRET, version="1", clock=FixedClock(), secret_file=secret_file
        )
        with TestClient(app) as client:
            page = client.get("/", headers=WITH_SECRET).text
        return unescape(page.partition("<pre>curl")[2].partition("</pre>")[0])

    assert """-H "Secret: $(cat '/a folder/secret')" """ in command("/a folder/secret")
    assert '-H "Secret: $KUBETALLY_SECRET" ' in command(None)


def test_page_shows_the_error_of_an_invalid_window(world: World) -> None:
    page = world.client.get("/", params={"window": "<b>soon"}, headers=WITH_SECRET)
    assert page.status_code == 400
    assert "&lt;b&gt;soon" in page.text
    assert "<b>soon" not in page.text


@pytest.mark.parametrize(
    "headers", [{}, {"Host": "localhost"}, {"Host": "evil.example"}, {"X-Forwarded-For": "127.0.0.1"}]
)
def test_page_needs_the_secret(world: World, headers: dict[str, str]) -> None:
    params = {"window": "2026-11-20,2026-11-21"}
    refused = world.client.get("/", params=params, headers=headers)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Basic")
    assert "aurora" not in refused.text
    assert world.client.get("/", params=params, headers=headers, auth=("me", SECRET)).status_code == 200
    assert world.client.get("/", params=params, headers=headers, auth=("me", "wrong")).status_code == 401
    assert world.client.get("/", params=params, headers=headers | WITH_SECRET).status_code == 200


def test_documentation_loads_nothing_from_elsewhere(world: World) -> None:
    for path in ("/docs", "/"):
        text = world.client.get(path, params={"window": "2026-11-20,2026-11-21"}, headers=WITH_SECRET).text
        assert re.findall(r"(?:src|href)=\"(?!/|#)[^\"]*", text) == []
        assert "<script" not in text
    assert "/metroculus/v2/kubecost_cluster_costs" in world.client.get("/docs").text
    assert world.client.get("/style.css").headers["content-type"].startswith("text/css")
    assert world.client.get("/openapi.json").json()["openapi"].startswith("3.1")
    for path, place in (("", "/docs"), ("/", "/docs"), ("/spec.html", "/docs"), ("/spec", "/openapi.json")):
        answer = world.client.get(f"/metroculus/v2/swagger{path}", follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (302, place)


# --- a separate process ---


@dataclass
class Process:
    """The service as a program."""

    process: subprocess.Popen[str]
    url: str
    log: Path

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(12)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Any]:
    running: list[Process] = []

    def start(*urls: str) -> Process:
        log = tmp_path / "log"
        with log.open("w") as to:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.service", *urls],
                stdout=subprocess.PIPE, stderr=to, text=True,
            )  # fmt: skip
        assert process.stdout is not None
        running.append(Process(process, process.stdout.readline().strip(), log))
        return running[-1]

    yield start
    for program in running:
        program.process.kill()
        program.process.wait()
        if program.process.stdout:
            program.process.stdout.close()


def test_sigterm_finishes_running_requests_within_10_seconds(started: Any, faulty: FaultServer) -> None:
    process = started(faulty.fault_url("slow", "aurora"))
    with concurrent.futures.ThreadPoolExecutor(1) as one:
        asked = one.submit(httpx.get, process.url + PATH, params=GOOD, headers=WITH_SECRET, timeout=30)
        while not any(question.path == "/allocation" for question in faulty.asked):
            time.sleep(0.02)
        began = time.monotonic()
        process.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert httpx.get(process.url + "/readyz").json()["status"] == "stopping"
        time.sleep(1)
        with pytest.raises(httpx.TransportError):
            httpx.get(process.url + "/healthz", timeout=1)
        faulty.release.set()
        assert asked.result().status_code == 200
        assert asked.result().json()["summary"]["total_cost"] == 247.445919
    assert process.process.wait(10) == 0
    assert time.monotonic() - began < 10


def test_sigterm_does_not_wait_for_a_hanging_source(started: Any, faulty: FaultServer) -> None:
    process = started(faulty.fault_url("hang", "aurora"))
    threading.Thread(target=_ask_and_forget, args=(process.url,), daemon=True).start()
    while not any(question.path == "/allocation" for question in faulty.asked):
        time.sleep(0.02)
    began = time.monotonic()
    assert process.stop() == 0
    assert time.monotonic() - began < 10


def _ask_and_forget(url: str) -> None:
    with contextlib.suppress(httpx.TransportError):
        httpx.get(url + PATH, params=GOOD, headers=WITH_SECRET, timeout=30)


def test_cached_answer_is_logged_before_the_stop(started: Any, replay: ReplayServer) -> None:
    process = started(replay.url_of("draco"))
    for _ in range(3):
        httpx.get(process.url + PATH, params=GOOD, headers=WITH_SECRET, timeout=30)
    process.stop()
    told = [json.loads(line) for line in process.log.read_text().splitlines()]
    requests = [line for line in told if line["event"] == "request"]
    assert [line["cache"] for line in requests] == ["miss", "hit", "hit"]
    assert {(line["method"], line["path"], line["status"]) for line in requests} == {("GET", PATH, 200)}
    assert len({line["id"] for line in requests}) == 3


def test_log_and_answers_show_no_secret(started: Any) -> None:
    """Right and wrong secrets in headers, queries, paths and the source's URL."""
    password, token = "hunter2-in-url", "token-in-query"

    def refuses(asked: Asked) -> Any:
        return Reply(401, b"no", "text/plain") if "alloc" in asked.path else NOT_FOUND

    with Served(refuses) as served:
        process = started(served.url.replace("//", f"//user:{password}@"))
        answers = [
            httpx.get(process.url + PATH, params=GOOD | {"token": token}, headers=WITH_SECRET),
            httpx.get(process.url + PATH, params=GOOD, headers={"Secret": "wrong-secret"}),
            httpx.get(process.url + "/", auth=("me", "wrong-secret"), headers={"Host": "elsewhere"}),
            httpx.get(
                process.url + "/", params={"window": "2026-11-20,2026-11-21", "token": token}, headers=WITH_SECRET
            ),
            httpx.get(process.url + "/sign-in", params={"token": token}),
            httpx.post(process.url + PATH, headers=WITH_SECRET, content=b"body"),
            httpx.get(process.url + "/metrics"),
            httpx.get(process.url + "/openapi.json"),
            httpx.get(process.url + "/docs"),
        ]
        assert answers[0].status_code == 424
        assert answers[0].json()["error"]["params"][0].startswith("http://")
        process.stop()
    told = process.log.read_text() + "".join(answer.text + str(answer.headers) for answer in answers)
    assert told.count('"event":"request"') >= len(answers)
    for secret in (SECRET, password, token, "wrong-secret", quote(password)):
        assert secret not in told
    assert "Traceback" not in told
