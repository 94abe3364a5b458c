"""Each fault of a source, from a real socket."""

import asyncio
import gzip
import json
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import stamina
import trustme
from stamina.instrumentation import get_on_retry_hooks, set_on_retry_hooks
from structlog.testing import capture_logs

from kubetally import logs
from kubetally.domain.errors import SourceError
from kubetally.sources.access import Access
from kubetally.sources.address import AddressRefused
from kubetally.sources.faults import (
    Answer,
    AnswerNotUnderstood,
    CertificateNotTrusted,
    RedirectRefused,
    SourceFailed,
    SourceRefused,
    SourceTimeout,
    SourceUnavailable,
    Waiting,
)
from kubetally.sources.transport import Limits, Transport
from tests.errors import raises_code

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SECRET = "s3cret"
CLOSE = b"connection: close\r\n"

Behaviour = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


class FixedClock:
    def now(self) -> datetime:
        return NOW


@dataclass
class Request:
    target: str
    headers: dict[str, str]
    method: str = "GET"
    body: bytes = b""


@dataclass
class Server:
    """Answers the first request with the first behaviour, and so on; the last one repeats."""

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def answer(body: bytes | str = b"{}", status: int = 200, *headers: str, keep: bool = False) -> bytes:
    body = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Said", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n" + (b"" if keep else CLOSE) + b"\r\n" + body


@asynccontextmanager
async def serving(
    *script: Behaviour, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Server]:
    state, tasks = Server(), set[asyncio.Task[None]]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        state.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = dict(line.lower().split(": ", 1)[:1] + line.split(": ", 1)[1:] for line in head[1:] if line)
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                state.requests.append(Request(head[0].split(" ")[1], headers, head[0].split(" ")[0], body))
                behaviour = script[min(len(state.requests), len(script)) - 1]
                state.asked.set()
                if not isinstance(behaviour, bytes):
                    await behaviour(writer)
                    return
                writer.write(behaviour)
                await writer.drain()
                if CLOSE in behaviour:
                    return
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(talk, host, 0, ssl=tls)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def limits(**changes: Any) -> Limits:
    usual = {"connect_seconds": 5, "read_seconds": 5, "deadline_seconds": 20, "backoff_initial_seconds": 0}
    return Limits(**{**usual, **changes})


@dataclass
class Timer:
    """Shows how long the answers of a server took, of which each takes 1.5 s."""

    seconds: float = 100.0

    def __call__(self) -> float:
        return self.seconds

    def slow(self, content: bytes) -> Behaviour:
        async def send(writer: asyncio.StreamWriter) -> None:
            self.seconds += 1.5
            writer.write(content)
            await writer.drain()

        return send


def transport(url: str | Access, *, resolve: Any = None, timer: Timer | None = None, **changes: Any) -> Transport:
    access = Access.parse(url) if isinstance(url, str) else url
    given = {name: value for name, value in (("resolve", resolve), ("timer", timer)) if value is not None}
    return Transport(access, limits(**changes), clock=FixedClock(), **given)


async def get(url: str | Access, path: str = "/allocation", params: Any = (), **changes: Any) -> Answer:
    async with transport(url, **changes) as one:
        return await one.get(path, params)


async def post(url: str | Access, path: str = "/q", form: Any = (("query", "up"),), **changes: Any) -> Answer:
    async with transport(url, **changes) as one:
        return await one.post(path, form)


async def hang(_: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


def resolving(*addresses: str) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


# Credentials that a source repeats


CLIENT_KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----\n"
ECHOED = "tok3n-of-the-source"


@pytest.mark.parametrize(
    "said",
    [
        answer(f"what is Bearer {ECHOED}?", 400),
        answer(f"what is Bearer {ECHOED}?", 500),
        answer(json.dumps({"message": f"what is {ECHOED}?"}), 503),
        b"HTTP/1.1 200 OK\r\nBearer tok3n-of-the-source\r\n\r\n",
        b"tok3n-of-the-source\r\n\r\n",
        f"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n{ECHOED}\r\n\r\n".encode(),
        answer("", 302, f"location: http://{ECHOED}.example/{ECHOED}"),
        answer("", 302, f"location: http://{ECHOED}@elsewhere.example/"),
    ],
)
async def test_repeated_credentials_are_not_quoted(said: bytes) -> None:
    async with serving(said) as server:
        with pytest.raises(SourceError) as caught:
            await get(Access.parse(server.url, token=ECHOED), attempts=1)
    assert ECHOED not in str(caught.value)
    assert ECHOED not in repr(vars(caught.value) | {"body": b""})


async def test_token_before_and_after_renewal_is_not_quoted() -> None:
    async def renew() -> Access:
        return Access.parse(server.url, token="second-tok3n")

    async with serving(answer("no first-tok3n", 401), answer("no first-tok3n, no second-tok3n", 403)) as server:
        access = Access.parse(server.url, token="first-tok3n")
        async with Transport(access, limits(), renew=renew) as one:
            with pytest.raises(SourceRefused, match=r"'no \*\*\*, no \*\*\*'"):
                await one.get("/x")


def test_mask_of_access_knows_all_of_its_credentials() -> None:
    access = replace(
        Access.parse(
            "http://jane:hush+hush@source.example",
            headers={
                "X-Api-Key": "k3y-of-jane",
                "Cookie": "a=c00kie-of-jane; b=c",
                "Authorization": "Basic Ym9iOmh1c2gy",
            },
        ),
        client_pem=CLIENT_KEY,
    )
    mask = access.mask()
    for secret in ("jane", "hush+hush", "k3y-of-jane", "c00kie-of-jane", "Ym9iOmh1c2gy", "bob", "hush2"):
        assert mask(f"<{secret}>") == "<***>"
    assert mask("line MIIEvQIBADANBgkqhkiG9w0BAQEFAASC of it") == "line *** of it"


# What is asked and answered


async def test_an_answer_carries_its_body_and_when_it_came() -> None:
    date, timer = "Fri, 20 Nov 2026 11:59:58 GMT", Timer()
    reply = answer('{"code":200}', 200, "content-type: application/json", f"date: {date}")
    async with serving(timer.slow(reply)) as server:
        got = await get(server.url, "/allocation", {"window": "1d"}, timer=timer)
    assert (got.status, got.body, got.content_type) == (200, b'{"code":200}', "application/json")
    assert got.server_date == datetime(2026, 11, 20, 11, 59, 58, tzinfo=UTC)
    assert got.received_at == NOW
    assert got.duration_seconds == 1.5
    assert got.url == f"{server.url}/allocation"


@pytest.mark.parametrize("header", ["date: yesterday", "date: Fri, 99 Nov 2026 11:59:58 GMT", "x: y"])
async def test_unreadable_date_is_none(header: str) -> None:
    async with serving(answer("{}", 200, header)) as server:
        assert (await get(server.url)).server_date is None


async def test_every_character_of_a_query_survives_the_wire() -> None:
    params = [
        ("query", 'sum(rate(x{a="b",c=~"d|e+"}[5m])) by (n) % 2 &x=1 #é/%41'),
        ("window", "2026-11-20T00:00:00Z,2026-11-21T00:00:00+02:00"),
        ("filter", "namespace:\"kube system\"+label[app]:'x'"),
        ("match[]", "up"),
        ("match[]", "down"),
        ("empty", ""),
    ]
    async with serving(answer()) as server:
        await get(server.url, "/q", params)
    path, _, query = server.requests[0].target.partition("?")
    assert path == "/q"
    assert parse_qsl(query, keep_blank_values=True) == params


async def test_a_path_in_the_url_is_kept_as_prefix() -> None:
    async with serving(answer(keep=True)) as server, transport(f"{server.url}/cost/api/") as one:
        await one.get("/allocation", [("window", "1d")])
        await one.get("healthz")
    assert [request.target for request in server.requests] == ["/cost/api/allocation?window=1d", "/cost/api/healthz"]
    assert server.requests[0].headers["host"] == f"127.0.0.1:{server.port}"


async def test_credentials_and_headers_arrive() -> None:
    async with serving(answer()) as server:
        await get(Access.parse(f"http://ada:{SECRET}@127.0.0.1:{server.port}"))
        await get(Access.parse(server.url, token=SECRET, headers={"X-Scope-OrgID": "team 7"}))
        await get(Access.parse(server.url, user="ada", password=SECRET))
        await get(server.url)
    basic = "Basic YWRhOnMzY3JldA=="
    assert [request.headers.get("authorization") for request in server.requests] == [
        basic,
        f"Bearer {SECRET}",
        basic,
        None,
    ]
    assert server.requests[1].headers["x-scope-orgid"] == "team 7"


async def test_a_compressed_answer_is_decompressed() -> None:
    body = json.dumps({"data": ["x" * 1000] * 3000}).encode()
    async with serving(answer(gzip.compress(body), 200, "content-encoding: gzip")) as server:
        assert (await get(server.url)).body == body
    assert server.requests[0].headers["accept-encoding"] == "gzip"


GZIP = "content-encoding: gzip"
BODY = json.dumps({"data": ["x" * 1000] * 3000}).encode()


def gzip_members(*parts: bytes, between: bytes = b"") -> bytes:
    return between.join(gzip.compress(part) for part in parts)


def in_pieces(data: bytes, size: int) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\n{GZIP}\r\ncontent-length: {len(data)}\r\n\r\n".encode())
        for at in range(0, len(data), size):
            writer.write(data[at : at + size])
            await writer.drain()
            await asyncio.sleep(0)  # so that it arrives in about these pieces

    return write


@pytest.mark.parametrize("size", [1, 2, 1000, 1_000_000])
@pytest.mark.parametrize("between", [b"", bytes(512)], ids=["adjacent", "padded"])
async def test_gzip_of_several_members_is_read_whole(size: int, between: bytes) -> None:
    parts = (BODY[:1], b"", BODY[1:-1], BODY[-1:])
    async with serving(in_pieces(gzip_members(*parts, between=between) + between, size)) as server:
        assert (await get(server.url)).body == BODY


@pytest.mark.parametrize("kept", [1, 2, 10, -8, -1])
async def test_gzip_whose_last_member_is_cut_is_truncated(kept: int) -> None:
    cut = gzip.compress(BODY[:1000]) + gzip.compress(BODY[1000:])[:kept]
    async with serving(answer(cut, 200, GZIP)) as server:
        with raises_code("answer_truncated", match="ends early"):
            await get(server.url, attempts=1)


async def test_bytes_after_the_last_gzip_member_are_ignored() -> None:
    for after in (b"\n", b"-- end --" * 1000, b"\x1f-"):
        async with serving(in_pieces(gzip.compress(BODY) + after, 1000)) as server:
            assert (await get(server.url)).body == BODY


async def test_gzip_members_count_together_towards_the_limit() -> None:
    async with serving(answer(gzip_members(*[bytes(300_000)] * 4), 200, GZIP)) as server:
        with raises_code("answer_too_large"):
            await get(server.url, max_bytes=1_000_000)
        assert len((await get(server.url, max_bytes=1_200_000)).body) == 1_200_000


@pytest.mark.parametrize("headers", [(), (GZIP,)], ids=["plain", "gzip"])
async def test_a_byte_order_mark_is_no_part_of_a_body(headers: tuple[str, ...]) -> None:
    mark = b"\xef\xbb\xbf"
    for body in (b'{"data":[]}', b"", b"{}"):
        sent = gzip.compress(mark + body) if headers else mark + body
        async with serving(answer(sent, 200, *headers)) as server:
            assert (await get(server.url)).body == body
    for short in (mark[:2], b"x", b"", b"x" + mark):
        async with serving(answer(gzip.compress(short) if headers else short, 200, *headers)) as server:
            assert (await get(server.url)).body == short
    failure = mark + b'{"message":"busy"}'
    async with serving(answer(gzip.compress(failure) if headers else failure, 500, *headers)) as server:
        with pytest.raises(SourceFailed) as caught:
            await get(server.url, attempts=1)
    assert caught.value.said == "busy"


# Not reached, slow, broken


async def test_refused_connection_is_retried_then_unavailable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with capture_logs() as lines, pytest.raises(SourceUnavailable, match="refused") as caught:
            await get(url)
    assert caught.value.retryable
    assert caught.value.status is None
    assert lines[-1]["attempts"] == 3


async def test_a_name_that_does_not_resolve_is_unavailable() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(SourceUnavailable, match="Name or service not known"):
        await get("http://nowhere.test", resolve=resolve)
    with pytest.raises(SourceUnavailable, match="has no address"):
        await get("http://nowhere.test", resolve=resolving())
    with pytest.raises(SourceUnavailable):
        await get("http://a..b.test")


async def test_a_resolver_that_hangs_is_a_connect_timeout() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return await asyncio.Event().wait()  # type: ignore[return-value]

    with pytest.raises(SourceTimeout) as caught:
        await get("http://slow.test", resolve=resolve, connect_seconds=0.02, attempts=1)
    assert caught.value.waiting is Waiting.CONNECT


async def test_source_silent_before_its_head_times_out_without_retry() -> None:
    async with serving(hang) as server:
        with pytest.raises(SourceTimeout, match="KUBETALLY_READ_SECONDS") as caught:
            await get(server.url, read_seconds=0.05, attempts=2)
    assert (caught.value.waiting, caught.value.seconds) == (Waiting.READ, 0.05)
    assert len(server.requests) == 1


async def test_silent_source_is_awaited_until_the_deadline() -> None:
    async with serving(hang) as server, transport(server.url, read_seconds=0.02, deadline_seconds=0.2) as one:
        with pytest.raises(SourceTimeout, match="KUBETALLY_DEADLINE_SECONDS") as caught:
            await one.get("/allocation", until_deadline=True)
    assert (caught.value.waiting, caught.value.seconds) == (Waiting.DEADLINE, 0.2)
    assert len(server.requests) == 1


@pytest.mark.parametrize("waiting", Waiting)
def test_timeout_names_its_setting_and_no_shorter_window(waiting: Waiting) -> None:
    message = str(SourceTimeout("http://host", waiting, 7))
    assert f"KUBETALLY_{waiting.value.upper()}_SECONDS" in message
    assert " 7 s" in message
    assert "window" not in message


async def test_a_source_that_hangs_in_its_body_is_a_read_timeout() -> None:
    async def half(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        await hang(writer)

    async with serving(half) as server:
        with pytest.raises(SourceTimeout) as caught:
            await get(server.url, read_seconds=0.05, attempts=1)
    assert caught.value.waiting is Waiting.READ


async def test_a_source_that_drips_its_body_meets_the_deadline() -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with serving(drip) as server:
        with capture_logs() as lines, pytest.raises(SourceTimeout, match="KUBETALLY_DEADLINE_SECONDS") as caught:
            await get(server.url, deadline_seconds=0.15)
    assert caught.value.waiting is Waiting.DEADLINE
    assert [line["error"] for line in lines if line["event"] == "source_request_failed"] == ["source_timeout"]


async def test_deadline_includes_pauses_and_keeps_the_last_error() -> None:
    async with serving(answer("", 503)) as server:
        with pytest.raises(SourceTimeout) as caught:
            await get(server.url, deadline_seconds=0.15, backoff_initial_seconds=60, backoff_max_seconds=60)
    assert isinstance(caught.value.__cause__, SourceUnavailable)
    assert len(server.requests) == 1


async def test_a_connection_closed_without_an_answer_is_tried_again() -> None:
    async def close(_: asyncio.StreamWriter) -> None:
        return

    async with serving(close, answer("fine")) as server:
        assert (await get(server.url)).body == b"fine"


async def test_server_that_does_not_speak_http_is_unavailable() -> None:
    async with serving(b"SSH-2.0-OpenSSH_9.6\r\n" + CLOSE) as server:
        with pytest.raises(SourceUnavailable):
            await get(server.url, attempts=1)


@pytest.mark.parametrize(
    "broken",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n" + CLOSE + b"\r\n1234567",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n" + CLOSE + b"\r\n7\r\n1234567\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n" + CLOSE + b"\r\n7\r\n1234567\r\nzz\r\nmore",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n" + CLOSE + b"\r\nff\r\n1234567",
    ],
)
async def test_a_body_that_breaks_off_is_truncated_and_tried_again(broken: bytes) -> None:
    async with serving(broken) as server:
        with raises_code("answer_truncated") as caught:
            await get(server.url)
    assert "after 7 bytes" in str(caught.value)
    assert isinstance(caught.value, SourceUnavailable)
    assert len(server.requests) == 3
    async with serving(broken, answer("whole")) as server:
        assert (await get(server.url)).body == b"whole"


async def test_compressed_data_that_ends_early_is_truncated() -> None:
    cut = gzip.compress(json.dumps(list(range(10_000))).encode())[:-20]
    async with serving(answer(cut, 200, "content-encoding: gzip")) as server:
        with raises_code("answer_truncated", match="ends early"):
            await get(server.url)


@pytest.mark.parametrize("encoding", ["gzip", "br", "gzip, gzip"])
async def test_invalid_compressed_data_is_not_understood(encoding: str) -> None:
    async with serving(answer("plain", 200, f"content-encoding: {encoding}")) as server:
        with pytest.raises(AnswerNotUnderstood, match="decompressed"):
            await get(server.url)


# Statuses


async def test_500_is_retried_once_and_its_message_quoted() -> None:
    body = json.dumps({"code": 500, "message": "boundary error:\n requested [x, y]\x1b[31m"})
    async with serving(answer(body, 500)) as server:
        with pytest.raises(SourceFailed, match="boundary error: requested") as caught:
            await get(server.url)
    assert caught.value.said == "boundary error: requested [x, y] [31m"
    assert caught.value.status == 500
    assert len(server.requests) == 2
    async with serving(answer(body, 500), answer("fine")) as server:
        assert (await get(server.url)).body == b"fine"


async def test_a_failure_after_another_error_is_not_tried_again() -> None:
    async with serving(answer("", 503), answer("", 500)) as server:
        with pytest.raises(SourceFailed):
            await get(server.url, attempts=5)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<html><style>p {}</style><p>Bad <b>day</b></p><script>x()</script></html>", "Bad day"),
        ('{"status":"error","errorType":"execution","error":"query timed out"}', "query timed out"),
        ("", None),
        ("x" * 70_000, "x" * 200),
        ("[" * 60_000, "[" * 200),
    ],
)
async def test_message_of_a_failure_is_plain_and_short(body: str, said: str | None) -> None:
    async with serving(answer(body, 501)) as server:
        with pytest.raises(SourceFailed) as caught:
            await get(server.url, attempts=1)
    assert caught.value.said == said


async def test_a_failure_whose_body_breaks_off_keeps_its_status() -> None:
    async with serving(b"HTTP/1.1 500 No\r\ncontent-length: 100\r\n" + CLOSE + b"\r\noh") as server:
        with pytest.raises(SourceFailed) as caught:
            await get(server.url, attempts=1)
    assert (caught.value.status, caught.value.said) == (500, "oh")


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_busy_source_is_asked_again(status: int) -> None:
    async with serving(answer("", status), answer("", status), answer("fine")) as server:
        assert (await get(server.url)).body == b"fine"
    async with serving(answer("starting", status)) as server:
        with pytest.raises(SourceUnavailable, match="starting") as caught:
            await get(server.url)
    assert caught.value.status == status
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422, 304])
async def test_refusal_is_not_retried_and_keeps_its_status(status: int) -> None:
    async with serving(answer("", status)) as server:
        with pytest.raises(SourceRefused) as caught:
            await get(server.url)
    assert caught.value.status == status
    assert not caught.value.retryable
    assert len(server.requests) == 1
    for setting in ("KUBETALLY_SOURCE_TOKEN", "KUBETALLY_SOURCE_USER", "KUBETALLY_SOURCE_PASSWORD"):
        assert (setting in str(caught.value)) is (status in {401, 403})


# Bodies that are no JSON, for the decoders


async def test_empty_body_web_page_and_text_are_distinguished() -> None:
    page = "\n<!DOCTYPE html><title>Sign in</title>"
    async with serving(
        answer(""), answer(page), answer("Sign in", 200, "content-type: text/html"), answer("oops\x00 " * 90)
    ) as server:
        empty, html, typed, text = [AnswerNotUnderstood.of(await get(server.url)) for _ in range(4)]
    assert "answered 200 with an empty body" in str(empty)
    assert "answered with a web page, perhaps that of a proxy or a login; it starts with" in str(html)
    assert "<!DOCTYPE html>" in html.starts_with
    assert "answered with a web page, perhaps that of a proxy or a login; it starts with" in str(typed)
    assert "not JSON" in str(text)
    assert len(text.starts_with) <= 120
    assert text.starts_with.isprintable()


@pytest.mark.parametrize(
    ("body", "content_type", "is_web_page"),
    [
        (b'{"code":200}', "text/html; charset=utf-8", False),
        (b" \n[]", "text/html", False),
        (b"{}", "text/plain", False),
        (b"null", "application/json", False),
        (b"\n <!doctype html><p>Sign in", "application/json", True),
        (b"<html>", "text/plain", True),
        (b"Sign in", "TEXT/HTML", True),
        (b"Sign in", "text/plain", False),
        (b"", "text/html", True),
    ],
)
def test_web_page_is_recognised_by_its_text(body: bytes, content_type: str, is_web_page: bool) -> None:
    assert Answer(200, body, content_type, None, NOW, 0.1, "http://host/x").is_web_page is is_web_page


def test_decoder_states_what_is_wrong() -> None:
    got = Answer(200, b'{"data":7}', "application/json", None, NOW, 0.1, "http://host/x")
    error = AnswerNotUnderstood.of(got, "answered without a list of sets")
    assert (error.url, error.why) == ("http://host/x", "answered without a list of sets")
    assert '{"data":7}' in str(error)


# Size


async def test_length_over_limit_is_refused_before_reading() -> None:
    async def announce(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n")
        await hang(writer)

    async with serving(announce) as server:
        with raises_code("answer_too_large", match=r"99,999,999,999 bytes.*raise KUBETALLY_MAX_ANSWER_MIB"):
            await get(server.url, max_bytes=1000)
    assert len(server.requests) == 1


async def test_a_body_that_grows_over_the_limit_is_left() -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
            await writer.drain()

    async with serving(endless) as server:
        with raises_code("answer_too_large"):
            await get(server.url, max_bytes=100_000)


async def test_a_body_of_just_the_limit_is_read() -> None:
    async with serving(answer(b"x" * 1000)) as server:
        assert len((await get(server.url, max_bytes=1000)).body) == 1000


async def test_compression_bomb_counts_decompressed() -> None:
    bomb = gzip.compress(bytes(20_000_000))
    async with serving(answer(bomb, 200, "content-encoding: gzip")) as server:
        with raises_code("answer_too_large"):
            await get(server.url, max_bytes=1_000_000)
        assert len((await get(server.url, max_bytes=20_000_000)).body) == 20_000_000


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_on_same_host_keeps_credentials(status: int) -> None:
    async with serving(answer("", status, "location: /model/allocation?window=1d"), answer("there")) as server:
        got = await get(Access.parse(server.url, token=SECRET))
    assert got.body == b"there"
    assert [request.target for request in server.requests] == ["/allocation", "/model/allocation?window=1d"]
    assert server.requests[1].headers["authorization"] == f"Bearer {SECRET}"


async def test_userinfo_in_a_redirect_does_not_replace_our_credentials() -> None:
    async def redirect(writer: asyncio.StreamWriter) -> None:
        writer.write(answer("", 302, f"location: http://eve:x@127.0.0.1:{server.port}/b"))

    async with serving(redirect, answer("there")) as server:
        await get(Access.parse(server.url, token=SECRET))
    assert server.requests[1].headers["authorization"] == f"Bearer {SECRET}"


async def test_redirect_to_other_host_is_refused_unsent() -> None:
    async with serving(answer()) as other:
        for place in (
            f"http://127.0.0.1:{other.port}",
            f"http://localhost:{other.port}",
            "//login.example",
            "ftp://127.0.0.1",
        ):
            async with serving(answer("", 302, f"location: {place}/in?state=private")) as server:
                with pytest.raises(RedirectRefused) as caught:
                    await get(Access.parse(server.url, token=SECRET))
            assert place.rpartition("/")[2] in caught.value.host
            assert "private" not in str(caught.value)
            assert len(server.requests) == 1
    assert other.requests == []


async def test_a_redirect_to_an_address_that_cannot_be_read_is_refused() -> None:
    async with serving(answer("", 302, "location: http://[x")) as server:
        with pytest.raises(RedirectRefused):
            await get(server.url)


async def test_a_redirect_that_goes_round_is_refused() -> None:
    async with serving(answer("", 302, "location: /again")) as server:
        with pytest.raises(RedirectRefused, match="more than 3 times"):
            await get(server.url)
    assert len(server.requests) == 4


async def test_redirect_from_http_to_https_on_same_host_is_followed(ca: trustme.CA, ca_file: Path) -> None:
    async with (
        serving(answer("safe"), tls=server_tls(ca, "127.0.0.1")) as secure,
        serving(answer("", 301, f"location: https://127.0.0.1:{secure.port}/x")) as plain,
    ):
        assert (await get(Access.parse(plain.url, ca_file=ca_file))).body == b"safe"


async def test_a_redirect_from_https_to_http_is_refused(ca: trustme.CA, ca_file: Path) -> None:
    async with serving(answer("", 301, "location: http://127.0.0.1/x"), tls=server_tls(ca, "127.0.0.1")) as secure:
        with pytest.raises(RedirectRefused):
            await get(Access.parse(f"https://127.0.0.1:{secure.port}", ca_file=ca_file, token=SECRET))


# Addresses


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://2852039166/",
        "http://0xA9FEA9FE/",
        "http://[::ffff:169.254.169.254]/",
        "http://[::FFFF:A9FE:A9FE]/",
        "http://[64:ff9b:1::169.254.169.254]/",
        "http://[2001:db8::5efe:169.254.169.254]/",
        "http://[2001:0:4136:e378::5601:5601]/",
        "http://[fe80::1]/",
        "http://metadata.google.internal/",
        "http://METADATA.google.internal./",
        "http://0.0.0.0:9003",
    ],
)
async def test_a_url_that_leads_to_the_metadata_service_is_refused(url: str) -> None:
    with capture_logs() as lines, pytest.raises(AddressRefused, match="KUBETALLY_ALLOW_LINK_LOCAL"):
        await get(url)
    assert (lines[-1]["attempts"], lines[-1]["error"]) == (1, "address_refused")


@pytest.mark.parametrize(
    "addresses",
    [["169.254.7.7"], ["127.0.0.1", "169.254.7.7"], ["::ffff:a9fe:707"], ["64:ff9b:1:a9fe:7:700::"]],
)
async def test_a_name_with_any_refused_address_is_refused(addresses: list[str]) -> None:
    async with serving(answer()) as server:
        with pytest.raises(AddressRefused) as caught:
            await get(f"http://source.test:{server.port}", resolve=resolving(*addresses))
    assert caught.value.host == "source.test"
    assert caught.value.address == addresses[-1]
    assert server.requests == []


async def test_redirect_to_address_that_became_forbidden_is_refused() -> None:
    """A redirect on the same host is followed; the host is resolved and judged again."""
    answers = [["127.0.0.1"], ["2001:db8::5efe:169.254.169.254"]]

    async def resolve(host: str, port: int) -> Sequence[str]:
        return answers.pop(0)

    async with serving(answer("", 302, "location: /elsewhere")) as server:
        with pytest.raises(AddressRefused, match="metadata"):
            await get(f"http://source.test:{server.port}", resolve=resolve)
    assert len(server.requests) == 1


async def test_link_local_address_is_allowed_by_setting() -> None:
    async with serving(answer("fine"), host="127.0.0.1") as server:
        got = await get(f"http://0.0.0.0:{server.port}", allow_link_local=True)
    assert got.body == b"fine"


async def test_the_checked_address_is_the_one_connected_to() -> None:
    """A name that changes its address after the check (DNS rebinding) gains nothing: it is not resolved again."""
    answers = [["127.0.0.1"], ["169.254.169.254"]]
    asked: list[tuple[str, int]] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return answers[len(asked) - 1]

    async with (
        serving(answer("first", keep=True)) as server,
        transport(f"http://source.test:{server.port}", resolve=resolve) as one,
    ):
        assert (await one.get("/a")).body == b"first"
        assert asked == [("source.test", server.port)]
        with pytest.raises(AddressRefused):
            await one.get("/b")
    assert server.requests[0].headers["host"] == f"source.test:{server.port}"
    assert len(server.requests) == 1


async def test_connections_are_used_again() -> None:
    async with (
        serving(answer("x", keep=True)) as server,
        transport(f"http://source.test:{server.port}", resolve=resolving("127.0.0.1")) as one,
    ):
        for _ in range(3):
            await one.get("/a")
    assert server.connections == 1


async def test_next_address_is_tried_if_the_first_is_closed() -> None:
    async with serving(answer("fine")) as server:
        resolve = resolving("127.0.0.2", "127.0.0.1")
        got = await get(f"http://source.test:{server.port}", resolve=resolve, attempts=1)
    assert got.body == b"fine"


async def test_a_source_on_ipv6_is_reached() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with serving(answer("six"), host="::1") as server:
        assert (await get(f"http://[::1]:{server.port}")).body == b"six"
        assert (await get(f"http://source.test:{server.port}", resolve=resolving("::1"))).body == b"six"
    assert server.requests[0].headers["host"] == f"[::1]:{server.port}"


# TLS


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(ca: trustme.CA, tmp_path: Path) -> Path:
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem"


def server_tls(ca: trustme.CA, *names: str, asks_for_client: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names).configure_cert(context)
    if asks_for_client:
        context.verify_mode = ssl.CERT_REQUIRED
        ca.configure_trust(context)
    return context


async def test_tls_is_verified_against_the_name_not_the_address(ca: trustme.CA, ca_file: Path) -> None:
    async with serving(answer("safe"), tls=server_tls(ca, "source.test")) as server:
        access = Access.parse(f"https://source.test:{server.port}", ca_file=ca_file)
        assert (await get(access, resolve=resolving("127.0.0.1"))).body == b"safe"
        wrong = Access.parse(f"https://other.test:{server.port}", ca_file=ca_file)
        with pytest.raises(CertificateNotTrusted, match=r"other\.test"):
            await get(wrong, resolve=resolving("127.0.0.1"))


async def test_unknown_authority_is_refused_without_retry(ca: trustme.CA) -> None:
    async with serving(answer(), tls=server_tls(ca, "127.0.0.1")) as server:
        with capture_logs() as lines, pytest.raises(CertificateNotTrusted, match="KUBETALLY_SOURCE_CA_FILE"):
            await get(f"https://127.0.0.1:{server.port}")
    assert lines[-1]["attempts"] == 1
    assert server.requests == []


async def test_a_client_certificate_is_shown(ca: trustme.CA, ca_file: Path, tmp_path: Path) -> None:
    mine = ca.issue_cert("kubetally.test")
    mine.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    mine.private_key_pem.write_to_path(tmp_path / "key.pem")
    async with serving(answer("safe"), tls=server_tls(ca, "127.0.0.1", asks_for_client=True)) as server:
        url = f"https://127.0.0.1:{server.port}"
        access = Access.parse(url, ca_file=ca_file, client_cert=tmp_path / "cert.pem", client_key=tmp_path / "key.pem")
        assert (await get(access)).body == b"safe"
        with pytest.raises(SourceUnavailable):
            await get(Access.parse(url, ca_file=ca_file), attempts=1)


async def test_https_to_a_source_that_speaks_http_is_unavailable() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer("", 400))
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(SourceUnavailable, match="TLS failed"):
            await get(f"https://127.0.0.1:{port}", attempts=1)


# Retrying, logging, cancelling


async def test_a_failed_get_logs_one_line() -> None:
    timer = Timer()
    async with serving(timer.slow(answer("", 503))) as server:
        url = f"http://ada:{SECRET}@127.0.0.1:{server.port}"
        with logs.bound(account="a1"), capture_logs() as lines, pytest.raises(SourceUnavailable) as caught:
            await get(url, "/allocation", {"window": "1d", "key": "private"}, timer=timer)
    (line,) = lines
    assert line.pop("duration_seconds") == 4.5
    assert line == {
        "event": "source_request_failed",
        "log_level": "warning",
        "account": "a1",
        "source": f"http://***@127.0.0.1:{server.port}",
        "path": "/allocation",
        "error": "source_unavailable",
        "attempts": 3,
    }
    for shown in (str(caught.value), repr(caught.value), str(line)):
        assert SECRET not in shown
        assert "ada" not in shown
        assert "private" not in shown


async def test_expected_refusal_is_raised_but_not_logged() -> None:
    async with serving(answer("", 404)) as server, transport(server.url) as one:
        with capture_logs() as lines:
            with pytest.raises(SourceRefused):
                await one.get("/allocation", expected=frozenset({404}))
            assert lines == []
            with pytest.raises(SourceRefused):
                await one.get("/allocation", expected=frozenset({403}))
    assert [line["event"] for line in lines] == ["source_request_failed"]


async def test_a_success_logs_nothing_above_debug() -> None:
    async with serving(answer("", 503), answer()) as server:
        with capture_logs() as lines:
            await get(server.url)
    assert [line["log_level"] for line in lines] == ["debug"]


async def test_the_libraries_log_no_credentials(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(answer("", 401)) as server:
        for access in (
            Access.parse(f"http://ada:{SECRET}@127.0.0.1:{server.port}"),
            Access.parse(server.url, token=SECRET, headers={"X-Key": SECRET}),
        ):
            with pytest.raises(SourceRefused):
                await get(access)
    assert "connect_tcp.started" in caplog.text, "else they log nothing"
    for secret in (SECRET, "ada", "YWRhOnMzY3JldA=="):
        assert secret not in caplog.text


async def test_retry_hooks_of_others_see_only_their_own_retries() -> None:
    seen: list[str] = []
    before = get_on_retry_hooks()
    set_on_retry_hooks([lambda details: seen.append(type(details.caused_by).__name__)])
    try:
        async with serving(answer("", 503), answer()) as server:
            await get(server.url)
        assert seen == []

        @stamina.retry(on=KeyError, attempts=2, wait_initial=0, wait_jitter=0)
        def theirs() -> None:
            raise KeyError

        with pytest.raises(KeyError):
            theirs()
        assert seen == ["KeyError"]
    finally:
        set_on_retry_hooks(before)


async def test_a_cancelled_get_stops_at_once_and_logs_no_failure() -> None:
    async with serving(hang) as server, transport(server.url) as one:
        with capture_logs() as lines:
            task = asyncio.create_task(one.get("/allocation"))
            await server.asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    assert lines == []
    assert len(server.requests) == 1


async def test_one_attempt_means_no_retry() -> None:
    async with serving(answer("", 503)) as server:
        with pytest.raises(SourceUnavailable):
            await get(server.url, attempts=1)
    assert len(server.requests) == 1


async def test_errors_of_the_libraries_are_the_cause() -> None:
    async with serving(hang) as server:
        with pytest.raises(SourceError) as caught:
            await get(server.url, read_seconds=0.02, attempts=1)
    assert type(caught.value.__cause__).__module__.startswith("httpx")


# What is posted because it is too long for a URL


async def test_form_arrives_unchanged_without_a_query() -> None:
    form = [("query", 'sum(x{a="b",c=~"d|e+"}[5m]) % 2 &x=1 #é/%41'), ("match[]", "up"), ("match[]", "down")]
    async with serving(answer("[]")) as server:
        assert (await post(server.url, form=form)).body == b"[]"
    (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/q")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qsl(request.body.decode(), keep_blank_values=True) == form


async def test_form_is_retried_with_its_whole_body() -> None:
    async with serving(answer("busy", 503), answer("[]")) as server:
        assert (await post(server.url)).body == b"[]"
    assert [(request.method, request.body) for request in server.requests] == [("POST", b"query=up")] * 2


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_form_follows_a_redirect_on_the_same_host_as_a_form(status: int) -> None:
    async with serving(answer("", status, "location: /prometheus/q"), answer("[]")) as server:
        assert (await post(server.url)).body == b"[]"
    last = server.requests[-1]
    assert (last.method, last.target, last.body) == ("POST", "/prometheus/q", b"query=up")


@pytest.mark.parametrize(("status", "location"), [(303, "/elsewhere"), (307, "http://127.0.0.1:1/q")])
async def test_form_is_neither_sent_elsewhere_nor_dropped(status: int, location: str) -> None:
    async with serving(answer("", status, f"location: {location}")) as server:
        with pytest.raises(RedirectRefused):
            await post(server.url)
    assert len(server.requests) == 1


async def test_a_form_past_the_limit_is_not_sent() -> None:
    async with serving(answer("[]")) as server:
        with raises_code("question_too_large", "more than the limit of 1,048,576"):
            await post(server.url, form=[("query", "x" * 1024 * 1024)])
    assert server.requests == []


async def test_refusal_keeps_the_start_of_its_body() -> None:
    body = '{"status":"error","errorType":"bad_data","error":"parse error"}'
    async with serving(answer(body, 422)) as server:
        with pytest.raises(SourceRefused) as caught:
            await post(server.url)
    assert (caught.value.status, caught.value.said, caught.value.body) == (422, "parse error", body.encode())
