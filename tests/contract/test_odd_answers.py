"""Answers that are well-formed and odd: unknown stays unknown, errors are reported, and the rest is right."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from kubetally.domain.allocation import Kind
from kubetally.domain.component import Component
from kubetally.domain.errors import SourceError
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.question.cost_question import WORKLOAD
from kubetally.domain.report import ClusterReport
from kubetally.domain.row import Cause
from kubetally.domain.status import Status
from kubetally.present.answer import answer
from kubetally.sources.faults import AnswerNotUnderstood, SourceFailed, SourceRefused
from tests.plain_cluster import DB, DISK, IDLE, LOCAL, NODE, WEB, Json, bodies, container, costs_of, rows, span
from tests.served import Asked, Reply

CPU_USAGE, RAM_USAGE = "cpuCoreUsageAverage", "ramByteUsageAverage"
CPU_REQUEST, RAM_REQUEST = "cpuCoreRequestAverage", "ramByteRequestAverage"


def of_kind(costs: ClusterReport, kind: IssueKind) -> list[Issue]:
    return [issue for issue in costs.issues if issue.kind is kind]


def ratios(costs: ClusterReport) -> dict[str | None, tuple[float | None, float | None]]:
    """CPU and RAM efficiency in percent by namespace; None is the cluster."""

    def percent(ratio: float | None) -> float | None:
        return None if ratio is None else round(ratio * 100)

    groups = {None: costs.efficiency, **{group.key[0]: group.efficiency for group in costs.by("namespace")}}
    return {name: (percent(found.cpu), percent(found.ram)) for name, found in groups.items()}


async def test_plain_day_is_complete() -> None:
    costs = await costs_of(bodies())
    assert (costs.status, costs.assets_complete, costs.issues[1:]) == (Status.OK, True, ())
    assert costs.bill.total == 3_950_000
    assert {group.key[0]: group.costs.total for group in costs.by("namespace")} == {
        "shop": 1_500_000,
        "data": 1_000_000,
    }
    assert ratios(costs) == {None: (60, 50), "shop": (50, 50), "data": (80, 50)}


@pytest.mark.parametrize("is_absent", [False, True], ids=["null", "absent"])
@pytest.mark.parametrize(
    ("keys", "shop", "cluster"),
    [
        ((CPU_USAGE, RAM_USAGE), (None, None), (80, 50)),
        ((CPU_REQUEST, RAM_REQUEST), (None, None), (80, 50)),
        ((CPU_USAGE,), (None, 50), (80, 50)),
        ((RAM_REQUEST,), (50, None), (60, 50)),
        ((CPU_REQUEST, CPU_USAGE), (None, 50), (80, 50)),
    ],
)
async def test_unknown_usage_or_request_is_not_zero(
    keys: tuple[str, ...], shop: tuple[int | None, int | None], cluster: tuple[int, int], *, is_absent: bool
) -> None:
    def unknown(rows: Any, _: Any) -> None:
        for key in keys:
            del rows[WEB][key]
            rows[WEB].update({} if is_absent else {key: None})

    costs = await costs_of(bodies(unknown))
    assert ratios(costs) == {None: cluster, "shop": shop, "data": (80, 50)}
    (issue,) = of_kind(costs, IssueKind.FIGURE_MISSING)
    assert issue.facts["figures"] == tuple(sorted(keys))
    assert costs.bill.total == 3_950_000
    assert costs.status is Status.PARTIAL
    (namespace,) = [error for error in answer(costs, None)["errors"] if error["kind"] == "figure_missing"]
    assert all(key in namespace["message"] for key in keys)


async def test_efficiency_is_unknown_if_usage_of_all_rows_is() -> None:
    def unknown(rows: Any, _: Any) -> None:
        for name in (WEB, DB):
            rows[name] |= {CPU_USAGE: None, RAM_USAGE: None}

    costs = await costs_of(bodies(unknown))
    assert ratios(costs) == dict.fromkeys((None, "shop", "data"), (None, None))
    assert costs.efficiency.total is None


async def test_container_of_unknown_usage_makes_its_pod_unknown() -> None:
    """The sidecar's request must not be compared with the usage of the main container alone."""

    def sidecar(rows: Any, _: Any) -> None:
        row = rows[WEB]
        about = row["properties"] | {"container": "sidecar"}
        name = WEB.replace("main", "sidecar")
        rows[name] = row | {"name": name, "properties": about, CPU_USAGE: None, "cpuCost": 0, "ramCost": 0}

    costs = await costs_of(bodies(sidecar))
    assert ratios(costs) == {None: (80, 50), "shop": (None, 50), "data": (80, 50)}


async def test_usage_of_exactly_zero_is_known() -> None:
    """Host processes of Windows report it."""

    def nothing_used(rows: Any, _: Any) -> None:
        rows[WEB] |= {CPU_USAGE: 0, RAM_USAGE: 0}

    costs = await costs_of(bodies(nothing_used))
    assert ratios(costs) == {None: (27, 25), "shop": (0, 0), "data": (80, 50)}
    assert not of_kind(costs, IssueKind.FIGURE_MISSING)


FINEST = "cluster,node,namespace,pod,container"


def merged(name: str, about: dict[str, str], *of: Json) -> dict[str, Json]:
    """One row as a source merges several: sums of all figures, properties that all share."""
    keys = {key for row in of for key, figure in row.items() if isinstance(figure, float)} - {"minutes"}
    figures = {key: sum(row.get(key, 0.0) for row in of) for key in keys}
    return {name: {"name": name, "properties": about, **span(), **figures}}


def by_namespace(fine: dict[str, Json]) -> dict[str, Json]:
    """A Kubecost from 2.5 on, without an aggregate."""
    return {
        **merged("shop", {"namespace": "shop"}, fine[WEB]),
        **merged("data", {"namespace": "data"}, fine[DB]),
        IDLE: fine[IDLE] | {"properties": {}},
    }


def in_one_row(fine: dict[str, Json]) -> dict[str, Json]:
    """A Kubecost 1.103, without an aggregate."""
    return merged("", {"cluster": "plain"}, *fine.values())


@pytest.mark.parametrize("unasked", [by_namespace, in_one_row])
async def test_source_is_asked_for_a_row_of_each_container(unasked: Callable[[Any], Any]) -> None:
    def answer_as_asked(asked: Asked) -> Json:
        fine = asked.params.get("aggregate") == FINEST
        return {"code": 200, "data": [rows() if fine else unasked(rows())]}

    costs = await costs_of(bodies() | {"/allocation": answer_as_asked})
    assert [row.key for row in costs.by(*WORKLOAD)] == [
        ("shop", "deployment", "web"),
        ("data", "deployment", "db"),
    ]
    assert {line.kind: line.costs.total for line in costs.lines}[Kind.IDLE] == 1_400_000
    assert not of_kind(costs, IssueKind.ROWS_TOO_COARSE)


@pytest.mark.parametrize(
    ("coarse", "words", "count"),
    [
        (by_namespace, "by namespace", 2),
        (in_one_row, "by cluster", 1),
        (lambda fine: merged("", {}, *fine.values()), "in one row", 1),
        (lambda fine: merged("a", {"cluster": "plain", "namespace": "a", "pod": "p"}, *fine.values()), "pod", 1),
        (lambda fine: {"all": {**span(), "cpuCost": 2.4, "ramCost": 1.3, "pvCost": 0.2}}, "in one row", 1),
    ],
)
async def test_rows_coarser_than_containers_are_reported(coarse: Callable[[Any], Any], words: str, count: int) -> None:
    costs = await costs_of(bodies() | {"/allocation": {"code": 200, "data": [coarse(rows())]}})
    (issue,) = of_kind(costs, IssueKind.ROWS_TOO_COARSE)
    assert words in issue.message
    assert issue.facts["rows"] == count
    assert costs.bill.total == 3_950_000
    assert not of_kind(costs, IssueKind.ROWS_MERGED_BY_SOURCE)


FAILURES = {
    "a gateway's": {"success": False, "log": "subjectaccessreviews is forbidden: user may not"},
    "message alone": {"message": "Unauthorized"},
    "error alone": {"error": "login_required"},
    "error object": {"error": {"code": "NotAllowed", "message": "quota exceeded"}},
    "errors": {"errors": [{"message": "no such field"}]},
    "status and message": {"status": "error", "message": "query timed out"},
    "status beside null data": {"status": "error", "data": None, "message": "query timed out"},
    "failure beside empty data": {"success": False, "data": [], "message": "try later"},
    "failure beside data": {"code": 200, "error": "half of it is lost", "data": [rows()]},
    "code as a word": {"code": "UNAUTHENTICATED", "message": "token expired"},
    "number as status": {"status": 401, "message": "token expired"},
    "empty": {},
    "data under another name": {"code": 200, "result": [rows()]},
    "a job": Reply(202, b'{"jobId": "a1b2", "data": []}'),
    "a job without body": Reply(202, b""),
    "text": "Unauthorized",
    "a list": ["Unauthorized"],
}
WORDS = ["forbidden", "Unauthorized", "login_required", "quota exceeded", "no such field", "timed out", "try later"]


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
async def test_failure_object_is_not_an_empty_answer(failure: Any) -> None:
    with pytest.raises(AnswerNotUnderstood) as caught:
        await costs_of(bodies() | {"/allocation": failure})
    own = [word for word in WORDS if word in str(failure)]
    assert all(word in str(caught.value) for word in own), "it is told in its own words"


@pytest.mark.parametrize(
    ("code", "error"), [(500, SourceFailed), (503, SourceFailed), (401, SourceRefused), (404, SourceRefused)]
)
async def test_code_in_a_body_counts_as_a_status(code: int, error: type[SourceError]) -> None:
    body = {"code": code, "status": "", "data": None, "message": "boom in prometheus"}
    with pytest.raises(error, match="boom in prometheus"):
        await costs_of(bodies() | {"/allocation": body})


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
async def test_assets_that_are_a_failure_are_missing(failure: Any) -> None:
    costs = await costs_of(bodies() | {"/assets": failure})
    (issue,) = of_kind(costs, IssueKind.SOURCE_FAILED)
    assert (issue.subject, issue.facts["code"]) == ("assets", "answer_not_understood")
    assert (costs.status, costs.assets_complete) == (Status.PARTIAL, False)
    assert costs.bill.total == 3_900_000


@pytest.mark.parametrize("failure", [FAILURES["a gateway's"], FAILURES["message alone"], FAILURES["empty"]])
async def test_failure_leaves_the_product_unknown(failure: Any) -> None:
    paths = dict.fromkeys(("/clusterInfo", "/installInfo", "/clusterInfoMap", "/savings"), failure)
    costs = await costs_of(bodies() | paths)
    assert costs.source.product is None
    assert costs.bill.total == 3_950_000


async def test_currency_is_unknown_if_its_request_fails() -> None:
    costs = await costs_of(bodies() | {"/getConfigs": FAILURES["a gateway's"]})
    (issue,) = of_kind(costs, IssueKind.SOURCE_WARNING)
    assert (issue.subject, costs.currency) == ("currency", "USD")
    assert "forbidden" in issue.message


@pytest.mark.parametrize("nothing", [[], {}, None, [{}], [None]])
async def test_answer_with_data_may_say_that_it_is_empty(nothing: Any) -> None:
    costs = await costs_of(bodies() | {"/allocation": {"code": 200, "data": nothing}})
    assert costs.status is Status.NO_DATA


def renamed(of: Json) -> Json:
    """Another spelling of all keys except those of place and time."""
    kept = {"name", "properties", "window", "start", "end", "minutes"}
    return {key if key in kept else re.sub("[A-Z]", lambda big: "_" + big[0].lower(), key): of[key] for key in of}


@pytest.mark.parametrize(
    "change",
    [renamed, lambda row: {key: row[key] for key in row if "Cost" not in key}, lambda row: row | {"window": None}],
    ids=["figures under other keys", "no cost at all", "no window"],
)
async def test_rows_without_their_keys_are_not_understood(change: Callable[[Json], Json]) -> None:
    odd = {name: change(row) for name, row in rows().items()}
    with pytest.raises(AnswerNotUnderstood, match="answered with rows that have"):
        await costs_of(bodies() | {"/allocation": {"code": 200, "data": [odd]}})


@pytest.mark.parametrize(
    ("key", "component", "amount"),
    [("cpuCost", Component.CPU, 2_400_000), ("ramCost", Component.RAM, 1_300_000), ("pvCost", Component.PV, 200_000)],
)
async def test_cost_without_key_in_any_row_is_unknown(key: str, component: Component, amount: int) -> None:
    def without(rows: Any, _: Any) -> None:
        for row in rows.values():
            row["totalCost"] -= row.pop(key, 0)

    costs = await costs_of(bodies(without))
    (issue,) = of_kind(costs, IssueKind.FIGURE_MISSING)
    assert issue.facts["figures"] == (key,)
    assert (costs.bill.total, costs.status) == (3_950_000, Status.PARTIAL)
    (line,) = [line for line in costs.lines if line.kind is Kind.DIFFERENCE]
    assert [(cause, part.of(component)) for cause, part in line.causes] == [(Cause.FIGURE_MISSING, amount)]


@pytest.mark.parametrize(
    ("figures", "key"),
    [
        ({"gpuHours": 24.0}, "gpuCost"),
        ({"lbAllocations": {"plain/shop/web": {"service": "shop/web", "cost": 0.6}}}, "loadBalancerCost"),
        ({"networkInternetCost": 0.1}, "networkCost"),
    ],
)
async def test_cost_without_key_is_unknown_if_the_resource_is_used(figures: Json, key: str) -> None:
    costs = await costs_of(bodies(lambda rows, _: rows[WEB].update(figures)))
    (issue,) = of_kind(costs, IssueKind.FIGURE_MISSING)
    assert issue.facts["figures"] == (key,)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"warning": "2 of 24 hours have not been built yet", "message": "partial data"}, "built yet; partial data"),
        ({"warning": "ETL is behind"}, "ETL is behind"),
        ({"message": "1 cluster did not answer"}, "1 cluster did not answer"),
        ({"message": "OK", "warning": ""}, None),
        ({"message": "success", "status": "success", "error": None, "errors": [], "success": True}, None),
    ],
)
@pytest.mark.parametrize(("path", "subject"), [("/allocation", "allocations"), ("/assets", "assets")])
async def test_warning_beside_data_is_reported(said: Json, words: str | None, path: str, subject: str) -> None:
    whole = bodies()
    costs = await costs_of(whole | {path: whole[path] | said})
    found = of_kind(costs, IssueKind.SOURCE_WARNING)
    assert [issue.subject for issue in found] == ([subject] if words else [])
    assert all(words and words in issue.message for issue in found)
    assert (costs.bill.total, costs.status) == (3_950_000, Status.OK)


BY_ADDRESS = "10.9.8.7:10250"


def node_twice(**about: str) -> Callable[[Any, Any], None]:
    """The node a second time, under another name or id, with the idle that the source computes from it."""

    def change(rows: Any, assets: Any) -> None:
        assets["again"] = assets[NODE] | {"properties": assets[NODE]["properties"] | about}
        rows[IDLE] |= {"cpuCost": 3.3, "ramCost": 1.8, "totalCost": 5.1}

    return change


def node_by_address(rows: Any, assets: Any) -> None:
    """Rows and local disk have the node's address, its asset the host name; idle is the whole node."""
    for name in (WEB, DB):
        renamed = name.replace("node-a", BY_ADDRESS)
        rows[renamed] = rows.pop(name) | {"name": renamed}
        rows[renamed]["properties"]["node"] = BY_ADDRESS
    assets[LOCAL]["properties"] |= {"name": BY_ADDRESS, "providerID": BY_ADDRESS}
    rows[IDLE] |= {"cpuCost": 2.4, "ramCost": 1.3, "totalCost": 3.7}


@pytest.mark.parametrize(
    ("change", "left"),
    [
        (node_twice(name=BY_ADDRESS), -3_700_000),
        (node_twice(providerID="i-another"), -3_700_000),
        (node_twice(name="node-a.internal"), -3_700_000),
        (node_by_address, -2_300_000),
    ],
    ids=["two names", "two ids", "with a domain", "rows by address"],
)
async def test_machine_listed_twice_counts_once(change: Any, left: int) -> None:
    costs = await costs_of(bodies(change))
    assert costs.bill.total == 3_950_000
    assert costs.assets_complete
    assert of_kind(costs, IssueKind.MACHINE_TWICE)
    assert {group.key[0]: group.costs.total for group in costs.by("namespace")} == {
        "shop": 1_500_000,
        "data": 1_000_000,
    }
    (line,) = [line for line in costs.lines if line.kind is Kind.DIFFERENCE]
    assert [(cause, part.total) for cause, part in line.causes] == [(Cause.MACHINE_TWICE, left)]
    assert {row.nodes for row in costs.rows} == {("node-a",)}


async def test_unmatched_nodes_are_reported() -> None:
    def unmatched(rows: Any, assets: Any) -> None:
        node_by_address(rows, assets)
        assets[NODE]["properties"]["providerID"] = ""

    costs = await costs_of(bodies(unmatched))
    (issue,) = of_kind(costs, IssueKind.RESOURCE_WITHOUT_ASSET)
    assert "they count twice" in issue.message
    assert not costs.assets_complete


NAT = {"type": "NATGateway", "properties": {"cluster": "plain", "name": "nat-1"}, **span(), "totalCost": 12.5}


@pytest.mark.parametrize(
    ("asset", "words"),
    [
        (NAT, "1 asset of the unknown type NATGateway, for 12.50"),
        (NAT | {"totalCost": None}, "NATGateway, for an unknown amount"),
        (NAT | {"type": ""}, "no type, for 12.50"),
        (NAT | {"totalCost": 0}, "NATGateway, for 0.00"),
    ],
)
async def test_asset_of_unknown_type_is_named_with_its_amount(asset: Json, words: str) -> None:
    costs = await costs_of(bodies(lambda _, assets: assets.update(nat=asset)))
    (issue,) = of_kind(costs, IssueKind.UNKNOWN_ASSET)
    assert words in issue.message
    assert (costs.bill.total, costs.status, costs.assets_complete) == (3_950_000, Status.OK, False)


@pytest.mark.parametrize("asset", [NAT | {"type": "Cloud"}, NAT | {"type": "Shared"}, None])
async def test_assets_outside_of_the_cluster_are_ignored(asset: Any) -> None:
    costs = await costs_of(bodies(lambda _, assets: assets.update(nat=asset)))
    assert not of_kind(costs, IssueKind.UNKNOWN_ASSET)
    assert costs.assets_complete


async def test_unknown_asset_of_another_cluster_is_not_ours() -> None:
    other = NAT | {"properties": {"cluster": "other"}}
    costs = await costs_of(bodies(lambda _, assets: assets.update(nat=other)), cluster_id="plain")
    assert not of_kind(costs, IssueKind.UNKNOWN_ASSET)


async def test_unknown_asset_without_a_cluster_is_kept() -> None:
    homeless = NAT | {"properties": {"name": "nat-1"}}
    costs = await costs_of(bodies(lambda _, assets: assets.update(nat=homeless)), cluster_id="plain")
    (issue,) = of_kind(costs, IssueKind.UNKNOWN_ASSET)
    assert "for 12.50" in issue.message
    assert not costs.assets_complete


async def test_unknown_asset_of_a_longer_time_counts_in_part() -> None:
    two_days = NAT | {"window": {"start": "2026-11-20T00:00:00Z", "end": "2026-11-22T00:00:00Z"}}
    costs = await costs_of(bodies(lambda _, assets: assets.update(nat=two_days)))
    (issue,) = of_kind(costs, IssueKind.UNKNOWN_ASSET)
    assert "for 6.25" in issue.message


CRON = "plain/node-a/shop/cron-1/main"
BACKWARDS = {"minutes": -1380.0, "start": "2026-11-20T23:30:00Z", "end": "2026-11-20T00:30:00Z"}


def difference(costs: ClusterReport) -> list[tuple[Cause, int]]:
    (line,) = [line for line in costs.lines if line.kind is Kind.DIFFERENCE]
    return [(cause, part.total) for cause, part in line.causes]


def backwards(rows: Any, _: Any) -> None:
    """A job that ends before it starts, with the idle that the source computes from it."""
    job = container(CRON, 1.0, 0.1, -0.9, -0.4, cpuCoreHours=-23.0, ramByteHours=-2e10)
    rows[CRON] = job | BACKWARDS
    rows[IDLE] |= {"cpuCost": 1.8, "ramCost": 0.9, "totalCost": 2.7}


@pytest.mark.parametrize("has_assets", [True, False])
async def test_row_that_ends_before_its_start_harms_no_other(*, has_assets: bool) -> None:
    whole = bodies(backwards)
    costs = await costs_of(whole if has_assets else whole | {"/assets": {"code": 200, "data": {}}})
    shop = costs.by("namespace")[0]
    assert (shop.key, shop.costs.total) == (("shop",), 1_500_000)
    assert ratios(costs) == {None: (60, 50), "shop": (50, 50), "data": (80, 50)}
    assert costs.bill.total == (3_950_000 if has_assets else 3_900_000)
    assert costs.source_total == 3_900_000
    assert difference(costs) == [(Cause.NEGATIVE_FIGURE, -1_300_000)]
    (issue,) = of_kind(costs, IssueKind.NEGATIVE_FIGURE)
    assert CRON in issue.message
    assert not of_kind(costs, IssueKind.DUPLICATE_ROWS)


@pytest.mark.parametrize(
    "figures", [{"minutes": -5.0}, {"cpuCoreHours": -1.0}, {"ramByteUsageAverage": -1.0}, {"pvCost": -0.0000019}]
)
async def test_any_negative_figure_is_reported(figures: Json) -> None:
    costs = await costs_of(bodies(lambda rows, _: rows[WEB].update(figures)))
    assert of_kind(costs, IssueKind.NEGATIVE_FIGURE)
    assert ratios(costs)["shop"] == (None, None)
    assert costs.bill.total == 3_950_000


@pytest.mark.parametrize("figure", [1.7e308, 1e12, -1.7e308])
@pytest.mark.parametrize("key", ["cpuCost", "pvCost", "totalCost", "cpuCostAdjustment"])
async def test_cost_too_large_to_be_true_is_a_missing_figure(figure: float, key: str) -> None:
    costs = await costs_of(bodies(lambda rows, _: rows[WEB].update({key: figure})))
    found = [issue for issue in of_kind(costs, IssueKind.FIGURE_MISSING) if WEB in issue.message]
    assert found
    assert key in found[0].message
    assert (costs.bill.total, costs.status) == (3_950_000, Status.PARTIAL)
    assert answer(costs, None)["summary"]["total_cost"] == 3.95


@pytest.mark.parametrize("key", ["cpuCoreHours", "cpuCoreUsageAverage", "ramByteRequestAverage", "pvByteHours"])
async def test_hours_too_large_to_be_true_do_not_rate(key: str) -> None:
    costs = await costs_of(bodies(lambda rows, _: rows[WEB].update({key: 1.7e308})))
    assert ratios(costs) == {None: (80, 50), "shop": (None, None), "data": (80, 50)}


@pytest.mark.parametrize("key", ["totalCost", "cpuCost", "gpuCost"])
async def test_asset_too_large_to_be_true_is_a_missing_figure(key: str) -> None:
    costs = await costs_of(bodies(lambda _, assets: assets[NODE].update({key: 1.7e308})))
    assert costs.status is Status.PARTIAL
    assert costs.bill.total < 10_000_000
    assert any("node-a" in issue.message for issue in of_kind(costs, IssueKind.FIGURE_MISSING))


def credited(rows: Any, assets: Any) -> None:
    """A credit of 10.00 on a node of 3.70, spread over its costs."""
    for name, cpu, ram, total in (
        (WEB, -2.7027, -1.35135, -2.55405), (DB, -1.35135, -0.81081, -1.16216), (IDLE, -2.43243, -1.35135, -2.38378),
    ):  # fmt: skip
        rows[name] |= {"cpuCostAdjustment": cpu, "ramCostAdjustment": ram, "totalCost": total}
    assets[NODE] |= {"adjustment": -10.0, "totalCost": -6.3}


async def test_credit_is_named_as_one() -> None:
    costs = await costs_of(bodies(credited))
    assert costs.bill.total == -6_050_000
    named = dict(difference(costs))
    assert named[Cause.CREDIT] == -2_383_780
    assert named.keys() <= {Cause.CREDIT, Cause.ROUNDING}
    assert not of_kind(costs, IssueKind.NEGATIVE_FIGURE)


async def test_negative_idle_without_a_credit_is_over_commit() -> None:
    def crowded(rows: Any, _: Any) -> None:
        rows[WEB] |= {"cpuCost": 3.0, "totalCost": 3.5}
        rows[IDLE] |= {"cpuCost": -1.1, "totalCost": -0.6}

    assert difference(await costs_of(bodies(crowded))) == [(Cause.OVER_COMMIT, -1_100_000)]


def unpriced(rows: Any, assets: Any) -> None:
    """The source's own metrics were not scraped: nodes have no price, and idle is minus the cost of workloads."""
    assets[NODE] |= {"cpuCost": 0.0, "ramCost": 0.0, "totalCost": 0.0}
    rows[IDLE] |= {"cpuCost": -1.5, "ramCost": -0.8, "totalCost": -2.3}


def unlisted(rows: Any, assets: Any) -> None:
    unpriced(rows, assets)
    del assets[NODE]


@pytest.mark.parametrize(("change", "causes"), [(unpriced, [(Cause.NODE_WITHOUT_PRICE, -2_300_000)]), (unlisted, [])])
async def test_no_over_commit_where_nodes_lack_price_or_asset(change: Any, causes: Any) -> None:
    """Two differences that cancel out are found too."""
    assert difference(await costs_of(bodies(change))) == causes


async def test_volume_without_a_cost_is_a_missing_figure() -> None:
    def null(rows: Any, _: Any) -> None:
        rows[DB] |= {"pvCost": None, "totalCost": None}
        rows[DB]["pvs"]["cluster=plain:name=pvc-1"]["cost"] = None

    assert difference(await costs_of(bodies(null))) == [(Cause.FIGURE_MISSING, 200_000)]


@pytest.mark.parametrize("key", ["cpuCostAdjustment", "networkCostAdjustment"])
async def test_adjustment_that_is_null_is_a_missing_figure(key: str) -> None:
    costs = await costs_of(bodies(lambda rows, _: rows[WEB].update({key: None})))
    (issue,) = of_kind(costs, IssueKind.FIGURE_MISSING)
    assert issue.facts["figures"] == (key,)


def counting_in(currency: Any) -> Json:
    return bodies() | {"/getConfigs": {"code": 200, "data": {"currencyCode": currency}}}


@pytest.mark.parametrize(("written", "code"), [(" eur ", "EUR"), ("R$", "BRL"), ("US Dollar (default)", "USD")])
@pytest.mark.parametrize("is_stated", [True, False])
async def test_currency_given_as_sign_or_name_is_understood(written: str, code: str, *, is_stated: bool) -> None:
    costs = await costs_of(counting_in(written), **({"currency": code} if is_stated else {}))
    assert costs.currency == code
    assert not of_kind(costs, IssueKind.SOURCE_WARNING)


@pytest.mark.parametrize(("stated", "used"), [(None, "USD is assumed"), ("EUR", "EUR is used, as stated")])
@pytest.mark.parametrize("written", ["$", "kr", "our own money"])
async def test_ambiguous_currency_is_reported(written: str, stated: str | None, used: str) -> None:
    costs = await costs_of(counting_in(written), **({"currency": stated} if stated else {}))
    (issue,) = of_kind(costs, IssueKind.SOURCE_WARNING)
    assert written in issue.message
    assert issue.message.endswith(used)
    assert costs.bill.total == 3_950_000


@pytest.mark.parametrize("written", ["", "  ", None, 978])
async def test_missing_currency_is_the_default(written: Any) -> None:
    costs = await costs_of(counting_in(written))
    assert costs.currency == "USD"
    assert not of_kind(costs, IssueKind.SOURCE_WARNING)


@pytest.mark.parametrize("namespace", ["idle", "unmounted", "overhead", "total", "default", "a-unmounted-pvcs"])
async def test_namespace_may_have_the_name_of_a_line(namespace: str) -> None:
    def rename(rows: Any, _: Any) -> None:
        row = rows.pop(WEB)
        name = WEB.replace("shop", namespace)
        rows[name] = row | {"name": name, "properties": row["properties"] | {"namespace": namespace}}

    costs = await costs_of(bodies(rename))
    assert {group.key[0]: group.costs.total for group in costs.by("namespace")} == {
        namespace: 1_500_000,
        "data": 1_000_000,
    }
    assert {line.kind: line.costs.total for line in costs.lines}[Kind.IDLE] == 1_400_000


@pytest.mark.parametrize("pod", ["web-__unmounted__", "__idle__-1", "idle", "x-unmounted-pvcs"])
async def test_pod_may_have_the_name_of_a_special_row(pod: str) -> None:
    def rename(rows: Any, _: Any) -> None:
        row = rows.pop(WEB)
        name = WEB.replace("web-1", pod)
        rows[name] = row | {"name": name, "properties": row["properties"] | {"pod": pod}}

    costs = await costs_of(bodies(rename))
    assert {group.key[0] for group in costs.by("namespace")} == {"shop", "data"}
    assert costs.bill.total == 3_950_000


@pytest.mark.parametrize("name", ["__idle__", "plain/__idle__", "plain/node-a/__idle__"])
async def test_idle_rows_are_idle_however_they_are_split(name: str) -> None:
    costs = await costs_of(bodies(lambda rows, _: rows.update({name: rows.pop(IDLE) | {"name": name}})))
    assert {line.kind: line.costs.total for line in costs.lines}[Kind.IDLE] == 1_400_000


async def test_unmounted_row_is_no_workload() -> None:
    def unmounted(rows: Any, assets: Any) -> None:
        name = "plain//__unmounted__/__unmounted__/__unmounted__"
        about = {"cluster": "plain", **dict.fromkeys(("namespace", "pod", "container"), "__unmounted__")}
        volume = {"cluster=plain:name=pvc-2": {"byteHours": 1e11, "cost": 0.3}}
        row = {"name": name, "properties": about, **span(), "pvCost": 0.3, "pvs": volume, "totalCost": 0.3}
        rows[name] = row | {"cpuCost": 0, "ramCost": 0}
        about = {"cluster": "plain", "name": "pvc-2", "providerID": "pvc-2"}
        assets["pvc-2"] = assets[DISK] | {"properties": about, "volumeName": "pvc-2", "totalCost": 0.3}

    costs = await costs_of(bodies(unmounted))
    assert {line.kind: line.costs.total for line in costs.lines}[Kind.UNMOUNTED] == 300_000
    assert {group.key[0] for group in costs.by("namespace")} == {"shop", "data"}
