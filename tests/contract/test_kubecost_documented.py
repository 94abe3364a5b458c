"""Kubecost as its documentation describes it: **from documentation, not recorded**.

The shapes are those of the Kubecost APIs' documentation (allocation, assets, savings) and of the design note's own
sample; they are built here and served over a real socket.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from threading import Event
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.allocation import Kind
from kubetally.domain.cluster_choice import ClusterNotThere
from kubetally.domain.component import Component
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.question.cost_question import DetailLevel
from kubetally.domain.report import ClusterReport
from kubetally.domain.row import Cause
from kubetally.domain.status import Status
from kubetally.domain.window import Window, parse_window
from kubetally.ledger.ports.clusters import Cluster
from kubetally.present.answer import answer
from kubetally.settings import Settings
from kubetally.sources.faults import Answer
from kubetally.sources.opencost.allocations import read_allocations
from kubetally.sources.opencost.notes import Notes
from kubetally.sources.opencost.wire import AllocationRow, decode_allocations
from kubetally.wiring.clusters import get_cluster_costs
from tests.errors import raises_code
from tests.served import NOON_AFTER, NOT_FOUND, Asked, FixedClock, Reply, Served

Json = dict[str, Any]
HASTY = Settings(attempts=1, deadline_seconds=20)
DAY = parse_window("2026-11-20,2026-11-21", NOON_AFTER)
AS_BOOKED = [
    ("aggregate", "cluster,node,namespace,pod,container"),
    ("includeIdle", "true"),
    ("idle", "true"),
    ("splitIdle", "true"),
    ("shareTenancyCosts", "false"),
    ("reconcile", "true"),
    ("external", "false"),
]
CATEGORIES: Json = {
    "requestSizing": {"state": "ready", "value": 44.31},
    "clusterSizing": {"state": "ready", "value": 63.07},
    "localDisks": {"state": "pending", "value": 52.14},
}
VERSION_3: Json = {
    "cluster": "one",
    "profile": "production",
    "containerRequestSizing": {"savingsPerMonth": 44.31, "lastRefresh": "2026-11-20T10:00:00Z"},
    "nodeGroupSizing": {"savingsPerMonth": 63.07, "lastRefresh": "2026-11-20T10:00:00Z"},
}


def span(window: Window) -> Json:
    start, _, end = str(window).partition(",")
    return {"window": {"start": start, "end": end}, "start": start, "end": end, "minutes": window.hours * 60}


def pod(window: Window = DAY, cluster: str = "one", **figures: Any) -> Json:
    return {
        "properties": {
            "cluster": cluster,
            "node": "node-1",
            "namespace": "shop",
            "controllerKind": "deployment",
            "controller": "web",
            "pod": "web-1",
            "container": "app",
        },
        **span(window),
        "cpuCost": 10.0,
        "cpuCostAdjustment": -1.0,
        "ramCost": 5.0,
        "ramCostAdjustment": -0.5,
        "pvCost": 2.0,
        "pvs": {f"cluster={cluster}:name=pvc-1": {"byteHours": 1.0, "cost": 2.0, "providerID": "vol-1"}},
        "loadBalancerCost": 0.6,
        "lbAllocations": {f"{cluster}/shop/web": {"service": "shop/web", "cost": 0.6, "private": False}},
        "networkCost": 1.5,
        "networkInternetCost": 1.0,
        "networkCrossZoneCost": 0.5,
        "cpuCoreRequestAverage": 2.0,
        "cpuCoreUsageAverage": 1.0,
        "ramByteRequestAverage": 2.0e9,
        "ramByteUsageAverage": 1.0e9,
        "rawAllocationOnly": {"cpuCoreUsageMax": 1.5, "ramByteUsageMax": 2.0},
        "totalCost": 17.6,
        **figures,
    }


def idle(window: Window = DAY, cluster: str = "one", **figures: Any) -> Json:
    costs = {"cpuCost": 8.0, "cpuCostAdjustment": -0.8, "ramCost": 4.0, "ramCostAdjustment": -0.4, "totalCost": 10.8}
    return {"properties": {"cluster": cluster}, **span(window), **costs, **figures}


def rows(window: Window = DAY, cluster: str = "one", **figures: Any) -> Json:
    """One set: a container, and the idle row of its cluster (splitIdle)."""
    found = {
        f"{cluster}/node-1/shop/web-1/app": pod(window, cluster, **figures),
        f"{cluster}/__idle__": idle(window, cluster),
    }
    return {name: {"name": name, **row} for name, row in found.items()}


def assets(window: Window = DAY, cluster: str = "one") -> list[Json]:
    """A day's assets of all seven types, as a list with one object per day."""

    def asset(kind: str, name: str, total: float, **more: Any) -> Json:
        about = {"cluster": cluster, "name": name, "providerID": f"id-of-{name}", "provider": "AWS"}
        return {"type": kind, "properties": about, **span(window), "totalCost": total, **more}

    found = [
        asset(
            "Node", "node-1", 24.3, nodeType="m6i.large", cpuCost=24.0, ramCost=12.0, gpuCost=0.0, discount=0.25,
            adjustment=-2.7, GPUHours=0.0, overhead={"CpuOverheadFraction": 0.1},
            cpuBreakdown={"idle": 0.5, "other": 0, "system": 0.1, "user": 0.4},
        ),
        asset("Disk", "node-1", 0.8, storageClass="__local__", adjustment=0.0),
        asset("Disk", "vol-1", 2.0, storageClass="gp3", volumeName="pvc-1", claimName="data", adjustment=0.1),
        asset("LoadBalancer", "shop/web", 0.6, private=False, ip="203.0.113.7", adjustment=0.0),
        asset("Network", "node-1", 1.8, adjustment=0.0),
        asset("ClusterManagement", "", 2.4),
        asset("Cloud", "bucket", 99.0, credit=-1.0),
        asset("Shared", "support", 77.0),
    ]  # fmt: skip
    kinds = ((asset["type"], asset["properties"]["name"], asset.get("storageClass", "")) for asset in found)
    return [{"AWS/__undefined__/" + "/".join(kind): asset for kind, asset in zip(kinds, found, strict=True)}]


@dataclass(frozen=True)
class Kubecost:
    """A Kubecost of documented shapes behind its `/model` prefix."""

    version: str = "2.8.0"
    sets: Callable[[Asked], Any] = lambda _: [rows()]
    assets: Callable[[Asked], Any] = lambda _: assets()
    savings: Any = field(default_factory=lambda: {"code": 200, "data": CATEGORIES})
    currency: str | None = "USD"
    clusters: tuple[str, ...] = ("one",)

    def __call__(self, asked: Asked) -> Any:
        if asked.path == "/model/savings":
            return self.savings
        data = {
            "/model/allocation": self.sets,
            "/model/assets": self.assets,
            "/model/getConfigs": lambda _: {"currencyCode": self.currency, "discount": "25%"},
            "/model/clusterInfo": lambda _: {"id": self.clusters[0], "name": "production", "provider": "AWS"},
            "/model/clusterInfoMap": lambda _: {id_: {"id": id_, "name": id_.title()} for id_ in self.clusters},
        }.get(asked.path)
        if asked.path == "/model/installInfo":
            return {"version": self.version, "clusterInfo": {"nodeCount": "1"}}
        return NOT_FOUND if data is None else {"code": 200, "data": data(asked)}


async def ask(url: str, window: Window = DAY, settings: Settings = HASTY, **cluster: Any) -> ClusterReport:
    return await get_cluster_costs(Cluster(url, **cluster), window, settings=settings, clock=FixedClock())


async def costs_of(kubecost: Kubecost, window: Window = DAY, **cluster: Any) -> ClusterReport:
    with Served(kubecost) as source:
        return await ask(source.url, window, **cluster)


def of_kind(costs: ClusterReport, kind: IssueKind) -> list[Issue]:
    return [issue for issue in costs.issues if issue.kind is kind]


def units(costs: ClusterReport) -> dict[Component, float]:
    return {component: costs.bill.of(component) / 1e6 for component in Component}


async def test_documented_day_is_booked_with_its_whole_bill() -> None:
    costs = await costs_of(Kubecost())
    assert units(costs) == {
        Component.CPU: 16.2,  # 24 less the discount of a quarter, and less its part of the adjustment
        Component.RAM: 8.1,
        Component.GPU: 0,
        Component.PV: 2.0,
        Component.NODE_DISK: 0.8,
        Component.LOAD_BALANCER: 0.6,
        Component.NETWORK: 1.8,
        Component.MANAGEMENT: 2.4,
        Component.SHARED: 0,
        Component.EXTERNAL: 0,
    }
    assert (costs.status, costs.assets_complete, costs.not_measured) == (Status.OK, True, frozenset())
    assert costs.issues == ()
    lines = {line.kind: line for line in costs.lines}
    assert lines[Kind.IDLE].costs.total == 10_800_000
    assert lines[Kind.OVERHEAD].costs.total == 3_200_000
    assert [(cause, part.total) for cause, part in lines[Kind.DIFFERENCE].causes] == [
        (Cause.NETWORK_ASSET_DIFFERS, 300_000)
    ]
    (namespace,) = costs.by("namespace")
    assert (namespace.key, namespace.costs.total) == (("shop",), 17_600_000)
    assert namespace.efficiency.cpu == 0.5
    assert costs.network_classes == (1_200_000, 0, 600_000), "the classes are split to the network asset"


async def test_request_asks_exactly_what_a_booking_needs() -> None:
    with Served(Kubecost()) as source:
        await ask(source.url)
    asked = {request.path: list(request.pairs) for request in source.asked if request.path.startswith("/model/a")}
    assert asked == {
        "/model/allocation": [("window", str(DAY)), *AS_BOOKED],
        "/model/assets": [("window", str(DAY))],
    }


async def test_a_chosen_cluster_is_filtered_for_in_both_grammars() -> None:
    with Served(Kubecost(clusters=("one", "two"))) as source:
        await ask(source.url, cluster_id="one")
    asked = {request.path: list(request.pairs) for request in source.asked if request.path.startswith("/model/a")}
    chosen = [("filter", 'cluster:"one"'), ("filterClusters", "one")]
    assert asked["/model/allocation"] == [("window", str(DAY)), *AS_BOOKED, *chosen]
    assert asked["/model/assets"] == [("window", str(DAY)), ("filterClusters", "one")]


async def test_the_prefix_may_be_in_the_url_or_not() -> None:
    with Served(Kubecost()) as source:
        found = await ask(source.url)
        tried = len(source.asked)
        told = await ask(source.url + "/model")
    assert found.bill == told.bill
    assert all(request.path.startswith("/model/") for request in source.asked[tried:])


@pytest.mark.parametrize(
    ("version", "savings"),
    [
        ("1.108.1", CATEGORIES),
        ("2.8.0", {"development": {"requestSizing": {"state": "ready", "value": 999.0}}, "production": CATEGORIES}),
        ("3.0.4", VERSION_3),
    ],
)
async def test_every_kubecost_generation_is_recognised_with_savings(version: str, savings: Json) -> None:
    body = answer(
        await costs_of(Kubecost(version=version, savings={"code": 200, "data": savings})), DetailLevel.NAMESPACE
    )
    assert (body["source"]["product"], body["source"]["version"]) == ("Kubecost", version)
    assert body["potential_savings"] == pytest.approx(107.38)
    assert body["potential_savings_period"] == "month"
    assert body["potential_savings_in_window"] == pytest.approx(107.38 * 24 / 730, abs=1e-6)
    assert [item for item in body["savings_recommendations"].values() if not item["counted"]] == (
        [] if version.startswith("3") else [{"savings_per_month": 52.14, "state": "pending", "counted": False}]
    )


@pytest.mark.parametrize(
    "savings",
    [
        Reply(500, b'{"code":500,"message":"savings are not computed yet"}'),
        Reply(200, b""),
        {"code": 200, "data": ["something", "else"]},
        {"code": 200, "data": {"development": CATEGORIES}},
    ],
)
async def test_savings_that_fail_leave_the_costs_and_are_listed(savings: Any) -> None:
    costs, whole = await costs_of(Kubecost(savings=savings)), await costs_of(Kubecost())
    body = answer(costs, DetailLevel.SUMMARY)
    assert costs.bill == whole.bill
    assert body["status"] == "partial"
    assert body["potential_savings"] is None
    assert "savings_recommendations" not in body
    assert [error["subject"] for error in body["errors"]] == ["savings"]
    assert body["source"]["product"] == "Kubecost"


async def test_savings_that_hang_do_not_take_the_costs_with_them() -> None:
    asked_for_savings: list[Asked] = []
    kubecost, released = Kubecost(), Event()

    def hangs(asked: Asked) -> Any:
        if asked.path.endswith("/savings"):
            asked_for_savings.append(asked)
            released.wait()
        return kubecost(asked)

    try:
        with Served(hangs) as source:
            costs = await ask(source.url, settings=Settings(attempts=1, deadline_seconds=2))
    finally:
        released.set()
    assert asked_for_savings
    assert costs.bill.cpu == 16_200_000
    assert costs.status is Status.PARTIAL
    assert [issue.subject for issue in of_kind(costs, IssueKind.SOURCE_FAILED)] == ["savings"]


async def test_hourly_sets_of_recent_days_add_up_to_the_day() -> None:
    hours = hours_of(DAY)
    costs = await costs_of(Kubecost(sets=lambda _: [rows(hour) for hour in hours], assets=lambda _: assets()))
    assert costs.coverage.hours_covered == 24
    (namespace,) = costs.by("namespace")
    assert namespace.costs.cpu == 24 * 9_000_000
    assert namespace.hours.cpu_core_usage_hours == pytest.approx(24)
    assert namespace.hours.cpu_core_request_hours == pytest.approx(48)
    lines = {line.kind: line.costs for line in costs.lines}
    assert lines[Kind.DIFFERENCE].cpu == costs.bill.cpu - 24 * (9_000_000 + 7_200_000)


def hours_of(day: Window) -> list[Window]:
    date = str(day)[:10]
    ends = [f"{date}T{hour:02}:00:00Z" for hour in range(24)] + [str(day).partition(",")[2]]
    return [parse_window(f"{start},{end}", NOON_AFTER) for start, end in pairwise(ends)]


async def test_step_longer_than_requested_is_prorated_with_an_issue() -> None:
    morning = parse_window("2026-11-20T00:00:00Z,2026-11-20T06:00:00Z", NOON_AFTER)
    costs = await costs_of(Kubecost(), morning)
    (issue,) = of_kind(costs, IssueKind.SET_PRORATED)
    assert issue.facts["rows"] == 2
    assert costs.bill.cpu == 16_200_000 // 4
    assert costs.bill.network == 1_500_000 // 4
    assert (costs.coverage.hours_asked, costs.coverage.hours_covered) == (6, 6)
    # Assets are kept by the day: of a part of it they are no bill.
    assert not costs.assets_complete
    assert of_kind(costs, IssueKind.NOT_AUDITED)


async def test_sets_of_neighbouring_days_are_left_out() -> None:
    before = parse_window("2026-11-19,2026-11-20", NOON_AFTER)
    costs, whole = await costs_of(Kubecost(sets=lambda _: [rows(before), rows()])), await costs_of(Kubecost())
    assert costs.bill == whole.bill
    assert costs.by("namespace") == whole.by("namespace")


async def test_row_of_a_longer_step_counts_for_its_time_inside() -> None:
    """The set of a running day ends at midnight; all its costs arose until now."""
    asked = parse_window("2026-11-20T00:00:00Z,2026-11-20T10:00:00Z", NOON_AFTER)
    lived = {key: value for key, value in span(asked).items() if key != "window"}
    sets = [{name: {**row, **lived} for name, row in rows().items()}]
    costs = await costs_of(Kubecost(sets=lambda _: sets), asked)
    assert costs.bill.cpu == 16_200_000
    assert costs.coverage.hours_covered == 10
    early = parse_window("2026-11-20T00:00:00Z,2026-11-20T05:00:00Z", NOON_AFTER)
    late = parse_window("2026-11-20T05:00:00Z,2026-11-20T10:00:00Z", NOON_AFTER)
    parts = [await costs_of(Kubecost(sets=lambda _: sets), part) for part in (early, late)]
    assert sum(part.bill.cpu for part in parts) == 16_200_000
    assert parts[0].bill.cpu == parts[1].bill.cpu


async def test_assets_of_neighbouring_days_are_left_out() -> None:
    before = parse_window("2026-11-19,2026-11-20", NOON_AFTER)
    costs = await costs_of(Kubecost(assets=lambda _: [*assets(before), *assets()]))
    whole = await costs_of(Kubecost())
    assert costs.bill == whole.bill
    assert costs.assets_complete


async def test_assets_of_half_a_day_do_not_bill_a_whole_day() -> None:
    morning = parse_window("2026-11-20T00:00:00Z,2026-11-20T12:00:00Z", NOON_AFTER)
    costs = await costs_of(Kubecost(assets=lambda _: assets(morning)))
    assert not costs.assets_complete
    assert of_kind(costs, IssueKind.NOT_AUDITED)
    assert costs.bill.cpu == 16_200_000, "the sum of the rows"


async def test_asset_without_cluster_belongs_to_the_only_cluster() -> None:
    def nameless(_: Asked) -> Any:
        found = assets()
        for asset in found[0].values():
            if asset["type"] == "ClusterManagement":
                del asset["properties"]["cluster"]
        return found

    whole = await costs_of(Kubecost())
    alone = await costs_of(Kubecost(assets=nameless), cluster_id="one")
    assert alone.bill == whole.bill
    two = Kubecost(
        sets=lambda _: [{**rows(), **rows(cluster="two")}],
        assets=lambda asked: [
            nameless(asked)[0] | {f"two/{key}": asset for key, asset in assets(cluster="two")[0].items()}
        ],
    )
    among_two = await costs_of(two, cluster_id="one")
    assert of_kind(among_two, IssueKind.ROW_WITHOUT_CLUSTER)
    assert among_two.status is Status.PARTIAL


async def test_equal_rows_without_a_pod_all_count() -> None:
    podless = {"properties": {"cluster": "one", "node": "node-1", "namespace": "shop"}}
    sets = [{name: {"name": name, **pod(), **podless} for name in ("shop/a", "shop/b", "shop/c")}]
    costs = await costs_of(Kubecost(sets=lambda _: sets, assets=lambda _: NOT_FOUND.body.decode()))
    assert costs.bill.cpu == 3 * 9_000_000
    assert not of_kind(costs, IssueKind.DUPLICATE_ROWS)


@pytest.mark.parametrize(
    ("savings", "product"),
    [
        (Reply(429, b"slow down"), None),
        (Reply(200, b'{"code":200,"data":{"clusterSi'), None),
        (Reply(403, b"not for you"), "OpenCost"),
        (NOT_FOUND, "OpenCost"),
    ],
)
async def test_unread_savings_leave_the_product_unknown(savings: Reply, product: str | None) -> None:
    kubecost = Kubecost(savings=savings)

    def no_configuration(asked: Asked) -> Any:
        return NOT_FOUND if asked.path == "/model/getConfigs" else kubecost(asked)

    with Served(no_configuration) as source:
        costs = await ask(source.url)
    assert costs.source.product == product
    failed = [issue.subject for issue in of_kind(costs, IssueKind.SOURCE_FAILED)]
    assert failed == ([] if savings is NOT_FOUND else ["savings"])


async def test_idle_rows_of_each_node_are_idle() -> None:
    def by_node(_: Asked) -> list[Json]:
        found = rows()
        del found["one/__idle__"]
        for node, part in (("node-1", 0.25), ("node-2", 0.75)):
            name = f"one/{node}/__idle__"
            found[name] = {"name": name, **idle(cpuCost=7.2 * part, cpuCostAdjustment=0)}
        return [found]

    costs = await costs_of(Kubecost(sets=by_node))
    assert {line.kind: line.costs for line in costs.lines}[Kind.IDLE].cpu == 7_200_000


async def test_shared_cost_is_not_billed_twice() -> None:
    shared = Kubecost(sets=lambda _: [rows(sharedCost=3.2, totalCost=20.8)])
    costs, whole = await costs_of(shared), await costs_of(Kubecost())
    assert costs.bill == whole.bill
    (namespace,) = costs.by("namespace")
    assert namespace.costs.shared == 3_200_000
    lines = {line.kind: line.costs for line in costs.lines}
    assert lines[Kind.OVERHEAD].shared == -3_200_000
    assert lines[Kind.DIFFERENCE].shared == 0


async def test_a_cost_under_an_unknown_key_is_external_and_named() -> None:
    def with_a_gateway(_: Asked) -> list[Json]:
        found = rows(natGatewayCost=4.0, totalCost=21.6)
        unknown = {"name": "one/a", **pod(cpuCost=None, cpuCostAdjustment=0, totalCost=None)}
        unknown["properties"] = {**unknown["properties"], "pod": "a"}
        return [{"one/a": unknown, **found}]  # what is unknown of one row says nothing of another

    costs = await costs_of(Kubecost(sets=with_a_gateway))
    assert costs.bill.external == 4_000_000
    (issue,) = of_kind(costs, IssueKind.UNKNOWN_COST)
    assert issue.facts["keys"] == ("natGatewayCost",)
    assert "natGatewayCost" in issue.message
    assert of_kind(costs, IssueKind.FIGURE_MISSING)


async def test_each_of_several_clusters_is_chosen_with_its_figures() -> None:
    def both(_: Asked) -> list[Json]:
        return [rows() | rows(cluster="two", cpuCost=4.0, totalCost=11.6)]

    kubecost = Kubecost(sets=both, assets=lambda _: assets() + assets(cluster="two"), clusters=("one", "two"))
    with raises_code("several_clusters") as caught:
        await costs_of(kubecost)
    assert "one, two" in str(caught.value)
    one, two = await costs_of(kubecost, cluster_id="one"), await costs_of(kubecost, cluster_id="two")
    assert one.bill == two.bill == (await costs_of(Kubecost())).bill
    assert [group.costs.cpu for group in two.by("namespace")] == [3_000_000]
    assert (two.source.cluster_id, two.source.cluster_name) == ("two", "Two")


async def test_mistyped_cluster_differs_from_one_without_data() -> None:
    def filtered(asked: Asked) -> list[Any]:
        return [rows()] if asked.params.get("filterClusters") == "one" else [None]

    kubecost = Kubecost(sets=filtered, assets=lambda _: [], clusters=("one", "two"))
    with pytest.raises(ClusterNotThere) as caught:
        await costs_of(kubecost, cluster_id="onne")
    assert "one, two" in str(caught.value)
    assert (await costs_of(kubecost, cluster_id="two")).status is Status.NO_DATA


async def test_currency_is_the_configured_one() -> None:
    assert (await costs_of(Kubecost(currency="EUR"))).currency == "EUR"
    assert (await costs_of(replace(Kubecost(), currency=None))).currency == "USD"


# The sample of the design note, as it stands there: with comments, placeholders and commas before a brace.
NOTE_SAMPLE = """
{
  "code": 200,
  "data": [
    {
      "namespace-name": {
        "name": "namespace-name",
        "properties": {
          "namespace": "namespace-name",
          "labels": { ... },
          "namespaceLabels": { ... }
        },
        "window": {
          "start": "2025-10-07T00:00:00Z",
          "end": "2025-10-08T00:00:00Z"
        },
        "minutes": 1440,

        // CPU metrics
        "cpuCores": 0.32482,
        "cpuCoreRequestAverage": 0.25,
        "cpuCoreUsageAverage": 0.18,
        "cpuCoreHours": 7.79564,
        "cpuCost": 6.91764,
        "cpuEfficiency": 0.72,  // 72% efficiency

        // RAM metrics
        "ramBytes": 3124873293,
        "ramByteRequestAverage": 2684354560,  // 2.5GB
        "ramByteUsageAverage": 1879048192,    // 1.75GB
        "ramByteHours": 74996959039,
        "ramCost": 3.0041,
        "ramEfficiency": 0.70,  // 70% efficiency

        // PV metrics
        "pvBytes": 10737418240,  // 10GB
        "pvByteHours": 257698037760,
        "pvCost": 1.72,
        "pvs": {
          "pvc-name": {
            "byteHours": 257698037760,
            "cost": 1.72,
            "providerID": "aws://...",
            "adjustment": 0
          }
        },

        // Network metrics
        "networkCost": 0.25,
        "networkTransferBytes": 1048576000,
        "networkReceiveBytes": 524288000,
        "networkCrossZoneCost": 0.05,
        "networkCrossRegionCost": 0.10,
        "networkInternetCost": 0.10,

        // Load balancer
        "loadBalancerCost": 0.62,

        // Aggregate
        "totalCost": 12.51,
        "totalEfficiency": 0.71,

        // Special allocations
        "sharedCost": 1.2,    // Shared cluster overhead
        "externalCost": 0.0   // External services
      },
      "__idle__": {
        "name": "__idle__",
        "cpuCost": 2.5,
        "ramCost": 1.8,
        "totalCost": 4.3,
        // ... idle capacity costs
      },
      "__unallocated__": {
        "name": "__unallocated__",
        "pvCost": 0.55,
        // ... unallocated PVs, orphaned resources
      }
    }
  ]
}
"""
NOTE_DAY = parse_window("2025-10-07,2025-10-08", NOON_AFTER)


def note_sample() -> Json:
    text = re.sub(r"(?m)(^|[\s,])//.*$", r"\1", NOTE_SAMPLE).replace("{ ... }", "{}")
    content: Json = json.loads(re.sub(r",(\s*})", r"\1", text))
    return content


def as_answer(content: Any) -> Answer:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Answer(200, body, "application/json", None, NOON_AFTER, 0.0, "http://kubecost:9090/model/allocation")


def test_sample_of_the_note_is_read_with_every_field() -> None:
    sample = note_sample()
    decoded, repaired = decode_allocations(as_answer(sample))
    assert not repaired
    assert isinstance(decoded.data, list)
    (step,) = decoded.data
    assert step is not None
    row = step["namespace-name"]
    assert row is not None
    told = msgspec.to_builtins(row)
    for key, value in sample["data"][0]["namespace-name"].items():
        if key not in {"properties", "pvs", "window"}:
            assert told[key] == value, key
    assert told["window"] == sample["data"][0]["namespace-name"]["window"]
    assert told["pvs"]["pvc-name"] == sample["data"][0]["namespace-name"]["pvs"]["pvc-name"]
    assert (told["properties"]["namespace"], told["properties"]["labels"]) == ("namespace-name", {})


def test_sample_of_the_note_has_idle_and_unallocated() -> None:
    notes = Notes("http://kubecost:9090", NOTE_DAY)
    read = read_allocations(decode_allocations(as_answer(note_sample()))[0], NOTE_DAY, notes, "http://kubecost:9090")
    by_kind = {(row.kind, row.namespace): row for row in read.allocations}
    assert read.covered == (NOTE_DAY,)
    assert by_kind[Kind.IDLE, None].costs.total == 4_300_000
    assert by_kind[Kind.WORKLOAD, None].costs.pv == 550_000
    namespace = by_kind[Kind.WORKLOAD, "namespace-name"]
    assert namespace.costs.total == 13_711_740, "its parts; the printed total of 12.51 leaves its shared cost out"
    assert [issue.kind for issue in notes.issues()] == [
        IssueKind.ROWS_TOO_COARSE,
        IssueKind.TOTAL_BELOW_PARTS,
    ]
    hours = namespace.hours
    assert hours.cpu_core_usage_hours / hours.cpu_core_request_hours == pytest.approx(0.72)
    assert hours.ram_byte_usage_hours / hours.ram_byte_request_hours == pytest.approx(0.70)
    assert namespace.network_classes == (100_000, 100_000, 50_000)


FIELDS = [field.encode_name for field in msgspec.structs.fields(AllocationRow)]
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


NEEDED = {"window", "cpuCost"}  # without a window, and without any cost, rows are not understood


@given(
    missing=st.sets(st.sampled_from([key for key in FIELDS if key not in NEEDED])),
    null=st.sets(st.sampled_from([key for key in FIELDS if key != "window"])),
    extra=st.dictionaries(st.text(max_size=12).filter(lambda key: key not in FIELDS), anything, max_size=5),
)
def test_fields_may_be_missing_null_or_unknown(missing: set[str], null: set[str], extra: Json) -> None:
    full = {"name": "one/node-1/shop/web-1/app", **pod()}
    row = {key: value for key, value in full.items() if key not in missing} | extra
    row |= dict.fromkeys(null - {"name"})
    notes = Notes("http://kubecost:9090", DAY)
    content = {"code": 200, "data": [{"one/node-1/shop/web-1/app": row}], "meta": extra}
    decoded, repaired = decode_allocations(as_answer(content))
    (read,) = read_allocations(decoded, DAY, notes, "http://kubecost:9090").allocations
    assert not repaired
    assert read.kind is Kind.WORKLOAD
    assert read.step == DAY
    missing_figures = [issue for issue in notes.issues() if issue.kind is IssueKind.FIGURE_MISSING]
    costs = {"cpuCost", "ramCost", "gpuCost", "pvCost", "loadBalancerCost", "networkCost", "sharedCost", "externalCost"}
    told = {key for issue in missing_figures for key in issue.facts["figures"] if key.endswith("Cost")}
    traces = {"loadBalancerCost": {"lbAllocations"}, "networkCost": {"networkInternetCost", "networkCrossZoneCost"}}
    never_zero = {"ramCost", "pvCost", *(key for key, traced in traces.items() if traced - missing - null)}
    assert told == (null & costs) | (never_zero & (missing - null)), "neither null nor absent is zero"
