"""A source that repeats our credentials in every kind of failure: none of them is written anywhere."""

import base64
import gzip
import html
import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.integration.commands import DAY, Done
from tests.integration.test_accounts_command import Home, home
from tests.integration.test_serve_command import SECRET, Start, start
from tests.recordings import Recording
from tests.served import NOT_FOUND, Asked, Reply, Served

__all__ = ["home", "start"]

USER, PASSWORD = "jane-login", 'pa55/w+rd&of"jane'
TOKEN, API_KEY, COOKIE = "t0ken-of-the-source-84", "api-key-77-of-the-source", "c00kie-of-the-source"
METRICS_TOKEN, SHORT = "metrics/t0ken+31==", "x7q"
ECHOED = b"; go away"
SECRETS = (PASSWORD, TOKEN, API_KEY, COOKIE, METRICS_TOKEN, f"{USER}:{PASSWORD}", f"bob:{SHORT}")


def written(secret: str) -> set[bytes]:
    """How a secret may be found in what was written."""
    escaped = json.dumps(secret)[1:-1]
    go = escaped.replace("&", "\\u0026")
    coded = base64.b64encode(secret.encode()).decode()
    forms = {secret, escaped, go, escaped.replace("/", "\\/"), quote(secret, safe=""), html.escape(secret), coded}
    return {form.encode() for form in forms}


def leaked(content: bytes) -> list[bytes]:
    """The secrets that `content` holds."""
    return [form for secret in SECRETS for form in written(secret) if form in content]


def echo(asked: Asked) -> str:
    """The credentials of a question, as they came and decoded."""
    said = [f"{name}: {value}" for name, value in asked.headers.items() if name.lower() in {"x-api-key", "cookie"}]
    sent = next((value for name, value in asked.headers.items() if name.lower() == "authorization"), "")
    kind, _, value = sent.partition(" ")
    said += [sent, value]
    if kind == "Basic":
        decoded = base64.b64decode(value).decode()
        said += [decoded, decoded.partition(":")[2], quote(decoded, safe=""), json.dumps(decoded)]
    return f"refused {', '.join(filter(None, said))}{ECHOED.decode()}"


def _json(**content: Any) -> bytes:
    return json.dumps(content).encode()


Failure = Callable[[str], Reply]
PLAIN = "text/plain"
FAILURES: dict[str, Failure] = {
    "400 text": lambda text: Reply(400, text.encode(), PLAIN),
    "401 JSON": lambda text: Reply(401, _json(message=text)),
    "403 JSON of Go": lambda text: Reply(403, _json(kind="Status", message=text).replace(b"&", b"\\u0026")),
    "500 page": lambda text: Reply(500, f"<html><body>{html.escape(text)}</body></html>".encode(), "text/html"),
    "503 text": lambda text: Reply(503, text.encode(), PLAIN),
    "200 with code 500": lambda text: Reply(200, _json(code=500, message=text)),
    "200 with code 403": lambda text: Reply(200, _json(code=403, message=text)),
    "200 with an error": lambda text: Reply(200, _json(error=text)),
    "200 page": lambda text: Reply(200, f"<html>{html.escape(text)}</html>".encode(), "text/html"),
    "200 text": lambda text: Reply(200, text.encode(), PLAIN),
    "cut JSON": lambda text: Reply(200, _json(code=200, data=text)[:-14]),
    "cut answer": lambda text: Reply(200, text.encode(), PLAIN, {"Content-Length": "100000", "Connection": "close"}),
    "redirect": lambda text: Reply(302, b"", PLAIN, {"Location": f"http://{_in_host(text)}.example/{quote(text)}"}),
    "error of Prometheus": lambda text: Reply(400, _json(status="error", errorType=text[:80], error=text)),
    "error of Prometheus in 200": lambda text: Reply(200, _json(status="error", errorType="bad_data", error=text)),
    "wrapped": lambda text: Reply(400, "\n  ".join(re.findall(".{1,9}", text)).encode(), PLAIN),
}


def _in_host(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]", "", text.partition(", ")[0].rpartition(" ")[2])[:60] or "x"


@dataclass
class Echo:
    """Sound at first; then it fails in one of the ways, at every question or at those about money and metrics."""

    failure: str | None = None
    spares: tuple[str, ...] = ()
    seen: list[Asked] = field(default_factory=list)

    def answers(self, asked: Asked) -> Any:
        self.seen.append(asked)
        path = "/" + asked.path.lstrip("/").partition("proxy/")[2] if "/proxy/" in asked.path else asked.path
        if self.failure in FAILURES and not path.startswith(self.spares or "?"):
            return FAILURES[self.failure](echo(asked))
        found = Recording("aurora").cluster.find(path, asked.params)
        if found is None:
            return NOT_FOUND
        body = found.body()
        if self.failure == "data" and found.status == 200 and path.startswith("/allocation"):
            content = json.loads(body)
            content["warning"] = content["message"] = echo(asked)
            for row in content["data"][0].values():
                row["properties"].setdefault("labels", {})["echo"] = next(iter(asked.headers.values()))
                row["properties"]["labels"]["sent"] = echo(asked)
            return content
        return Reply(found.status, body, found.content_type or "")


@pytest.fixture
def source() -> Iterator[tuple[Echo, Served]]:
    one = Echo()
    with Served(one.answers) as server:
        yield one, server


QUICK = {
    "KUBETALLY_ATTEMPTS": "1",
    "KUBETALLY_CONNECT_SECONDS": "2",
    "KUBETALLY_READ_SECONDS": "2",
    "KUBETALLY_DEADLINE_SECONDS": "4",
}


def accounts_of(home: Home, url: str, tmp_path: Path) -> Home:
    """A home with an account for each kind of credentials, and quick limits."""
    home = Home(home.folder, QUICK)
    here = url.removeprefix("http://")
    token, metrics_token = tmp_path / "token", tmp_path / "metrics-token"
    token.write_text(TOKEN)
    metrics_token.write_text(METRICS_TOKEN)
    user, password = quote(USER, safe=""), quote(PASSWORD, safe="")
    home.add("basic", "--url", f"http://{user}:{password}@{here}")
    home.add("short", "--url", f"http://bob:{SHORT}@{here}")
    home.add("bearer", "--url", url, "--token-file", str(token))
    home.add("header", "--url", url, "--header", f"X-Api-Key: {API_KEY}", "--header", f"Cookie: session={COOKIE}; a=b")
    home.add("metrics", "--url", url, "--prometheus-url", url, "--prometheus-token-file", str(metrics_token))
    return home


def everything(*folders: Path) -> bytes:
    """What is in the files of folders, also inside of compressed ones."""
    files = (file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file())
    return b"\n".join(part for file in files for part in opened(file.name, file.read_bytes()))


def opened(name: str, content: bytes) -> Iterator[bytes]:
    """A file as it is; what it holds, where it is an archive, compressed, or a Parquet file."""
    yield content
    if name.endswith(".parquet"):
        yield from texts_of(pq.read_table(pa.BufferReader(content)).to_pylist())
    elif content.startswith(b"\x1f\x8b"):
        yield from opened("", gzip.decompress(content))
    elif tarfile.is_tarfile(io.BytesIO(content)):
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            for member in tar.getmembers():
                if (file := tar.extractfile(member)) is not None:
                    yield from opened(member.name, file.read())


def texts_of(value: Any) -> Iterator[bytes]:
    """Every text in rows, of nested columns too."""
    if isinstance(value, str | bytes):
        yield value.encode() if isinstance(value, str) else value
    elif isinstance(value, dict):
        yield from texts_of([*value, *value.values()])
    elif isinstance(value, list | tuple):
        for part in value:
            yield from texts_of(part)


def said(*done: Done) -> bytes:
    return "".join(one.out + one.err for one in done).encode()


def test_credentials_echoed_in_failures_are_not_written(
    home: Home, source: tuple[Echo, Served], tmp_path: Path
) -> None:
    state, server = source
    home = accounts_of(home, server.url, tmp_path)
    assert any(PASSWORD in echo(asked) for asked in state.seen)
    for failure in FAILURES:
        state.failure = failure
        shown = said(home.call("costs", *DAY, "--format", "json"))
        assert leaked(shown) == [], failure
        assert b"***" in shown or failure == "cut answer", failure
        assert b"refused" in shown or failure in {"redirect", "cut answer", "cut JSON"}, failure
    done = []
    for failure in ("400 text", "error of Prometheus in 200"):
        state.failure = failure
        done += [home.call("doctor", *DAY), home.call("collect"), home.call("coverage", "--format", "json")]
        done.append(home.call("accounts", "update", "basic", "--cluster-id", failure))
    assert leaked(said(*done)) == []
    assert leaked(everything(home.folder)) == []


def test_credentials_echoed_in_data_are_not_kept(
    home: Home, source: tuple[Echo, Served], tmp_path: Path, start: Start
) -> None:
    state, server = source
    home = accounts_of(home, server.url, tmp_path)
    state.failure = "data"
    backup = tmp_path / "backup"
    backup.mkdir()
    done = [
        home.call("costs", *DAY, "--format", "json", "--by", "workload"),
        *(home.call("backfill", name, "--from", "2026-11-20", "--to", "2026-11-21") for name in ("basic", "bearer")),
        home.call("backup", str(backup / "file.tar")),
    ]
    assert [one.code for one in done] == [0, 0, 0, 0], done
    assert b"***" in said(*done)
    state.failure = "500 page"
    program = start(
        "serve", "--port", "0", KUBETALLY_HOME=str(home.folder), KUBETALLY_SECRET=SECRET, KUBETALLY_LOG_LEVEL="debug",
        **QUICK,
    )  # fmt: skip
    window = {"start_date": 1795132800, "end_date": 1795219200}
    answers = [
        httpx.get(
            program.url + "/metroculus/v2/kubecost_cluster_costs",
            params={"cloud_account_id": home.show(name)["id"], **window},
            headers={"Secret": SECRET},
        ).content
        for name in ("basic", "header", "metrics")
    ]
    answers.append(httpx.get(program.url + "/metrics").content)
    assert program.stop() == 0
    assert leaked(said(*done) + b"".join(answers) + program.out.encode() + program.err.encode()) == []
    copy = tmp_path / "copy"
    restored = home.call("restore", str(backup / "file.tar"), KUBETALLY_HOME=str(copy))
    assert restored.code == 0, restored.err
    assert leaked(said(restored)) == []
    for folder in (home.folder, backup, copy):
        assert ECHOED in everything(folder), "what was echoed is read"
        assert leaked(everything(folder)) == []


@pytest.mark.parametrize("name", ["plain", "rows.parquet", "packed.gz", "backup.tar", "backup.tar.gz"])
def test_secret_is_seen_in_every_kind_of_file(tmp_path: Path, name: str) -> None:
    rows, plain = tmp_path / "rows.parquet", tmp_path / "plain"
    labels = pa.array([[("sent", TOKEN)]] * 9, pa.map_(pa.string(), pa.string()))
    pq.write_table(pa.table({"labels": labels}), rows, compression="zstd", write_statistics=False)
    plain.write_text(TOKEN)
    with tarfile.open(tmp_path / "backup.tar", "w") as tar:
        tar.add(rows, rows.name)
    for source, packed in ((plain, "packed.gz"), (tmp_path / "backup.tar", "backup.tar.gz")):
        (tmp_path / packed).write_bytes(gzip.compress(source.read_bytes()))
    content = (tmp_path / name).read_bytes()
    assert leaked(b"\n".join(opened(name, content))) == [TOKEN.encode()]
