"""The replay server answers as the recorded OpenCost, and says so if it can't."""

import json
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import pairwise

import httpx
import pytest

from kubetally import samples
from kubetally.samples.demo import DemoServer
from kubetally.samples.replay import LABEL, ReplayServer
from tests.faults import KINDS, OTHER_CLUSTER, FaultServer
from tests.recordings import ALL, DAYS, Recording

DAY = ",".join(DAYS[0])
UNIX_DAY = ",".join(str(int(datetime.fromisoformat(end).timestamp())) for end in DAYS[0])


def get(url: str, params: Mapping[str, str] | None = None) -> httpx.Response:
    return httpx.get(url, params=params, timeout=10)


@pytest.mark.parametrize("name", ALL)
def test_every_recorded_request_gets_its_status_and_label(replay: ReplayServer, name: str) -> None:
    with httpx.Client(timeout=10) as client:
        for answer in Recording(name).answers.values():
            got = client.get(replay.url_of(name) + answer.path, params=answer.params)
            assert (got.status_code, got.headers.get("content-type")) == (answer.status, answer.content_type), (
                answer.name
            )
            assert got.headers[LABEL] == "recorded"


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/allocation", {"step": "1d"}),
        ("/allocation", {"step": "24h", "resolution": "5m"}),
        ("/allocation", {"aggregate": "cluster,node,namespace,pod,container", "accumulate": "false"}),
        ("/allocation", {"window": UNIX_DAY, "step": "86400s", "resolution": "300s"}),
        ("/allocation/compute", {"includeIdle": "1", "accumulate": "true", "shareIdle": "false", "offset": "0"}),
        ("/allocation", {"external": "false", "reconcile": "true", "filter": 'namespace:"shop"', "idleByNode": ""}),
    ],
)
def test_defaults_and_unknown_parameters_change_nothing(
    replay: ReplayServer, path: str, params: dict[str, str]
) -> None:
    got = get(replay.url_of("aurora") + path, {"window": DAY, "includeIdle": "true", **params})
    assert got.content == Recording("aurora").body("allocation-day1-idle")


def test_demo_answers_a_question_by_the_hour_in_steps_of_a_day() -> None:
    question = {"window": DAY, "includeIdle": "true", "step": "1h", "aggregate": "cluster,controllerKind"}
    with DemoServer() as server:
        got = get(server.url_of("aurora") + "/allocation", question)
        other_step = get(server.url_of("aurora") + "/allocation", {**question, "step": "2h"})
    assert got.content == Recording("aurora").body("allocation-day1-idle")
    assert other_step.status_code == 404


def test_known_parameter_makes_a_different_request(replay: ReplayServer) -> None:
    got = get(replay.url_of("aurora") + "/allocation", {"window": DAY, "includeIdle": "true", "step": "1h"})
    assert got.content == Recording("aurora").body("matrix-day1-1h-default")


def test_unrecorded_request_is_a_404_that_says_so(replay: ReplayServer) -> None:
    got = get(replay.url_of("aurora") + "/allocation", {"window": "2026-11-20T01:00:00Z,2026-11-20T02:00:00Z"})
    assert (got.status_code, got.headers[LABEL]) == (404, "not-recorded")
    assert "not recorded" in got.text
    assert replay.unknown[-1].path == "/allocation"


@pytest.mark.parametrize("path", ["/model/allocation", "/model/clusterInfo", "/model/assets", "/savings", "/anything"])
def test_a_path_that_an_opencost_lacks_is_its_own_404(replay: ReplayServer, path: str) -> None:
    got = get(replay.url_of("aurora") + path, {"window": DAY})
    assert (got.status_code, got.text) == (404, "404 page not found\n")


def test_an_unknown_cluster_is_a_404_that_names_the_known_ones(replay: ReplayServer) -> None:
    got = get(replay.url_of("vega") + "/allocation", {"window": DAY})
    assert got.status_code == 404
    assert "aurora, cygnus, draco" in got.text


def test_only_get_is_answered(replay: ReplayServer) -> None:
    assert httpx.post(replay.url_of("aurora") + "/allocation", timeout=10).status_code == 501


@pytest.mark.parametrize("name", ALL)
def test_the_packaged_samples_alone_answer_what_a_day_needs(name: str) -> None:
    with ReplayServer() as server:
        for day, (start, end) in enumerate(DAYS, start=1):
            window = {"window": f"{start},{end}", "step": "1d"}
            allocation = get(server.url_of(name) + "/allocation", {**window, "includeIdle": "true"})
            assert allocation.content == Recording(name).body(f"allocation-day{day}-idle")
            assert get(server.url_of(name) + "/assets", window).content == Recording(name).body(f"assets-day{day}")
        for path in ("/clusterInfo", "/clusterInfoMap", "/installInfo", "/healthz"):
            assert get(server.url_of(name) + path).status_code == 200


def test_demo_has_no_data_of_days_outside_the_recording() -> None:
    known, before, after = DAYS[0], ("2026-11-19T00:00:00Z", DAYS[0][0]), (DAYS[-1][1], "2027-01-01T00:00:00Z")
    with DemoServer() as server:
        for path in ("/allocation", "/assets"):
            for start, end in (before, after):
                answer = get(server.url_of("aurora") + path, {"window": f"{start},{end}"})
                assert (answer.status_code, answer.json()["data"]) == (200, [None])
        found = get(server.url_of("aurora") + "/assets", {"window": ",".join(known)})
        assert found.content == Recording("aurora").body("assets-day1")
        for window in ("yesterday", f"{known[0]},2026-11-20T01:00:00Z"):
            assert get(server.url_of("aurora") + "/allocation", {"window": window}).status_code == 404


def test_packaged_samples_are_small_and_hold_their_days() -> None:
    files = [file for folders in samples.folders().values() for folder in folders for file in folder.iterdir()]
    assert sum(file.stat().st_size for file in files) < 600_000
    assert (DAYS[0][0][:10], DAYS[-1][1][:10]) == (samples.FIRST_DAY, samples.END_DAY)
    assert all(before[1] == after[0] for before, after in pairwise(DAYS))


def ask(server: FaultServer, kind: str, path: str = "/allocation", day: int = 0) -> httpx.Response:
    params = {"window": ",".join(DAYS[day]), "includeIdle": "true"}
    return get(server.fault_url(kind, "aurora") + path, params)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_fault_leaves_other_requests_alone(faulty: FaultServer, kind: str) -> None:
    assert get(faulty.fault_url(kind, "aurora") + "/clusterInfo").json()["data"]["id"] == "aurora"


@pytest.mark.parametrize(
    ("kind", "status", "start"),
    [
        ("500", 500, b'{"code":500'),
        ("503", 503, b"upstream"),
        ("code500", 200, b'{"code":500'),
        ("html", 200, b"<!doctype html>"),
        ("empty", 200, b""),
        ("nullset", 200, b'{"code":200,"status":"success","data":[null]}'),
        ("redirect", 302, b""),
        ("textbefore", 200, b"Warning: "),
        ("flaky", 503, b"upstream"),
    ],
)
def test_a_fault_replaces_the_answer(faulty: FaultServer, kind: str, status: int, start: bytes) -> None:
    for path in ("/allocation", "/assets"):
        got = ask(faulty, kind, path)
        assert (got.status_code, got.content[: len(start)]) == (status, start)
    assert [asked.path for asked in faulty.asked] == ["/allocation", "/assets"]


@pytest.mark.parametrize(
    ("kind", "rows_more"),
    [("duplicate", 1), ("nan", 0), ("nocosts", 0), ("lostnode", 0), ("twoclusters", None)],
)
def test_a_fault_changes_the_rows_of_allocations(faulty: FaultServer, kind: str, rows_more: int | None) -> None:
    sound = Recording("aurora").json("allocation-day1-idle")["data"][0]
    rows = json.loads(ask(faulty, kind).content)["data"][0]
    assert len(rows) - len(sound) == (len(sound) if rows_more is None else rows_more)
    strange = [row["cpuCost"] for row in rows.values() if row["cpuCost"] is None or row["cpuCost"] != row["cpuCost"]]
    assert len(strange) == (kind in {"nan", "nocosts"})
    clusters = {row["properties"]["cluster"] for row in rows.values()}
    assert clusters == ({"aurora", OTHER_CLUSTER} if kind == "twoclusters" else {"aurora"})


@pytest.mark.parametrize(
    ("kind", "lost"),
    [
        ("lostnode", 1),
        ("lostdisk", 1),
        ("lostbalancer", 2),
        ("emptyassets", 19),
        ("duplicate", 0),
        ("twoclusters", -19),
    ],
)
def test_a_fault_changes_the_rows_of_assets(faulty: FaultServer, kind: str, lost: int) -> None:
    sound = Recording("aurora").json("assets-day1")["data"]
    assert len(sound) - len(ask(faulty, kind, "/assets").json()["data"]) == lost


def test_without_assets_only_assets_fail(faulty: FaultServer) -> None:
    assert ask(faulty, "noassets").content == Recording("aurora").body("allocation-day1-idle")
    assert ask(faulty, "noassets", "/assets").status_code == 500


def test_hourly_gives_the_24_hours_of_the_day(faulty: FaultServer) -> None:
    assert len(ask(faulty, "hourly", day=1).json()["data"]) == 24


def test_the_wrong_window_is_a_month_off(faulty: FaultServer) -> None:
    rows = ask(faulty, "wrongwindow").json()["data"][0]
    assert {row["window"]["start"] for row in rows.values()} == {"2026-10-20T00:00:00Z"}


def test_a_truncated_answer_ends_before_its_length(faulty: FaultServer) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        ask(faulty, "truncated")


def test_a_flaky_source_answers_the_second_time(faulty: FaultServer) -> None:
    assert [ask(faulty, "flaky").status_code for _ in range(2)] == [503, 200]


def test_a_huge_answer_ends_when_the_client_hangs_up(faulty: FaultServer) -> None:
    url, params = faulty.fault_url("huge", "aurora") + "/assets", {"window": DAY}
    with httpx.stream("GET", url, params=params, timeout=10) as answer:
        assert not next(answer.iter_raw(1 << 20)).strip(b"\0")


def test_a_skewed_clock_shows_in_the_date_of_every_answer(faulty: FaultServer) -> None:
    date = get(faulty.fault_url("skew", "aurora") + "/clusterInfo").headers["date"]
    ahead = parsedate_to_datetime(date) - datetime.now(UTC)
    assert 3500 < ahead.total_seconds() < 3700


def test_a_slow_source_answers_when_it_is_released(faulty: FaultServer) -> None:
    faulty.release.set()
    assert ask(faulty, "slow").status_code == 200


@pytest.mark.parametrize("kind", ["hang", "slow"])
def test_unanswered_request_does_not_block_closing(kind: str) -> None:
    with FaultServer() as server, socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as client:
        client.sendall(f"GET /fault/{kind}/aurora/assets?window={DAY} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
