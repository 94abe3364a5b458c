"""Answers that are well-formed and odd: what is unknown stays unknown, what is wrong is told, and the rest is right."""

from collections.abc import Callable
from typing import Any

import pytest

from kubetally.domain.allocation import Kind
from kubetally.domain.cluster_costs import ClusterCosts, Status
from kubetally.domain.issues import Issue, IssueKind
from kubetally.ledger.answer import answer
from tests.plain_cluster import DB, IDLE, WEB, Json, bodies, costs_of, rows, span
from tests.served import Asked

CPU_USAGE, RAM_USAGE = "cpuCoreUsageAverage", "ramByteUsageAverage"
CPU_REQUEST, RAM_REQUEST = "cpuCoreRequestAverage", "ramByteRequestAverage"


def of_kind(costs: ClusterCosts, kind: IssueKind) -> list[Issue]:
    return [issue for issue in costs.issues if issue.kind is kind]


def ratios(costs: ClusterCosts) -> dict[str | None, tuple[float | None, float | None]]:
    """CPU and RAM efficiency in percent: of each namespace, and under None of the cluster."""

    def percent(ratio: float | None) -> float | None:
        return None if ratio is None else round(ratio * 100)

    groups = {None: costs.efficiency, **{group.namespace: group.efficiency for group in costs.namespaces()}}
    return {name: (percent(found.cpu), percent(found.ram)) for name, found in groups.items()}


async def test_plain_day_is_complete() -> None:
    costs = await costs_of(bodies())
    assert (costs.status, costs.audited, costs.issues[1:]) == (Status.OK, True, ())
    assert costs.bill.total == 3_950_000
    assert {group.namespace: group.costs.total for group in costs.namespaces()} == {
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
    (namespace,) = [one for one in answer(costs, None)["errors"] if one["kind"] == "figure_missing"]
    assert all(key in namespace["message"] for key in keys)


async def test_usage_unknown_of_all_rows_makes_no_efficiency_at_all() -> None:
    def unknown(rows: Any, _: Any) -> None:
        for name in (WEB, DB):
            rows[name] |= {CPU_USAGE: None, RAM_USAGE: None}

    costs = await costs_of(bodies(unknown))
    assert ratios(costs) == dict.fromkeys((None, "shop", "data"), (None, None))
    assert costs.efficiency.total is None


async def test_container_of_unknown_usage_makes_its_pod_unknown() -> None:
    """The sidecar's request must not be held against the usage of the main container alone."""

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
    """A Kubecost from 2.5 on that is not asked for an aggregate."""
    return {
        **merged("shop", {"namespace": "shop"}, fine[WEB]),
        **merged("data", {"namespace": "data"}, fine[DB]),
        IDLE: fine[IDLE] | {"properties": {}},
    }


def in_one_row(fine: dict[str, Json]) -> dict[str, Json]:
    """A Kubecost 1.103 that is not asked for an aggregate."""
    return merged("", {"cluster": "plain"}, *fine.values())


@pytest.mark.parametrize("unasked", [by_namespace, in_one_row])
async def test_source_is_asked_for_a_row_of_each_container(unasked: Callable[[Any], Any]) -> None:
    def answer_as_asked(asked: Asked) -> Json:
        fine = asked.params.get("aggregate") == FINEST
        return {"code": 200, "data": [rows() if fine else unasked(rows())]}

    costs = await costs_of(bodies() | {"/allocation": answer_as_asked})
    assert [(one.namespace, one.controller_kind, one.controller) for one in costs.workloads()] == [
        ("shop", "deployment", "web"),
        ("data", "deployment", "db"),
    ]
    assert {line.kind: line.costs.total for line in costs.lines()}[Kind.IDLE] == 1_400_000
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
async def test_rows_coarser_than_containers_are_told(coarse: Callable[[Any], Any], words: str, count: int) -> None:
    costs = await costs_of(bodies() | {"/allocation": {"code": 200, "data": [coarse(rows())]}})
    (issue,) = of_kind(costs, IssueKind.ROWS_TOO_COARSE)
    assert words in issue.message
    assert issue.facts["rows"] == count
    assert costs.bill.total == 3_950_000
    assert not of_kind(costs, IssueKind.ROWS_MERGED_BY_SOURCE)
