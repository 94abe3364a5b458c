"""Clusters named by account and by kubeconfig context, in every command that asks for costs."""

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kubetally.samples.replay import ReplayServer
from tests.faults import FaultServer
from tests.integration.api_server import ApiServer
from tests.integration.commands import DAY, WHOLE, Done, call, recorded_but
from tests.integration.test_accounts_command import NOBODY, Home, doubled, home, listener, listening
from tests.integration.test_discovery import SECRET as KUBE_TOKEN
from tests.integration.test_discovery import Kubeconfig, ca, cluster, kubeconfig
from tests.integration.test_serve_command import SECRET, Program, ask, serve, start
from tests.served import Served

__all__ = ["ca", "cluster", "home", "kubeconfig", "listener", "serve", "start"]

AURORA_TOTAL = 247.445919
ASKING = ("costs", "verify", "report", "doctor")


@pytest.fixture
def two(home: Home, replay: ReplayServer) -> dict[str, str]:
    """The ids of two accounts by name."""
    return {name: home.add(name, "--url", replay.url_of(name)) for name in ("draco", "aurora")}


# --- one account, several, all


def without_clock(body: Any) -> Any:
    """A doctor's findings without how far the source's clock is off, which is another each second."""
    for one in body if isinstance(body, list) else [body]:
        if "findings" in one:
            one["findings"] = [finding for finding in one["findings"] if finding["subject"] != "clock"]
    return body


@pytest.mark.parametrize("command", ASKING)
def test_named_account_is_an_object_and_others_a_list(home: Home, two: dict[str, str], command: str) -> None:
    def asked(*names: str) -> Any:
        done = home.call(command, *names, *DAY, "--format", "json")
        assert (done.code, done.err) == (0, "")
        return without_clock(done.json)

    by_name, by_id = asked("aurora"), asked(two["aurora"])
    assert isinstance(by_name, dict)
    assert by_id == by_name
    assert asked("aurora", two["aurora"]) == by_name
    everything = asked()
    assert isinstance(everything, list)
    assert everything[0] == by_name
    assert asked("draco", "aurora") == everything[::-1]
    assert len(everything) == 2


@pytest.mark.parametrize("command", ASKING)
def test_every_element_says_which_account_it_is_of(home: Home, two: dict[str, str], command: str) -> None:
    home.add("dead", "--url", NOBODY)
    done = home.call(command, *DAY, "--format", "json", KUBETALLY_ATTEMPTS="1")
    ids = [two["aurora"], home.show("dead")["id"], two["draco"]]
    assert [one.get("cloud_account_id") for one in done.json] == ids


@pytest.mark.parametrize("command", ASKING)
def test_the_only_account_is_a_list_of_one_unless_it_is_named(home: Home, replay: ReplayServer, command: str) -> None:
    home.add("prod", "--url", replay.url_of("draco"))
    assert len(home.call(command, *DAY, "--format", "json").json) == 1
    assert isinstance(home.call(command, "prod", *DAY, "--format", "json").json, dict)


@pytest.mark.parametrize("command", ASKING)
def test_an_account_that_is_not_there_exits_2_and_is_named(home: Home, two: dict[str, str], command: str) -> None:
    done = home.call(command, "aurora", "borealis", *DAY)
    assert (done.code, done.out) == (2, "")
    assert "there is no account 'borealis'" in done.err
    assert home.call(command, two["aurora"].upper(), *DAY).code == 2


@pytest.mark.parametrize("command", ASKING)
def test_an_option_of_a_url_is_refused_beside_accounts(home: Home, two: dict[str, str], command: str) -> None:
    for named in (("aurora",), ()):
        for option in (("--cluster-id", "aurora"), ("--currency", "EUR")):
            done = home.call(command, *named, *option, *DAY)
            assert (done.code, done.out) == (2, "")
            assert f"kubetally accounts update NAME {option[0]}" in done.err


@pytest.mark.parametrize("command", ["costs", "verify", "report"])
@pytest.mark.parametrize("named", [True, False])
def test_an_account_that_failed_has_its_place(home: Home, faulty: FaultServer, command: str, *, named: bool) -> None:
    account_id = home.add("bad", "--url", faulty.fault_url("500", "aurora"))
    home.add("good", "--url", faulty.url_of("draco"))
    names = ("bad",) if named else ()
    done = home.call(command, *names, *DAY, "--format", "json", KUBETALLY_ATTEMPTS="1")
    failed = done.json if named else done.json[0]
    assert done.code == (3 if named or command == "verify" else 0)
    assert (failed["cloud_account_id"], failed["account"], failed["status"]) == (account_id, "bad", "error")
    told = {"cloud_account_id", "account", "status", "errors", "source"}
    assert {key for key, value in failed.items() if value is not None} == told
    sound = home.call(command, "good", *DAY, "--format", "json").json
    assert (set(failed), sound["account"]) == (set(sound), "good")
    assert failed["source"]["url"] == faulty.fault_url("500", "aurora")
    [error] = failed["errors"]
    assert {"kind", "code", "message"} <= set(error)
    assert [line for line in done.err.splitlines() if line.startswith("error: bad: ")]


def test_csv_names_each_account(home: Home, two: dict[str, str]) -> None:
    home.add("dead", "--url", NOBODY)
    for by in ("summary", "workload"):
        done = home.call("costs", *DAY, "--by", by, "--format", "csv", KUBETALLY_ATTEMPTS="1")
        assert done.code == 0
        rows = list(csv.DictReader(io.StringIO(done.out)))
        ids = {row["account"]: row["cloud_account_id"] for row in rows}
        assert ids == two | {"dead": home.show("dead")["id"]}
        assert {row["status"] for row in rows if row["account"] == "dead"} == {"error"}


@pytest.mark.parametrize("command", ASKING)
def test_tables_name_the_accounts(home: Home, replay: ReplayServer, command: str) -> None:
    home.add("my prod", "--url", replay.url_of("aurora"))
    home.add("my stage", "--url", replay.url_of("draco"))
    home.add("my dead", "--url", NOBODY)
    done = home.call(command, *DAY, KUBETALLY_ATTEMPTS="1")
    assert "my prod" in done.out
    assert "my stage" in done.out
    assert "my dead" in done.out + done.err
    if command == "costs":
        assert "failed, and not in the sum: my dead" in done.out
        assert re.search(r"^my prod +ok, assets complete", done.out, re.MULTILINE)


def test_one_cluster_behind_two_accounts_is_told(home: Home, replay: ReplayServer) -> None:
    with listening() as other:
        home.add("one", "--url", replay.url_of("aurora"))
        home.add("two", "--url", other.url())
        home.add("three", "--url", replay.url_of("draco"))
        bodies = home.call("costs", *DAY, "--format", "json").json
        table = home.call("costs", *DAY).out
    told = {
        body["cloud_account_id"]: [issue for issue in body["issues"] if "twice" in issue["kind"]] for body in bodies
    }
    assert {name: len(told[home.show(name)["id"]]) for name in ("one", "two", "three")} == {
        "one": 1,
        "two": 1,
        "three": 0,
    }
    assert "its cost is in the answers more than once" in table
    assert "that of two too" in table


def test_other_currency_is_an_error_of_that_account_only(home: Home, replay: ReplayServer) -> None:
    configs = {"code": 200, "data": {"currencyCode": "EUR"}}
    home.add("good", "--url", replay.url_of("draco"))
    with Served(recorded_but(lambda _path, _data: None, getConfigs=configs)) as server:
        home.add("bad", "--url", server.url, "--currency", "USD")
        done = home.call("costs", *DAY, "--format", "json")
        bad, good = done.json
        assert (done.code, good["status"], bad["status"]) == (0, "ok", "error")
        assert bad["errors"][0]["code"] == "currency_differs"
        assert "--currency EUR" in bad["errors"][0]["message"]
        home.call("accounts", "update", "bad", "--currency", "EUR")
        assert home.costs("bad")["currency"] == "EUR"


def test_unlike_currencies_are_not_added(home: Home, replay: ReplayServer) -> None:
    home.add("dollars", "--url", replay.url_of("draco"))
    home.add("euros", "--url", replay.url_of("aurora"), "--currency", "EUR")
    out = home.call("costs", *DAY).out
    assert re.search(r"^sum in USD ", out, re.MULTILINE)
    assert re.search(r"^sum in EUR ", out, re.MULTILINE)


def test_a_cluster_of_several_is_read_by_its_account(home: Home) -> None:
    with Served(doubled()) as server:
        home.add("hub", "--url", server.url)
        done = home.call("costs", "hub", *WHOLE, "--format", "json")
        assert (done.code, done.json["errors"][0]["code"]) == (2, "several_clusters")
        home.call("accounts", "update", "hub", "--cluster-id", "aurora")
        assert home.costs("hub", KUBETALLY_CLUSTER_ID="borealis")["summary"]["total_cost"] == AURORA_TOTAL


def test_an_account_a_url_and_a_context_stand_together(
    home: Home, two: dict[str, str], replay: ReplayServer, kubeconfig: Kubeconfig
) -> None:
    args = ("draco", "--url", replay.url_of("cygnus"), "--context", "prod")
    done = home.call("costs", *args, *DAY, "--format", "json", **kubeconfig.environment())
    assert (done.code, done.err) == (0, "")
    assert [one["source"]["cluster_id"] for one in done.json] == ["draco", "cygnus", "aurora"]
    assert [one["cloud_account_id"] for one in done.json] == [two["draco"], None, None]


# --- where a source is, that an account does not state


def test_default_url_serves_the_only_account_without_url(home: Home, replay: ReplayServer) -> None:
    url = {"KUBECOST_API_URL": replay.url_of("aurora")}
    account_id = home.add("prod", **url)
    body = home.costs("prod", **url)
    assert (body["cloud_account_id"], body["summary"]["total_cost"]) == (account_id, AURORA_TOTAL)
    home.add("own", "--url", replay.url_of("draco"))
    assert home.costs("prod", **url)["source"]["cluster_id"] == "aurora"
    assert home.costs("own", **url)["source"]["cluster_id"] == "draco"


@pytest.mark.parametrize("command", ASKING)
def test_the_url_of_the_environment_does_not_serve_two(home: Home, replay: ReplayServer, command: str) -> None:
    url = {"KUBECOST_API_URL": replay.url_of("aurora")}
    for name in ("one", "two"):
        assert home.call("accounts", "add", name, **url).code == 0
    done = home.call(command, *DAY, "--format", "json", **url)
    assert done.code == (3 if command == "doctor" else 2)
    assert len(done.json) == 2
    text = json.dumps(done.json)
    assert text.count("KUBECOST_API_URL is one source and serves exactly one account, but one, two") >= 2
    if command != "doctor":
        assert {one["errors"][0]["code"] for one in done.json} == {"default_serves_one"}


def test_an_account_that_states_nothing_says_what_to_state(home: Home) -> None:
    done = home.call("accounts", "add", "prod")
    assert done.code == 0
    assert "account 'prod' has no source" in done.err
    done = home.call("costs", "prod", *DAY, "--format", "json")
    assert (done.code, done.json["errors"][0]["code"]) == (2, "no_source_stated")


def test_template_comes_between_account_and_default_url(home: Home, replay: ReplayServer) -> None:
    settings = {
        "KUBETALLY_SOURCE_TEMPLATE": f"{replay.url}/{{cluster}}",
        "KUBECOST_API_URL": replay.url_of("cygnus"),
    }
    home.add("draco", **settings)
    home.add("own", "--url", replay.url_of("aurora"), **settings)
    home.add("by-id", "--cluster-id", "aurora", **settings)
    found = {name: home.costs(name, **settings)["source"]["url"] for name in ("draco", "own", "by-id")}
    assert found == {
        "draco": replay.url_of("draco"),
        "own": replay.url_of("aurora"),
        "by-id": replay.url_of("aurora"),
    }


def test_templated_name_unknown_to_dns_is_skipped(home: Home, replay: ReplayServer) -> None:
    settings = {
        "KUBETALLY_SOURCE_TEMPLATE": "http://{cluster}.not-there.invalid:9003",
        "KUBECOST_API_URL": replay.url_of("aurora"),
    }
    home.add("prod", **settings)
    assert home.costs("prod", **settings)["source"]["url"] == replay.url_of("aurora")


def test_template_with_one_url_for_two_accounts_is_refused(home: Home, replay: ReplayServer) -> None:
    template = {"KUBETALLY_SOURCE_TEMPLATE": replay.url_of("aurora")}
    home.add("one", **template)
    home.add("two", **template)
    done = home.call("costs", *DAY, "--format", "json", **template)
    assert done.code == 2
    assert {one["errors"][0]["code"] for one in done.json} == {"default_serves_one"}
    assert "KUBETALLY_SOURCE_TEMPLATE is one source" in done.err


def test_the_service_says_424_of_an_account_that_nothing_serves(
    serve: Callable[..., Program], home: Home, replay: ReplayServer
) -> None:
    url = {"KUBECOST_API_URL": replay.url_of("aurora")}
    ids = [home.add(name, **url) for name in ("one", "two")]
    program = serve(KUBETALLY_SECRET=SECRET, **url)
    answers = [ask(program, account_id, SECRET) for account_id in ids]
    assert [answer.status_code for answer in answers] == [424, 424]
    assert answers[0].headers["x-kubetally-error"] == "default_serves_one"
    home.call("accounts", "remove", "two")
    assert ask(program, ids[0], SECRET).json()["summary"]["total_cost"] == AURORA_TOTAL


# --- contexts


def test_the_costs_of_a_context_need_no_port_forward(home: Home, kubeconfig: Kubeconfig, cluster: ApiServer) -> None:
    done = home.run("costs", "--context", "prod", *WHOLE, "--format", "json", **kubeconfig.environment())
    assert (done.code, done.err) == (0, "")
    assert done.json["summary"]["total_cost"] == AURORA_TOTAL
    assert done.json["cloud_account_id"] is None
    assert done.json["source"]["url"].startswith(f"{cluster.url}/api/v1/namespaces/opencost/services/")
    assert list(home.folder.parent.glob("home")) == []  # nothing was remembered


@pytest.mark.parametrize("command", ASKING)
def test_every_command_knows_contexts(home: Home, kubeconfig: Kubeconfig, command: str) -> None:
    settings = kubeconfig.environment()
    one = home.call(command, "--context", "prod", *DAY, "--format", "json", **settings)
    assert (one.code, one.err) == (0, "")
    assert isinstance(one.json, dict)
    twice = home.call(command, "--context", "prod", "--context", "prod", *DAY, "--format", "json", **settings)
    assert without_clock(twice.json) == without_clock(one.json)


def test_a_doctor_of_a_context_says_where_the_source_is(home: Home, kubeconfig: Kubeconfig) -> None:
    done = home.run("doctor", "--context", "prod", *DAY, **kubeconfig.environment())
    assert (done.code, done.err) == (0, "")
    assert "services/opencost:9003/proxy" in done.out
    assert "OpenCost" in done.out


def test_a_context_is_remembered_and_asked_again(home: Home, kubeconfig: Kubeconfig) -> None:
    settings = kubeconfig.environment()
    done = home.run("accounts", "add", "prod", "--context", "prod", **settings)
    assert (done.code, done.err) == (0, "")
    body = home.costs("prod", **settings)
    assert body["cloud_account_id"] == done.out.strip()
    assert body["summary"]["total_cost"] == AURORA_TOTAL
    assert "context prod" in home.call("accounts", "list").out
    told = home.call("accounts", "add", "twice", "--context", "prod", **settings)
    assert "'prod' has the same source" in told.err


def test_an_account_with_a_context_is_served(
    serve: Callable[..., Program], home: Home, kubeconfig: Kubeconfig, cluster: ApiServer
) -> None:
    settings = kubeconfig.environment()
    account_id = home.add("prod", "--context", "prod", **settings)
    program = serve(KUBETALLY_SECRET=SECRET, KUBETALLY_LOG_LEVEL="debug", **settings)
    body = ask(program, account_id, SECRET).json()
    assert body["summary"]["total_cost"] == AURORA_TOTAL
    assert home.costs("prod", **settings) == body
    cluster.tokens.clear()
    answer = ask(program, account_id, SECRET, end_date=1795219200)
    assert answer.status_code == 424
    assert program.stop() == 0
    told = program.out + program.err + answer.text + json.dumps(body)
    assert KUBE_TOKEN not in told
    assert SECRET not in told
    assert "Traceback" not in told


def test_the_log_in_of_the_settings_is_not_sent_to_an_api_server(
    home: Home, kubeconfig: Kubeconfig, cluster: ApiServer
) -> None:
    more = {"KUBETALLY_SOURCE_TOKEN": "other-token", **kubeconfig.environment()}
    assert home.call("costs", "--context", "prod", *DAY, **more).code == 0
    assert {user for user, _, _ in cluster.asked} == {"jane"}


def wrong(done: Done, code: int, *says: str) -> bool:
    """Whether it ended with this code and said why, without its token."""
    assert done.code == code, done
    assert "Traceback" not in done.err
    assert KUBE_TOKEN not in done.out + done.err
    assert all(word in done.err for word in says), done.err
    return True


def test_unknown_context_lists_the_known_ones(home: Home, kubeconfig: Kubeconfig) -> None:
    settings = kubeconfig.environment()
    assert wrong(home.call("costs", "--context", "stage", *DAY, **settings), 2, "stage", "prod")
    doctor = home.call("doctor", "--context", "stage", *DAY, **settings)
    assert doctor.code == 3
    assert "stage" in doctor.out
    added = home.call("accounts", "add", "x", "--context", "stage", **settings)
    assert (added.code, home.names()) == (0, ["x"])
    assert "warning: " in added.err
    assert "stage" in added.err


def test_an_api_server_that_can_t_be_reached_exits_3(home: Home, kubeconfig: Kubeconfig) -> None:
    settings = kubeconfig.environment(cluster={"server": "https://127.0.0.1:1"})
    done = home.call("costs", "--context", "prod", *DAY, "--format", "json", KUBETALLY_ATTEMPTS="1", **settings)
    assert wrong(done, 3, "prod", "VPN")
    assert (done.json["status"], done.json["errors"][0]["code"]) == ("error", "cluster_unreachable")
    doctor = home.call("doctor", "--context", "prod", *DAY, KUBETALLY_ATTEMPTS="1", **settings)
    assert doctor.code == 3
    assert "VPN" in doctor.out


def test_who_may_not_sign_in_is_told(home: Home, kubeconfig: Kubeconfig, cluster: ApiServer) -> None:
    cluster.tokens.clear()
    assert wrong(home.call("costs", "--context", "prod", *DAY, **kubeconfig.environment()), 3, "sign in again")


def test_in_cluster_outside_of_one_says_so(home: Home, kubeconfig: Kubeconfig) -> None:
    done = home.call("costs", "--context", "in-cluster", *DAY, **kubeconfig.environment())
    assert done.code == 2
    assert "not in a cluster" in done.err


def test_without_a_kubeconfig_it_says_so(tmp_path: Path) -> None:
    done = call("costs", "--context", "prod", *DAY, KUBECONFIG="", HOME=str(tmp_path))
    assert done.code == 2
    assert f"no context 'prod' in any kubeconfig ({tmp_path}/.kube/config does not exist)" in done.err
    assert "KUBECONFIG" in done.err
    done = call("costs", "--context", "prod", *DAY, KUBECONFIG=str(tmp_path / "none"), HOME=str(tmp_path))
    assert done.code == 2
    assert f"error: KUBECONFIG names '{tmp_path}/none', which does not exist" in done.err
