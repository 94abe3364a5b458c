"""A cluster with 250 namespaces: every one is listed once, in the same order each time, and they add up."""

import random
from typing import Any

from kubetally.domain.question.cost_question import DetailLevel
from kubetally.domain.report import ClusterReport
from kubetally.domain.window import parse_window
from kubetally.ledger.ports.clusters import Cluster
from kubetally.present.answer import answer
from kubetally.settings import Settings
from kubetally.wiring.clusters import get_cluster_costs
from tests.served import NOON_AFTER, NOT_FOUND, Asked, FixedClock, Served

DAYS = parse_window("2026-11-20,2026-11-23", NOON_AFTER)
NAMESPACES = tuple(f"team-{number:03}" for number in range(250))
PODS = 3


def cost_of(namespace: str) -> float:
    """Every tenth namespace costs as much as the next, so that names have to settle the order."""
    return 0.00001 * (1 + int(namespace[-3:]) // 10 * 10)


def source(shuffled: random.Random) -> Any:
    def answers(asked: Asked) -> Any:
        if asked.path not in {"/allocation", "/assets"}:
            return NOT_FOUND
        start, end = asked.params["window"].split(",")
        window = {"window": {"start": start, "end": end}, "start": start, "end": end, "minutes": 1440}
        if asked.path == "/assets":
            total = PODS * sum(map(cost_of, NAMESPACES)) + 1
            about = {"cluster": "one", "name": "node-1"}
            node = {"type": "Node", "properties": about, **window, "cpuCost": total, "totalCost": total}
            return {"code": 200, "data": {"node-1": node}}
        names = [(namespace, f"{namespace}-{pod}") for namespace in NAMESPACES for pod in range(PODS)]
        shuffled.shuffle(names)
        rows = {
            f"one/node-1/{namespace}/{pod}/app": {
                "properties": {
                    "cluster": "one", "node": "node-1", "namespace": namespace, "controllerKind": "deployment",
                    "controller": f"{namespace}-app", "pod": pod, "container": "app",
                },
                **window, "cpuCost": cost_of(namespace), "totalCost": cost_of(namespace), "cpuCoreHours": 1.0,
                "rawAllocationOnly": {},
            }
            for namespace, pod in names
        }  # fmt: skip
        rows["__idle__"] = {"properties": {"cluster": "one"}, **window, "cpuCost": 1.0, "totalCost": 1.0}
        return {"code": 200, "data": [{name: {"name": name, **row} for name, row in rows.items()}]}

    return answers


async def costs(seed: int) -> ClusterReport:
    with Served(source(random.Random(seed))) as served:  # noqa: S311  (an order, not a secret)
        return await get_cluster_costs(Cluster(served.url), DAYS, settings=Settings(attempts=1), clock=FixedClock())


async def test_250_namespaces_are_listed_once_in_order_and_add_up() -> None:
    first, second = await costs(1), await costs(2)
    bodies = [answer(one, DetailLevel.WORKLOAD) for one in (first, second)]
    rows = bodies[0]["breakdown_by_namespace"]
    assert sorted(row["namespace"] for row in rows) == list(NAMESPACES)
    assert [row["namespace"] for row in rows] == sorted(NAMESPACES, key=lambda name: (-cost_of(name), name))
    for key in ("breakdown_by_namespace", "breakdown_by_workload", "lines", "summary"):
        assert bodies[0][key] == bodies[1][key]
    total = round(bodies[0]["summary"]["total_cost"] * 1e6)
    assert total == sum(round(row["total_cost"] * 1e6) for row in (*rows, *bodies[0]["lines"]))
    assert total == 3 * round((PODS * sum(map(cost_of, NAMESPACES)) + 1) * 1e6)
    for row in rows:
        assert round(row["cpu_cost"] * 1e6) == 3 * PODS * round(cost_of(row["namespace"]) * 1e6)
    assert sum(len(row["pods"]) for row in bodies[0]["breakdown_by_workload"]) == 250 * PODS
