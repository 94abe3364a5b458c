"""The client of the query API: what it sends, how it reads answers, and each fault from a real socket."""

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kubetally.domain.issues import IssueKind
from kubetally.domain.window import DAY, HOUR, Window
from kubetally.sources.access import Access
from kubetally.sources.prometheus.client import PrometheusClient, QueryOptions, QueryResult
from kubetally.sources.prometheus.promql import HourRanges, Selector, metric_name, quoted
from kubetally.sources.prometheus.source import PrometheusSource
from kubetally.sources.prometheus.wire import QueryRefused
from kubetally.sources.transport import Limits, Transport
from kubetally.tasks import calculate_on_thread
from tests.errors import raises_code
from tests.served import Asked, Reply, Served

AT = datetime(2026, 11, 20, tzinfo=UTC)
LONG = "up or " * 400 + "up"


def vector(*values: object, **more: object) -> dict[str, Any]:
    result = [{"metric": {"n": str(n)}, "value": [1, value]} for n, value in enumerate(values)]
    return {"status": "success", "data": {"resultType": "vector", "result": result}, **more}


def matrix(points: Mapping[int, str], **more: object) -> dict[str, Any]:
    result = [{"metric": {"n": "0"}, "values": [[at, value] for at, value in points.items()]}]
    return {"status": "success", "data": {"resultType": "matrix", "result": result}, **more}


@asynccontextmanager
async def asking(
    answers: Callable[[Asked], Any], *, headers: Mapping[str, str] | None = None, **more: Any
) -> AsyncIterator[tuple[PrometheusClient, Served]]:
    with Served(answers) as server:
        access = Access.parse(f"{server.url}/prometheus", token="s3cret", headers=headers or {})
        async with Transport(access, Limits(attempts=1)) as transport:
            yield PrometheusClient(transport, **more), server


async def instant(answer: object, query: str = "up") -> QueryResult:
    async with asking(lambda asked: answer) as (client, _):
        return await client.instant(query, AT)


# ------------------------------------------------------------------------------------------------ what is sent


async def test_query_carries_credentials_headers_and_thanos_options() -> None:
    async with asking(lambda asked: vector("1"), headers={"X-Scope-OrgID": "team 7"}) as (client, server):
        await client.instant("up", AT + timedelta(milliseconds=5))
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("GET", "/prometheus/api/v1/query")
    assert asked.params == {
        "query": "up",
        "time": "1795132800.005",
        "dedup": "true",
        "partial_response": "false",
        "max_source_resolution": "5m",
    }
    assert (asked.headers["authorization"], asked.headers["x-scope-orgid"]) == ("Bearer s3cret", "team 7")


async def test_the_options_of_thanos_can_be_set() -> None:
    options = QueryOptions(dedup=False, partial_response=True, max_source_resolution="1h")
    async with asking(lambda asked: vector("1"), options=options) as (client, server):
        await client.instant("up", AT)
    sent = server.asked[0].params
    assert [sent[name] for name in ("dedup", "partial_response", "max_source_resolution")] == ["false", "true", "1h"]


async def test_a_long_query_is_posted() -> None:
    async with asking(lambda asked: vector("1")) as (client, server):
        await client.instant(LONG, AT)
    assert [(asked.method, asked.params["query"]) for asked in server.asked] == [("POST", LONG)]


@pytest.mark.parametrize(("status", "error"), [(403, "metrics_not_allowed"), (405, "source_refused")])
async def test_server_that_refuses_post_gets_the_query_in_its_url(status: int, error: str) -> None:
    def answers(asked: Asked) -> object:
        return Reply(status, b"no", "text/plain") if asked.method == "POST" else vector("7")

    async with asking(answers) as (client, server):
        assert (await client.instant(LONG, AT)).series[0].points == [(1, 7.0)]
        with raises_code(error):
            await client.instant("up or " * 4000 + "up", AT)
    assert [asked.method for asked in server.asked] == ["POST", "GET", "POST"]


async def test_a_refusal_of_posts_is_remembered() -> None:
    def answers(asked: Asked) -> object:
        return Reply(405, b"no", "text/plain") if asked.method == "POST" else vector("7")

    async with asking(answers) as (client, server):
        for _ in range(3):
            await client.instant(LONG, AT)
    assert [asked.method for asked in server.asked] == ["POST", "GET", "GET", "GET"]


async def test_range_refused_as_too_much_is_halved() -> None:
    def answers(asked: Asked) -> object:
        first, last, step = (int(asked.params[name]) for name in ("start", "end", "step"))
        if (last - first) / step > 10:
            return _error(422, "execution", "query processing would load too many samples into memory")
        return matrix({at: str(at) for at in range(first, last + 1, step)})

    async with asking(answers) as (client, _):
        found = await client.range("up", first=AT, last=AT + 30 * HOUR, step=HOUR)
    assert [at for at, _ in found.series[0].points] == [1795132800 + n * 3600 for n in range(31)]
    async with asking(lambda asked: _error(422, "execution", "no")) as (client, server):
        with pytest.raises(QueryRefused):
            await client.range("up", first=AT, last=AT + 30 * HOUR, step=HOUR)
    assert len(server.asked) <= 4


async def test_long_window_is_split_without_repeated_or_lost_points() -> None:
    def answers(asked: Asked) -> object:
        first, last, step = (int(asked.params[name]) for name in ("start", "end", "step"))
        return matrix({at: str(at) for at in range(first, last + 1, step)})

    async with asking(answers, max_span=1000 * DAY) as (client, server):
        found = await client.range("up", first=AT, last=AT + 25_000 * HOUR, step=HOUR)
    points = found.series[0].points
    assert [at for at, _ in points] == [1795132800 + n * 3600 for n in range(25_001)]
    assert len(server.asked) == 3
    async with asking(answers, max_span=DAY) as (client, server):
        assert len((await client.range("up", first=AT, last=AT + 3 * DAY, step=HOUR)).series[0].points) == 73
        await client.range("up", first=AT, last=AT, step=HOUR)
    assert len(server.asked) == 5


async def test_an_answer_is_read_however_it_is_compressed_and_declared() -> None:
    body = json.dumps(vector("1", "2")).encode()
    members = gzip.compress(b"\xef\xbb\xbf" + body[:9]) + gzip.compress(body[9:])
    found = await instant(Reply(200, members, "text/html", {"Content-Encoding": "gzip"}))
    assert [series.points for series in found.series] == [[(1.0, 1.0)], [(1.0, 2.0)]]


# ------------------------------------------------------------------------------------------------ what is answered


async def test_nan_and_infinity_are_missing_and_no_figures() -> None:
    found = await instant(vector("1.5", "NaN", "+Inf", "-Inf", "x", "0"))
    assert [series.points[0][1] for series in found.series] == [1.5, 0.0]
    async with asking(lambda asked: matrix({1: "1", 2: "NaN", 3: "3"})) as (client, _):
        assert (await client.range("up", first=AT, last=AT + HOUR, step=HOUR)).series[0].points == [(1, 1.0), (3, 3.0)]


async def test_warning_of_a_missing_store_makes_the_answer_partial() -> None:
    told = {
        "warnings": ["No StoreAPIs matched", "PromQL warning: metric might not be a counter"],
        "infos": ["PromQL info: y"],
    }
    found = await instant(vector("1", **told))
    issues = found.issues("http://thanos.test", Window(AT, AT + HOUR))
    assert [(issue.kind, issue.is_missing_data) for issue in issues] == [
        (IssueKind.ANSWER_INCOMPLETE, True),
        (IssueKind.SOURCE_WARNING, False),
        (IssueKind.SOURCE_WARNING, False),
    ]
    assert "No StoreAPIs matched" in issues[0].message
    assert (await instant(vector("1", isPartial=True))).missing == ("the answer is partial",)
    assert (await instant(vector("1"))).issues("x", Window(AT, AT)) == []


async def test_unknown_keys_and_histograms_do_no_harm() -> None:
    answer = vector("1", stats={"x": 1})
    answer["data"]["result"].append({"metric": {}, "histogram": [1, {"count": "1"}]})
    assert len((await instant(answer)).series) == 1


async def test_an_empty_result_may_be_null() -> None:
    assert (await instant({"status": "success", "data": {"resultType": "vector", "result": None}})).series == []


# ------------------------------------------------------------------------------------------------ faults


def _error(status: int, kind: str, text: str) -> Reply:
    return Reply(status, json.dumps({"status": "error", "errorType": kind, "error": text}).encode())


@pytest.mark.parametrize(
    ("answer", "kind", "todo"),
    [
        (_error(422, "execution", "would load too many samples"), "execution", "shorter window"),
        (_error(400, "bad_data", 'parse error at char 1 "x"'), "bad_data", "2.26"),
        (_error(200, "timeout", "query timed out"), "timeout", "timeout"),
        (_error(404, "not_found", "no such"), "not_found", "log"),
    ],
)
async def test_api_error_is_quoted_with_what_to_do(answer: Reply, kind: str, todo: str) -> None:
    with pytest.raises(QueryRefused) as caught:
        await instant(answer)
    said = json.loads(answer.body)["error"]
    assert (caught.value.error_type, caught.value.status, caught.value.said) == (kind, answer.status, said)
    assert todo in str(caught.value)
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Reply(200, b""), "answer_not_understood"),
        (Reply(200, b'{"status":"success","data":{"resultType":"vector","result":[{"met'), "answer_not_understood"),
        (Reply(200, b"<html>sign in</html>", "text/html"), "answer_not_understood"),
        (Reply(200, b'{"code":200,"status":"success","data":[{}]}'), "answer_not_understood"),
        (Reply(200, b'{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}'), "answer_not_understood"),
        (matrix({1: "1"}), "answer_not_understood"),
        ({"status": "success"}, "answer_not_understood"),
        (Reply(200, b'{"status":"success","x":' + b"[" * 100_000), "answer_not_understood"),
        (Reply(422, b'{"status":"error","x":' + b"[" * 100_000), "source_refused"),
        (Reply(200, b"{}", headers={"Content-Length": "9999", "Connection": "close"}), "answer_truncated"),
        (Reply(404, b"404 page not found", "text/plain"), "source_refused"),
        (Reply(401, b'{"error":"sign in"}'), "metrics_not_allowed"),
        (Reply(401, b"no org id", "text/plain"), "metrics_not_allowed"),
        (_error(403, "internal", "not yours"), "metrics_not_allowed"),
        (_error(503, "unavailable", "starting"), "source_unavailable"),
    ],
)
async def test_unreadable_answer_is_an_error_not_empty(answer: object, error: str) -> None:
    with raises_code(error):
        await instant(answer)


# ------------------------------------------------------------------------------------------------ queries


@pytest.mark.parametrize(("counted", "left_open"), [("2", False), ("1", True)])
async def test_probe_shows_whether_ranges_are_left_open(counted: str, left_open: bool) -> None:
    async with asking(lambda asked: vector(counted)) as (client, server):
        assert await client.is_left_open(AT + timedelta(seconds=59)) is left_open
        await client.is_left_open(AT)
    assert [asked.params["time"] for asked in server.asked] == ["1795132800"]
    assert HourRanges(left_open).samples.startswith("[1h]" if left_open else "[3599999ms]")


async def test_server_that_returns_nothing_for_the_probe_is_refused() -> None:
    async with asking(lambda asked: vector()) as (client, _):
        with raises_code("probe_unanswered", match="past a proxy that changes queries"):
            await client.is_left_open(AT)


async def test_refused_credentials_name_their_options() -> None:
    with raises_code("metrics_not_allowed", match=r"'no org id'.*--prometheus-header.*KUBETALLY_PROMETHEUS_HEADERS"):
        await instant(Reply(401, b"no org id", "text/plain"))


async def test_unsigned_request_to_amazon_names_a_signing_proxy() -> None:
    for body in (b'{"message":"Missing Authentication Token"}', b'{"message":"The SigV4 signature has expired"}'):
        with raises_code("signature_needed", match=r"needs requests signed with SigV4.*aws-sigv4-proxy"):
            await instant(Reply(403, body))


# ------------------------------------------------------------------------------------------------ strict servers


def strict(asked: Asked) -> Any:
    """As Google's managed Prometheus, which refuses unknown parameters."""
    for name in asked.params:
        if name not in {"query", "time", "timeout", "start", "end", "step"}:
            words = f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter.'
            return Reply(400, json.dumps({"error": {"code": 400, "message": words}}).encode())
    if "parse error" in asked.params["query"]:
        return _error(400, "bad_data", 'invalid parameter "query": parse error')
    if "vector(1)" in asked.params["query"]:
        return vector("2")
    return {
        "status": "success",
        "data": {"resultType": "matrix" if "start" in asked.params else "vector", "result": []},
    }


async def test_strict_server_refuses_one_query_at_most() -> None:
    async with asking(strict) as (client, server):
        await asyncio.gather(
            *(client.instant(f"up + {n}", AT) for n in range(3)), client.range("up", first=AT, last=AT, step=HOUR)
        )
        await client.range(LONG, first=AT, last=AT + HOUR, step=HOUR, lookback=HOUR)
    refused = [asked for asked in server.asked if "dedup" in asked.params]
    assert (len(refused), len(server.asked), client.questions) == (1, 6, 6)


async def test_strict_server_without_metrics_leaves_the_answer_whole() -> None:
    async with asking(strict) as (client, server):
        found = await PrometheusSource(client).read(Window(AT, AT + DAY))
    assert [issue.kind for issue in found.issues] == [IssueKind.NOT_MEASURED]
    assert not any(issue.is_missing_data for issue in found.issues)
    assert sum("dedup" in asked.params for asked in server.asked) == 1


async def test_bad_query_stays_an_error_and_is_not_asked_again() -> None:
    async with asking(lambda asked: _error(400, "bad_data", 'invalid parameter "query": parse error')) as (
        client,
        server,
    ):
        for _ in range(2):
            with pytest.raises(QueryRefused, match="parse error"):
                await client.instant("parse error", AT)
        assert len(server.asked) == 2
    async with asking(strict) as (client, server):
        with pytest.raises(QueryRefused, match="parse error"):
            await client.instant("parse error", AT)
        await client.instant("up", AT)
        assert ["dedup" in asked.params for asked in server.asked] == [True, False, False]


async def test_query_that_names_a_parameter_makes_no_server_strict() -> None:
    def answer(asked: Asked) -> Any:
        is_bad = asked.params["query"] != "up"
        return _error(400, "bad_data", f"parse error: {asked.params['query']}") if is_bad else vector("1")

    async with asking(answer) as (client, server):
        with pytest.raises(QueryRefused):
            await client.instant("up{dedup", AT)
        await client.instant("up", AT)
    assert ["dedup" in asked.params for asked in server.asked] == [True, False, True]


async def test_no_query_covers_more_than_a_managed_server_allows() -> None:
    async with asking(strict) as (client, server):
        source = PrometheusSource(client, Selector(tenant="a"))
        await source.read(Window(AT - 70 * DAY, AT))
    spans = [
        float(asked.params["end"]) - float(asked.params["start"]) for asked in server.asked if "end" in asked.params
    ]
    assert max(spans) <= DAY.total_seconds() * 30
    assert not re.search(r"\[(\d{3,}d|\d{7,}s)\]", " ".join(asked.params["query"] for asked in server.asked))


def test_values_are_escaped_and_names_are_checked() -> None:
    assert quoted('a"b\\c\nd') == '"a\\"b\\\\c\\nd"'
    assert Selector('x"}', "a.b|c", "tenant", "cluster").of("up") == ('up{tenant="x\\"}",cluster=~"|a\\\\.b\\\\|c"}')
    assert Selector().of("up") == "up{}"
    assert Selector("t").of_any(("a", "b:c")) == '{__name__=~"a|b:c",tenant_id="t"}'
    for name in ("", "1up", "up{", "üp", "a b", "up\n"):
        with raises_code("invalid_metric_or_label"):
            metric_name(name)
        with raises_code("invalid_metric_or_label"):
            Selector("t", tenant_label=name)


# ------------------------------------------------------------------------------------------------ beside the loop


async def test_answers_are_decoded_where_the_caller_says() -> None:
    calculated: list[str] = []

    async def noted(size_bytes: int, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        calculated.append(f"{function.__name__} {'of a body' if size_bytes else 'of what is decoded'}")
        return await calculate_on_thread(size_bytes, function, *args, **kwargs)

    async with asking(lambda asked: vector("1"), calculate=noted) as (client, _):
        await client.instant("up", AT)
    assert calculated == ["decode_query of a body", "_joined of what is decoded"]
    async with asking(lambda asked: matrix({0: "1"}), calculate=noted) as (client, _):
        await client.range("up", first=AT, last=AT + HOUR, step=HOUR)
    assert calculated[2:] == calculated[:2]
