"""Answers that are well-formed and odd: what is unknown stays unknown, what is wrong is told, and the rest is right."""

from typing import Any

import pytest

from kubetally.domain.cluster_costs import ClusterCosts, Status
from kubetally.domain.issues import Issue, IssueKind
from kubetally.ledger.answer import answer
from tests.plain_cluster import DB, WEB, bodies, costs_of

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
