"""A small cluster whose answers a test makes odd: one node, two pods, one volume; 3.95 for 2026-11-20.

shop/web-1 costs 1.50, data/db-1 1.00 (0.20 of it for its volume), idle 1.40, the node's disk 0.05. CPU used of CPU
requested: shop 50 %, data 80 %; RAM: 50 % of both.
"""

from collections.abc import Callable, Mapping
from typing import Any

from kubetally.domain.report import ClusterReport
from kubetally.domain.window import parse_window
from kubetally.ledger.ports.clusters import Cluster
from kubetally.settings import Settings
from kubetally.wiring.clusters import get_cluster_costs
from tests.served import NOON_AFTER, NOT_FOUND, Answers, Asked, FixedClock, Reply, Served

Json = dict[str, Any]

DAY = parse_window("2026-11-20,2026-11-21", NOON_AFTER)
HASTY = Settings(attempts=1, deadline_seconds=20)
GIB = float(2**30)
WEB = "plain/node-a/shop/web-1/main"
DB = "plain/node-a/data/db-1/main"
IDLE = "__idle__"
NODE, DISK, LOCAL = "node", "pvc", "local"


def span() -> Json:
    """The keys of time that every row and asset has."""
    start, end = "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"
    return {"window": {"start": start, "end": end}, "start": start, "end": end, "minutes": 1440.0}


def container(name: str, cores: float, used: float, cpu: float, ram: float, **more: Any) -> Json:
    """A row of one container; `name` as the source names rows, `more` in place of or beside its figures."""
    cluster, node, namespace, pod, main = name.split("/")
    app = pod.rpartition("-")[0]
    figures = {
        "cpuCoreRequestAverage": cores,
        "cpuCoreUsageAverage": used,
        "cpuCoreHours": cores * 24,
        "cpuCost": cpu,
        "pvCost": 0.0,
        "ramByteRequestAverage": GIB,
        "ramByteUsageAverage": GIB / 2,
        "ramByteHours": GIB * 24,
        "ramCost": ram,
        "rawAllocationOnly": {"cpuCoreUsageMax": used, "ramByteUsageMax": GIB / 2},
        "totalCost": cpu + ram,
    }
    about = {
        "cluster": cluster,
        "node": node,
        "container": main,
        "controller": app,
        "controllerKind": "deployment",
        "namespace": namespace,
        "pod": pod,
        "providerID": "i-node-a",
        "labels": {"app": app},
    }
    return {"name": name, "properties": about, **span(), **figures, **more}


def rows() -> dict[str, Json]:
    """The rows of the day."""
    volume = {"cluster=plain:name=pvc-1": {"byteHours": 1e11, "cost": 0.2, "providerID": "pvc-1", "adjustment": 0}}
    idle = {"properties": {"cluster": "plain"}, **span(), "cpuCost": 0.9, "ramCost": 0.5, "totalCost": 1.4}
    return {
        WEB: container(WEB, 1.0, 0.5, 1.0, 0.5),
        DB: container(DB, 0.5, 0.4, 0.5, 0.3, pvCost=0.2, pvs=volume, totalCost=1.0),
        IDLE: {"name": IDLE, **idle},
    }


def assets() -> dict[str, Json]:
    """The assets of the day."""

    def asset(kind: str, name: str, provider_id: str, total: float, **more: Any) -> Json:
        about = {"cluster": "plain", "name": name, "providerID": provider_id}
        return {"type": kind, "properties": about, **span(), "adjustment": 0, "totalCost": total, **more}

    return {
        NODE: asset("Node", "node-a", "i-node-a", 3.7, discount=0.0, cpuCost=2.4, ramCost=1.3, gpuCost=0.0),
        DISK: asset("Disk", "pvc-1", "pvc-1", 0.2, storageClass="gp3", volumeName="pvc-1"),
        LOCAL: asset("Disk", "node-a", "node-a", 0.05, storageClass="__local__", volumeName=""),
    }


def bodies(change: Callable[[dict[str, Json], dict[str, Json]], None] = lambda rows, assets: None) -> Json:
    """The body of each path, after `change` was made to rows and assets."""
    of_rows, of_assets = rows(), assets()
    change(of_rows, of_assets)
    return {
        "/allocation": {"code": 200, "data": [of_rows]},
        "/assets": {"code": 200, "data": of_assets},
        "/clusterInfo": {"code": 200, "data": {"id": "plain", "name": "plain"}},
    }


def answering(paths: Mapping[str, Any]) -> Answers:
    """A source that answers each path with its body, which may be a `Reply` or a function of the question."""

    def answer(asked: Asked) -> Any:
        body = paths.get(asked.path, NOT_FOUND)
        return body if isinstance(body, Reply) or not callable(body) else body(asked)

    return answer


async def costs_of(paths: Mapping[str, Any], **cluster: Any) -> ClusterReport:
    """What the cluster behind these answers cost on the day."""
    with Served(answering(paths)) as source:
        return await get_cluster_costs(Cluster(source.url, **cluster), DAY, settings=HASTY, clock=FixedClock())
