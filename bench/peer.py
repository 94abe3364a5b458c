"""The same accounting as ours, written the usual way: orjson, dicts and one loop a step.

It is here to be compared with, in figures as in time: the bench first asserts that both come to the same micro. What
it leaves out (causes of a difference, texts of issues, windows to prorate) it is quicker for.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

COMPONENTS = ("cpu", "ram", "gpu", "pv", "node_disk", "load_balancer", "network", "management", "shared", "external")
_COSTS = {
    "cpu": ("cpuCost", "cpuCostAdjustment"),
    "ram": ("ramCost", "ramCostAdjustment"),
    "gpu": ("gpuCost", "gpuCostAdjustment"),
    "pv": ("pvCost", "pvCostAdjustment"),
    "load_balancer": ("loadBalancerCost", "loadBalancerCostAdjustment"),
    "network": ("networkCost", "networkCostAdjustment"),
    "shared": ("sharedCost", None),
    "external": ("externalCost", None),
}
_SPECIAL = {"__idle__": "idle", "__unmounted__": "unmounted", "__external__": "overhead", "__shared__": "overhead"}
_ASSET_COSTS = {
    "Node": "cpu",
    "Disk": "pv",
    "LoadBalancer": "load_balancer",
    "Network": "network",
    "ClusterManagement": "management",
}
_TOLERANCE = 100  # micros between a row's total and its parts

Amounts = dict[str, int]
Row = dict[str, Any]


@dataclass
class Booked:
    """A balanced day; amounts in micros by component."""

    bill: Amounts
    lines: dict[str, Amounts]
    containers: dict[tuple[str | None, ...], Row]
    assets_complete: bool
    missing: dict[str, Amounts] = field(default_factory=dict)
    beyond_parts: dict[str, int] = field(default_factory=dict)
    null_costs: set[str] = field(default_factory=set)

    def namespaces(self) -> dict[str | None, Amounts]:
        """Workloads by namespace."""
        found: dict[str | None, Amounts] = {}
        for key, container in self.containers.items():
            _add(found.setdefault(key[0], _nothing()), container["costs"])
        return found


def book(allocations_body: bytes, assets_body: bytes, start: str, end: str, hours: float) -> Booked:
    """Decode both answers to the window from `start` to `end`, which is `hours` long, and book them."""
    beyond_parts: dict[str, int] = {}
    null_costs: set[str] = set()
    rows: list[Row] = []
    seen: dict[tuple[str | None, ...], list[Row]] = defaultdict(list)
    for step in orjson.loads(allocations_body)["data"]:
        for name, answered in step.items():
            if answered["window"]["start"] != start or answered["window"]["end"] != end:
                raise ValueError(f"{name} is of another window")
            row = _allocation(name, answered, hours, beyond_parts, null_costs)
            same = seen[row["cluster"], row["node"], row["namespace"], row["pod"], row["container"], row["kind"]]
            if row not in same:
                same.append(row)
                rows.append(row)
    assets = [_asset(asset) for asset in orjson.loads(assets_body)["data"].values() if asset["type"] in _ASSET_COSTS]
    booked = _balance(rows, assets)
    booked.beyond_parts, booked.null_costs = beyond_parts, null_costs
    return booked


def _balance(rows: list[Row], assets: list[Row]) -> Booked:
    """Bill, use and what is left between them."""
    containers = _containers(rows)
    idle, over_commit = _clamped_idle(rows)
    unmounted, overhead, everything = _nothing(), _nothing(), _nothing()
    for row in rows:
        _add(everything, row["costs"])
        if row["kind"] == "unmounted":
            _add(unmounted, row["costs"])
        elif row["kind"] == "overhead":
            _add(overhead, row["costs"])
    bill = _nothing()
    for asset in assets:
        _add(bill, asset["costs"])
    missing = _without_asset(rows, assets)
    for costs in missing.values():
        _add(bill, costs)
    if not bill["network"] > 0:
        bill["network"] = everything["network"]
    bill["external"], bill["shared"] = everything["external"], 0
    overhead["node_disk"] += bill["node_disk"]
    overhead["management"] += bill["management"]
    overhead["shared"] -= everything["shared"]
    workload = _nothing()
    for container in containers.values():
        _add(workload, container["costs"])
    used = _nothing()
    for costs in (workload, idle, unmounted, overhead):
        _add(used, costs)
    difference = {component: bill[component] - used[component] for component in COMPONENTS}
    lines = {"idle": idle, "unmounted": unmounted, "overhead": overhead, "difference": difference}
    _add(used, difference)
    if used != bill:
        raise ValueError("the parts do not add up")
    lines["over_commit"] = over_commit
    return Booked(bill, lines, containers, not missing, missing)


def _allocation(name: str, answered: Row, step_hours: float, beyond_parts: dict[str, int], null_costs: set[str]) -> Row:
    about = answered["properties"]
    namespace = about.get("namespace")
    kind = _SPECIAL.get(namespace or name.rpartition("/")[2], "workload")
    is_workload = kind == "workload"
    costs = _nothing()
    for component, (key, adjustment_key) in _COSTS.items():
        amount = answered[key]
        if amount is None:
            null_costs.add(key)
        elif amount:
            costs[component] = round(amount * 1_000_000)
        if adjustment_key and answered[adjustment_key]:
            costs[component] += round(answered[adjustment_key] * 1_000_000)
    total = round(answered["totalCost"] * 1_000_000)
    beyond = total - sum(costs.values())
    if beyond > _TOLERANCE and not null_costs:
        beyond_parts[name] = beyond
        costs["external"] += beyond
    hours = (answered["minutes"] or 0) / 60
    return {
        "kind": kind,
        "cluster": about.get("cluster"),
        "namespace": _named(namespace) if is_workload else None,
        "controller_kind": _named(about.get("controllerKind")),
        "controller": _named(about.get("controller")),
        "pod": _named(about.get("pod")) if is_workload else None,
        "node": _named(about.get("node")),
        "container": _container(about) if is_workload else None,
        "provider_id": about.get("providerID") or None,
        "life": (datetime.fromisoformat(answered["start"]), datetime.fromisoformat(answered["end"])),
        "annotations": about.get("annotations"),
        "namespace_annotations": about.get("namespaceAnnotations"),
        "maxima": answered.get("rawAllocationOnly"),
        "adjustments": {
            component: round((answered[key] or 0) * 1_000_000) for component, (_, key) in _COSTS.items() if key
        },
        "services": about.get("services") or [],
        "labels": about.get("labels"),
        "namespace_labels": about.get("namespaceLabels"),
        "minutes": answered["minutes"] or 0,
        "hours": _hours(answered, hours, step_hours),
        "costs": costs,
        "network_classes": {
            "internet": round((answered["networkInternetCost"] or 0) * 1_000_000),
            "region": round((answered["networkCrossRegionCost"] or 0) * 1_000_000),
            "zone": round((answered["networkCrossZoneCost"] or 0) * 1_000_000),
        },
        "volumes": [
            {
                "name": key.rpartition(":name=")[2],
                "cost": round(((volume["cost"] or 0) + (volume["adjustment"] or 0)) * 1_000_000),
                "byte_hours": volume["byteHours"] or 0.0,
                "provider_id": volume["providerID"] or None,
                "adjustment": round((volume["adjustment"] or 0) * 1_000_000),
            }
            for key, volume in (answered["pvs"] or {}).items()
        ],
        "balancers": [
            {
                "service": balancer["service"],
                "cost": round(((balancer["cost"] or 0) + (balancer["adjustment"] or 0)) * 1_000_000),
                "hours": balancer["hours"] or 0.0,
                "private": balancer["private"],
                "ip": balancer["ip"],
                "adjustment": round((balancer["adjustment"] or 0) * 1_000_000),
            }
            for balancer in (answered["lbAllocations"] or {}).values()
        ],
        "total": total,
    }


def _hours(answered: Row, hours: float, step_hours: float) -> dict[str, float]:
    cpu_usage_hours = step_hours if answered.get("rawAllocationOnly") is not None else hours
    return {
        "cpu_core_hours": answered["cpuCoreHours"] or 0.0,
        "cpu_core_request_hours": (answered["cpuCoreRequestAverage"] or 0.0) * hours,
        "cpu_core_usage_hours": (answered["cpuCoreUsageAverage"] or 0.0) * cpu_usage_hours,
        "ram_byte_hours": answered["ramByteHours"] or 0.0,
        "ram_byte_request_hours": (answered["ramByteRequestAverage"] or 0.0) * hours,
        "ram_byte_usage_hours": (answered["ramByteUsageAverage"] or 0.0) * hours,
        "gpu_hours": answered["gpuHours"] or 0.0,
        "gpu_request_hours": (answered["gpuRequestAverage"] or 0.0) * hours,
        "gpu_usage_hours": (answered["gpuUsageAverage"] or 0.0) * (answered["gpuHours"] or 0.0),
        "pv_byte_hours": answered["pvByteHours"] or 0.0,
        "network_transfer_bytes": answered["networkTransferBytes"] or 0.0,
        "network_receive_bytes": answered["networkReceiveBytes"] or 0.0,
    }


def _container(about: Row) -> str | None:
    return None if about.get("container") == "__unmounted__" else _named(about.get("container"))


def _named(name: str | None) -> str | None:
    return None if name in {None, "", "__unallocated__"} else name


_OF_A_CONTAINER = (
    "minutes", "hours", "costs", "network_classes", "labels", "namespace_labels", "provider_id", "life", "annotations",
    "namespace_annotations", "maxima", "adjustments", "volumes", "balancers",
)  # fmt: skip


def _containers(rows: list[Row]) -> dict[tuple[str | None, ...], Row]:
    """A row for each container on a node; what comes twice under one name is added up."""
    containers: dict[tuple[str | None, ...], Row] = {}
    for row in rows:
        if row["kind"] != "workload":
            continue
        key = tuple(row[name] for name in ("namespace", "controller_kind", "controller", "pod", "node", "container"))
        container = containers.get(key)
        if container is None:
            containers[key] = {name: row[name] for name in _OF_A_CONTAINER} | {"services": set(row["services"])}
        else:
            container["minutes"] = max(container["minutes"], row["minutes"])
            for amounts in ("hours", "costs", "network_classes", "adjustments"):
                container[amounts] = {name: amount + row[amounts][name] for name, amount in container[amounts].items()}
            for lists in ("volumes", "balancers"):
                container[lists] = container[lists] + row[lists]
            container["services"] |= set(row["services"])
    return containers


def _clamped_idle(rows: list[Row]) -> tuple[Amounts, Amounts]:
    by_node: dict[str | None, Amounts] = {}
    for row in rows:
        if row["kind"] == "idle":
            _add(by_node.setdefault(row["node"], _nothing()), row["costs"])
    above, below = _nothing(), _nothing()
    for costs in by_node.values():
        _add(above, {component: max(0, amount) for component, amount in costs.items()})
        _add(below, {component: min(0, amount) for component, amount in costs.items()})
    return above, below


def _without_asset(rows: list[Row], assets: list[Row]) -> dict[str, Amounts]:
    """What rows cost on a resource that no asset lists."""
    names: dict[str, set[str]] = {"Node": set(), "Disk": set(), "LoadBalancer": set()}
    for asset in assets:
        if asset["type"] in names:
            names[asset["type"]] |= asset["names"]
    services = {name.rpartition("/")[2] for name in names["LoadBalancer"]}
    missing: dict[str, Amounts] = {}

    def enter(resource: str, **costs: int) -> None:
        if any(costs.values()):
            _add(missing.setdefault(resource, _nothing()), costs)

    for row in rows:
        costs = row["costs"]
        if row["node"] and row["node"] not in names["Node"]:
            enter(f"node {row['node']}", cpu=costs["cpu"], ram=costs["ram"], gpu=costs["gpu"])
        for volume in row["volumes"]:
            if volume["name"] not in names["Disk"]:
                enter(f"volume {volume['name']}", pv=volume["cost"])
        if row["balancers"]:
            shown, charged = sum(balancer["cost"] for balancer in row["balancers"]), costs["load_balancer"]
            for balancer in row["balancers"]:
                if balancer["service"] not in names["LoadBalancer"]:
                    scaled = balancer["cost"] * charged // shown if shown > charged else balancer["cost"]
                    enter(f"load balancer {balancer['service']}", load_balancer=scaled)
        elif costs["load_balancer"] and services.isdisjoint(row["services"]):
            named = "/".join(sorted(set(row["services"]))) or "without a name"
            enter(f"load balancer {named}", load_balancer=costs["load_balancer"])
    return missing


def _asset(asset: Row) -> Row:
    total = round(asset["totalCost"] * 1_000_000)
    if asset["type"] == "Node":
        costs = _node_costs(asset, total)
    elif asset["type"] == "Disk" and asset.get("storageClass") == "__local__":
        costs = {"node_disk": total}
    else:
        costs = {_ASSET_COSTS[asset["type"]]: total}
    names = {asset["properties"].get("name"), asset.get("volumeName")} - {None, ""}
    return {
        "type": asset["type"],
        "names": names,
        "costs": costs,
        "cluster": asset["properties"].get("cluster"),
        "provider_id": asset["properties"].get("providerID"),
        "node_type": asset.get("nodeType"),
        "labels": asset["labels"],
        "hours": (asset["minutes"] or 0) / 60,
    }


def _node_costs(asset: Row, total: int) -> Amounts:
    """List costs after discount, scaled to the total; the largest part takes what rounding leaves."""
    kept = 1 - (asset["discount"] or 0)
    parts = {"cpu": asset["cpuCost"] * kept, "ram": asset["ramCost"] * kept, "gpu": asset["gpuCost"]}
    whole = sum(parts.values())
    if not whole > 0:
        return {"cpu": total}
    costs = {component: round(total * part / whole) for component, part in parts.items()}
    costs[max(parts, key=lambda component: parts[component])] += total - sum(costs.values())
    return costs


def _nothing() -> Amounts:
    return dict.fromkeys(COMPONENTS, 0)


def _add(sums: Amounts, costs: Amounts) -> None:
    for component, amount in costs.items():
        sums[component] += amount
