"""`kubetally serve` and `kubetally demo` as programs."""

import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from kubetally.samples.demo import DemoServer
from kubetally.samples.replay import ReplayServer
from kubetally.store.meta.secrets import KeyRing
from tests.faults import FaultServer
from tests.integration.commands import PROGRAM, environment, recorded_but, run
from tests.integration.documented import EverlastingSource
from tests.integration.test_accounts_command import (
    GIVEN,
    HEADER,
    NOBODY,
    PASSWORD,
    TOKEN,
    USER,
    Home,
    Listener,
    basic,
    home,
    listener,
)
from tests.recordings import ALL
from tests.served import Served

__all__ = ["home", "listener"]

PATH = "/metroculus/v2/kubecost_cluster_costs"
S, E = 1795132800, 1795392000
SECRET = "swordfish-never-logged"


@dataclass
class Program:
    """A program that runs until a signal stops it; its output goes to files."""

    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def out(self) -> str:
        return (self.folder / "out").read_text("utf-8")

    @property
    def err(self) -> str:
        return (self.folder / "err").read_text("utf-8")

    def until(self, pattern: str) -> re.Match[str]:
        """Its standard output, once there is any."""
        return eventually(lambda: re.search(pattern, self.out), lambda: f"{self.process.poll()} {self.out} {self.err}")

    @property
    def url(self) -> str:
        return self.until(r"(http://[^ /]+)/")[1]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit code."""
        self.process.send_signal(number)
        return self.process.wait(10)


def eventually(seen: Callable[[], Any], why: Callable[[], str] = lambda: "", seconds: float = 30) -> Any:
    """What `seen` returns, once that is true."""
    until = time.monotonic() + seconds
    while not (found := seen()):
        assert time.monotonic() < until, why()
        time.sleep(0.02)
    return found


Start = Callable[..., Program]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the installed program, and kills it at the end if it still runs."""
    running: list[Program] = []

    def begin(*args: str, **more: str) -> Program:
        folder = tmp_path / f"program-{len(running)}"
        folder.mkdir()
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            process = subprocess.Popen(
                [PROGRAM, *args], stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment(**more)
            )
        running.append(Program(process, folder))
        return running[-1]

    yield begin
    for program in running:
        program.process.kill()
        program.process.wait()


@pytest.fixture
def serve(start: Start, home: Home) -> Callable[..., Program]:
    """Starts the service on a free port, and waits until it accepts connections.

    It collects only where a test wants that: what is collected meanwhile changes answers, and takes time.
    """

    def begin(*args: str, collects: bool = False, **more: str) -> Program:
        alone = () if collects else ("--no-collector",)
        program = start("serve", "--port", "0", *alone, *args, KUBETALLY_HOME=str(home.folder), **more)
        program.until(r"Secret: .*\n")
        return program

    return begin


def secret_of(home: Home) -> str:
    return (home.folder / "secret").read_text("utf-8").strip()


def ask(program: Program, account_id: str, secret: str, **more: object) -> httpx.Response:
    params = {"cloud_account_id": account_id, "start_date": S, "end_date": E, **more}
    return httpx.get(program.url + PATH, params=params, headers={"Secret": secret}, timeout=30)  # type: ignore[arg-type]


# --- how it starts


def test_serve_prints_its_address_but_not_its_secret(
    serve: Callable[..., Program], home: Home, replay: ReplayServer
) -> None:
    account_id = home.add("prod", "--url", replay.url_of("aurora"))
    program = serve()
    file = home.folder / "secret"
    assert f"Secret: {file}\n" in program.out
    assert f"{program.url}/docs" in program.out
    assert "serves 1 cluster at" in program.out
    assert str(home.folder / "kubetally.db") in program.out
    assert file.stat().st_mode & 0o777 == 0o600
    secret = secret_of(home)
    assert len(secret) >= 32
    assert secret not in program.out + program.err
    assert ask(program, account_id, secret).json()["summary"]["total_cost"] == 247.445919
    assert urlsplit(program.url).hostname == "127.0.0.1"
    assert program.stop() == 0
    again = serve()
    assert secret_of(home) == secret
    assert ask(again, account_id, secret).status_code == 200


def test_environment_secret_comes_first(serve: Callable[..., Program], home: Home, replay: ReplayServer) -> None:
    account_id = home.add("prod", "--url", replay.url_of("draco"))
    program = serve(KUBETALLY_SECRET=SECRET)
    assert "Secret: that of KUBETALLY_SECRET\n" in program.out
    assert not (home.folder / "secret").exists()
    assert ask(program, account_id, SECRET).status_code == 200
    assert ask(program, account_id, "another").status_code == 403


def test_without_accounts_serve_says_how_to_add_one(serve: Callable[..., Program]) -> None:
    program = serve()
    program.until("kubetally accounts add NAME --url URL")
    assert "serves 0 clusters" in program.out
    assert httpx.get(program.url + "/").status_code == 401
    assert httpx.get(program.url + "/readyz").status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])  # noqa: S104
def test_taken_port_exits_2_and_says_so(home: Home, host: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = home.run("serve", "--host", host, "--port", port)
    assert (done.code, done.out) == (2, "")
    assert f"port {port}" in done.err
    assert "Address already in use" in done.err
    assert "--port" in done.err
    assert "Traceback" not in done.err


def test_second_service_on_the_same_port_is_refused(serve: Callable[..., Program], home: Home) -> None:
    first = serve()
    done = home.run("serve", "--port", str(urlsplit(first.url).port))
    assert done.code == 2
    assert "Address already in use" in done.err
    assert httpx.get(first.url + "/healthz").status_code == 200


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("--host", "not-there.invalid"), 2, "not-there.invalid"),
        (("--host", "192.0.2.1"), 2, "192.0.2.1"),
        (("--port", "65536"), 2, "65535"),
        (("--port", "http"), 2, "--port"),
    ],
)
def test_unusable_address_or_port_is_an_error(home: Home, args: tuple[str, ...], code: int, says: str) -> None:
    done = home.run("serve", *args)
    assert (done.code, done.out) == (code, "")
    assert says in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(("content", "mode", "says"), [("x" * 40, 0o644, "chmod 600"), (" \n", 0o600, "empty")])
def test_empty_or_readable_secret_file_is_refused(home: Home, content: str, mode: int, says: str) -> None:
    home.call("accounts", "list")
    file = home.folder / "secret"
    file.write_text(content, "utf-8")
    file.chmod(mode)
    done = home.run("serve", "--port", "0")
    assert (done.code, done.out) == (3, "")
    assert str(file) in done.err
    assert says in done.err


def test_ctrl_c_exits_0(serve: Callable[..., Program]) -> None:
    program = serve()
    began = time.monotonic()
    assert program.stop(signal.SIGINT) == 0
    assert time.monotonic() - began < 10
    assert "Traceback" not in program.err


def test_serve_stops_within_10_seconds_while_a_source_hangs(
    serve: Callable[..., Program], home: Home, faulty: FaultServer
) -> None:
    account_id = home.add("prod", "--url", faulty.fault_url("hang", "aurora"))
    program = serve(KUBETALLY_SECRET=SECRET)
    params = f"cloud_account_id={account_id}&start_date={S}&end_date={E}"
    connection = http.client.HTTPConnection(urlsplit(program.url).netloc, timeout=20)
    connection.request("GET", f"{PATH}?{params}", headers={"Secret": SECRET})
    eventually(lambda: [request for request in faulty.asked if request.path == "/allocation"])
    began = time.monotonic()
    assert program.stop() == 0
    assert time.monotonic() - began < 10
    connection.close()
    assert "Traceback" not in program.err


# --- the commands of the design note


def curl(command: str, **more: str) -> Any:
    """The output of a command of the design note, run by bash without its `jq`."""
    done = subprocess.run(
        ["/bin/bash", "-c", command],
        capture_output=True, text=True, env=os.environ | more, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_design_note_commands_work(serve: Callable[..., Program], home: Home, any_day: DemoServer) -> None:
    account_id = home.add("prod", "--url", any_day.url_of("aurora"))
    program = serve()
    there = f"http://localhost:{urlsplit(program.url).port}"
    with_secret = {"CLUSTER_SECRET": secret_of(home)}
    test_2 = (
        'curl -H "Secret: $CLUSTER_SECRET" \\\n'
        f'  "{there}/metroculus/v2/kubecost_cluster_costs?cloud_account_id={account_id}'
        "&start_date=$(date -u -d '7 days ago' +%s)&end_date=$(date +%s)\""
    )
    asked_before = int(time.time())
    body = curl(test_2, **with_secret)
    seven = 7 * 86400
    assert abs(body["end_date"] - asked_before) < 60
    assert abs(body["end_date"] - body["start_date"] - seven) <= 2
    keys = {"total_cost", "cpu_cost", "ram_cost", "pv_cost", "management_cost", "load_balancer_cost", "network_cost"}
    assert body["summary"].keys() >= keys
    known = test_2.replace("7 days ago", "2026-11-20").replace("$(date +%s)", "$(date -u -d '2026-11-23' +%s)")
    summary = curl(known, **with_secret)["summary"]
    assert summary["total_cost"] == 247.445919
    assert all(isinstance(summary[key], int | float) for key in keys)
    test_4 = (
        'curl -H "Secret: $CLUSTER_SECRET" \\\n'
        f'  "{there}/metroculus/v2/kubecost_cluster_costs?cloud_account_id={account_id}&detail_level=namespace"'
    )
    assert set(curl(test_4, **with_secret)["efficiency"]) == {"cpu_efficiency", "ram_efficiency", "total_efficiency"}
    ratios = curl(f'{test_4[:-1]}&start_date={S}&end_date={E}"', **with_secret)["efficiency"]
    assert all(0 < ratio < 3 for ratio in ratios.values())


# --- the body that the command prints


def bodies(home: Home, program: Program, name: str, start: int, end: int, level: str) -> tuple[Any, Any]:
    """The output of the command for an account, and the answer of the service."""
    window = ("--start", str(start), "--end", str(end))
    done = home.call("costs", name, *window, "--by", level, "--format", "json", KUBETALLY_ATTEMPTS="1")
    assert done.code == 0, done.err
    account_id = home.show(name)["id"]
    answer = ask(program, account_id, SECRET, start_date=start, end_date=end, detail_level=level)
    assert answer.status_code == 200
    return done.json, answer.json()


DAY_S = 86400


@pytest.mark.parametrize("level", ["summary", "namespace", "workload"])
def test_costs_command_prints_the_service_body(
    serve: Callable[..., Program], home: Home, faulty: FaultServer, level: str
) -> None:
    places = {name: faulty.url_of(name) for name in ALL}
    for fault in ("noassets", "nullset", "duplicate", "nan", "skew", "lostnode"):
        places[fault] = faulty.fault_url(fault, "aurora")
    for name, place in places.items():
        home.add(name, "--url", place)
    program = serve(KUBETALLY_SECRET=SECRET, KUBETALLY_ATTEMPTS="1")
    for name in places:
        printed, answered = bodies(home, program, name, S, E, level)
        assert unstable(printed) == unstable(answered), name
        assert printed["cloud_account_id"] == home.show(name)["id"]
    assert home.costs("nullset")["status"] == "no_data"
    for start in (S - DAY_S, S + DAY_S):  # with an unrecorded day, and without
        printed, answered = bodies(home, program, "aurora", start, E, level)
        assert unstable(printed) == unstable(answered)


def unstable(body: Any) -> str:
    """A body as text, without the offset of a source's clock."""
    return re.sub(r"by [+-]\d+ minutes", "by some minutes", json.dumps(body, sort_keys=True))


@pytest.mark.parametrize("level", ["summary", "namespace", "workload"])
def test_command_and_service_bodies_agree_without_rows(serve: Callable[..., Program], home: Home, level: str) -> None:
    def change(_path: str, data: Any) -> None:
        for rows in data if isinstance(data, list) else [data]:
            rows.clear()

    with Served(recorded_but(change)) as server:
        home.add("empty", "--url", server.url)
        program = serve(KUBETALLY_SECRET=SECRET)
        printed, answered = bodies(home, program, "empty", S, S + DAY_S, level)
    assert printed == answered
    assert not printed.get("breakdown_by_namespace")


# --- accounts that change while it runs


def test_new_account_is_answered_at_once(serve: Callable[..., Program], home: Home, replay: ReplayServer) -> None:
    program = serve(KUBETALLY_SECRET=SECRET)
    account_id = home.add("prod", "--url", replay.url_of("draco"))
    began = time.monotonic()
    assert ask(program, account_id, SECRET).status_code == 200
    assert time.monotonic() - began < 5
    assert (
        "prod"
        in httpx.get(program.url + "/", params={"window": "2026-11-20,2026-11-23"}, headers={"Secret": SECRET}).text
    )


def test_account_is_found_once_added(serve: Callable[..., Program], home: Home, replay: ReplayServer) -> None:
    program = serve(KUBETALLY_SECRET=SECRET)
    assert ask(program, GIVEN, SECRET).status_code == 404
    home.add("prod", "--url", replay.url_of("draco"), "--id", GIVEN)
    eventually(lambda: ask(program, GIVEN, SECRET).status_code == 200, seconds=2)


def test_removed_account_is_404_within_a_second(
    serve: Callable[..., Program], home: Home, replay: ReplayServer
) -> None:
    account_id = home.add("prod", "--url", replay.url_of("draco"))
    program = serve(KUBETALLY_SECRET=SECRET)
    assert ask(program, account_id, SECRET).status_code == 200
    home.call("accounts", "remove", "prod")
    eventually(lambda: ask(program, account_id, SECRET).status_code == 404, seconds=2)
    assert ask(program, account_id, SECRET).json()["error"]["error_code"] == "OM0002"


def test_changed_url_does_not_use_cached_costs(serve: Callable[..., Program], home: Home, replay: ReplayServer) -> None:
    account_id = home.add("prod", "--url", replay.url_of("draco"))
    program = serve(KUBETALLY_SECRET=SECRET)
    first = ask(program, account_id, SECRET).json()
    assert ask(program, account_id, SECRET).headers["x-kubetally-cache"] == "hit"
    home.call("accounts", "update", "prod", "--url", replay.url_of("aurora"))

    def changed() -> Any:
        body = ask(program, account_id, SECRET).json()
        return body if body != first else None

    assert eventually(changed, seconds=2)["summary"]["total_cost"] == 247.445919


def test_rotated_keys_do_not_lock_out_a_running_service(
    serve: Callable[..., Program], home: Home, listener: Listener
) -> None:
    account_id = home.add("prod", "--url", listener.url(userinfo=f"{USER}:{PASSWORD}@"))
    program = serve(KUBETALLY_SECRET=SECRET)
    assert ask(program, account_id, SECRET).status_code == 200
    assert home.call("accounts", "rotate-keys").code == 0
    until, ends = time.monotonic() + 1, {200}  # longer than a lookup of an account is cached
    while time.monotonic() < until and ends == {200}:
        ends.add(ask(program, account_id, SECRET).status_code)
        time.sleep(0.05)
    assert ends == {200}
    assert listener.values("authorization") == {basic(USER, PASSWORD)}


# --- the database


def unavailable(answer: httpx.Response) -> bool:
    assert answer.status_code == 503, answer.text
    assert answer.headers["retry-after"]
    assert answer.json()["error"]["status_code"] == 503
    return True


def test_missing_database_is_503_until_it_is_back(
    serve: Callable[..., Program], home: Home, replay: ReplayServer
) -> None:
    account_id = home.add("prod", "--url", replay.url_of("draco"))
    program = serve(KUBETALLY_SECRET=SECRET)
    assert ask(program, account_id, SECRET).status_code == 200
    away = home.folder.with_name("away")
    home.folder.rename(away)
    eventually(lambda: ask(program, account_id, SECRET).status_code == 503, seconds=3)
    assert unavailable(ask(program, account_id, SECRET))
    assert httpx.get(program.url + "/readyz").status_code == 503
    assert httpx.get(program.url + "/healthz").status_code == 200
    assert httpx.get(program.url + "/", headers={"Secret": SECRET}).status_code == 503
    assert not home.folder.exists()
    away.rename(home.folder)
    assert ask(program, account_id, SECRET).status_code == 200
    assert program.process.poll() is None
    assert "Traceback" not in program.err


def test_database_locked_by_a_writer_is_still_read(
    serve: Callable[..., Program], home: Home, replay: ReplayServer
) -> None:
    account_id = home.add("prod", "--url", replay.url_of("draco"))
    program = serve(KUBETALLY_SECRET=SECRET)
    writer = sqlite3.connect(home.folder / "kubetally.db", isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    assert ask(program, account_id, SECRET).status_code == 200
    assert httpx.get(program.url + "/readyz").status_code == 200
    writer.execute("ROLLBACK")
    writer.close()


def test_damaged_database_is_500(serve: Callable[..., Program], home: Home, replay: ReplayServer) -> None:
    account_id = home.add("prod", "--url", replay.url_of("draco"))
    program = serve(KUBETALLY_SECRET=SECRET)
    for file in home.folder.glob("kubetally.db*"):
        file.unlink()
    (home.folder / "kubetally.db").write_bytes(b"no database at all" * 1000)
    answer = ask(program, account_id, SECRET)
    assert (answer.status_code, answer.headers["x-kubetally-error"]) == (500, "store_refused")
    assert httpx.get(program.url + "/healthz").status_code == 200
    assert program.stop() == 0


# --- secrets over a whole run


def test_whole_run_prints_no_secret(
    serve: Callable[..., Program], home: Home, listener: Listener, tmp_path: Path
) -> None:
    old, key = KeyRing.new_key(), KeyRing.new_key()
    file, others = tmp_path / "token", ("token-of-settings-9", "header-of-settings-5", "wrong-secret-3")
    file.write_text(f"{TOKEN}\n", "utf-8")
    settings = {
        "KUBETALLY_KEYS": f"{key},{old}",
        "KUBETALLY_LOG_LEVEL": "debug",
        "KUBETALLY_SOURCE_TOKEN": others[0],
        "KUBETALLY_SOURCE_HEADERS": f"X-Key: {others[1]}",
        "KUBETALLY_ATTEMPTS": "1",
    }
    userinfo = f"{USER}:{PASSWORD}@"
    added = [
        home.run("accounts", "add", "in-url", "--url", listener.url(userinfo=userinfo), **settings),
        home.run("accounts", "add", "dead", "--url", NOBODY.replace("//", f"//{userinfo}"), **settings),
        home.run(
            "accounts", "add", "token", "--url", listener.url("localhost"), "--token-file", str(file),
            "--header", f"X-Scope: {HEADER}", **settings,
        ),
    ]  # fmt: skip
    program = serve(collects=True, KUBETALLY_SECRET=SECRET, **settings)
    answers = [ask(program, done.out.strip(), SECRET, detail_level="workload") for done in added]
    answers += [
        ask(program, added[0].out.strip(), others[2]),
        httpx.get(program.url + "/", params={"window": "2026-11-20,2026-11-23"}, headers={"Secret": SECRET}),
        httpx.get(program.url + "/", headers={"Host": "elsewhere"}, auth=("me", SECRET)),
        httpx.get(program.url + "/metrics"),
        httpx.get(program.url + PATH, params={"cloud_account_id": SECRET, "key": TOKEN}, headers={"Secret": SECRET}),
    ]
    assert [answer.status_code for answer in answers[:4]] == [200, 424, 200, 403]
    commands = [
        home.call(command, *named, "--start", "2026-11-20", "--end", "2026-11-21", **settings)
        for command in ("costs", "verify", "report", "doctor")
        for named in (("token",), ())
    ]
    commands.append(home.run("costs", "--start", "2026-11-20", "--end", "2026-11-21", **settings))
    assert program.stop() == 0
    assert {headers.get("authorization") for headers in listener.heard} == {basic(USER, PASSWORD), f"Bearer {TOKEN}"}
    assert {headers.get("x-scope") for headers in listener.heard} == {None, HEADER}
    told = program.out + program.err + "".join(done.out + done.err for done in (*added, *commands))
    told += "".join(answer.text + str(answer.headers) for answer in answers)
    assert '"event":"source_found"' in told
    assert '"level":"debug"' in told
    pairs = (basic(USER, PASSWORD).split()[1],)
    for secret in (SECRET, USER, PASSWORD, TOKEN, HEADER, old, key, *others, *pairs):
        assert secret not in told
    assert "Traceback" not in told


# --- demo


@contextmanager
def taken(port: int) -> Iterator[None]:
    """A socket that listens on the port, if no other does."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            server.bind(("127.0.0.1", port))
            server.listen()
        yield


def leftovers(folder: Path) -> list[Path]:
    return list(folder.glob("kubetally-demo-*"))


@pytest.fixture
def tmpdir_of(tmp_path: Path) -> Callable[[str], Path]:
    """A folder for the temporary files of a program."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        return folder

    return make


def curl_of(program: Program, path: str = PATH) -> str:
    """The command that the demo suggests for a path of the API."""
    return program.until(rf"\n(  curl [^\n]*\\\n[^\n]*{path}\?[^\n]*\n)")[1]


def another_link(program: Program) -> str:
    """The output of the command that the demo suggests."""
    command = program.until(r"Another link:  ([^\n]*)\n")[1]
    done = subprocess.run(["/bin/bash", "-c", command], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("number", "folder"), [(signal.SIGINT, "tmp"), (signal.SIGTERM, "tmp"), (signal.SIGTERM, "with 'blanks' & $more")]
)
def test_demo_serves_three_clusters_until_stopped(
    start: Start, tmpdir_of: Callable[[str], Path], number: int, folder: str
) -> None:
    temporary = tmpdir_of(folder)
    with taken(8080):
        program = start("demo", TMPDIR=str(temporary))
        program.until(r"Port 8080 is in use, so another one was taken; --port \(make run PORT=")
        command = curl_of(program)
        assert ":8080/" not in command
        body = curl(command)
        assert body["summary"]["total_cost"] == 247.445919
        assert body["breakdown_by_namespace"]
        stored = curl(curl_of(program, "/api/v1/costs"))
        assert stored["coverage"]["hours_covered"] == 216
        of_aurora = [row["total_cost"] for row in stored["rows"] if row["key"]["cluster"] == "aurora"]
        assert round(sum(of_aurora), 6) == 247.445919
        of_command_line = program.until(r"In another terminal:  ([^\n]*)\n")[1]
        assert curl(f"{of_command_line} --format json")["summary"]["total_cost"] == 247.445919
        own = program.until(r"Your own:  (.*) accounts add my-cluster --url http://localhost:9003  and  (.*) serve\n")
        assert {own[1], own[2]} == {of_command_line.partition(" costs ")[0]}
        url = re.search(r'"(http://[^/]+)/', command)
        assert url
        link = program.until(r"\n  (http://\S+/sign-in\?token=\S+)\n")[1]
        assert httpx.get(link, follow_redirects=True, timeout=30).status_code == 200
        assert httpx.get(url[1] + "/", timeout=30).status_code == 401
        page = httpx.get(another_link(program), follow_redirects=True, timeout=30)
        assert page.status_code == 200
        assert all(name in page.text for name in ALL)
        done = run("doctor", KUBETALLY_HOME=str(leftovers(temporary)[0]))
        assert (done.code, done.out.count("the source holds no data of")) == (0, 3), done.out
        assert httpx.get(url[1] + "/docs").status_code == 200
        [state] = leftovers(temporary)
        assert state.stat().st_mode & 0o777 == 0o700
        secret = (state / "secret").read_text("utf-8").strip()
        assert secret not in program.out + program.err
        began = time.monotonic()
        assert program.stop(number) == 0
        assert time.monotonic() - began < 10
    assert leftovers(temporary) == []
    assert program.err == ""


def test_demo_on_a_taken_port_says_so(tmpdir_of: Callable[[str], Path], home: Home) -> None:
    temporary = tmpdir_of("tmp")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = str(server.getsockname()[1])
        done = home.run("demo", "--port", port, TMPDIR=str(temporary))
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: can't listen on 127.0.0.1 port {port}: Address already in use; ")
    assert done.err.count("\n") == 1
    assert leftovers(temporary) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo_stopped_before_serving_leaves_no_files(
    start: Start, tmpdir_of: Callable[[str], Path], number: int
) -> None:
    temporary = tmpdir_of("tmp")
    program = start("demo", "--port", "0", TMPDIR=str(temporary))
    eventually(lambda: leftovers(temporary))
    program.process.send_signal(number)
    program.process.wait(10)
    assert leftovers(temporary) == []
    assert "Traceback" not in program.err


def test_demo_once_leaves_no_files_and_needs_no_port(tmpdir_of: Callable[[str], Path], home: Home) -> None:
    temporary = tmpdir_of("tmp")
    more = {"KUBETALLY_DATABASE_URL": "mariadb://nobody@127.0.0.1:1/none", "KUBETALLY_KEYS": "no key"}
    done = home.run("demo", "--once", TMPDIR=str(temporary), **more)
    assert (done.code, done.err) == (0, "")
    assert all(f"{name} http://127.0.0.1:" in done.out for name in ALL)
    assert "curl" not in done.out
    assert leftovers(temporary) == []
    assert not home.folder.exists()


def test_demo_serves_the_source_of_its_url(start: Start, tmpdir_of: Callable[[str], Path], any_day: DemoServer) -> None:
    temporary = tmpdir_of("tmp")
    url = any_day.url_of("draco").replace("//", f"//{USER}:{PASSWORD}@")
    program = start("demo", "--url", url, "--port", "0", TMPDIR=str(temporary))
    body = curl(curl_of(program))
    assert body["source"]["cluster_id"] == "draco"
    assert body["end_date"] - body["start_date"] == 7 * DAY_S
    assert PASSWORD not in program.out + program.err + json.dumps(body)
    assert program.stop() == 0
    assert leftovers(temporary) == []


def test_demo_collects_the_last_days_of_its_url_apart_from_the_lake_of_the_user(
    start: Start, tmpdir_of: Callable[[str], Path], tmp_path: Path
) -> None:
    temporary, lake, answers = tmpdir_of("tmp"), tmp_path / "lake", tmp_path / "answers"
    elsewhere = {"KUBETALLY_LAKE_URL": str(lake), "KUBETALLY_KEEP_ANSWERS": str(answers)}
    with Served(EverlastingSource().answers) as source:
        program = start("demo", "--url", source.url, "--port", "0", TMPDIR=str(temporary), **elsewhere)
        command = curl_of(program, "/api/v1/costs")
        body = eventually(lambda: (body := curl(command))["rows"] and body)
        assert body["rows"][0]["key"]["cluster"] == "my-cluster"
        coverage = program.until(r"progress:\n\n  ([^\n]*)\n")[1]
        done = subprocess.run(["/bin/bash", "-c", coverage], capture_output=True, text=True, timeout=60, check=True)
        assert "my-cluster" in done.stdout
        assert program.stop() == 0
    assert not lake.exists()
    assert not answers.exists()
    assert leftovers(temporary) == []


def test_demo_of_an_unusable_source_says_what_is_wrong(tmpdir_of: Callable[[str], Path], home: Home) -> None:
    temporary = tmpdir_of("tmp")
    done = home.run("demo", "--url", f"{USER}:{PASSWORD}@host", TMPDIR=str(temporary))
    assert (done.code, done.out) == (2, "")
    assert PASSWORD not in done.err
    dead = home.run("demo", "--url", NOBODY, "--port", "0", TMPDIR=str(temporary), KUBETALLY_ATTEMPTS="1")
    assert (dead.code, dead.out) == (3, "")
    assert re.fullmatch(rf"error: my-cluster: {NOBODY}\S* is unavailable: Connection refused; .*\n", dead.err)
    assert leftovers(temporary) == []
