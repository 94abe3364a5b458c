"""One day of a large cluster, made from a recorded one: real rows of aurora, many times, under names of their own.

The day is sound: every node, disk and balancer that a row is charged for is an asset, and idle is what the nodes cost
beyond their workloads, so that a booking ends with nothing difference but rounding and what aurora itself charges
twice or in part (balancers, volumes).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from kubetally import samples
from kubetally.samples.recorded import RecordedCluster

CLUSTER, DAY = "aurora", ("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z")
COPIES = 159  # of 63 pods in 76 rows each, beside the rows for idle and unmounted: 10,000 pods
_COPIES_IN_NAMESPACE = 6
_IDLE, _UNMOUNTED = "__idle__", "__unmounted__"
_NODE_COMPONENTS = ("cpu", "ram", "gpu")
_COMPONENTS = (*_NODE_COMPONENTS, "pv", "network", "loadBalancer", "shared", "external")
_VARIED = ("cpu", "ram", "gpu", "network")  # the beginnings of keys whose figures differ from row to row
_NOT_AMOUNTS = frozenset({"cpuEfficiency", "ramEfficiency", "gpuEfficiency"})
_ADJUSTED_SHARE = 0.1

Row = dict[str, Any]


class Files(NamedTuple):
    """Where the bodies of the two answers are."""

    allocations: Path
    assets: Path


def write(folder: str, copies: int = COPIES) -> dict[str, int]:
    """Write the answers into `folder` and tell their sizes; meant for a process of its own, as it takes memory."""
    files = files_in(folder)
    allocations, assets = answers(copies)
    size = files.allocations.write_bytes(_body([allocations]))
    files.assets.write_bytes(_body(assets))
    pods = {(row["properties"].get("namespace"), row["properties"].get("pod")) for row in allocations.values()}
    return {"bytes": size, "rows": len(allocations), "pods": len(pods) - 2}  # idle and unmounted are none


def files_in(folder: str) -> Files:
    return Files(Path(folder, "allocations.json"), Path(folder, "assets.json"))


def answers(copies: int, seed: int = 1) -> tuple[dict[str, Row], dict[str, Row]]:
    """The data of an allocation and of an asset answer; the same for the same seed."""
    recorded = RecordedCluster.load(*samples.folders()[CLUSTER]).answers
    rows = json.loads(recorded["allocation-day1-idle"].body())["data"][0]
    assets = json.loads(recorded["assets-day1"].body())["data"]
    random = Random(seed)  # noqa: S311  (nothing secret)
    all_rows: dict[str, Row] = {}
    all_assets: dict[str, Row] = {}
    for copy in range(copies):
        names = _Names(rows, assets, copy)
        for row in rows.values():
            if row["name"] != _IDLE:
                variant = _vary(names.rename(row), random)
                known = all_rows.get(variant["name"])
                all_rows[variant["name"]] = variant if known is None else _merge(known, variant)
        for key, asset in assets.items():
            all_assets[names.in_text(key)] = names.rename(asset)
    all_rows[_IDLE] = _idle(rows[_IDLE], all_rows, all_assets)
    return all_rows, all_assets


class _Names:
    """What each name of the recorded cluster becomes in one copy."""

    def __init__(self, rows: Mapping[str, Row], assets: Mapping[str, Row], copy: int) -> None:
        about = [row["properties"] for row in rows.values()]
        of_assets = [asset["properties"]["name"] for asset in assets.values()]
        self._namespace_suffix = f"-{copy // _COPIES_IN_NAMESPACE:02d}"
        self._suffix = f"-{copy:03d}"
        self._namespaces = {one.get("namespace") for one in about} - {None, _UNMOUNTED}
        self._own = {one.get(key) for one in about for key in ("node", "controller")}
        self._own |= {service for one in about for service in one.get("services", ())}
        self._own |= {one.rpartition("/")[2] for one in of_assets}
        self._own |= {one.get("providerID") for one in about} | {a["properties"]["providerID"] for a in assets.values()}
        self._own |= {volume["providerID"] for row in rows.values() for volume in (row["pvs"] or {}).values()}
        self._own |= {key.rpartition("=")[2] for row in rows.values() for key in row["pvs"] or ()}
        self._pods = {one.get("pod") for one in about if not (one.get("pod") or "__").endswith(("__", "-pvcs"))}
        self._own -= {None, ""}

    def rename(self, thing: Row) -> Row:
        """A copy under new names, wherever they stand in it."""
        row: Row = self._in(thing)
        return row

    def in_text(self, text: str) -> str:
        """`text` with the names that stand in it between slashes and the like."""
        return "/".join(self._name(part) for part in text.split("/"))

    def _in(self, thing: Any) -> Any:
        match thing:
            case dict():
                return {self._key(key): self._in(value) for key, value in thing.items()}
            case list():
                return [self._in(value) for value in thing]
            case str():
                return self.in_text(thing)
            case _:
                return thing

    def _key(self, key: str) -> str:
        head, equals, name = key.rpartition("name=")
        return head + equals + self._name(name) if equals else self.in_text(key)

    def _name(self, name: str) -> str:
        if name in self._own or name in self._pods:
            head, dot, domain = name.partition(".")  # a node's name has its number before the domain
            return f"{head}{self._suffix}{dot}{domain}"
        if name in self._namespaces:
            return name + self._namespace_suffix
        if name.endswith("-unmounted-pvcs"):
            return name.replace("-unmounted", self._namespace_suffix + "-unmounted")
        return name


def _vary(row: Row, random: Random) -> Row:
    """Other figures of CPU, RAM, GPU and network; one row in ten has adjustments, as after a cloud bill came in."""
    factor = random.uniform(0.8, 1.1)
    for key, figure in row.items():
        if isinstance(figure, int | float) and key.startswith(_VARIED) and key not in _NOT_AMOUNTS:
            row[key] = round(figure * factor, 5)
    if random.random() < _ADJUSTED_SHARE:
        row["cpuCostAdjustment"] = round(-0.1 * row["cpuCost"], 5)
        row["ramCostAdjustment"] = round(-0.1 * row["ramCost"], 5)
    return _with_total(row)


def _with_total(row: Row) -> Row:
    row["totalCost"] = round(sum(_cost(row, component) for component in _COMPONENTS), 5)
    return row


def _cost(row: Row, component: str) -> float:
    cost: float = row[f"{component}Cost"] + row.get(f"{component}CostAdjustment", 0)
    return cost


def _merge(one: Row, other: Row) -> Row:
    """Two rows of unmounted volumes and balancers under one name, as the source would have made one of them."""
    for key in ("pvBytes", "pvByteHours", "pvCost", "loadBalancerCost"):
        one[key] = round(one[key] + other[key], 5)
    one["pvs"] |= other["pvs"]
    if "services" in one["properties"]:
        one["properties"]["services"] += other["properties"]["services"]
    return _with_total(one)


def _idle(row: Row, rows: Mapping[str, Row], assets: Mapping[str, Row]) -> Row:
    nodes = [asset for asset in assets.values() if asset["type"] == "Node"]
    for component in _NODE_COMPONENTS:
        paid = sum(node[f"{component}Cost"] for node in nodes)
        row[f"{component}Cost"] = round(paid - sum(_cost(one, component) for one in rows.values()), 5)
    return _with_total(row)


def _body(data: object) -> bytes:
    return json.dumps({"code": 200, "status": "success", "data": data}, separators=(",", ":")).encode()
