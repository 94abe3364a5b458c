"""`kubetally doctor`: every finding that is not in order says what to do."""

from pathlib import Path
from typing import Any

import pytest

from kubetally.samples.replay import ReplayServer
from tests.faults import FaultServer
from tests.integration.commands import DAY, Change, call, recorded_but
from tests.integration.test_accounts_command import Home
from tests.served import NOT_FOUND, Asked, Reply, Served

Findings = dict[str, dict[str, Any]]


def findings(url: str, code: int = 0, **more: str) -> Findings:
    """What the doctor finds, by subject; it says what to do about all that is not in order."""
    done = call("doctor", url, *DAY, "--format", "json", **more)
    assert done.code == code, done.err
    for one in done.json["findings"]:
        assert one["level"] == "ok" or len(one["remedy"]) > 10, one
    return {finding["subject"]: finding for finding in done.json["findings"]}


def levels(found: Findings) -> dict[str, str]:
    """Subjects that are neither in order nor what every OpenCost lacks."""
    usual = {"currency", "management", "savings"}
    return {name: one["level"] for name, one in found.items() if one["level"] != "ok" and name not in usual}


def of_rows(**values: Any) -> Change:
    """Every allocation row has `values`."""

    def change(path: str, data: Any) -> None:
        if path.startswith("/allocation"):
            for row in (row for step in data for row in step.values()):
                row.update(values)

    return change


@pytest.mark.parametrize("cluster", ["aurora", "cygnus", "draco"])
def test_a_sound_source_is_in_order(replay: ReplayServer, cluster: str) -> None:
    found = findings(replay.url_of(cluster))
    assert levels(found) == {}
    assert found["product"]["seen"] == "OpenCost, version dev (HEAD)"
    assert found["cluster"]["seen"].startswith(f"{cluster} ({cluster}-prod)")
    assert "nodes" in found["assets"]["seen"]
    assert found["balance"]["seen"].startswith("assets complete")
    assert {"idle", "efficiency", "minutes", "clock", "costs"} <= set(found)


def test_what_every_opencost_lacks_is_a_note(replay: ReplayServer) -> None:
    found = findings(replay.url_of("aurora"))
    assert {found[name]["level"] for name in ("currency", "management", "savings")} == {"note"}
    assert "--currency" in found["currency"]["remedy"]


def test_a_web_page_is_no_source(faulty: FaultServer) -> None:
    found = findings(faulty.fault_url("html", "aurora"), code=3)
    assert found["costs"]["level"] == "failed"
    assert "web page" in found["costs"]["seen"]
    assert "port 9003" in found["costs"]["remedy"]


def test_a_source_that_is_not_there_is_one_finding() -> None:
    found = findings("http://127.0.0.1:1", code=3, KUBETALLY_ATTEMPTS="1")
    assert set(found) == {"costs"}
    assert "refused" in found["costs"]["seen"]
    assert found["costs"]["seen"].startswith("http://127.0.0.1:1/allocation is unavailable")
    assert "port-forward" in found["costs"]["remedy"]


def test_a_source_whose_prometheus_is_gone(faulty: FaultServer) -> None:
    found = findings(faulty.fault_url("500", "aurora"), code=3)
    assert "prometheus communication error" in found["costs"]["seen"]
    assert "Prometheus" in found["costs"]["remedy"]


def test_a_server_that_knows_none_of_the_questions() -> None:
    with Served(lambda _: NOT_FOUND) as server:
        found = findings(server.url, code=3)
    assert found["costs"]["level"] == "failed"


def test_unread_savings_leave_the_product_open() -> None:
    with Served(recorded_but(of_rows(), savings=Reply(200, b'{"code":200,"da'))) as server:
        found = findings(server.url)
    assert found["product"]["level"] == "warning"
    assert "may be an OpenCost or a Kubecost" in found["product"]["seen"]
    assert "savings" not in found


def test_several_clusters_are_named_and_one_can_be_chosen(faulty: FaultServer) -> None:
    url = faulty.fault_url("twoclusters", "aurora")
    found = findings(url, code=3)
    assert "aurora, borealis" in found["costs"]["seen"]
    assert "--cluster-id" in found["costs"]["remedy"]
    assert call("doctor", url, *DAY, "--cluster-id", "borealis").code == 0


@pytest.mark.parametrize("fault", ["noassets", "emptyassets"])
def test_without_assets_there_is_no_bill(faulty: FaultServer, fault: str) -> None:
    found = findings(faulty.fault_url(fault, "aurora"))
    assert {"assets", "balance"} <= set(levels(found))
    assert found["balance"]["seen"].startswith("assets incomplete")
    assert "/assets" in found["balance"]["remedy"]


def test_without_usage_it_names_cadvisor() -> None:
    with Served(recorded_but(of_rows(cpuCoreUsageAverage=0, ramByteUsageAverage=0))) as server:
        found = findings(server.url)
    assert levels(found) == {"usage missing": "warning"}
    assert "cAdvisor" in found["usage missing"]["remedy"]


def test_without_requests_it_names_kube_state_metrics() -> None:
    with Served(recorded_but(of_rows(cpuCoreRequestAverage=0, ramByteRequestAverage=0))) as server:
        found = findings(server.url)
    assert levels(found) == {"no requests": "warning"}
    assert "kube-state-metrics" in found["no requests"]["remedy"]


def test_without_idle_it_says_how_to_get_it() -> None:
    def drop_idle(path: str, data: Any) -> None:
        if path.startswith("/allocation"):
            for step in data:
                for key in [key for key, row in step.items() if "__idle__" in row["name"]]:
                    del step[key]

    with Served(recorded_but(drop_idle)) as server:
        found = findings(server.url)
    assert found["idle"]["level"] == "warning"
    assert "CLUSTER_ID" in found["idle"]["remedy"]


def test_without_network_and_labels_it_says_what_to_deploy() -> None:
    def bare(path: str, data: Any) -> None:
        of_rows(networkCost=0, networkCrossZoneCost=0, networkCrossRegionCost=0, networkInternetCost=0)(path, data)
        if path.startswith("/allocation"):
            for row in (row for step in data for row in step.values()):
                row["properties"].pop("labels", None)

    with Served(recorded_but(bare)) as server:
        found = findings(server.url)
    assert "network-costs" in found["network"]["remedy"]
    assert "kube_pod_labels" in found["labels"]["remedy"]


def test_a_clock_that_is_wrong_is_told_with_its_side(faulty: FaultServer) -> None:
    found = findings(faulty.fault_url("skew", "aurora"))
    assert levels(found) == {"clock": "warning"}
    assert found["clock"]["seen"] == "its clock is 60 minutes ahead of ours"
    assert "NTP" in found["clock"]["remedy"]


@pytest.mark.parametrize(
    ("fault", "subject"), [("nocosts", "figure missing"), ("nan", "not a number"), ("duplicate", "duplicate rows")]
)
def test_what_is_wrong_with_rows_is_a_warning(faulty: FaultServer, fault: str, subject: str) -> None:
    assert levels(findings(faulty.fault_url(fault, "aurora")))[subject] == "warning"


def test_a_day_without_data_is_told(faulty: FaultServer) -> None:
    found = findings(faulty.fault_url("nullset", "aurora"))
    assert levels(found) == {"costs": "warning"}
    assert "no data" in found["costs"]["seen"]
    assert "--window" in found["costs"]["remedy"]


def test_a_source_that_does_not_tell_what_it_is() -> None:
    silent = dict.fromkeys(("clusterInfo", "installInfo", "clusterInfoMap"), NOT_FOUND)
    with Served(recorded_but(lambda _path, _data: None, **silent)) as server:
        found = findings(server.url)
    assert levels(found)["product"] == "warning"
    assert "port 9003" in found["product"]["remedy"]


def test_a_source_of_several_clusters_says_how_to_choose() -> None:
    several = {"code": 200, "data": {name: {"id": name, "name": name} for name in ("aurora", "borealis")}}
    with Served(recorded_but(lambda _path, _data: None, clusterInfoMap=several)) as server:
        found = findings(server.url)
    assert levels(found) == {"clusters": "note"}
    assert "aurora, borealis" in found["clusters"]["seen"]


def test_the_first_day_of_a_longer_window_is_read(replay: ReplayServer) -> None:
    replay.asked.clear()
    call("doctor", replay.url_of("aurora"), "--start", "2026-11-20", "--end", "2026-11-23")
    windows = {request.params["window"] for request in replay.asked if request.path == "/allocation"}
    assert windows == {"2026-11-20T00:00:00Z,2026-11-21T00:00:00Z"}


def test_the_table_says_what_to_do_below_each_finding(replay: ReplayServer) -> None:
    done = call("doctor", replay.url_of("aurora"), *DAY)
    assert "  note     currency: the source states none; USD is assumed\n           do: set it with" in done.out


def test_currency_that_is_used_and_who_states_it(tmp_path: Path, replay: ReplayServer) -> None:
    home = Home(tmp_path / "home")
    home.call("organizations", "add", "shop", "--currency", "EUR")
    url = replay.url_of("aurora")
    home.add("prod", "--organization", "shop", "--url", url)
    home.add("test", "--organization", "shop", "--url", url, "--currency", "CHF")
    words = "the source states none; EUR, the currency of its organization, is assumed"
    assert words in home.call("doctor", "prod", *DAY).out
    assert "ok       currency: CHF, stated by" in home.call("doctor", "test", *DAY).out
    assert findings(url, KUBETALLY_CURRENCY="GBP")["currency"]["level"] == "ok"


def a_prometheus(asked: Asked) -> Reply:
    told = b'{"status":"success","data":{"version":"2.42.0","goVersion":"go1.19"}}'
    return Reply(200, told) if asked.path == "/api/v1/status/buildinfo" else NOT_FOUND


def test_a_prometheus_in_place_of_a_source_is_recognised() -> None:
    with Served(a_prometheus) as server:
        found = findings(server.url, code=3)
        done = call("costs", "--url", server.url, *DAY)
    assert "is a Prometheus: give it as --prometheus-url" in found["costs"]["seen"]
    assert (done.code, "is a Prometheus: give it as --prometheus-url" in done.err) == (3, True)


def test_invalid_prometheus_url_names_its_option() -> None:
    done = call("costs", "--url", "http://127.0.0.1:1", *DAY, "--prometheus-url", "localhost:19191")
    assert done.code == 2
    assert "the URL of --prometheus-url 'localhost:19191'" in done.err
