"""`kubetally accounts`: what it keeps, what it prints, what it warns of, and to whom credentials go."""

import base64
import json
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from kubetally.samples.replay import ReplayServer
from kubetally.store.meta.secrets import KeyRing
from tests.integration.commands import PROGRAM, WHOLE, Done, call, environment, recorded_but, run
from tests.recordings import Recording
from tests.served import NOT_FOUND, Asked, Reply, Served

NOBODY = "http://127.0.0.1:1"
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\n")
USER, PASSWORD, TOKEN, HEADER = "jane-login", "hunter2-in-url", "token-of-jane-84", "tenant-key-77"
SECRETS = (USER, PASSWORD, TOKEN, HEADER)
AURORA, BOREALIS = "aurora", "borealis"


@dataclass(frozen=True)
class Home:
    """A folder of local state of its own, and the program run on it."""

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    def call(self, *args: str, **more: str) -> Done:
        """The command in this process."""
        return call(*args, **{"KUBETALLY_HOME": str(self.folder), **self.settings, **more})

    def run(self, *args: str, **more: str) -> Done:
        """The installed program."""
        return run(*args, **{"KUBETALLY_HOME": str(self.folder), **self.settings, **more})

    def add(self, name: str, *args: str, **more: str) -> str:
        """The id of a new account."""
        done = self.call("accounts", "add", name, *args, **more)
        assert done.code == 0, done.err
        return done.out.strip()

    def show(self, name: str) -> dict[str, Any]:
        """An account as it is kept."""
        done = self.call("accounts", "show", name)
        assert done.code == 0, done.err
        found: dict[str, Any] = done.json
        return found

    def names(self) -> list[str]:
        """What is remembered."""
        return [account["name"] for account in self.call("accounts", "list", "--format", "json").json]

    def raw(self) -> bytes:
        """All that its database has on disk."""
        return b"".join(file.read_bytes() for file in sorted(self.folder.glob("kubetally.db*")))

    def costs(self, name: str, *args: str, **more: str) -> Any:
        """The body of one account."""
        done = self.call("costs", name, *WHOLE, "--format", "json", *args, **more)
        assert done.code == 0, done.err
        return done.json


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


class _Heard(BaseHTTPRequestHandler):
    server: "Listener"
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.server.heard.append({name.lower(): value for name, value in self.headers.items()})
        split = urlsplit(self.path)
        found = Recording(AURORA).cluster.find(split.path, dict(parse_qsl(split.query)))
        body = b"404 page not found\n" if found is None else found.body()
        self.send_response(404 if found is None else found.status)
        self.send_header("Content-Type", "text/plain" if found is None else found.content_type or "")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (named so by the base class)
        """Nothing: the headers are kept in `heard`."""


class Listener(ThreadingHTTPServer):
    """Aurora's OpenCost, which remembers the headers of each question."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        self.heard: list[dict[str, str]] = []
        super().__init__(("127.0.0.1", 0), _Heard)

    def url(self, host: str = "127.0.0.1", userinfo: str = "") -> str:
        """Its address, by a name of this machine."""
        return f"http://{userinfo}{host}:{self.server_address[1]}"

    def values(self, header: str) -> set[str | None]:
        """What it heard in a header since the last call; None for a question without."""
        heard, self.heard = self.heard, []
        assert heard
        return {one.get(header) for one in heard}

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: a client that hangs up while it is answered is no news."""


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as server:
        yield server


@contextmanager
def listening() -> Iterator[Listener]:
    """A Listener, until the end of the block."""
    server = Listener()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def doubled(ids: tuple[str, ...] = (AURORA, BOREALIS)) -> Callable[[Asked], Any]:
    """A source with aurora's rows, and those of borealis, which is twice as dear; it lists `ids`."""

    def change(_path: str, data: Any) -> None:
        for rows in data if isinstance(data, list) else [data]:
            for key, row in list(rows.items()):
                other = json.loads(json.dumps(row))
                other["properties"]["cluster"] = BOREALIS
                for name, value in other.items():
                    if name.lower().endswith("cost") and isinstance(value, int | float):
                        other[name] = 2 * value
                parts = [BOREALIS if part == AURORA else part for part in key.split("/")]
                if "name" in other:
                    other["name"] = "/".join(BOREALIS if part == AURORA else part for part in other["name"].split("/"))
                rows["/".join(parts if BOREALIS in parts else [BOREALIS, *parts])] = other

    listed = {id_: {"id": id_, "name": id_.title()} for id_ in ids}
    return recorded_but(change, clusterInfoMap={"code": 200, "data": listed})


# --- add


def test_the_id_stands_alone_on_standard_output(home: Home, replay: ReplayServer) -> None:
    done = home.run("accounts", "add", "prod", "--url", replay.url_of("aurora"))
    assert (done.code, done.err) == (0, "")
    assert UUID4.fullmatch(done.out)
    assert home.show("prod")["id"] == done.out.strip()


def test_a_source_that_is_dead_is_a_warning(home: Home) -> None:
    done = home.run("accounts", "add", "prod", "--url", NOBODY)
    assert done.code == 0
    assert UUID4.fullmatch(done.out)
    warnings = [line for line in done.err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert NOBODY in warnings[0]
    assert "Traceback" not in done.err
    assert home.names() == ["prod"]


@pytest.mark.parametrize("alive", [True, False])
def test_credentials_are_kept_and_shown_nowhere(home: Home, listener: Listener, tmp_path: Path, *, alive: bool) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n", "utf-8")
    url = listener.url(userinfo=f"{USER}:{PASSWORD}@") if alive else f"http://{USER}:{PASSWORD}@127.0.0.1:1"
    debug = {"KUBETALLY_LOG_LEVEL": "debug"}
    more = ("--header", f"X-Scope: {HEADER}", "--prometheus-url", url, "--prometheus-token-file", str(file))
    dones = [
        home.run("accounts", "add", "prod", "--url", url, *more, **debug),
        home.call("accounts", "update", "prod", "--tenant", "t", **debug),
        home.call("accounts", "show", "prod", **debug),
        home.call("accounts", "list", **debug),
        home.call("accounts", "list", "--format", "json", **debug),
        home.call("costs", "prod", *WHOLE, KUBETALLY_ATTEMPTS="1", **debug),
        home.call("doctor", "prod", KUBETALLY_ATTEMPTS="1", **debug),
        home.call("accounts", "rotate-keys", **debug),
        home.call("accounts", "remove", "prod", **debug),
    ]
    told = "".join(done.out + done.err for done in dones)
    assert [done.code for done in dones[:5]] == [0] * 5
    assert dones[2].json["has_credentials"]
    assert dones[2].json["prometheus_has_credentials"]
    assert dones[2].json["kubecost_url"] == re.sub("//.*@", "//", url)
    for secret in SECRETS:
        assert secret not in told
        assert secret.encode() not in home.raw()
    assert "Traceback" not in told


def test_credentials_are_in_no_file_in_plain_text(home: Home) -> None:
    home.add("prod", "--url", f"http://{USER}:{PASSWORD}@127.0.0.1:1", "--header", f"X-Scope: {HEADER}")
    everything = b"".join(file.read_bytes() for file in home.folder.rglob("*") if file.is_file())
    assert b"127.0.0.1:1" in everything
    for secret in SECRETS:
        assert secret.encode() not in everything
        assert base64.b64encode(secret.encode()) not in everything


def test_the_database_and_the_keys_are_their_owner_s_alone(home: Home) -> None:
    before = os.umask(0)
    try:
        home.add("prod", "--url", NOBODY)
    finally:
        os.umask(before)
    assert home.folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in home.folder.iterdir()} == {0o600}


def test_user_and_password_of_the_url_are_sent(home: Home, listener: Listener) -> None:
    home.add("prod", "--url", listener.url(userinfo=f"{USER}:{PASSWORD}@"))
    assert listener.values("authorization") == {basic(USER, PASSWORD)}
    home.costs("prod")
    assert listener.values("authorization") == {basic(USER, PASSWORD)}


def test_a_token_of_a_file_and_headers_are_sent(home: Home, listener: Listener, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n", "utf-8")
    headers = ("--header", f"X-Scope: {HEADER}", "--header", "X-Empty:")
    home.add("prod", "--url", listener.url(), "--token-file", str(file), *headers)
    file.unlink()
    listener.heard.clear()
    home.costs("prod", KUBETALLY_SOURCE_TOKEN="of-the-environment")
    assert {(one["authorization"], one["x-scope"], one["x-empty"]) for one in listener.heard} == {
        (f"Bearer {TOKEN}", HEADER, "")
    }


def test_a_token_is_read_from_standard_input(home: Home, listener: Listener) -> None:
    done = subprocess.run(
        [PROGRAM, "accounts", "add", "prod", "--url", listener.url(), "--token-file", "-"],
        input=f"{TOKEN}\n", capture_output=True, text=True, timeout=60, check=True,
        env=environment(KUBETALLY_HOME=str(home.folder)),
    )  # fmt: skip
    assert UUID4.fullmatch(done.stdout)
    assert done.stderr == ""
    assert listener.values("authorization") == {f"Bearer {TOKEN}"}


def test_account_with_credentials_ignores_those_of_the_environment(home: Home, listener: Listener) -> None:
    home.add("own", "--url", listener.url(userinfo=f"{USER}:{PASSWORD}@"))
    home.add("none", "--url", listener.url("localhost"))
    listener.heard.clear()
    environment = {"KUBETALLY_SOURCE_TOKEN": TOKEN}
    home.costs("own", **environment)
    assert listener.values("authorization") == {basic(USER, PASSWORD)}
    home.costs("none", **environment)
    assert listener.values("authorization") == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--token-file", "/does/not/exist"), "/does/not/exist"),
        (("--token-file", "/"), "directory"),
        (("--header", PASSWORD), "Name: value"),
        (("--header", f": {PASSWORD}"), "Name: value"),
        (("--header", f"X-Å: {PASSWORD}"), "can't be set"),
        (("--header", f"X: {PASSWORD}é"), "ASCII"),
        (("--header", f"Content-Length: {PASSWORD}"), "can't be set"),
        (("--currency", "dollars"), "dollars"),
        (("--url", f"ftp://{USER}:{PASSWORD}@host"), "http://"),
        (("--url", f"{USER}:{PASSWORD}@host"), "http://"),
        (("--url", f"http://{USER}:{PASSWORD}@host:x"), "can't be read"),
        (("--url", f"http://host/?key={PASSWORD}"), "query"),
        (("--prometheus-url", f"{USER}:{PASSWORD}@host"), "http://"),
        (("--tenant", "t" * 257), "tenant"),
        (("--cluster-id", "c" * 257), "cluster_id"),
        (("--context", "c" * 257, "--url", NOBODY), "context"),
    ],
)
def test_what_can_t_be_kept_is_refused_and_nothing_is_saved(home: Home, args: tuple[str, ...], says: str) -> None:
    place = () if "--url" in args else ("--url", NOBODY)
    done = home.call("accounts", "add", "prod", *place, *args)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert not any(secret in done.err for secret in SECRETS)
    assert home.names() == []


def test_invalid_token_is_refused_and_not_shown(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "token"
    for content in (f"{TOKEN}\n{TOKEN}".encode(), f"{TOKEN}é".encode(), TOKEN.encode() + b"\xff"):
        file.write_bytes(content)
        done = home.call("accounts", "add", "prod", "--url", NOBODY, "--token-file", str(file))
        assert (done.code, done.out) == (2, "")
        assert TOKEN not in done.err
    assert home.names() == []


def test_a_token_file_without_a_token_is_refused(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(" \n", "utf-8")
    done = home.call("accounts", "add", "prod", "--url", NOBODY, "--token-file", str(file))
    assert (done.code, done.out) == (2, "")
    assert str(file) in done.err
    assert home.names() == []


FORBIDDEN = (
    "http://169.254.169.254",
    "http://169.254.0.1:9003",
    "http://2852039166",
    "http://0xa9fea9fe/latest",
    "http://0251.0376.0251.0376",
    "http://169.254.43518",
    "http://metadata.google.internal",
    "http://METADATA.google.internal.",
    "http://metadata.goog",
    "http://instance-data/",
    "http://[fe80::1]:9003",
    "http://[fe80::1%25eth0]:9003",
    "http://[::ffff:169.254.169.254]",
    "http://[::ffff:a9fe:a9fe]",
    "http://[64:ff9b::a9fe:a9fe]",
    "http://[64:ff9b:1::169.254.169.254]",
    "http://[64:ff9b:1:a9fe:a9:fe00::]:9003",
    "http://[2002:A9FE:A9FE::1]",
    "http://[2001:0:4136:e378:8000:63bf:5601:5601]",
    "http://[fd12:3456::200:5efe:169.254.169.254]",
    "http://[fd00:ec2::254]",
    "http://100.100.100.200",
    "http://168.63.129.16",
    "http://0.0.0.0:9003",
    "http://[::]:9003",
    "http://224.0.0.1",
)


NOT_HOSTS = ("http://0251.0376.0251.0376", "http://[fe80::1%25eth0]:9003")
"""Those that are refused as a URL already."""


@pytest.mark.parametrize("url", FORBIDDEN)
def test_forbidden_address_is_refused_before_it_is_saved(home: Home, url: str) -> None:
    code = 2 if url in NOT_HOSTS else 3
    for args in (("--url", url), ("--url", NOBODY, "--prometheus-url", url), ("--prometheus-url", url)):
        done = home.call("accounts", "add", "prod", *args)
        assert done.code == code, done
        assert done.out == ""
        assert "error: " in done.err
    assert home.names() == []
    home.add("prod", "--url", NOBODY)
    for option in ("--url", "--prometheus-url"):
        assert home.call("accounts", "update", "prod", option, url).code == code
    kept = home.show("prod")
    assert (kept["kubecost_url"], kept["prometheus_url"]) == (NOBODY, None)


def test_a_setting_lets_a_link_local_source_in(home: Home) -> None:
    url = "http://169.254.77.77:9003"
    quick = {"KUBETALLY_CONNECT_SECONDS": "0.2"}
    refused = home.call("accounts", "add", "prod", "--url", url, **quick)
    assert refused.code == 3
    assert "KUBETALLY_ALLOW_LINK_LOCAL=true" in refused.err
    home.add("prod", "--url", url, KUBETALLY_ALLOW_LINK_LOCAL="true", **quick)
    assert home.show("prod")["kubecost_url"] == url


def test_unresolvable_host_is_saved_with_a_warning(home: Home) -> None:
    done = home.call("accounts", "add", "prod", "--url", "http://not-there.invalid:9003")
    assert done.code == 0
    assert "not-there.invalid" in done.err


@pytest.mark.parametrize("option", ["--url", "--prometheus-url"])
def test_a_url_of_more_than_255_characters_is_refused(home: Home, option: str) -> None:
    longest = f"{NOBODY}/" + "x" * (254 - len(NOBODY))
    home.add("prod", option, longest)
    done = home.call("accounts", "add", "more", option, longest + "x")
    assert (done.code, done.out) == (2, "")
    assert "256 characters: the limit is 255" in done.err
    assert home.names() == ["prod"]


def test_credentials_do_not_count_for_the_length_of_a_url(home: Home) -> None:
    longest = f"http://u:{'p' * 300}@127.0.0.1:1/" + "x" * 200
    home.add("prod", "--url", longest)
    assert home.show("prod")["kubecost_url"] == "http://127.0.0.1:1/" + "x" * 200


def test_a_name_that_is_taken_is_refused(home: Home) -> None:
    home.add("prod", "--url", NOBODY)
    done = home.call("accounts", "add", " prod ", "--url", "http://127.0.0.1:2")
    assert (done.code, done.out) == (2, "")
    assert "'prod' already exists" in done.err
    assert [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert home.names() == ["prod"]


@pytest.mark.parametrize(
    "name", ["prod eu", "größe 🚀", "a/b", "%41", "42", "v1.2:9003x", "'; DROP TABLE cloud_account; --", "x" * 255]
)
def test_an_odd_name_is_a_name_everywhere(home: Home, replay: ReplayServer, name: str) -> None:
    account_id = home.add(name, "--url", replay.url_of("draco"))
    assert home.names() == [name]
    assert home.show(name)["id"] == account_id
    assert name in home.call("accounts", "list").out
    assert home.costs(name)["cloud_account_id"] == account_id
    done = home.call("doctor", name, "--window", "2026-11-20,2026-11-21", "--format", "json")
    assert (done.code, done.err) == (0, "")
    assert done.json["cloud_account_id"] == account_id
    assert home.call("accounts", "remove", name).code == 0


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x1b[31m", "http://host:9003", "x" * 256, "a\u2028b"])
def test_a_name_that_is_none_is_refused(home: Home, name: str) -> None:
    done = home.call("accounts", "add", name, "--url", NOBODY)
    assert (done.code, done.out) == (2, "")
    assert "\x1b" not in done.err
    assert home.names() == []


def test_a_name_that_looks_like_an_option_is_refused(home: Home) -> None:
    assert home.call("accounts", "add", "--url", NOBODY, "--", "-prod").code == 2
    assert home.names() == []


GIVEN = "7c0f6a5e-21cb-4c5d-8f0b-5a6a3f5d2b11"


def test_an_account_may_bring_the_id_it_has_elsewhere(home: Home) -> None:
    assert home.add("prod", "--url", NOBODY, "--id", f" {GIVEN.upper()} ") == GIVEN
    assert home.show(GIVEN)["name"] == "prod"


@pytest.mark.parametrize("text", ["", "prod", GIVEN[:-1], f"{{{GIVEN}}}", GIVEN.replace("-", ""), f"urn:uuid:{GIVEN}"])
def test_what_is_no_id_is_refused(home: Home, text: str) -> None:
    done = home.call("accounts", "add", "prod", "--url", NOBODY, "--id", text)
    assert (done.code, done.out) == (2, "")
    assert "is not an id" in done.err
    assert home.names() == []


def test_an_id_that_another_account_has_is_refused_and_named(home: Home) -> None:
    home.add("one", "--url", NOBODY, "--id", GIVEN)
    done = home.call("accounts", "add", "two", "--url", NOBODY, "--id", GIVEN)
    assert (done.code, done.out) == (2, "")
    assert GIVEN in done.err
    assert "'two' already exists" not in done.err
    assert home.names() == ["one"]


def test_removed_account_can_be_added_again_with_its_id(home: Home) -> None:
    home.add("prod", "--url", NOBODY, "--id", GIVEN)
    home.call("accounts", "remove", "prod")
    assert home.add("prod", "--url", NOBODY, "--id", GIVEN) == GIVEN


# --- what it warns of


def warnings(done: Done) -> list[str]:
    assert done.code == 0, done.err
    return [line.removeprefix("warning: ") for line in done.err.splitlines() if line.startswith("warning: ")]


def test_a_sound_account_has_no_warning(home: Home, replay: ReplayServer) -> None:
    assert home.call("accounts", "add", "a", "--url", replay.url_of("aurora"), "--cluster-id", "aurora").err == ""
    assert home.call("accounts", "add", "d", "--url", replay.url_of("draco"), "--currency", "usd").err == ""
    assert home.show("d")["currency"] == "USD"


def test_several_clusters_without_a_choice_are_told(home: Home) -> None:
    with Served(doubled()) as server:
        told = warnings(home.call("accounts", "add", "both", "--url", server.url))
    assert len(told) == 1
    assert "aurora, borealis" in told[0]
    assert "--cluster-id" in told[0]
    assert "--all-clusters" in told[0]


def test_a_cluster_that_the_source_does_not_know_is_told(home: Home) -> None:
    with Served(doubled()) as server:
        told = warnings(home.call("accounts", "add", "x", "--url", server.url, "--cluster-id", "boralis"))
        assert told == ["its source has no cluster 'boralis', only aurora, borealis"]
        assert warnings(home.call("accounts", "add", "y", "--url", server.url, "--cluster-id", "borealis")) == []
        told = warnings(home.call("accounts", "update", "y", "--cluster-id", "draco"))
        assert told == ["its source has no cluster 'draco', only aurora, borealis"]


@pytest.mark.parametrize("alive", [True, False])
def test_the_same_source_twice_is_told_by_add_and_update(home: Home, replay: ReplayServer, *, alive: bool) -> None:
    url = replay.url_of("aurora") if alive else NOBODY
    home.add("one", "--url", url)
    added = home.call("accounts", "add", "two", "--url", url)
    home.add("three", "--url", f"{NOBODY}/other")
    updated = home.call("accounts", "update", "three", "--url", url)
    for done, others in ((added, ["one"]), (updated, ["one", "two"])):
        told = [line for line in warnings(done) if "twice" in line]
        assert [re.findall(r"'(\w+)'", line) for line in told] == [[other] for other in others]


def test_same_cluster_is_told_whatever_its_url_looks_like(home: Home, replay: ReplayServer) -> None:
    url = replay.url_of("aurora")
    home.add("one", "--url", f"{url}/")
    for name, other, *more in (
        ("two", url.replace("127.0.0.1", "LOCALHOST")),
        ("three", url.replace("://", "://jane:secret@")),
        ("four", f"{url}/model"),
        ("five", url, "--cluster-id", "aurora"),
    ):
        done = home.call("accounts", "add", name, "--url", other, *more)
        [told] = [line for line in warnings(done) if "twice" in line]  # beside it what is odd about that URL
        assert told == "account 'one' has the same source and cluster: its costs count twice in a sum of both"
        assert home.call("accounts", "remove", name).code == 0


def test_same_cluster_id_elsewhere_warns_unless_a_default(home: Home, replay: ReplayServer) -> None:
    def named(cluster_id: str) -> Any:
        info = {"code": 200, "data": {"id": cluster_id, "name": "x", "provider": "custom"}}
        return recorded_but(lambda _path, _data: None, clusterInfo=info, clusterInfoMap=NOT_FOUND)

    home.add("one", "--url", replay.url_of("aurora"))
    home.add("dead", "--url", NOBODY)
    with Served(named("aurora")) as same, Served(named("cluster-one")) as first, Served(named("cluster-one")) as second:
        assert warnings(home.call("accounts", "add", "two", "--url", same.url)) == [
            "account 'one' has the same cluster id 'aurora' at another place: if it is the same cluster, its costs "
            "count twice in a sum of both"
        ]
        for name, server in (("three", first), ("four", second)):
            assert warnings(home.call("accounts", "add", name, "--url", server.url)) == []


@pytest.mark.parametrize("alive", [True, False])
def test_a_url_and_a_context_are_told(home: Home, replay: ReplayServer, *, alive: bool) -> None:
    url = replay.url_of("aurora") if alive else NOBODY
    told = warnings(home.call("accounts", "add", "both", "--url", url, "--context", "prod"))
    assert "the account has a URL and a context: the URL is used" in told


def test_a_source_that_tells_nothing_of_itself_is_told(home: Home) -> None:
    with Served(lambda asked: NOT_FOUND) as server:
        why, what = warnings(home.call("accounts", "add", "x", "--url", server.url))
    assert "/allocation answered 404" in why
    assert "does not identify itself" in what


def test_another_currency_than_the_source_s_is_told(home: Home) -> None:
    configs = {"code": 200, "data": {"currencyCode": "EUR"}}
    with Served(recorded_but(lambda _path, _data: None, getConfigs=configs)) as server:
        told = warnings(home.call("accounts", "add", "x", "--url", server.url, "--currency", "CHF"))
        assert told == ["its source counts in EUR, the account in CHF; amounts are not converted"]
        done = home.call("costs", "x", *WHOLE, "--format", "json")
        assert (done.code, done.json["errors"][0]["code"]) == (2, "currency_differs")


def test_a_source_that_hangs_is_not_waited_for_long(home: Home) -> None:
    release = threading.Event()

    def hangs(asked: Asked) -> Reply:
        release.wait(30)
        return NOT_FOUND

    with Served(hangs) as server:
        told = warnings(home.call("accounts", "add", "x", "--url", server.url, KUBETALLY_READ_SECONDS="0.3"))
        release.set()
    assert len(told) == 1


# --- all clusters of a source


def test_all_clusters_become_accounts_with_their_own_costs(home: Home) -> None:
    with Served(doubled()) as server:
        done = home.run("accounts", "add", "hub", "--url", server.url, "--all-clusters")
        assert (done.code, done.err) == (0, "")
        ids = done.out.splitlines()
        assert all(UUID4.fullmatch(f"{id_}\n") for id_ in ids)
        kept = home.call("accounts", "list", "--format", "json").json
        assert [(one["name"], one["cluster_id"], one["id"]) for one in kept] == [
            ("hub-aurora", "aurora", ids[0]),
            ("hub-borealis", "borealis", ids[1]),
        ]
        bodies = home.call("costs", *WHOLE, "--by", "namespace", "--format", "json").json
    assert [body["source"]["cluster_id"] for body in bodies] == ["aurora", "borealis"]
    first, second = (body["summary"]["total_cost"] for body in bodies)
    assert first == 247.445919
    assert second == pytest.approx(2 * first, rel=1e-5)
    for body in bodies:
        assert "same_cluster_twice" not in {issue["kind"] for issue in body["issues"]}


def test_an_only_cluster_is_all_clusters(home: Home, replay: ReplayServer) -> None:
    done = home.call("accounts", "add", "hub", "--url", replay.url_of("draco"), "--all-clusters")
    assert (done.code, done.err) == (0, "")
    assert home.names() == ["hub-draco"]


@pytest.mark.parametrize("answers", [lambda asked: NOT_FOUND, None])
def test_a_source_that_tells_no_cluster_gives_no_account(home: Home, answers: Any) -> None:
    with Served(answers or doubled()) as server:
        url = server.url if answers else NOBODY
        done = home.call("accounts", "add", "hub", "--url", url, "--all-clusters")
    assert done.code == 2
    assert done.out == ""
    assert "the clusters of the source are unknown" in done.err
    assert "--cluster-id" in done.err
    assert home.names() == []


def test_one_cluster_and_all_are_not_asked_for_together(home: Home, replay: ReplayServer) -> None:
    place = ("--url", replay.url_of("aurora"))
    for option in (("--cluster-id", "aurora"), ("--id", GIVEN)):
        done = home.call("accounts", "add", "hub", *place, *option, "--all-clusters")
        assert (done.code, done.out) == (2, "")
        assert option[0] in done.err
        assert "--all-clusters" in done.err
    assert home.names() == []


def test_all_clusters_are_saved_or_none(home: Home) -> None:
    home.add("hub-borealis", "--url", NOBODY)
    with Served(doubled()) as server:
        done = home.call("accounts", "add", "hub", "--url", server.url, "--all-clusters")
        assert (done.code, done.out) == (2, "")
        assert "hub-borealis" in done.err
    assert home.names() == ["hub-borealis"]


@pytest.mark.parametrize("ids", [(AURORA, "b" * 300), (AURORA, f"{AURORA} ")])
def test_where_the_last_cluster_can_t_be_kept_none_is(home: Home, ids: tuple[str, ...]) -> None:
    with Served(doubled(ids)) as server:
        done = home.call("accounts", "add", "hub", "--url", server.url, "--all-clusters")
    assert (done.code, done.out) == (2, "")
    assert home.names() == []


def test_all_clusters_names_those_that_exist_already(home: Home) -> None:
    with Served(doubled()) as server:
        home.add("mine", "--url", server.url, "--cluster-id", "borealis")
        told = warnings(home.call("accounts", "add", "hub", "--url", server.url, "--all-clusters"))
    assert ["'mine'" in line for line in told] == [True]


def test_all_clusters_of_a_source_of_another_currency_are_told(home: Home) -> None:
    def answers(asked: Asked) -> Any:
        return {"code": 200, "data": {"currencyCode": "EUR"}} if asked.path == "/getConfigs" else doubled()(asked)

    with Served(answers) as server:
        place = ("--url", server.url, "--all-clusters")
        told = warnings(home.call("accounts", "add", "hub", *place, "--currency", "CHF"))
    assert any("its source counts in EUR" in line for line in told)


# --- update


def test_only_what_is_named_changes(home: Home, replay: ReplayServer) -> None:
    everything = {
        "--url": replay.url_of("aurora"),
        "--prometheus-url": NOBODY,
        "--cluster-id": "aurora",
        "--currency": "USD",
        "--tenant": "team-a",
        "--context": "prod",
    }
    home.add("prod", *(part for pair in everything.items() for part in pair))
    keys = dict(
        zip(everything, ("kubecost_url", "prometheus_url", "cluster_id", "currency", "tenant", "context"), strict=True)
    )
    new = {"--url": replay.url_of("draco"), "--prometheus-url": "http://127.0.0.1:2", "--cluster-id": "draco"}
    new |= {"--currency": "EUR", "--tenant": "team-b", "--context": "other", "--name": "new"}
    name = "prod"
    for option, value in new.items():
        before = home.show(name)
        done = home.call("accounts", "update", name, option, value)
        assert done.code == 0, done.err
        name = value if option == "--name" else name
        key = keys.get(option, "name")
        assert home.show(name) == {**before, key: value} == done.json


@pytest.mark.parametrize("option", ["url", "prometheus-url", "cluster-id", "currency", "tenant", "context"])
def test_an_empty_value_takes_away(home: Home, option: str) -> None:
    given = {"url": NOBODY, "prometheus-url": NOBODY, "cluster-id": "c", "currency": "EUR", "tenant": "t"}
    given["context"] = "prod"
    home.add("prod", *(part for name, value in given.items() for part in (f"--{name}", value)))
    before = home.show("prod")
    assert home.call("accounts", "update", "prod", f"--{option}", "").code == 0
    key = "kubecost_url" if option == "url" else option.replace("-", "_")
    assert before[key]
    assert home.show("prod") == {**before, key: None}


def test_an_empty_value_takes_credentials_away(home: Home, listener: Listener, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN, "utf-8")
    home.add("prod", "--url", listener.url(), "--token-file", str(file), "--header", f"X-Scope: {HEADER}")
    home.call("accounts", "update", "prod", "--header", "")
    listener.heard.clear()
    home.costs("prod")
    assert listener.values("x-scope") == {None}
    assert home.show("prod")["has_credentials"]
    home.call("accounts", "update", "prod", "--token-file", "")
    listener.heard.clear()
    home.costs("prod")
    assert listener.values("authorization") == {None}
    assert not home.show("prod")["has_credentials"]


def test_url_at_another_host_clears_credentials(home: Home) -> None:
    with listening() as old, listening() as new:
        userinfo = f"{USER}:{PASSWORD}@"
        home.add("prod", "--url", old.url(userinfo=userinfo), "--header", f"X-Scope: {HEADER}")
        done = home.call("accounts", "update", "prod", "--url", new.url("localhost"))
        assert (done.code, done.json["has_credentials"]) == (0, False)
        home.costs("prod")
        heard = new.heard
        assert heard
        assert not any("authorization" in one or "x-scope" in one for one in heard)
        assert not home.show("prod")["has_credentials"]
        # Nor does going back bring it again.
        home.call("accounts", "update", "prod", "--url", old.url())
        old.heard.clear()
        home.costs("prod")
        assert old.values("authorization") == {None}


def test_a_url_at_the_same_host_keeps_the_log_in(home: Home, listener: Listener) -> None:
    home.add("prod", "--url", listener.url(userinfo=f"{USER}:{PASSWORD}@") + "/nothing")
    home.call("accounts", "update", "prod", "--url", listener.url())
    listener.heard.clear()
    home.costs("prod")
    assert listener.values("authorization") == {basic(USER, PASSWORD)}


def test_prometheus_at_another_host_keeps_source_credentials(home: Home, listener: Listener) -> None:
    userinfo = f"{USER}:{PASSWORD}@"
    home.add("prod", "--url", listener.url(userinfo=userinfo), "--prometheus-url", listener.url(userinfo=userinfo))
    done = home.call("accounts", "update", "prod", "--prometheus-url", "http://localhost:1").json
    assert (done["has_credentials"], done["prometheus_has_credentials"]) == (True, False)


def test_token_and_password_replace_each_other(home: Home, listener: Listener, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN, "utf-8")
    home.add("prod", "--url", listener.url(userinfo=f"{USER}:{PASSWORD}@"))
    home.call("accounts", "update", "prod", "--token-file", str(file))
    listener.heard.clear()
    home.costs("prod")
    assert listener.values("authorization") == {f"Bearer {TOKEN}"}
    home.call("accounts", "update", "prod", "--url", listener.url(userinfo=f"{USER}:{PASSWORD}@"))
    listener.heard.clear()
    home.costs("prod")
    assert listener.values("authorization") == {basic(USER, PASSWORD)}


def test_an_account_is_updated_by_name_or_id_and_renamed(home: Home) -> None:
    account_id = home.add("prod", "--url", NOBODY)
    assert home.call("accounts", "update", account_id, "--name", "live").json["name"] == "live"
    assert home.call("accounts", "update", "live", "--name", "live").code == 0
    assert home.names() == ["live"]
    assert home.call("accounts", "show", "prod").code == 2


@pytest.mark.parametrize("command", ["show", "update", "remove"])
def test_an_account_that_is_not_there_exits_2(home: Home, command: str) -> None:
    done = home.call("accounts", command, "prod", *(("--tenant", "t") if command == "update" else ()))
    assert (done.code, done.out) == (2, "")
    assert "there is no account 'prod': add it with `kubetally accounts add NAME --url URL`" in done.err


def test_an_update_of_nothing_exits_2(home: Home) -> None:
    home.add("prod", "--url", NOBODY)
    done = home.call("accounts", "update", "prod")
    assert (done.code, done.out) == (2, "")
    assert "nothing to change" in done.err


def test_a_name_of_another_account_is_refused(home: Home) -> None:
    home.add("one", "--url", NOBODY)
    home.add("two", "--url", NOBODY)
    done = home.call("accounts", "update", "two", "--name", "one", "--tenant", "t")
    assert (done.code, done.out) == (2, "")
    assert "'one' already exists" in done.err
    assert home.names() == ["one", "two"]
    assert home.show("two")["tenant"] is None


def test_a_new_name_asks_nothing_of_the_source(home: Home, replay: ReplayServer) -> None:
    home.add("prod", "--url", replay.url_of("aurora"))
    asked = len(replay.asked)
    home.call("accounts", "update", "prod", "--name", "live")
    assert len(replay.asked) == asked


# --- remove


def test_a_removed_account_frees_its_name_for_another(home: Home, replay: ReplayServer) -> None:
    first = home.add("prod", "--url", replay.url_of("aurora"))
    done = home.call("accounts", "remove", "prod")
    assert (done.code, done.out) == (0, "")
    assert f"`kubetally accounts add NAME --id {first}`" in done.err
    assert home.names() == []
    for command in ("costs", "coverage", "explain"):
        done = home.call(command, first)
        assert (done.code, "was removed: `kubetally accounts list --removed`" in done.err) == (2, True), done.err
    assert home.add("prod", "--url", replay.url_of("draco")) != first
    for _ in range(3):
        assert home.call("accounts", "remove", "prod").code == 0
        home.add("prod", "--url", replay.url_of("draco"))
    assert home.call("accounts", "remove", "prod").code == 0
    assert home.call("accounts", "remove", "prod").code == 2


def with_lost_key(home: Home) -> None:
    """`locked` has credentials which nobody can read any more, `open` has none."""
    home.add("locked", "--url", f"http://{USER}:{PASSWORD}@127.0.0.1:1")
    (home.folder / "keys").write_text(KeyRing.new_key())


def test_an_account_whose_key_is_lost_can_be_removed(home: Home) -> None:
    with_lost_key(home)
    done = home.call("costs", "locked", *WHOLE)
    assert done.code == 3
    assert str(home.folder / "keys") in done.err
    assert "remove the account" in done.err
    assert home.call("accounts", "remove", "locked").code == 0
    assert home.names() == []


def test_an_account_whose_key_is_lost_does_not_hinder_the_others(home: Home, replay: ReplayServer) -> None:
    home.add("open", "--url", replay.url_of("draco"))
    with_lost_key(home)
    assert home.call("accounts", "show", "open").code == 0
    done = home.call("costs", "open", *WHOLE, "--format", "json")
    assert done.code == 0, done.err
    done = home.call("accounts", "add", "third", "--url", NOBODY)
    assert done.code == 0, done.err


def test_an_account_whose_key_is_lost_is_listed_all_the_same(home: Home) -> None:
    with_lost_key(home)
    done = home.call("accounts", "list")
    assert done.code == 0, done.err
    assert "locked" in done.out


# --- rotate-keys


def keys_of(home: Home) -> list[str]:
    return (home.folder / "keys").read_text("utf-8").split()


def test_rotated_keys_are_needed_to_decrypt(home: Home, listener: Listener) -> None:
    home.add("prod", "--url", listener.url(userinfo=f"{USER}:{PASSWORD}@"))
    home.add("bare", "--url", NOBODY)
    [old] = keys_of(home)
    done = home.run("accounts", "rotate-keys")
    assert (done.code, done.err) == (0, "")
    assert re.match(rf"1 accounts? .*{home.folder}/keys", done.out)
    new, kept = keys_of(home)
    assert kept == old
    assert (home.folder / "keys").stat().st_mode & 0o777 == 0o600
    assert sorted(file.name for file in home.folder.glob("keys*")) == ["keys"]
    listener.heard.clear()
    home.costs("prod")
    assert listener.values("authorization") == {basic(USER, PASSWORD)}
    home.costs("prod", KUBETALLY_KEYS=new)
    wrong = home.call("costs", "prod", *WHOLE, KUBETALLY_KEYS=old)
    assert wrong.code == 3
    assert "'prod' can't be decrypted with the keys in KUBETALLY_KEYS" in wrong.err
    assert old not in wrong.err + done.out
    assert new not in wrong.err + done.out


def test_keys_of_the_environment_are_used_as_they_stand(home: Home, listener: Listener) -> None:
    old, new = KeyRing.new_key(), KeyRing.new_key()
    home.add("prod", "--url", listener.url(userinfo=f"{USER}:{PASSWORD}@"), KUBETALLY_KEYS=old)
    assert home.call("costs", "prod", *WHOLE, KUBETALLY_KEYS=new).code == 3
    done = home.call("accounts", "rotate-keys", KUBETALLY_KEYS=f"{new},{old}")
    assert done.code == 0
    assert "KUBETALLY_KEYS" in done.out
    home.costs("prod", KUBETALLY_KEYS=new)
    assert home.call("costs", "prod", *WHOLE, KUBETALLY_KEYS=old).code == 3
    assert not (home.folder / "keys").exists()


def test_keys_rotate_repeatedly_and_without_credentials(home: Home, listener: Listener) -> None:
    assert home.call("accounts", "rotate-keys").code == 0
    home.add("prod", "--url", listener.url(userinfo=f"{USER}:{PASSWORD}@"))
    for _ in range(2):
        assert home.call("accounts", "rotate-keys").code == 0
    home.costs("prod")
    assert len(set(keys_of(home))) == 4


def test_a_wrong_key_is_told_and_changes_nothing(home: Home) -> None:
    with_lost_key(home)
    home.call("accounts", "list")
    keys, before = keys_of(home), home.raw()
    done = home.call("accounts", "rotate-keys")
    assert (done.code, done.out) == (3, "")
    assert "'locked' can't be decrypted" in done.err
    assert home.raw() == before
    assert keys_of(home) == keys


@pytest.mark.parametrize("content", ["", "no key at all", "hunter2-in-url"])
def test_keys_that_are_none_are_told_and_not_shown(home: Home, content: str) -> None:
    home.add("prod", "--url", NOBODY)
    (home.folder / "keys").write_text(content, "utf-8")
    done = home.call("accounts", "rotate-keys")
    assert (done.code, done.out) == (3, "")
    assert str(home.folder / "keys") in done.err
    assert "hunter2" not in done.err
    done = home.call("accounts", "list", KUBETALLY_KEYS="hunter2-in-url")
    assert done.code == 3
    assert "hunter2" not in done.err


def test_keys_that_others_may_read_are_refused(home: Home) -> None:
    home.add("prod", "--url", NOBODY)
    (home.folder / "keys").chmod(0o644)
    done = home.call("accounts", "list")
    assert done.code == 3
    assert "chmod 600" in done.err


# --- list


def test_accounts_are_listed_by_name_with_where_they_are(home: Home) -> None:
    assert "No account yet" in home.call("accounts", "list").out
    assert home.call("accounts", "list", "--format", "json").json == []
    ids = [
        home.add("b-url", "--url", NOBODY, "--cluster-id", "c7"),
        home.add("a-context", "--context", "prod"),
        home.add("c-nothing"),
    ]
    done = home.run("accounts", "list")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["a-context", "b-url", "c-nothing"]
    assert f"{NOBODY}, cluster c7" in lines[2]
    assert "context prod" in lines[1]
    assert all(account_id in done.out for account_id in ids)
