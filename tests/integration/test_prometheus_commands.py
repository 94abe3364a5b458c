"""The commands with a Prometheus beside the cluster's source: the fee comes in, and what fails takes nothing away."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from kubetally.samples.replay import ReplayServer
from tests.faults import FaultServer
from tests.integration import api_server
from tests.integration.api_server import ApiServer
from tests.integration.commands import DAY, WHOLE, Done, call
from tests.integration.metrics_servers import Prometheus, VictoriaMetrics, Written, exported
from tests.integration.test_accounts_command import (
    HEADER,
    NOBODY,
    PASSWORD,
    SECRETS,
    TOKEN,
    USER,
    Home,
    Listener,
    basic,
    home,
    listener,
)
from tests.integration.test_context_command import AURORA_TOTAL
from tests.integration.test_discovery import SECRET as KUBE_TOKEN
from tests.integration.test_discovery import Kubeconfig, ca, cluster, kubeconfig
from tests.integration.written_metrics import balancer, gauge, prices, relabelled, sent
from tests.served import Answers, Asked, Reply, Served

__all__ = ["ca", "cluster", "home", "kubeconfig", "listener"]

RecordedPrometheus = Callable[[str], Prometheus]
FEE = "kubecost_cluster_management_cost"
S, E = 1795132800, 1795392000
FEE_OF_WHOLE = 7.2  # 72 hours of 0.10
QUICK = {"KUBETALLY_ATTEMPTS": "1"}
DEBUG = {"KUBETALLY_LOG_LEVEL": "debug"}
OF_CYGNUS = '{__name__=~"kubecost_.*_cost|kubecost_pod_network_egress_bytes_total"}'


# --- a Prometheus that a test stands before, or that is none


def relay(url: str) -> Answers:
    """Passes questions on to a Prometheus."""

    def answers(asked: Asked) -> Reply:
        if asked.method == "POST":
            answer = httpx.post(url + asked.path, data=dict(asked.pairs), trust_env=False, timeout=30)
        else:
            answer = httpx.get(url + asked.path, params=list(asked.pairs), trust_env=False, timeout=30)
        return Reply(answer.status_code, answer.content, answer.headers["content-type"])

    return answers


TOO_MANY = b'{"status":"error","errorType":"execution","error":"query processing would load too many samples"}'
FAULTS: dict[str, tuple[Reply, str]] = {
    "html": (Reply(200, b"<html>sign in</html>", "text/html"), "answer_not_understood"),
    "422": (Reply(422, TOO_MANY), "query_refused"),
    "401": (Reply(401, b"no", "text/plain"), "metrics_not_allowed"),
    "503": (Reply(503, b"upstream connect error", "text/plain"), "source_unavailable"),
    "cut off": (
        Reply(200, b'{"status":"success","data":{', headers={"Content-Length": "999", "Connection": "close"}),
        "answer_truncated",
    ),
    "cut JSON": (Reply(200, b'{"status":"success","data":{'), "answer_not_understood"),
}


@contextmanager
def hanging() -> Iterator[Served]:
    """Takes questions and answers none."""
    release = threading.Event()

    def answers(asked: Asked) -> Reply:
        release.wait(60)
        return Reply(503, headers={"Connection": "close"})

    with Served(answers) as server:
        yield server
        release.set()


def authorizations(server: Served, header: str = "authorization") -> set[str | None]:
    """What it heard in a header."""
    assert server.asked
    return {asked.headers.get(header) for asked in server.asked}


# --- what an answer has to be


def exactly(number: float) -> Decimal:
    return Decimal(str(number))


def parts(costs: dict[str, Any]) -> dict[str, Decimal]:
    """The components of a summary, a line or a row, unknown ones as nothing."""
    named = {name: value for name, value in costs.items() if name.endswith("_cost") and name != "total_cost"}
    return {name: exactly(value or 0) for name, value in named.items()}


def adds_up(costs: dict[str, Any]) -> bool:
    assert exactly(costs["total_cost"]) == sum(parts(costs).values())
    return True


def has_fee(body: dict[str, Any], without: dict[str, Any], fee: float = FEE_OF_WHOLE) -> bool:
    """Whether a body is `without`, the same of no Prometheus, and the fee; to the micro."""
    assert (without["summary"]["management_cost"], without["not_measured"]) == (0, ["management_cost"])
    total = float(exactly(without["summary"]["total_cost"]) + exactly(fee))
    assert body["summary"] == {**without["summary"], "management_cost": fee, "total_cost": total}
    assert adds_up(body["summary"])
    assert (body["not_measured"], body["status"], body["errors"]) == ([], "ok", [])
    assert body["breakdown"] == {**without["breakdown"], "management_cost": fee}
    assert not [issue for issue in body["issues"] if issue["kind"] == "not_measured"]
    return True


def is_partial(body: dict[str, Any], without: dict[str, Any], code: str, *says: str) -> bool:
    """Whether a body is `without`, and says that the Prometheus failed."""
    [error] = body["errors"]
    assert (error["kind"], error["subject"], error["code"]) == ("source_failed", "infrastructure", code)
    for word in ("management can't be known without the metrics", *says):
        assert word in error["message"]
    assert body["status"] == "partial"
    for key in ("summary", "not_measured", "breakdown", "efficiency", "idle_cost", "coverage"):
        assert body[key] == without[key]
    return True


@pytest.fixture
def cygnus(recorded_prometheus: RecordedPrometheus) -> str:
    """The real Prometheus of cygnus."""
    return recorded_prometheus("cygnus").url


def asked_of_url(replay: ReplayServer, *args: str, window: tuple[str, ...] = WHOLE, **more: str) -> dict[str, Any]:
    """What `costs --url` prints for cygnus."""
    done = call("costs", "--url", replay.url_of("cygnus"), *window, "--format", "json", *args, **more)
    assert done.code == 0, done.err
    body: dict[str, Any] = done.json
    return body


# --- the fee comes in


@pytest.mark.parametrize("way", ["option", "environment", "account", "account by the environment"])
def test_the_fee_is_on_the_bill_and_everything_else_stays(
    home: Home, replay: ReplayServer, cygnus: str, way: str
) -> None:
    by, url = ("--by", "namespace"), ("--url", replay.url_of("cygnus"))
    without = asked_of_url(replay, *by)
    match way:
        case "option":
            body = asked_of_url(replay, *by, "--prometheus-url", cygnus)
        case "environment":
            body = asked_of_url(replay, *by, KUBETALLY_PROMETHEUS_URL=cygnus)
        case "account":
            home.add("prod", *url, "--prometheus-url", cygnus)
            body = home.costs("prod", *by)
        case _:
            home.add("prod", *url)
            body = home.costs("prod", *by, KUBETALLY_PROMETHEUS_URL=cygnus)
    assert has_fee(body, without)
    lines, before = ({line["kind"]: line for line in one["lines"]} for one in (body, without))
    assert lines["overhead"]["management_cost"] == FEE_OF_WHOLE
    assert before["overhead"]["management_cost"] == 0
    assert {**lines, "overhead": None} == {**before, "overhead": None}
    assert body["breakdown_by_namespace"] == without["breakdown_by_namespace"]
    everything = [*body["lines"], *body["breakdown_by_namespace"]]
    assert all(adds_up(row) for row in everything)
    for name in parts(body["summary"]):
        assert sum(parts(row)[name] for row in everything) == parts(body["summary"])[name], name


def test_victoria_metrics_gives_the_same_answer(
    replay: ReplayServer, cygnus: str, victoria_metrics: VictoriaMetrics
) -> None:
    victoria_metrics.load(exported(cygnus, OF_CYGNUS, S, E))
    place = ("--by", "workload", "--infrastructure", "legacy_sum", "--prometheus-url")
    assert asked_of_url(replay, *place, victoria_metrics.url) == asked_of_url(replay, *place, cygnus)


def test_prometheus_of_the_account_precedes_the_default(home: Home, replay: ReplayServer, cygnus: str) -> None:
    home.add("prod", "--url", replay.url_of("cygnus"), "--prometheus-url", cygnus)
    body = home.costs("prod", KUBETALLY_PROMETHEUS_URL=NOBODY)
    assert has_fee(body, asked_of_url(replay))
    body = asked_of_url(replay, "--prometheus-url", cygnus, KUBETALLY_PROMETHEUS_URL=NOBODY)
    assert body["summary"]["management_cost"] == FEE_OF_WHOLE


def test_a_day_has_its_part_of_the_fee(replay: ReplayServer, cygnus: str) -> None:
    place = ("--prometheus-url", cygnus)
    assert asked_of_url(replay, *place, window=DAY)["summary"]["management_cost"] == 2.4


def test_verify_counts_the_fee_and_does_not_hold_it_against_us(replay: ReplayServer, cygnus: str) -> None:
    place = ("verify", "--url", replay.url_of("cygnus"), *WHOLE)
    without = call(*place, "--format", "json").json
    done = call(*place, "--format", "json", "--prometheus-url", cygnus)
    assert (done.code, done.err) == (0, "")
    assert exactly(done.json["total_cost"]) == exactly(without["total_cost"]) + exactly(FEE_OF_WHOLE)
    assert done.json["source_total_cost"] == without["source_total_cost"]
    table = call(*place, KUBETALLY_PROMETHEUS_URL=cygnus)
    assert table.code == 0
    assert [line for line in table.out.splitlines() if line.split()[:1] == ["management"] and "7.20" in line]


def test_a_report_holds_the_fee(home: Home, replay: ReplayServer, cygnus: str) -> None:
    home.add("prod", "--url", replay.url_of("cygnus"), "--prometheus-url", cygnus)
    done = home.call("report", "prod", *WHOLE, "--format", "json")
    assert (done.code, done.err) == (0, "")
    shown = {one["component"]: one["cost"] for one in done.json["shares"]}
    assert shown["management"] == FEE_OF_WHOLE
    assert sum(map(exactly, shown.values())) == exactly(done.json["total_cost"])
    assert done.json["total_cost"] == home.costs("prod")["summary"]["total_cost"]
    text = home.call("report", "prod", *WHOLE).out
    assert "7.20" in text
    assert "not measured" not in text


def test_csv_and_table_hold_the_fee(replay: ReplayServer, cygnus: str) -> None:
    place = ("costs", "--url", replay.url_of("cygnus"), *WHOLE, "--prometheus-url", cygnus)
    table = call(*place)
    assert (table.code, table.err) == (0, "")
    assert [line for line in table.out.splitlines() if line.split()[:1] == ["management"] and "7.20" in line]
    assert "7.2" in call(*place, "--format", "csv").out


def says_to_remember(done: Done) -> bool:
    """Whether one warning says that the server of the environment is not asked, and what to do about it."""
    [warning] = done.err.splitlines()
    assert warning.startswith("warning: KUBETALLY_PROMETHEUS_URL is ignored")
    return "kubetally accounts add NAME --url URL" in warning and "--tenant TENANT or --cluster-id ID" in warning


def test_one_server_for_several_clusters_is_refused(replay: ReplayServer, cygnus: str) -> None:
    urls = ("--url", replay.url_of("cygnus"), "--url", replay.url_of("draco"))
    done = call("costs", *urls, *DAY, "--prometheus-url", cygnus)
    assert (done.code, done.out) == (2, "")
    assert "--prometheus-url is for one cluster" in done.err
    done = call("costs", *urls, *DAY, "--format", "json", KUBETALLY_PROMETHEUS_URL=cygnus)
    assert [body["summary"]["management_cost"] for body in done.json] == [0, 0]
    assert says_to_remember(done)


def test_account_and_url_do_not_share_the_default_prometheus(home: Home, replay: ReplayServer, cygnus: str) -> None:
    home.add("prod", "--url", replay.url_of("cygnus"))
    args = ("costs", "prod", "--url", replay.url_of("draco"), *WHOLE, "--format", "json")
    done = home.call(*args, KUBETALLY_PROMETHEUS_URL=cygnus)
    assert sum(body["summary"]["management_cost"] for body in done.json) == FEE_OF_WHOLE
    assert says_to_remember(done)


@pytest.mark.parametrize("command", ["costs", "verify", "report", "doctor"])
def test_prometheus_url_is_refused_with_accounts_or_if_invalid(home: Home, replay: ReplayServer, command: str) -> None:
    home.add("prod", "--url", replay.url_of("draco"))
    done = home.call(command, "prod", *DAY, "--prometheus-url", NOBODY)
    assert (done.code, done.out) == (2, "")
    assert "kubetally accounts update NAME --prometheus-url" in done.err
    place = (replay.url_of("draco"),) if command == "doctor" else ("--url", replay.url_of("draco"))
    done = home.call(command, *place, *DAY, "--prometheus-url", f"{USER}:{PASSWORD}@host")
    assert (done.code, done.out) == (2, "")
    assert PASSWORD not in done.err


# --- a Prometheus that fails


@pytest.mark.parametrize("fault", FAULTS)
def test_one_that_lies_or_refuses_makes_the_answer_partial(replay: ReplayServer, fault: str) -> None:
    reply, code = FAULTS[fault]
    with Served(lambda asked: reply) as server:
        body = asked_of_url(replay, "--prometheus-url", server.url, **QUICK)
        table = call("costs", "--url", replay.url_of("cygnus"), *WHOLE, "--prometheus-url", server.url, **QUICK)
    assert is_partial(body, asked_of_url(replay), code, server.url)
    assert table.code == 0
    assert "missing: management" in table.out
    assert "Traceback" not in table.err


def test_one_that_is_dead_makes_the_answer_partial(home: Home, replay: ReplayServer) -> None:
    without = asked_of_url(replay)
    assert is_partial(asked_of_url(replay, "--prometheus-url", NOBODY, **QUICK), without, "source_unreachable", NOBODY)
    done = home.run("costs", "--url", replay.url_of("cygnus"), *WHOLE, "--prometheus-url", NOBODY, **QUICK)
    assert done.code == 0
    assert "Traceback" not in done.out + done.err
    home.call("accounts", "add", "prod", "--url", replay.url_of("cygnus"), "--prometheus-url", NOBODY, **QUICK)
    assert is_partial(home.costs("prod", **QUICK), without, "source_unreachable", NOBODY)


def test_one_that_hangs_is_cut_at_the_deadline(replay: ReplayServer) -> None:
    with hanging() as server:
        began = time.monotonic()
        body = asked_of_url(replay, "--prometheus-url", server.url, KUBETALLY_DEADLINE_SECONDS="2", **QUICK)
        assert time.monotonic() - began < 6
    assert body["errors"][0]["code"] in {"deadline_passed", "source_timeout"}
    assert is_partial(body, asked_of_url(replay), body["errors"][0]["code"], server.url)


def test_the_metadata_of_a_cloud_are_not_asked(replay: ReplayServer) -> None:
    body = asked_of_url(replay, "--prometheus-url", "http://169.254.169.254", **QUICK)
    assert is_partial(body, asked_of_url(replay), "address_refused", "169.254.169.254")


def test_a_redirect_to_the_metadata_of_a_cloud_is_not_followed(replay: ReplayServer) -> None:
    away = Reply(302, headers={"Location": "http://169.254.169.254/latest/meta-data/"})
    with Served(lambda asked: away) as server:
        body = asked_of_url(replay, "--prometheus-url", server.url, **QUICK)
    assert is_partial(body, asked_of_url(replay), body["errors"][0]["code"])
    assert body["errors"][0]["code"] in {"redirect_refused", "address_refused"}


def test_empty_prometheus_leaves_only_the_fee_unknown(
    replay: ReplayServer, prometheus_with: Callable[..., Prometheus]
) -> None:
    without = asked_of_url(replay)
    body = asked_of_url(replay, "--prometheus-url", prometheus_with().url)
    assert (body["status"], body["summary"], body["errors"]) == ("ok", without["summary"], [])
    assert body["not_measured"] == ["management_cost"]
    assert "has no metrics of cost exporters" in json.dumps(body["issues"])


def test_fee_does_not_stand_for_costs_of_a_failing_source(faulty: FaultServer, cygnus: str) -> None:
    place = ("--url", faulty.fault_url("500", "aurora"), "--prometheus-url", cygnus)
    done = call("costs", *place, *DAY, "--format", "json", **QUICK)
    assert (done.code, done.json["status"]) == (3, "error")
    place = ("--url", faulty.fault_url("nullset", "aurora"), "--prometheus-url", cygnus)
    body = call("costs", *place, *DAY, "--format", "json", **QUICK).json
    assert (body["status"], body["summary"]["total_cost"]) == ("no_data", None)


# --- accounts: log-ins, and to whom they go


def test_password_is_kept_encrypted_and_sent_to_its_server_only(
    home: Home, listener: Listener, recorded_prometheus: RecordedPrometheus
) -> None:
    with Served(relay(recorded_prometheus("aurora").url)) as server:
        url = server.url.replace("//", f"//{USER}:{PASSWORD}@")
        done = home.call("accounts", "add", "prod", "--url", listener.url(), "--prometheus-url", url, **DEBUG)
        assert done.code == 0
        assert "warning" not in done.err.replace('"level": "warning"', "")
        assert (home.show("prod")["prometheus_url"], home.show("prod")["has_credentials"]) == (server.url, False)
        asked = home.call("costs", "prod", *WHOLE, **DEBUG)
        asked_json = home.costs("prod")
        doctor = home.call("doctor", "prod", *DAY, **DEBUG)
        assert authorizations(server) == {basic(USER, PASSWORD)}
    assert asked_json["summary"]["management_cost"] == FEE_OF_WHOLE
    assert listener.values("authorization") == {None}
    told = done.out + done.err + asked.out + asked.err + doctor.out + doctor.err + json.dumps(asked_json)
    everything = b"".join(file.read_bytes() for file in home.folder.rglob("*") if file.is_file())
    for secret in (USER, PASSWORD, basic(USER, PASSWORD).split()[1]):
        assert secret not in told
        assert secret.encode() not in everything


def test_token_file_and_headers_go_to_that_server_only(
    home: Home, listener: Listener, recorded_prometheus: RecordedPrometheus, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n", "utf-8")
    with Served(relay(recorded_prometheus("aurora").url)) as server:
        own = ("--prometheus-url", server.url, "--prometheus-token-file", str(file))
        home.add("prod", "--url", listener.url(), *own, "--prometheus-header", f"X-Scope-OrgID: {HEADER}")
        done = home.call("costs", "prod", *WHOLE, **DEBUG)
        assert done.code == 0
        assert authorizations(server) == {f"Bearer {TOKEN}"}
        assert authorizations(server, "x-scope-orgid") == {HEADER}
    assert {one.get("x-scope-orgid") for one in listener.heard} == {None}
    assert listener.values("authorization") == {None}
    assert not any(secret in done.out + done.err for secret in SECRETS)


def test_a_log_in_in_the_option_is_sent_and_shown_nowhere(
    listener: Listener, recorded_prometheus: RecordedPrometheus
) -> None:
    with Served(relay(recorded_prometheus("aurora").url)) as server:
        url = server.url.replace("//", f"//{USER}:{PASSWORD}@")
        dones = [
            call("costs", "--url", listener.url(), "--prometheus-url", url, *WHOLE, **DEBUG),
            call("costs", "--url", listener.url(), *WHOLE, KUBETALLY_PROMETHEUS_URL=url, **DEBUG),
            call("doctor", listener.url(), *DAY, "--prometheus-url", url, **DEBUG),
        ]
        assert authorizations(server) == {basic(USER, PASSWORD)}
    dead = f"http://{USER}:{PASSWORD}@127.0.0.1:1"
    dones.append(call("costs", "--url", listener.url(), "--prometheus-url", dead, *WHOLE, **QUICK, **DEBUG))
    assert [done.code for done in dones] == [0] * 4
    assert listener.values("authorization") == {None}
    for done in dones:
        assert not any(secret in done.out + done.err for secret in SECRETS)


def test_stated_prometheus_without_answer_is_a_warning(home: Home, replay: ReplayServer) -> None:
    place = ("--url", replay.url_of("aurora"))
    done = home.call("accounts", "add", "prod", *place, "--prometheus-url", NOBODY)
    assert done.code == 0
    [warning] = [line for line in done.err.splitlines() if line.startswith("warning: ")]
    assert NOBODY in warning
    home.add("other", "--url", replay.url_of("draco"))
    with Served(lambda asked: Reply(200, b"<html>", "text/html")) as server:
        done = home.call("accounts", "update", "other", "--prometheus-url", server.url)
        assert [server.url in line for line in done.err.splitlines() if line.startswith("warning: ")] == [True]
    assert done.code == 0


def test_a_server_that_answers_is_no_warning(home: Home, replay: ReplayServer, cygnus: str) -> None:
    place = ("--url", replay.url_of("cygnus"), "--prometheus-url", cygnus)
    assert home.call("accounts", "add", "prod", *place).err == ""


def test_another_host_is_not_sent_the_log_in_for_the_old_one(
    home: Home, replay: ReplayServer, recorded_prometheus: RecordedPrometheus
) -> None:
    answers = relay(recorded_prometheus("aurora").url)
    with Served(answers) as old, Served(answers) as new:
        url = old.url.replace("//", f"//{USER}:{PASSWORD}@")
        own = ("--prometheus-url", url, "--prometheus-header", f"X-Scope-OrgID: {HEADER}")
        home.add("prod", "--url", replay.url_of("aurora"), *own)
        there = new.url.replace("127.0.0.1", "localhost")
        assert home.call("accounts", "update", "prod", "--prometheus-url", there).code == 0
        assert home.costs("prod")["summary"]["management_cost"] == FEE_OF_WHOLE
        assert authorizations(new) == authorizations(new, "x-scope-orgid") == {None}
        # Nor does going back bring it again, and another port of the old host has it from the start.
        old.asked.clear()
        home.call("accounts", "update", "prod", "--prometheus-url", old.url)
        home.costs("prod")
        assert authorizations(old) == {None}


OF_SETTINGS = {"KUBETALLY_PROMETHEUS_TOKEN": TOKEN, "KUBETALLY_PROMETHEUS_HEADERS": f"X-Scope-OrgID: {HEADER}"}


def log_ins(server: Served) -> set[tuple[str | None, str | None]]:
    """Token and header of each question since the last call."""
    heard = {(asked.headers.get("authorization"), asked.headers.get("x-scope-orgid")) for asked in server.asked}
    server.asked.clear()
    assert heard
    return heard


def test_the_log_in_of_the_settings_goes_to_their_server(
    home: Home, listener: Listener, recorded_prometheus: RecordedPrometheus
) -> None:
    home.add("prod", "--url", listener.url())
    listener.heard.clear()
    with Served(relay(recorded_prometheus("aurora").url)) as server:
        settings = {"KUBETALLY_PROMETHEUS_URL": server.url, **OF_SETTINGS, **DEBUG}
        for place in (("prod",), ("--url", listener.url())):
            done = home.call("costs", *place, *WHOLE, **settings)
            assert done.code == 0
            assert log_ins(server) == {(f"Bearer {TOKEN}", HEADER)}, place
            assert not any(secret in done.out + done.err for secret in SECRETS)
        assert home.call("doctor", "prod", *DAY, **settings).code == 0
        assert log_ins(server) == {(f"Bearer {TOKEN}", HEADER)}
    assert listener.values("authorization") == {None}


def test_the_log_in_of_the_settings_goes_to_no_other_server(
    home: Home, replay: ReplayServer, recorded_prometheus: RecordedPrometheus
) -> None:
    answers = relay(recorded_prometheus("aurora").url)
    with Served(answers) as own, Served(answers) as of_settings:
        settings = {"KUBETALLY_PROMETHEUS_URL": of_settings.url, **OF_SETTINGS}
        place = ("--url", replay.url_of("aurora"))
        home.add("prod", *place, "--prometheus-url", own.url, **settings)
        assert log_ins(own) == {(None, None)}
        home.costs("prod", **settings)
        assert log_ins(own) == {(None, None)}
        home.call("costs", *place, "--prometheus-url", own.url, *DAY, **settings)
        assert log_ins(own) == {(None, None)}
        assert of_settings.asked == []


def test_the_log_in_for_sources_goes_to_no_server_of_metrics(
    home: Home, listener: Listener, recorded_prometheus: RecordedPrometheus
) -> None:
    of_sources = {"KUBETALLY_SOURCE_TOKEN": TOKEN, "KUBETALLY_SOURCE_HEADERS": f"X-Scope-OrgID: {HEADER}"}
    with Served(relay(recorded_prometheus("aurora").url)) as server:
        metrics = {"KUBETALLY_PROMETHEUS_URL": server.url}
        place = ("--url", listener.url())
        home.add("prod", *place, "--prometheus-url", server.url, **of_sources)
        home.add("other", *place, "--tenant", "t", **of_sources)
        for args in (("prod",), ("other",), place, (*place, "--prometheus-url", server.url)):
            assert home.call("costs", *args, *DAY, **of_sources, **metrics).code == 0
        assert log_ins(server) == {(None, None)}
    assert {one.get("x-scope-orgid") for one in listener.heard} == {HEADER}


# --- one server for several accounts


def told_to_choose(body: dict[str, Any], name: str) -> bool:
    [error] = body["errors"]
    assert (body["status"], error["code"], error["subject"]) == ("partial", "metrics_serve_one", "infrastructure")
    assert f"kubetally accounts update {name} --tenant TENANT" in error["message"]
    assert "--cluster-id" in error["message"]
    assert body["summary"]["management_cost"] == 0
    assert body["summary"]["total_cost"] > 0
    assert body["not_measured"] == ["management_cost"]
    return True


def test_prometheus_of_two_indistinct_accounts_serves_neither(home: Home, replay: ReplayServer, cygnus: str) -> None:
    for name in ("cygnus", "draco"):
        home.add(name, "--url", replay.url_of(name))
    settings = {"KUBETALLY_PROMETHEUS_URL": cygnus}
    done = home.call("costs", *DAY, "--format", "json", **settings)
    assert done.code == 0
    assert [told_to_choose(body, name) for body, name in zip(done.json, ("cygnus", "draco"), strict=True)]
    home.call("accounts", "update", "cygnus", "--cluster-id", "cygnus")
    first, second = home.call("costs", *DAY, "--format", "json", **settings).json
    assert (first["status"], first["summary"]["management_cost"]) == ("ok", 2.4)
    assert told_to_choose(second, "draco")
    home.call("accounts", "remove", "draco")
    home.call("accounts", "update", "cygnus", "--cluster-id", "")
    assert home.costs("cygnus", **settings)["summary"]["management_cost"] == FEE_OF_WHOLE


def test_two_accounts_with_the_same_metrics_are_reported(home: Home, replay: ReplayServer, cygnus: str) -> None:
    metrics = ("--prometheus-url", cygnus, "--tenant", "t")
    home.add("cygnus", "--url", replay.url_of("cygnus"), *metrics)
    done = home.call("accounts", "add", "draco", "--url", replay.url_of("draco"), *metrics)
    assert done.code == 0
    assert "warning: accounts 'draco' and 'cygnus' read the same metrics" in " ".join(done.err.split())
    assert "same metrics" not in done.out


@pytest.mark.parametrize("written", ["{}/", "http://user:word@{}", "{}"])
def test_the_same_server_is_recognised_however_it_is_written(
    home: Home, replay: ReplayServer, cygnus: str, written: str
) -> None:
    home.add("cygnus", "--url", replay.url_of("cygnus"), "--prometheus-url", cygnus)
    home.add("draco", "--url", replay.url_of("draco"))
    url = written.format(cygnus.removeprefix("http://") if "@" in written else cygnus)
    done = home.call("costs", *DAY, "--format", "json", KUBETALLY_PROMETHEUS_URL=url)
    assert [told_to_choose(body, name) for body, name in zip(done.json, ("cygnus", "draco"), strict=True)]


def test_doctor_says_how_to_distinguish_two_accounts(home: Home, replay: ReplayServer, cygnus: str) -> None:
    for name in ("cygnus", "draco"):
        home.add(name, "--url", replay.url_of(name))
    done = home.call("doctor", "draco", *DAY, "--format", "json", KUBETALLY_PROMETHEUS_URL=cygnus)
    [finding] = [one for one in done.json["findings"] if one["subject"] == "metrics"]
    assert finding["level"] == "failed"
    assert "kubetally accounts update draco --tenant TENANT" in finding["seen"]
    assert "curl" not in finding["remedy"]  # no server is at fault
    assert done.code == 3


@pytest.fixture(scope="module")
def tenants(victoria_metrics: VictoriaMetrics) -> str:
    """A server with a fee of 0.10 of tenant `a`, 0.20 of `b`; 0.30 of cluster aurora, 0.40 of draco, 9 of nobody."""

    def fee(price: float, **labels: str) -> Written:
        return gauge(FEE, price, 0, 24, **labels)

    victoria_metrics.load(
        [
            fee(0.1, tenant_id="a"),
            fee(0.2, tenant_id="b"),
            fee(0.5, customer="a"),
            fee(0.6, customer='b"} or vector(1) #'),
            fee(0.3, cluster_id="aurora"),
            fee(0.4, cluster_id="draco"),
            fee(0.7, cluster="aurora"),
            fee(0.8, cluster="draco"),
            fee(9.0),
        ]
    )
    return victoria_metrics.url


def fees(home: Home, **settings: str) -> list[float]:
    """The fees of a day of all accounts, by name."""
    done = home.call("costs", *DAY, "--format", "json", **settings)
    assert done.code == 0, done.err
    assert {body["status"] for body in done.json} == {"ok"}, done.out
    return [body["summary"]["management_cost"] for body in done.json]


def test_accounts_of_one_server_are_told_apart_by_tenant(home: Home, replay: ReplayServer, tenants: str) -> None:
    for name, tenant in (("cygnus", "a"), ("draco", "b")):
        home.add(name, "--url", replay.url_of(name), "--tenant", tenant)
    settings = {"KUBETALLY_PROMETHEUS_URL": tenants}
    assert fees(home, **settings) == [2.4, 4.8]
    home.call("accounts", "update", "draco", "--tenant", 'b"} or vector(1) #')
    assert fees(home, **settings, KUBETALLY_TENANT_LABEL="customer") == [12.0, 14.4]


def test_accounts_of_one_server_are_told_apart_by_cluster(home: Home, replay: ReplayServer, tenants: str) -> None:
    for name in ("aurora", "draco"):
        home.add(name, "--url", replay.url_of(name), "--cluster-id", name, "--prometheus-url", tenants)
    assert fees(home) == [7.2, 9.6]
    assert fees(home, KUBETALLY_CLUSTER_LABEL="cluster") == [16.8, 19.2]


@pytest.mark.parametrize(("tenant", "fee"), [("a", 2.4), ("b", 4.8)])
@pytest.mark.parametrize("stated", [True, False])
def test_a_tenant_of_the_option_chooses_among_metrics(
    replay: ReplayServer, tenants: str, tenant: str, fee: float, *, stated: bool
) -> None:
    place = ("costs", "--url", replay.url_of("draco"), *DAY, "--format", "json", "--tenant", tenant)
    done = call(*place, "--prometheus-url", tenants) if stated else call(*place, KUBETALLY_PROMETHEUS_URL=tenants)
    assert (done.code, done.err) == (0, "")
    assert (done.json["status"], done.json["summary"]["management_cost"]) == ("ok", fee)


@pytest.mark.parametrize("command", ["costs", "verify", "report", "doctor"])
def test_every_command_that_asks_a_prometheus_knows_tenants(replay: ReplayServer, tenants: str, command: str) -> None:
    place = (replay.url_of("draco"),) if command == "doctor" else ("--url", replay.url_of("draco"))
    one = call(command, *place, *DAY, "--prometheus-url", tenants, "--tenant", "a")
    assert (one.code, one.err) == (0, "")
    assert "several clusters" not in one.out


def test_a_cluster_id_of_the_option_chooses_among_metrics_too(replay: ReplayServer, tenants: str) -> None:
    place = ("costs", "--url", replay.url_of("draco"), *DAY, "--format", "json", "--prometheus-url", tenants)
    assert call(*place, "--cluster-id", "draco").json["summary"]["management_cost"] == 9.6
    several = call(*place).json
    assert [error["code"] for error in several["errors"]] == ["several_clusters_measured"]


def test_invalid_label_is_reported_and_changes_nothing(replay: ReplayServer, cygnus: str) -> None:
    body = asked_of_url(replay, "--prometheus-url", cygnus, KUBETALLY_CLUSTER_LABEL="no label", **QUICK)
    assert is_partial(body, asked_of_url(replay), "invalid_metric_or_label", "no label")


# --- contexts


AT_PROMETHEUS = "prometheus-system/prometheus-server:80"


@pytest.fixture
def both(cluster: ApiServer, recorded_prometheus: RecordedPrometheus) -> ApiServer:
    """An API server with aurora's OpenCost and its Prometheus behind it."""
    cluster.behind[AT_PROMETHEUS] = recorded_prometheus("aurora").url
    return cluster


@pytest.mark.parametrize("may_post", [False, True])
@pytest.mark.parametrize("remembered", [False, True])
def test_prometheus_of_a_context_is_found_without_post_rights(
    home: Home, kubeconfig: Kubeconfig, both: ApiServer, *, remembered: bool, may_post: bool
) -> None:
    settings = kubeconfig.environment()
    both.rights[api_server.JANE] = api_server.EVERYTHING if may_post else api_server.READING
    place: tuple[str, ...] = ("--context", "prod")
    if remembered:
        done = home.call("accounts", "add", "mine", *place, **settings)
        assert (done.code, done.err) == (0, "")
        place = ("mine",)
    done = home.call("costs", *place, *WHOLE, "--format", "json", **settings, **DEBUG)
    assert done.code == 0
    assert exactly(done.json["summary"]["total_cost"]) == exactly(AURORA_TOTAL) + exactly(FEE_OF_WHOLE)
    assert (done.json["summary"]["management_cost"], done.json["not_measured"]) == (FEE_OF_WHOLE, [])
    assert (done.json["status"], done.json["errors"]) == ("ok", [])
    long = [(verb, path) for _, verb, path in both.asked if "prometheus-server:80/proxy/api/v1/query_range" in path]
    posts = [path for verb, path in long if verb == "POST"]
    assert posts
    assert all(path.endswith("/query_range") for path in posts)  # the query is in the body
    if not may_post:  # each is asked again by GET
        assert sum(verb == "GET" and len(path) > 1500 for verb, path in long) == len(posts)
    else:
        assert not [path for _, path in long if len(path) > 1500]
    assert {user for user, _, _ in both.asked} == {"jane"}
    assert KUBE_TOKEN not in done.out + done.err


@pytest.mark.parametrize("command", ["costs", "doctor"])
def test_context_is_searched_once_for_costs_and_metrics(
    home: Home, kubeconfig: Kubeconfig, both: ApiServer, command: str
) -> None:
    done = home.call(command, "--context", "prod", *DAY, "--format", "json", **kubeconfig.environment())
    assert done.code == 0
    lists = [path for path in both.paths if path.partition("?")[0].endswith("/services")]
    assert len(lists) == 1
    assert any("prometheus-server:80/proxy/api/v1/query_range" in path for path in both.paths)


def test_a_stated_prometheus_comes_before_that_of_the_context(
    home: Home, kubeconfig: Kubeconfig, both: ApiServer
) -> None:
    settings = kubeconfig.environment()
    place = ("costs", "--context", "prod", *DAY, "--format", "json")
    for body in (
        home.call(*place, "--prometheus-url", NOBODY, **settings, **QUICK).json,
        home.call(*place, **settings, **QUICK, KUBETALLY_PROMETHEUS_URL=NOBODY).json,
    ):
        assert body["errors"][0]["subject"] == "infrastructure"
        assert NOBODY in body["errors"][0]["message"]
    assert not any("prometheus-server" in path for path in both.paths)


@pytest.mark.parametrize("why", ["forbidden", "silent", "html", "none"])
def test_unreachable_prometheus_of_a_context_is_no_error(
    home: Home, kubeconfig: Kubeconfig, both: ApiServer, why: str
) -> None:
    match why:
        case "forbidden":
            both.rights[api_server.JANE] = frozenset(
                {("list", "services", None), ("get", "services/proxy", "opencost")}
            )
        case "silent":
            del both.behind[AT_PROMETHEUS]
        case "none":
            both.services.remove(api_server.PROMETHEUS)
        case _:
            both.behind[AT_PROMETHEUS] = NOBODY
    done = home.call("costs", "--context", "prod", *WHOLE, "--format", "json", **kubeconfig.environment(), **QUICK)
    assert done.code == 0
    assert (done.json["status"], done.json["errors"]) == ("ok", [])
    assert done.json["summary"]["total_cost"] == AURORA_TOTAL
    assert done.json["not_measured"] == ["management_cost"]


def test_hanging_prometheus_of_a_context_delays_no_costs(home: Home, kubeconfig: Kubeconfig, both: ApiServer) -> None:
    with hanging() as server:
        both.behind[AT_PROMETHEUS] = server.url
        settings = kubeconfig.environment()
        began = time.monotonic()
        done = home.call("costs", "--context", "prod", *WHOLE, "--format", "json", **settings)
        assert time.monotonic() - began < 15  # nobody asked for it, so that it is not waited for as for a source
    assert done.code == 0
    assert done.json["summary"]["total_cost"] == AURORA_TOTAL


def test_the_doctor_of_a_context_tells_of_both(home: Home, kubeconfig: Kubeconfig, both: ApiServer) -> None:
    done = home.call("doctor", "--context", "prod", *DAY, "--format", "json", **kubeconfig.environment())
    assert (done.code, done.err) == (0, "")
    found = {finding["subject"]: finding for finding in done.json["findings"]}
    assert "services/opencost:9003/proxy" in done.json["url"]
    assert "services/prometheus-server:80/proxy" in found["metrics"]["seen"]
    assert found["management fee"]["level"] == "ok"


# --- the old sums


# By hand: an hourly sample at both ends of 72 hours is 73 of each; prices are 0.10 an hour for the fee, 0.0225 for the
# one balancer, and per GiB 0.01 within a region; the others as recorded.
CYGNUS_SAMPLES = 73


def old_sums(url: str) -> dict[str, Decimal]:
    """Each metric's hourly samples as the Prometheus itself gives them, added up."""
    names = {
        "management_cost": FEE,
        "load_balancer_cost": "kubecost_load_balancer_cost",
        "network_internet_cost": "kubecost_network_internet_egress_cost",
        "network_region_cost": "kubecost_network_region_egress_cost",
        "network_zone_cost": "kubecost_network_zone_egress_cost",
    }
    found = {}
    for key, name in names.items():
        params = {"query": name, "start": str(S), "end": str(E), "step": "3600"}
        answer = httpx.get(f"{url}/api/v1/query_range", params=params, trust_env=False).json()
        values = [Decimal(value) for one in answer["data"]["result"] for _, value in one["values"]]
        assert len(values) == CYGNUS_SAMPLES
        found[key] = sum(values, Decimal())
    return found


LEGACY = ("--infrastructure", "legacy_sum")


def test_the_old_sums_stand_beside_a_summary_that_stays(home: Home, replay: ReplayServer, cygnus: str) -> None:
    home.add("prod", "--url", replay.url_of("cygnus"), "--prometheus-url", cygnus)
    plain, body = home.costs("prod"), home.costs("prod", *LEGACY)
    legacy = body.pop("legacy")
    assert body == plain
    assert "legacy" not in plain
    sums = old_sums(cygnus)
    assert legacy.keys() == {"total_cost", "is", *body["breakdown"]}
    assert {key: exactly(legacy[key]) for key in sums} == sums
    assert (sums["management_cost"], sums["load_balancer_cost"]) == (Decimal("7.3"), Decimal("1.6425"))
    assert sum(sums.values()) - sums["management_cost"] - sums["load_balancer_cost"] == Decimal("8.76")
    summary = parts(body["summary"])
    ours = summary["cpu_cost"] + summary["ram_cost"] + summary["pv_cost"]
    assert exactly(legacy["total_cost"]) == ours + Decimal("17.7025")
    assert "not a cost" in legacy["is"]
    table = home.call("costs", "prod", *WHOLE, *LEGACY).out
    [line] = [line for line in table.splitlines() if "Old sums of metrics" in line]
    assert "management 7.30, load balancers 1.64" in line
    assert "Old sums" not in home.call("costs", "prod", *WHOLE).out


def test_legacy_sums_without_prometheus_are_unknown(replay: ReplayServer) -> None:
    plain, body = asked_of_url(replay), asked_of_url(replay, *LEGACY)
    legacy = body.pop("legacy")
    assert {value for key, value in legacy.items() if key != "is"} == {None}
    assert (body["summary"], body["status"]) == (plain["summary"], "ok")
    assert [issue for issue in body["issues"] if issue.get("subject") == "legacy"]
    table = call("costs", "--url", replay.url_of("cygnus"), *WHOLE, *LEGACY).out
    assert "this cluster has none" in " ".join(table.split())


@pytest.mark.parametrize("fault", ["422", "html", "dead"])
def test_legacy_sums_of_a_failing_prometheus_are_unknown(replay: ReplayServer, fault: str) -> None:
    plain = asked_of_url(replay)
    reply = FAULTS.get(fault, FAULTS["422"])[0]
    with Served(lambda asked: reply) as server:
        url = NOBODY if fault == "dead" else server.url
        body = asked_of_url(replay, *LEGACY, "--prometheus-url", url, **QUICK)
    assert {value for key, value in body["legacy"].items() if key != "is"} == {None}
    assert (body["summary"], body["status"]) == (plain["summary"], "partial")
    assert {error["subject"] for error in body["errors"]} == {"infrastructure", "legacy"}
    assert any(url in error["message"] for error in body["errors"])


def test_legacy_sums_of_a_hanging_prometheus_name_it(replay: ReplayServer, cygnus: str) -> None:
    release, through = threading.Event(), relay(cygnus)

    def answers(asked: Asked) -> Reply:
        if "query_range" in asked.path and "__name__" in asked.params["query"]:
            release.wait(30)
        reply: Reply = through(asked)
        return reply

    with Served(answers) as server:
        deadline = {"KUBETALLY_DEADLINE_SECONDS": "3", **QUICK}
        body = asked_of_url(replay, *LEGACY, "--prometheus-url", server.url, **deadline)
        release.set()
    assert body["summary"]["management_cost"] == FEE_OF_WHOLE
    [error] = body["errors"]
    assert error["subject"] == "legacy"
    assert server.url in error["message"]
    assert replay.url_of("cygnus") not in error["message"]


def test_costs_and_old_sums_have_one_deadline_together(replay: ReplayServer) -> None:
    with hanging() as server:
        began = time.monotonic()
        deadline = {"KUBETALLY_DEADLINE_SECONDS": "2", **QUICK}
        body = asked_of_url(replay, *LEGACY, "--prometheus-url", server.url, **deadline)
        assert time.monotonic() - began < 4
    assert {error["subject"] for error in body["errors"]} == {"infrastructure", "legacy"}


def test_the_old_sums_make_no_total_where_the_costs_are_unknown(faulty: FaultServer, cygnus: str) -> None:
    place = ("--url", faulty.fault_url("nullset", "aurora"), "--prometheus-url", cygnus)
    body = call("costs", *place, *WHOLE, "--format", "json", *LEGACY, **QUICK).json
    assert (body["status"], body["summary"]["cpu_cost"]) == ("no_data", None)
    assert body["legacy"]["management_cost"] == 7.3
    assert body["legacy"]["total_cost"] is None


def test_legacy_sums_of_an_open_window_use_its_samples(replay: ReplayServer, cygnus: str) -> None:
    window = ("--start", "2026-11-20", "--end", "2030-01-01")
    body = asked_of_url(replay, *LEGACY, "--prometheus-url", cygnus, window=window)
    assert body["summary"]["management_cost"] == FEE_OF_WHOLE
    assert body["legacy"]["management_cost"] == 7.3


def test_another_word_than_legacy_sum_is_refused(replay: ReplayServer) -> None:
    done = call("costs", "--url", replay.url_of("cygnus"), *DAY, "--infrastructure", "old")
    assert (done.code, done.out) == (2, "")


# --- doctor


def findings(done: Done) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for finding in done.json["findings"]:
        found.setdefault(finding["subject"], []).append(finding)
    return found


NEEDS = ("management fee", "load balancers", "traffic", "retention")


def test_the_doctor_tells_of_a_sound_prometheus(home: Home, replay: ReplayServer, cygnus: str) -> None:
    home.add("prod", "--url", replay.url_of("cygnus"), "--prometheus-url", cygnus)
    done = home.call("doctor", "prod", *DAY, "--format", "json")
    assert (done.code, done.err) == (0, "")
    found = findings(done)
    assert {one["level"] for subject in ("metrics", *NEEDS) for one in found[subject]} == {"ok"}
    assert cygnus in found["metrics"][0]["seen"]
    assert "from job opencost" in found["management fee"][0]["seen"]
    assert "from job netcosts" in found["traffic"][0]["seen"]
    assert "2026-11-19T23:40:00Z" in found["retention"][0]["seen"]
    # What the cost source leaves out is there, so that nobody is sent to look for it.
    assert "management" not in found
    text = home.call("doctor", "prod", *DAY).out
    assert "management fee: kubecost_cluster_management_cost from job opencost" in " ".join(text.split())


def test_the_doctor_tells_what_is_missing_and_what_it_costs(
    replay: ReplayServer, prometheus_with: Callable[..., Prometheus]
) -> None:
    twice = [balancer(), balancer(job="second")]
    url = prometheus_with(*twice, *relabelled(prices(), job="opencost"), sent(1.0)).url
    done = call("doctor", replay.url_of("cygnus"), *DAY, "--format", "json", "--prometheus-url", url)
    found = findings(done)
    [fee] = found["management fee"]
    assert (fee["level"], done.code) == ("warning", 0)
    assert "73 a month" in fee["seen"]
    assert "scrape" in fee["remedy"]
    assert [one for one in found["load balancers"] if "averaged" in one["seen"]]


def test_the_doctor_tells_of_an_empty_prometheus(
    replay: ReplayServer, prometheus_with: Callable[..., Prometheus]
) -> None:
    url = prometheus_with().url
    done = call("doctor", replay.url_of("cygnus"), *DAY, "--format", "json", "--prometheus-url", url)
    [finding] = findings(done)["metrics"]
    assert (done.code, finding["level"]) == (0, "warning")
    assert "has none of the needed metrics" in finding["seen"]


@pytest.mark.parametrize("fault", ["dead", *FAULTS])
def test_doctor_of_a_broken_prometheus_exits_3_and_shows_costs(replay: ReplayServer, fault: str) -> None:
    reply = FAULTS.get(fault, FAULTS["422"])[0]
    place = (replay.url_of("cygnus"), *DAY, "--format", "json")
    with Served(lambda asked: reply) as server:
        url = NOBODY if fault == "dead" else server.url
        done = call("doctor", *place, "--prometheus-url", url, **QUICK)
    [finding] = findings(done)["metrics"]
    assert (done.code, finding["level"]) == (3, "failed")
    assert url in finding["seen"] + finding["remedy"]
    assert "opencost" not in finding["remedy"]
    assert "/allocation" not in finding["remedy"]
    differ = {"clock", "metrics", "management"}  # the last sends to the findings of metrics in place of the option
    without = [one for one in call("doctor", *place).json["findings"] if one["subject"] not in differ]
    assert [one for one in done.json["findings"] if one["subject"] not in differ] == without


# --- how often it is asked


@pytest.mark.parametrize("doubled", [False, True])
def test_a_week_takes_at_most_eight_questions(
    home: Home, replay: ReplayServer, cygnus: str, victoria_metrics: VictoriaMetrics, *, doubled: bool
) -> None:
    url = cygnus
    if doubled:
        series = exported(cygnus, OF_CYGNUS, S, E)
        victoria_metrics.load(relabelled(series, tenant_id="week"))
        victoria_metrics.load(relabelled(series, tenant_id="week", job="second"))
        url = victoria_metrics.url
    with Served(relay(url)) as server:
        tenant = ("--tenant", "week") if doubled else ()
        home.add("prod", "--url", replay.url_of("cygnus"), "--prometheus-url", server.url, *tenant)
        server.asked.clear()
        week = ("--start", "2026-11-16", "--end", "2026-11-23", "--format", "json")
        body = home.call("costs", "prod", *week).json
        asked = len(server.asked)
    assert body["summary"]["management_cost"] == FEE_OF_WHOLE
    assert asked <= 8


def test_dead_prometheus_is_reported_once_with_legacy_sums(replay: ReplayServer) -> None:
    old = ("--infrastructure", "legacy_sum")
    done = call("costs", "--url", replay.url_of("cygnus"), *DAY, "--prometheus-url", NOBODY, *old, **QUICK)
    assert done.code == 0
    assert done.out.count(f"{NOBODY}/") == 1
    assert "no old sums: their samples are of the same Prometheus" in done.out
    assert "Old sums of metrics" not in done.out
