"""The service with a Prometheus beside a cluster's source: costs, old sums, series, and what it remembers of them."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from kubetally.samples.demo import DemoServer
from kubetally.samples.replay import ReplayServer
from tests.faults import FaultServer
from tests.integration.api_server import JANE, ApiServer
from tests.integration.metrics_servers import VictoriaMetrics, Written
from tests.integration.test_accounts_command import (
    GIVEN,
    HEADER,
    NOBODY,
    PASSWORD,
    SECRETS,
    TOKEN,
    USER,
    Home,
    basic,
    home,
)
from tests.integration.test_discovery import SECRET as KUBE_TOKEN
from tests.integration.test_discovery import Kubeconfig, ca, cluster, kubeconfig
from tests.integration.test_prometheus_commands import (
    AT_PROMETHEUS,
    FAULTS,
    FEE,
    FEE_OF_WHOLE,
    LEGACY,
    QUICK,
    TOO_MANY,
    RecordedPrometheus,
    authorizations,
    both,
    cygnus,
    hanging,
    has_fee,
    is_partial,
    relay,
    told_to_choose,
)
from tests.integration.test_serve_command import SECRET, E, Program, S, ask, eventually, serve, start
from tests.served import Asked, Reply, Served

__all__ = ["both", "ca", "cluster", "cygnus", "home", "kubeconfig", "serve", "start"]

Serve = Callable[..., Program]
METRICS, SAVINGS = "/metroculus/v2/kubecost_metrics", "/metroculus/v2/kubecost_savings"
HOUR, DAY = 3600, 86400
DEFAULT_NAMES = [
    "kubecost_cluster_management_cost",
    "kubecost_load_balancer_cost",
    "kubecost_network_internet_egress_cost",
    "kubecost_network_region_egress_cost",
    "kubecost_network_zone_egress_cost",
]
CPU, RAM = "kubecost_savings_cpu_allocation", "kubecost_savings_memory_allocation_bytes"
NOTHING = Reply(200, b'{"status":"success","data":{"resultType":"matrix","result":[]}}')


class Switched:
    """A Prometheus that can be broken and mended while it runs."""

    def __init__(self, url: str) -> None:
        self.through, self.broken = relay(url), Reply(422, TOO_MANY)
        self.is_broken = False

    def __call__(self, asked: Asked) -> Reply:
        reply: Reply = self.broken if self.is_broken else self.through(asked)
        return reply


@contextmanager
def switched(url: str) -> Iterator[tuple[Served, Switched]]:
    answers = Switched(url)
    with Served(answers) as server:
        yield server, answers


def series(program: Program, path: str, account_id: str, **more: object) -> httpx.Response:
    params = {"cloud_account_id": account_id, "start_date": S, "end_date": E, **more}
    given = {name: str(value) for name, value in params.items() if value is not None}
    return httpx.get(program.url + path, params=given, headers={"Secret": SECRET}, timeout=60)


def cache_of(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.headers["x-kubetally-cache"]


# --- costs


def test_the_service_answers_what_the_command_prints(
    serve: Serve, home: Home, replay: ReplayServer, cygnus: str
) -> None:
    account_id = home.add("prod", "--url", replay.url_of("cygnus"), "--prometheus-url", cygnus)
    bare = home.add("bare", "--url", replay.url_of("cygnus"))
    program = serve(KUBETALLY_SECRET=SECRET)
    for level in ("summary", "namespace", "workload"):
        body = ask(program, account_id, SECRET, detail_level=level).json()
        assert body == home.costs("prod", "--by", level)
        assert has_fee(body, ask(program, bare, SECRET, detail_level=level).json())
        assert "legacy" not in body


def test_the_server_of_the_environment_serves_the_service_too(
    serve: Serve, home: Home, replay: ReplayServer, cygnus: str
) -> None:
    account_id = home.add("prod", "--url", replay.url_of("cygnus"))
    program = serve(KUBETALLY_SECRET=SECRET, KUBETALLY_PROMETHEUS_URL=cygnus)
    assert ask(program, account_id, SECRET).json()["summary"]["management_cost"] == FEE_OF_WHOLE
    other = home.add("other", "--url", replay.url_of("draco"))
    # An account that is added makes the server that of two.
    body = eventually(lambda: _other_than(ask(program, other, SECRET).json(), "ok"))
    assert told_to_choose(body, "other")
    assert series(program, METRICS, other).headers["x-kubetally-error"] == "metrics_serve_one"


def _other_than(body: Any, status: str) -> Any:
    return body if body["status"] != status else None


def test_second_account_of_a_server_is_seen_despite_the_cache(
    serve: Serve, home: Home, replay: ReplayServer, cygnus: str
) -> None:
    account_id = home.add("prod", "--url", replay.url_of("cygnus"), "--prometheus-url", cygnus)
    program = serve(KUBETALLY_SECRET=SECRET)
    assert ask(program, account_id, SECRET).json()["status"] == "ok"
    home.add("other", "--url", replay.url_of("draco"), "--prometheus-url", cygnus)
    body = eventually(lambda: _other_than(ask(program, account_id, SECRET).json(), "ok"), seconds=3)
    assert told_to_choose(body, "prod")


def test_an_account_that_gets_a_prometheus_has_its_fee_at_once(
    serve: Serve, home: Home, replay: ReplayServer, cygnus: str
) -> None:
    account_id = home.add("prod", "--url", replay.url_of("cygnus"))
    program = serve(KUBETALLY_SECRET=SECRET)
    assert ask(program, account_id, SECRET).json()["summary"]["management_cost"] == 0
    home.call("accounts", "update", "prod", "--prometheus-url", cygnus)
    eventually(lambda: ask(program, account_id, SECRET).json()["summary"]["management_cost"] == FEE_OF_WHOLE, seconds=3)


def test_a_failure_is_not_remembered_and_gone_once_it_is_mended(
    serve: Serve, home: Home, replay: ReplayServer, cygnus: str
) -> None:
    bare = home.add("bare", "--url", replay.url_of("cygnus"))
    with switched(cygnus) as (server, prometheus):
        account_id = home.add("prod", "--url", replay.url_of("cygnus"), "--prometheus-url", server.url)
        program = serve(KUBETALLY_SECRET=SECRET, **QUICK)
        without = ask(program, bare, SECRET).json()
        prometheus.is_broken = True
        for prometheus.broken, code in FAULTS.values():
            answer = ask(program, account_id, SECRET)
            assert cache_of(answer) == "miss"
            assert is_partial(answer.json(), without, code, server.url)
        prometheus.is_broken = False
        answer = ask(program, account_id, SECRET)
        assert cache_of(answer) == "miss"
        assert has_fee(answer.json(), without)
        server.asked.clear()
        prometheus.is_broken = True
        answer = ask(program, account_id, SECRET)
        assert (cache_of(answer), server.asked) == ("hit", [])
        assert has_fee(answer.json(), without)


def test_one_that_is_dead_and_comes_back(serve: Serve, home: Home, replay: ReplayServer, cygnus: str) -> None:
    with Served(relay(cygnus)) as server:
        port, url = server.server_address[1], server.url
    home.call("accounts", "add", "prod", "--url", replay.url_of("cygnus"), "--prometheus-url", url)
    account_id = home.show("prod")["id"]
    program = serve(KUBETALLY_SECRET=SECRET, **QUICK)
    body = ask(program, account_id, SECRET).json()
    assert (body["status"], body["errors"][0]["code"]) == ("partial", "source_unreachable")
    assert url in body["errors"][0]["message"]

    class Again(Served):
        def server_bind(self) -> None:
            self.server_address = ("127.0.0.1", port)
            super().server_bind()

    with Again(relay(cygnus)):
        body = ask(program, account_id, SECRET).json()
        assert (body["status"], body["summary"]["management_cost"]) == ("ok", FEE_OF_WHOLE)


def test_hanging_prometheus_is_cut_at_the_deadline_uncached(serve: Serve, home: Home, replay: ReplayServer) -> None:
    bare = home.add("bare", "--url", replay.url_of("cygnus"))
    with hanging() as server:
        place = ("--url", replay.url_of("cygnus"), "--prometheus-url", server.url)
        account_id = home.add("prod", *place, KUBETALLY_READ_SECONDS="0.2", **QUICK)
        program = serve(KUBETALLY_SECRET=SECRET, KUBETALLY_DEADLINE_SECONDS="2", **QUICK)
        began = time.monotonic()
        answer = ask(program, account_id, SECRET)
        assert time.monotonic() - began < 5
        code = answer.json()["errors"][0]["code"]
        assert code in {"deadline_passed", "source_timeout"}
        assert is_partial(answer.json(), ask(program, bare, SECRET).json(), code, server.url)
        assert cache_of(ask(program, account_id, SECRET)) == "miss"


def test_the_prometheus_of_a_context_serves_the_service(
    serve: Serve, home: Home, kubeconfig: Kubeconfig, both: ApiServer
) -> None:
    settings = kubeconfig.environment()
    account_id = home.add("prod", "--context", "prod", **settings)
    program = serve(KUBETALLY_SECRET=SECRET, KUBETALLY_LOG_LEVEL="debug", **settings)
    body = ask(program, account_id, SECRET).json()
    assert (body["status"], body["summary"]["management_cost"], body["not_measured"]) == ("ok", FEE_OF_WHOLE, [])
    assert list(series(program, METRICS, account_id).json()["metrics"]) == DEFAULT_NAMES
    assert program.stop() == 0
    assert KUBE_TOKEN not in program.out + program.err + json.dumps(body)


@pytest.mark.parametrize("why", ["forbidden", "hangs"])
def test_unreachable_prometheus_of_a_context_delays_no_costs(
    serve: Serve, home: Home, kubeconfig: Kubeconfig, both: ApiServer, why: str
) -> None:
    settings = kubeconfig.environment()
    account_id = home.add("prod", "--context", "prod", **settings)
    if why == "forbidden":
        both.rights[JANE] = frozenset({("list", "services", None), ("get", "services/proxy", "opencost")})
    with hanging() as server:
        if why == "hangs":
            both.behind[AT_PROMETHEUS] = server.url
        program = serve(KUBETALLY_SECRET=SECRET, KUBETALLY_DEADLINE_SECONDS="3", **settings)
        answer = ask(program, account_id, SECRET)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["summary"]["total_cost"], body["not_measured"]) == (247.445919, ["management_cost"])
    assert body["status"] == "ok"


# --- the old sums


def test_the_old_sums_are_those_of_the_command(serve: Serve, home: Home, replay: ReplayServer, cygnus: str) -> None:
    account_id = home.add("prod", "--url", replay.url_of("cygnus"), "--prometheus-url", cygnus)
    program = serve(KUBETALLY_SECRET=SECRET)
    for level in ("summary", "workload"):
        body = ask(program, account_id, SECRET, infrastructure="legacy_sum", detail_level=level).json()
        assert body == home.costs("prod", "--by", level, *LEGACY)
        assert body["legacy"]["management_cost"] == 7.3
        plain = ask(program, account_id, SECRET, detail_level=level).json()
        assert ask(program, account_id, SECRET, detail_level=level, infrastructure="measured").json() == plain
        assert {key: value for key, value in body.items() if key != "legacy"} == plain


def test_end_on_second_59_excludes_the_midnight_sample(
    serve: Serve, home: Home, replay: ReplayServer, cygnus: str
) -> None:
    account_id = home.add("prod", "--url", replay.url_of("cygnus"), "--prometheus-url", cygnus)
    program = serve(KUBETALLY_SECRET=SECRET)
    for end, fee in ((E - 1, 7.2), (E, 7.3), (E - 1, 7.2)):
        body = ask(program, account_id, SECRET, end_date=end, infrastructure="legacy_sum").json()
        assert (body["end_date"], body["legacy"]["management_cost"]) == (end, fee)
        assert body["summary"]["management_cost"] == FEE_OF_WHOLE


def test_another_word_is_refused(serve: Serve) -> None:
    program = serve(KUBETALLY_SECRET=SECRET)
    for word in ("legacy", "LEGACY_SUM", ""):
        answer = ask(program, GIVEN, SECRET, infrastructure=word)
        error = answer.json()["error"]
        assert (answer.status_code, error["error_code"], error["params"]) == (400, "OM0006", ["infrastructure"])


def test_the_old_sums_are_remembered_unless_they_failed(
    serve: Serve, home: Home, replay: ReplayServer, cygnus: str
) -> None:
    with switched(cygnus) as (server, prometheus):
        account_id = home.add("prod", "--url", replay.url_of("cygnus"), "--prometheus-url", server.url)
        program = serve(KUBETALLY_SECRET=SECRET, **QUICK)
        plain = ask(program, account_id, SECRET).json()
        prometheus.is_broken = True
        for _ in range(2):
            server.asked.clear()
            body = ask(program, account_id, SECRET, infrastructure="legacy_sum").json()
            assert server.asked
            assert (body["legacy"]["total_cost"], body["legacy"]["management_cost"]) == (None, None)
            assert (body["status"], body["summary"]) == ("partial", plain["summary"])
            [error] = body["errors"]
            assert (error["subject"], error["code"]) == ("legacy", "query_refused")
            assert ask(program, account_id, SECRET).json() == plain
        prometheus.is_broken = False
        body = ask(program, account_id, SECRET, infrastructure="legacy_sum").json()
        assert (body["status"], body["legacy"]["management_cost"]) == ("ok", 7.3)
        prometheus.is_broken = True
        server.asked.clear()
        again = ask(program, account_id, SECRET, infrastructure="legacy_sum")
        assert (again.json(), cache_of(again), server.asked) == (body, "hit", [])
        assert ask(program, account_id, SECRET).json() == plain


def test_the_old_sums_without_a_prometheus_are_unknown(serve: Serve, home: Home, replay: ReplayServer) -> None:
    account_id = home.add("prod", "--url", replay.url_of("cygnus"))
    program = serve(KUBETALLY_SECRET=SECRET)
    body = ask(program, account_id, SECRET, infrastructure="legacy_sum").json()
    assert {value for key, value in body["legacy"].items() if key != "is"} == {None}
    assert (body["status"], body["errors"]) == ("ok", [])
    assert body == home.costs("prod", *LEGACY)


def test_the_old_sums_of_one_that_hangs_name_it(serve: Serve, home: Home, replay: ReplayServer) -> None:
    with hanging() as server:
        place = ("--url", replay.url_of("cygnus"), "--prometheus-url", server.url)
        account_id = home.add("prod", *place, KUBETALLY_READ_SECONDS="0.2", **QUICK)
        program = serve(KUBETALLY_SECRET=SECRET, KUBETALLY_DEADLINE_SECONDS="2", **QUICK)
        body = ask(program, account_id, SECRET, infrastructure="legacy_sum").json()
    told = {error["subject"]: error["message"] for error in body["errors"]}
    assert told.keys() == {"infrastructure", "legacy"}
    assert server.url in told["infrastructure"]
    assert server.url in told["legacy"] or "of the same Prometheus" in told["legacy"]


# --- the series of phase 1


def test_the_series_of_a_cluster_an_hour_apart_with_both_ends(
    serve: Serve, home: Home, replay: ReplayServer, cygnus: str
) -> None:
    account_id = home.add("prod", "--url", replay.url_of("cygnus"), "--prometheus-url", cygnus)
    program = serve(KUBETALLY_SECRET=SECRET)
    answer = series(program, METRICS, account_id)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == 'application/json; charset="utf-8"'
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert list(body) == ["cloud_account_id", "start_date", "end_date", "metrics", "errors"]
    assert (body["cloud_account_id"], body["start_date"], body["end_date"]) == (account_id, S, E)
    assert (list(body["metrics"]), body["errors"]) == (DEFAULT_NAMES, [])
    for name in DEFAULT_NAMES:
        assert [point["timestamp"] for point in body["metrics"][name]] == list(range(S, E + 1, HOUR)), name
    labels = {"cluster_id": "cygnus", "job": "opencost", "provisioner_name": "EKS"}
    assert body["metrics"][FEE][0] == {"timestamp": S, "value": 0.1, "labels": labels}
    end_of_day = series(program, METRICS, account_id, end_date=S + DAY - 1).json()
    assert end_of_day["end_date"] == S + DAY - 1
    assert [point["timestamp"] for point in end_of_day["metrics"][FEE]] == list(range(S, S + DAY, HOUR))


def test_series_by_name(serve: Serve, home: Home, replay: ReplayServer, cygnus: str) -> None:
    account_id = home.add("prod", "--url", replay.url_of("cygnus"), "--prometheus-url", cygnus)
    program = serve(KUBETALLY_SECRET=SECRET)

    def names(text: str) -> list[str]:
        return list(series(program, METRICS, account_id, metrics=text, end_date=S + HOUR).json()["metrics"])

    traffic = "kubecost_pod_network_egress_bytes_total"
    assert names(f"{traffic}, {FEE},,{traffic}") == [traffic, FEE]
    assert names(f"kubecost_there_is_no_such_metric,{FEE}") == [FEE]
    assert names("kubecost_there_is_no_such_metric,cloudtuner_kubecost_nor_this") == []
    assert names("") == DEFAULT_NAMES
    body = series(program, METRICS, account_id, metrics="kubecost_there_is_no_such_metric").json()
    [error] = body["errors"]
    assert (body["metrics"], error["kind"]) == ({}, "not_measured")
    assert "kubecost_there_is_no_such_metric" in error["message"]
    [error] = series(program, METRICS, account_id, metrics=f"kubecost_there_is_no_such_metric,{FEE}").json()["errors"]
    assert "kubecost_there_is_no_such_metric; of the other metrics" in error["message"]


FOREIGN = ("up", "kubecost_", "kubecost_é", 'kubecost_a"} or up #', "kubecost_.*", "node_cpu_hourly_cost", f"{FEE},up")


def test_foreign_names_are_refused_and_nothing_is_asked(
    serve: Serve, home: Home, replay: ReplayServer, cygnus: str
) -> None:
    reason = {"status_code": 400, "error_code": "OM0006", "reason": "Invalid metrics", "params": ["metrics"]}
    with Served(relay(cygnus)) as server:
        account_id = home.add("prod", "--url", replay.url_of("cygnus"), "--prometheus-url", server.url)
        server.asked.clear()
        program = serve(KUBETALLY_SECRET=SECRET)
        for names in (*FOREIGN, ",".join(f"kubecost_{number}" for number in range(51))):
            answer = series(program, METRICS, account_id, metrics=names)
            assert (answer.status_code, answer.json()) == (400, {"error": reason}), names
        assert server.asked == []


def test_what_could_be_saved(serve: Serve, home: Home, replay: ReplayServer, victoria_metrics: VictoriaMetrics) -> None:
    times = range(S - HOUR, S + 4 * HOUR, 60)
    victoria_metrics.load(
        [
            Written(CPU, {"tenant_id": "mine", "namespace": "shop"}, [(at, 1.5) for at in times]),
            Written(RAM, {"tenant_id": "mine", "namespace": "shop"}, [(at, 3e9) for at in times]),
            Written(CPU, {"tenant_id": "other", "namespace": "shop"}, [(at, 99.0) for at in times]),
        ]
    )
    place = ("--url", replay.url_of("cygnus"), "--prometheus-url", victoria_metrics.url)
    account_id = home.add("prod", *place, "--tenant", "mine")
    program = serve(KUBETALLY_SECRET=SECRET)
    body = series(program, SAVINGS, account_id, end_date=S + 2 * HOUR).json()
    keys = ["cloud_account_id", "start_date", "end_date", "cpu_savings", "memory_savings", "errors"]
    assert (list(body), body["errors"]) == (keys, [])
    hours, labels = [S, S + HOUR, S + 2 * HOUR], {"tenant_id": "mine", "namespace": "shop"}
    assert body["cpu_savings"] == [{"timestamp": at, "value": 1.5, "labels": labels} for at in hours]
    assert [(point["timestamp"], point["value"]) for point in body["memory_savings"]] == [(at, 3e9) for at in hours]
    account_id = home.add("none", *place, "--tenant", "nobody")
    body = series(program, SAVINGS, account_id).json()
    assert (body["cpu_savings"], body["memory_savings"]) == ([], [])
    assert [error["kind"] for error in body["errors"]] == ["not_measured"]


def test_without_a_prometheus_series_are_empty_and_say_why(serve: Serve, home: Home, replay: ReplayServer) -> None:
    account_id = home.add("prod", "--url", replay.url_of("cygnus"))
    program = serve(KUBETALLY_SECRET=SECRET)
    for path, empty in ((METRICS, {"metrics": {}}), (SAVINGS, {"cpu_savings": [], "memory_savings": []})):
        body = series(program, path, account_id).json()
        [error] = body.pop("errors")
        assert body == {"cloud_account_id": account_id, "start_date": S, "end_date": E, **empty}
        assert error["code"] == "no_prometheus"
        assert "--prometheus-url" in error["message"]


def test_of_one_that_fails_they_are_424_and_name_it(
    serve: Serve, home: Home, replay: ReplayServer, cygnus: str
) -> None:
    with switched(cygnus) as (server, prometheus):
        ids = {server.url: home.add("prod", "--url", replay.url_of("cygnus"), "--prometheus-url", server.url)}
        ids[NOBODY] = home.add("dead", "--url", replay.url_of("draco"), "--prometheus-url", NOBODY)
        program = serve(KUBETALLY_SECRET=SECRET, **QUICK)

        def unavailable(path: str, url: str, code: str) -> bool:
            answer = series(program, path, ids[url])
            error = answer.json()["error"]
            assert (answer.status_code, error["error_code"], error["params"]) == (424, "OM0009", [url])
            assert answer.headers["x-kubetally-error"] == code
            return True

        prometheus.is_broken = True
        for path in (METRICS, SAVINGS):
            assert unavailable(path, NOBODY, "source_unreachable")
            for prometheus.broken, code in FAULTS.values():
                assert unavailable(path, server.url, code)
        prometheus.is_broken = False
        assert list(series(program, METRICS, ids[server.url]).json()["metrics"]) == DEFAULT_NAMES


def test_of_one_that_hangs_they_are_424_at_the_deadline(serve: Serve, home: Home, replay: ReplayServer) -> None:
    with hanging() as server:
        place = ("--url", replay.url_of("cygnus"), "--prometheus-url", server.url)
        account_id = home.add("prod", *place, KUBETALLY_READ_SECONDS="0.2", **QUICK)
        program = serve(KUBETALLY_SECRET=SECRET, KUBETALLY_DEADLINE_SECONDS="2", **QUICK)
        began = time.monotonic()
        answer = series(program, METRICS, account_id)
        assert time.monotonic() - began < 5
    assert (answer.status_code, answer.json()["error"]["params"]) == (424, [server.url])


def test_ambiguous_series_blame_no_sound_source(serve: Serve, home: Home, replay: ReplayServer, cygnus: str) -> None:
    ids = [home.add(name, "--url", replay.url_of(name)) for name in ("cygnus", "draco")]
    program = serve(KUBETALLY_SECRET=SECRET, KUBETALLY_PROMETHEUS_URL=cygnus)
    answer = series(program, METRICS, ids[0])
    assert (answer.status_code, answer.headers["x-kubetally-error"]) == (424, "metrics_serve_one")
    assert answer.json()["error"]["params"] != [replay.url_of("cygnus")]


def test_a_window_of_no_length_is_one_sample(serve: Serve, home: Home, replay: ReplayServer, cygnus: str) -> None:
    account_id = home.add("prod", "--url", replay.url_of("cygnus"), "--prometheus-url", cygnus)
    program = serve(KUBETALLY_SECRET=SECRET)
    body = series(program, METRICS, account_id, start_date=S + HOUR, end_date=S + HOUR).json()
    assert [point["timestamp"] for point in body["metrics"][FEE]] == [S + HOUR]
    assert ask(program, account_id, SECRET, end_date=S, infrastructure="legacy_sum").json()["status"] != "error"


def test_without_dates_they_are_of_the_last_seven_days(
    serve: Serve, home: Home, any_day: DemoServer, cygnus: str
) -> None:
    account_id = home.add("prod", "--url", any_day.url_of("cygnus"), "--prometheus-url", cygnus)
    program = serve(KUBETALLY_SECRET=SECRET)
    body = series(program, METRICS, account_id, start_date=None, end_date=None).json()
    costs = httpx.get(
        f"{program.url}/metroculus/v2/kubecost_cluster_costs?cloud_account_id={account_id}", headers={"Secret": SECRET}
    ).json()
    assert abs(body["start_date"] - costs["start_date"]) <= 1
    assert 6 * DAY <= body["end_date"] - body["start_date"] <= 7 * DAY


def spans(server: Served) -> list[tuple[int, int]]:
    """First and last instant of each range that was asked for, the oldest first."""
    params = [asked.params for asked in server.asked if asked.path.endswith("/query_range")]
    return sorted((int(one["start"]), int(one["end"])) for one in params)


def test_of_a_very_long_window_the_newest_500_days_are_asked(serve: Serve, home: Home, replay: ReplayServer) -> None:
    with Served(lambda asked: NOTHING) as server:
        home.call("accounts", "add", "prod", "--url", replay.url_of("cygnus"), "--prometheus-url", server.url)
        account_id = home.show("prod")["id"]
        server.asked.clear()
        program = serve(KUBETALLY_SECRET=SECRET)
        body = series(program, METRICS, account_id, start_date=0).json()
        asked = spans(server)
        assert (body["start_date"], body["metrics"]) == (0, {})
        assert (asked[0][0], asked[-1][1]) == (E - 500 * DAY, E)
        assert len(asked) <= 20
        assert [error for error in body["errors"] if "500 days" in error["message"]]


def test_window_that_ends_in_the_future_is_read_until_now(
    serve: Serve, home: Home, replay: ReplayServer, cygnus: str
) -> None:
    with Served(relay(cygnus)) as server:
        account_id = home.add("prod", "--url", replay.url_of("cygnus"), "--prometheus-url", server.url)
        server.asked.clear()
        program = serve(KUBETALLY_SECRET=SECRET)
        body = series(program, METRICS, account_id, end_date=253402300799).json()
        assert [point["timestamp"] for point in body["metrics"].get(FEE, [])] == list(range(S, E + 1, HOUR))
        assert spans(server)[-1][1] <= time.time() + DAY


# --- what those see who run the service


def counted(program: Program) -> dict[tuple[str, str], float]:
    """How many questions of each kind ended how."""
    found = {}
    for line in httpx.get(f"{program.url}/metrics").text.splitlines():
        if line.startswith("kubetally_source_questions_total{"):
            labels, _, number = line.partition("{")[2].rpartition("} ")
            pairs = dict(part.split("=") for part in labels.split(","))
            found[pairs["question"].strip('"'), pairs["outcome"].strip('"')] = float(number)
    return found


def test_questions_to_the_prometheus_are_counted(serve: Serve, home: Home, replay: ReplayServer, cygnus: str) -> None:
    with switched(cygnus) as (server, prometheus):
        account_id = home.add("prod", "--url", replay.url_of("cygnus"), "--prometheus-url", server.url)
        program = serve(KUBETALLY_SECRET=SECRET, **QUICK)
        ask(program, account_id, SECRET)
        assert (counted(program)["infrastructure", "ok"], counted(program).get(("points", "ok"))) == (1, None)
        series(program, METRICS, account_id)
        series(program, SAVINGS, account_id)
        assert counted(program)["points", "ok"] == 2
        ask(program, account_id, SECRET, infrastructure="legacy_sum")
        assert counted(program)["points", "ok"] == 3
        prometheus.is_broken = True
        series(program, METRICS, account_id)
        ask(program, account_id, SECRET, end_date=S + DAY)
        assert counted(program)["points", "query_refused"] == 1
        assert counted(program)["infrastructure", "query_refused"] == 1


def test_no_secret_is_in_the_log_or_an_answer(
    serve: Serve, home: Home, replay: ReplayServer, recorded_prometheus: RecordedPrometheus
) -> None:
    with switched(recorded_prometheus("aurora").url) as (server, prometheus):
        url = server.url.replace("//", f"//{USER}:{PASSWORD}@")
        own = ("--prometheus-url", url, "--prometheus-header", f"X-Scope-OrgID: {HEADER}")
        ids = [home.add("prod", "--url", replay.url_of("aurora"), *own)]
        ids.append(home.add("other", "--url", replay.url_of("draco"), "--tenant", "t"))
        debug = {"KUBETALLY_LOG_LEVEL": "debug", **QUICK}
        of_settings = {"KUBETALLY_PROMETHEUS_URL": url, "KUBETALLY_PROMETHEUS_HEADERS": f"X-Scope-OrgID: {HEADER}"}
        program = serve(KUBETALLY_SECRET=SECRET, KUBETALLY_SOURCE_TOKEN=TOKEN, **debug, **of_settings)
        told = ""
        for broken in (False, True):
            prometheus.is_broken = broken
            for account_id in ids:
                told += ask(program, account_id, SECRET, end_date=E - broken * DAY, infrastructure="legacy_sum").text
                told += series(program, METRICS, account_id).text + series(program, SAVINGS, account_id).text
        told += httpx.get(f"{program.url}/metrics").text
        assert authorizations(server) == {basic(USER, PASSWORD)}
        assert authorizations(server, "x-scope-orgid") == {HEADER}
    assert program.stop() == 0
    for secret in (*SECRETS, SECRET, basic(USER, PASSWORD).split()[1]):
        assert secret not in told + program.out + program.err
    assert "Traceback" not in program.err


def test_failing_source_is_424_whatever_prometheus_has(
    serve: Serve, home: Home, faulty: FaultServer, cygnus: str
) -> None:
    account_id = home.add("prod", "--url", faulty.fault_url("500", "aurora"), "--prometheus-url", cygnus)
    program = serve(KUBETALLY_SECRET=SECRET, **QUICK)
    answer = ask(program, account_id, SECRET, infrastructure="legacy_sum")
    assert (answer.status_code, answer.json()["error"]["params"]) == (424, [faulty.fault_url("500", "aurora")])
    assert list(series(program, METRICS, account_id).json()["metrics"]) == DEFAULT_NAMES
