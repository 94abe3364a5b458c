"""The JSON of `costs`: the keys that the existing API has and those beside them, and that all of it adds up."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from kubetally.samples.replay import ReplayServer
from tests.faults import FaultServer
from tests.integration.commands import DAY, WHOLE, call, costs, recorded_but
from tests.recordings import ALL
from tests.served import Reply, Served

SEVEN = {"total_cost", "cpu_cost", "ram_cost", "pv_cost", "management_cost", "load_balancer_cost", "network_cost"}
PARTS = (SEVEN - {"total_cost"}) | {"gpu_cost", "node_disk_cost", "shared_cost", "external_cost"}
RATIOS = {"cpu_efficiency", "ram_efficiency", "total_efficiency"}
# What a reader of the existing API finds in every body, and what it finds beside that.
EXISTING = {"cloud_account_id", "start_date", "end_date", "summary", "efficiency", "potential_savings", "breakdown"}
BESIDE = {
    "account", "assets_complete", "coverage", "currency", "currency_assumed", "errors", "idle_cost", "issues",
    "not_measured", "potential_savings_in_window", "potential_savings_is", "potential_savings_period", "source",
    "status", "unallocated_cost",
}  # fmt: skip
BREAKDOWN = {
    "management_cost", "load_balancer_cost", "network_internet_cost", "network_region_cost", "network_zone_cost",
}  # fmt: skip
LEVELS = {
    "summary": set[str](),
    "namespace": {"lines", "breakdown_by_namespace"},
    "workload": {"lines", "breakdown_by_namespace", "breakdown_by_workload"},
}
SAVINGS = {
    "code": 200,
    "data": {
        "requestSizing": {"state": "ready", "value": 44.31},
        "abandonedWorkload": {"state": "ready", "value": 9.69},
        "clusterSizing": {"state": "pending", "value": 63.07},
    },
}

Body = dict[str, Any]


@pytest.fixture(scope="module")
def bodies(replay: ReplayServer) -> dict[str, dict[str, Body]]:
    """Each cluster's three days, at each level."""
    return {name: {by: costs(replay.url_of(name), "--by", by) for by in LEVELS} for name in ALL}


def exact(amount: float | None) -> Decimal:
    return Decimal(repr(amount or 0))


def parts_of(row: Body) -> Decimal:
    return sum((exact(row[part]) for part in PARTS), Decimal(0))


def totals_of(rows: list[Body]) -> Decimal:
    return sum((exact(row["total_cost"]) for row in rows), Decimal(0))


def is_money(amount: Decimal, want: float | Decimal) -> bool:
    return abs(amount - (want if isinstance(want, Decimal) else exact(want))) <= Decimal("0.000001")


def rows_in(body: Body) -> Iterator[Body]:
    """Every row with cost keys, at any depth."""
    yield body["summary"]
    for line in body.get("lines", []):
        yield line
        yield from line.get("causes", [])
    yield from body.get("breakdown_by_namespace", [])
    for workload in body.get("breakdown_by_workload", []):
        yield workload
        yield from workload["pods"]


def numbers_in(value: Any) -> Iterator[float]:
    match value:
        case bool() | None | str():
            return
        case float() | int():
            yield value
        case dict():
            for one in value.values():
                yield from numbers_in(one)
        case list():
            for one in value:
                yield from numbers_in(one)


@pytest.mark.parametrize("by", LEVELS)
@pytest.mark.parametrize("name", ALL)
def test_every_key_is_there_and_no_other(bodies: dict[str, dict[str, Body]], name: str, by: str) -> None:
    body = bodies[name][by]
    assert set(body) == EXISTING | BESIDE | LEVELS[by]
    assert set(body["summary"]) == SEVEN | PARTS
    assert set(body["efficiency"]) == RATIOS
    assert set(body["breakdown"]) == BREAKDOWN
    assert set(body["source"]) == {"product", "version", "url", "cluster_id", "cluster_name"}
    assert body["coverage"] == {"hours_asked": 72.0, "hours_covered": 72.0, "state": "provisional"}
    assert (body["cloud_account_id"], body["start_date"], body["end_date"]) == (None, 1795132800, 1795392000)
    assert (body["status"], body["currency"], body["errors"]) == ("ok", "USD", [])
    for row in body.get("breakdown_by_namespace", []):
        assert set(row) == {"namespace"} | SEVEN | PARTS | RATIOS
    for row in body.get("breakdown_by_workload", []):
        assert set(row) == {"namespace", "controller_kind", "controller", "pods"} | SEVEN | PARTS | RATIOS
        assert all(set(pod) == {"pod", "nodes", "minutes"} | SEVEN | PARTS | RATIOS for pod in row["pods"])
    for line in body.get("lines", []):
        assert set(line) == {"kind"} | SEVEN | PARTS | ({"causes"} if line["kind"] == "difference" else set())


@pytest.mark.parametrize("name", ALL)
def test_the_seven_are_numbers_and_what_nobody_measured_is_named(bodies: dict[str, dict[str, Body]], name: str) -> None:
    for body in bodies[name].values():
        for row in rows_in(body):
            assert all(isinstance(row[key], float) for key in SEVEN)
        assert body["not_measured"] == ["management_cost"]
        assert body["summary"]["management_cost"] == 0


@pytest.mark.parametrize("name", ALL)
def test_every_row_is_the_sum_of_its_parts(bodies: dict[str, dict[str, Body]], name: str) -> None:
    for row in rows_in(bodies[name]["workload"]):
        assert is_money(parts_of(row), row["total_cost"])


@pytest.mark.parametrize("name", ALL)
def test_namespaces_and_lines_are_the_total(bodies: dict[str, dict[str, Body]], name: str) -> None:
    levels = bodies[name]
    assert levels["summary"]["summary"] == levels["namespace"]["summary"] == levels["workload"]["summary"]
    assert levels["namespace"]["breakdown_by_namespace"] == levels["workload"]["breakdown_by_namespace"]
    body = levels["namespace"]
    rows = body["breakdown_by_namespace"] + body["lines"]
    assert is_money(totals_of(rows), body["summary"]["total_cost"])
    for part in PARTS:
        assert is_money(sum((exact(row[part]) for row in rows), Decimal(0)), body["summary"][part])
    lines = {line["kind"]: line for line in body["lines"]}
    assert list(lines) == ["idle", "unmounted", "overhead", "difference"]
    assert body["idle_cost"] == lines["idle"]["total_cost"]
    assert body["unallocated_cost"] == lines["unmounted"]["total_cost"]
    assert is_money(totals_of(lines["difference"]["causes"]), lines["difference"]["total_cost"])


@pytest.mark.parametrize("name", ALL)
def test_pods_are_their_workload_and_workloads_their_namespace(bodies: dict[str, dict[str, Body]], name: str) -> None:
    body = bodies[name]["workload"]
    for workload in body["breakdown_by_workload"]:
        assert is_money(totals_of(workload["pods"]), workload["total_cost"])
    for namespace in body["breakdown_by_namespace"]:
        mine = [row for row in body["breakdown_by_workload"] if row["namespace"] == namespace["namespace"]]
        assert is_money(totals_of(mine), namespace["total_cost"])
    costs_of_rows = [row["total_cost"] for row in body["breakdown_by_namespace"]]
    assert costs_of_rows == sorted(costs_of_rows, reverse=True)


@pytest.mark.parametrize("name", ALL)
def test_the_classes_of_traffic_are_the_network_cost(bodies: dict[str, dict[str, Body]], name: str) -> None:
    body = bodies[name]["summary"]
    classes = [exact(body["breakdown"][f"network_{where}_cost"]) for where in ("internet", "region", "zone")]
    assert abs(sum(classes) - exact(body["summary"]["network_cost"])) < Decimal("0.001")
    assert body["breakdown"]["load_balancer_cost"] == body["summary"]["load_balancer_cost"]


@pytest.mark.parametrize("name", ALL)
def test_no_number_has_more_than_six_decimals(bodies: dict[str, dict[str, Body]], name: str) -> None:
    for body in bodies[name].values():
        assert all(exact(number) == exact(number).quantize(Decimal("0.000001")) for number in numbers_in(body))


@pytest.mark.parametrize("by", LEVELS)
@pytest.mark.parametrize("fault", ["nullset"])
def test_without_data_figures_are_null_and_never_zero(faulty: FaultServer, fault: str, by: str) -> None:
    body = costs(faulty.fault_url(fault, "aurora"), "--by", by, window=DAY)
    assert set(body) == EXISTING | BESIDE
    assert body["status"] == "no_data"
    for key in ("summary", "efficiency", "breakdown"):
        assert set(body[key].values()) == {None}
    assert body["idle_cost"] is body["unallocated_cost"] is body["potential_savings"] is None
    assert set(body["not_measured"]) == PARTS
    assert body["coverage"] == {"hours_asked": 24.0, "hours_covered": 0.0, "state": None}
    assert [error["kind"] for error in body["errors"]] == ["window_without_data"]


def test_partial_answer_keeps_figures_and_names_what_is_missing(faulty: FaultServer) -> None:
    body = costs(faulty.fault_url("noassets", "aurora"), "--by", "namespace", window=DAY)
    assert (body["status"], body["assets_complete"]) == ("partial", False)
    assert all(isinstance(body["summary"][key], float) for key in SEVEN)
    (error,) = body["errors"]
    assert (error["kind"], error["subject"], error["code"]) == ("source_failed", "assets", "source_failed")
    assert (error["start"], error["end"]) == ("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z")
    # Without assets nobody told of node disks: beside the seven, unknown is null and not 0.
    assert body["summary"]["node_disk_cost"] is None
    assert "node_disk_cost" in body["not_measured"]


def test_an_opencost_has_no_savings_which_is_not_zero(bodies: dict[str, dict[str, Body]]) -> None:
    body = bodies["aurora"]["summary"]
    assert (body["potential_savings"], body["potential_savings_in_window"]) == (None, None)
    assert "savings_recommendations" not in body


def test_savings_are_per_month_and_prorated_to_the_window() -> None:
    with Served(recorded_but(lambda _path, _data: None, savings=SAVINGS)) as server:
        for by in LEVELS:
            body = costs(server.url, "--by", by, window=DAY)
            assert (body["potential_savings"], body["potential_savings_period"]) == (54.0, "month")
            assert body["potential_savings_in_window"] == round(54 * 24 / 730, 6)
            assert body["savings_recommendations"]["clusterSizing"] == {
                "savings_per_month": 63.07,
                "state": "pending",
                "counted": False,
            }
            assert body["source"]["product"] == "Kubecost"
        table = call("costs", "--url", server.url, *DAY).out
    assert "Potential savings: up to 54.00 USD a month\n" in table


def test_savings_that_fail_leave_the_costs_as_they_are() -> None:
    broken = Reply(500, b'{"code":500,"message":"savings are down"}')
    with Served(recorded_but(lambda _path, _data: None, savings=broken)) as server:
        body = costs(server.url, window=DAY)
    assert (body["status"], body["potential_savings"]) == ("partial", None)
    assert body["summary"]["total_cost"] > 80
    assert [(error["subject"], "savings are down" in error["message"]) for error in body["errors"]] == [
        ("savings", True)
    ]


def test_json_in_a_pipe_is_ascii_whatever_a_source_says() -> None:
    def rename(path: str, data: Any) -> None:
        if path.startswith("/allocation"):
            for row in (row for step in data for row in step.values()):
                if row["properties"].get("namespace") == "shop":
                    row["properties"]["namespace"] = "läden\x1b[31m"

    with Served(recorded_but(rename)) as server:
        done = call("costs", "--url", server.url, *DAY, "--by", "namespace", "--format", "json")
        table = call("costs", "--url", server.url, *DAY, "--by", "namespace").out
    assert done.out.isascii()
    assert "läden\x1b[31m" in [row["namespace"] for row in done.json["breakdown_by_namespace"]]
    assert re.search(r"^läden \[31m +\d", table, re.MULTILINE)


def test_adjacent_days_add_up_to_the_whole(replay: ReplayServer, bodies: dict[str, dict[str, Body]]) -> None:
    days = [("--start", f"2026-11-{day}", "--end", f"2026-11-{day + 1}") for day in (20, 21, 22)]
    summaries = [costs(replay.url_of("draco"), window=day)["summary"] for day in days]
    for key in SEVEN | PARTS:
        assert is_money(
            sum((exact(one[key]) for one in summaries), Decimal(0)), bodies["draco"]["summary"]["summary"][key]
        )
    assert WHOLE[1::2] == ("2026-11-20", "2026-11-23")
