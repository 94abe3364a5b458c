"""Answers of OpenCost are rebuilt from rows of the lake, field by field, to its own rounding."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest

from kubetally.domain.allocation import Kind
from kubetally.domain.booking import book
from kubetally.domain.collection import new_collected_day
from kubetally.domain.component import Component
from kubetally.domain.reading import Reading
from kubetally.domain.row import Row
from kubetally.domain.source_identity import SourceIdentity
from kubetally.domain.window import Window, parse_instant
from kubetally.sources.faults import Answer
from kubetally.sources.opencost.allocations import read_allocations
from kubetally.sources.opencost.assets import read_assets
from kubetally.sources.opencost.notes import Notes
from kubetally.sources.opencost.wire import decode_assets, decode_booked
from kubetally.store.lake.decode import assets_of, rows_of
from tests.lake_tables import allocation_table, asset_table
from tests.recordings import ALL, DAYS, Recording

URL = "http://opencost"
ROUNDING = 1.1e-5  # of the fifth decimal
EMPTY = ("__idle__", "__unmounted__")
COSTS = {
    Component.CPU: "cpuCost",
    Component.RAM: "ramCost",
    Component.GPU: "gpuCost",
    Component.PV: "pvCost",
    Component.LOAD_BALANCER: "loadBalancerCost",
    Component.NETWORK: "networkCost",
    Component.SHARED: "sharedCost",
    Component.EXTERNAL: "externalCost",
}
ADJUSTED = {
    component: key for component, key in COSTS.items() if component not in (Component.SHARED, Component.EXTERNAL)
}
# Of the source's own making, from what is here: totals, averages of hours, ratios; or never filled.
DERIVED = {
    "totalCost", "totalEfficiency", "cpuEfficiency", "ramEfficiency", "gpuEfficiency", "cpuCores", "ramBytes",
    "gpuCount", "pvBytes", "proportionalAssetResourceCosts", "sharedCostBreakdown", "cpuCostIdle", "ramCostIdle",
    "gpuCostIdle",
}  # fmt: skip


def answer(body: bytes) -> Answer:
    return Answer(200, body, "application/json", None, datetime.now(UTC), 0.0, URL)


def stored(cluster: str, day: int, body: bytes | None = None) -> tuple[list[Row], list[Any], Window]:
    """Rows and assets of a recorded day, read from the lake's columns; body: in place of its rows."""
    recording, window = Recording(cluster), Window(*map(parse_instant, DAYS[day]))
    notes = Notes(URL, window)
    body = body or recording.body(f"allocation-day{day + 1}-idle")
    rows = read_allocations(decode_booked(answer(body))[0], window, notes, URL)
    assets = read_assets(decode_assets(answer(recording.body(f"assets-day{day + 1}")))[0], window, notes)
    booking = book(Reading(window, rows.allocations, assets, rows.covered, "USD", URL))
    identity = SourceIdentity(URL, cluster_id=cluster)
    made = new_collected_day(
        "c",
        account_id="a",
        day=date(2026, 11, 20 + day),
        collected_at=window.end,
        source=identity,
        booking=booking,
        assets=assets or (),
    )
    return list(rows_of(allocation_table(made))), list(assets_of(asset_table(made))), window


def with_more(recorded: dict[str, Any]) -> dict[str, Any]:
    """A recorded set with adjustments, GPUs, nulls and annotations, which the recorded clusters lack."""
    made = json.loads(json.dumps(recorded))
    for number, (name, row) in enumerate(made.items()):
        if name in EMPTY or "__unmounted__" in name or not row["minutes"]:
            continue
        if number % 2:
            row["cpuCostAdjustment"], row["ramCostAdjustment"] = -0.00127, 0.5
        if number % 7 == 2:
            row |= {"gpuCost": 1.25, "gpuHours": 12.0, "gpuRequestAverage": 1.0, "gpuUsageAverage": 0.25}
        if number % 5 == 1:
            row["cpuCoreUsageAverage"] = row["ramByteRequestAverage"] = row["gpuUsageAverage"] = None
        if number % 3 == 0:
            row["rawAllocationOnly"] = {"cpuCoreUsageMax": 0.75, "ramByteUsageMax": 2.0**30 + number}
            row["properties"] |= {"annotations": {"team": str(number)}, "namespaceAnnotations": {"cost": "centre"}}
        for pieces, key in (("pvs", "pvCost"), ("lbAllocations", "loadBalancerCost")):
            for piece in (row[pieces] or {}).values():
                piece["adjustment"] = -0.00001 * number
                row[f"{key}Adjustment"] += piece["adjustment"]
        row["totalCost"] = sum(row[key] for key in COSTS.values())
        row["totalCost"] += sum(row[f"{key}Adjustment"] for key in ADJUSTED.values())
    return made


def name_of(cluster: str, row: Row) -> str:
    if row.kind is not Kind.WORKLOAD:
        word = f"__{row.kind.value}__"
        return word if row.kind is Kind.IDLE else f"{cluster}//{word}/{word}/{word}"
    return f"{cluster}/{row.node or ''}/{row.namespace}/{row.pod}/{row.container or '__unmounted__'}"


def shown(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def rebuilt(cluster: str, row: Row, window: Window) -> Iterator[tuple[str, Any]]:
    """The fields of a row of OpenCost's answer."""
    details, hours = row.details, row.hours
    lived, life = row.minutes / 60, details.life if details else None
    yield "name", name_of(cluster, row)
    yield "window", {"start": shown(window.start), "end": shown(window.end)}
    if row.kind is not Kind.IDLE:
        yield "start", shown(life.start if life else window.start)
        yield "end", shown(life.end if life else window.end)
        yield "minutes", row.minutes
    for component, key in COSTS.items():
        adjustment = details.adjustments.of(component) if details else 0
        yield key, (row.costs.of(component) - adjustment) / 1e6
        if component in ADJUSTED:
            yield f"{key}Adjustment", adjustment / 1e6
    for to, key in (("internet", "Internet"), ("region", "CrossRegion"), ("zone", "CrossZone")):
        yield f"network{key}Cost", getattr(row.network_classes, to) / 1e6
    yield "cpuCoreHours", hours.cpu_core_hours
    yield "ramByteHours", hours.ram_byte_hours
    yield "gpuHours", hours.gpu_hours
    yield "pvByteHours", hours.pv_byte_hours
    yield "networkTransferBytes", hours.network_transfer_bytes
    yield "networkReceiveBytes", hours.network_receive_bytes
    for key, amount, over in (
        ("cpuCoreRequestAverage", hours.cpu_core_request_hours, lived),
        ("cpuCoreUsageAverage", hours.cpu_core_usage_hours, window.hours),
        ("ramByteRequestAverage", hours.ram_byte_request_hours, lived),
        ("ramByteUsageAverage", hours.ram_byte_usage_hours, lived),
        ("gpuRequestAverage", hours.gpu_request_hours, lived),
        ("gpuUsageAverage", hours.gpu_usage_hours, hours.gpu_hours),
    ):
        # A line has no requests and no usage; a workload's are null where the source's are, and only there.
        average = 0.0 if row.kind is not Kind.WORKLOAD or amount == 0 else amount
        yield key, average / over if average and over else average
    if details is None:
        return
    if details.cpu_core_usage_max is not None:
        yield (
            "rawAllocationOnly",
            {"cpuCoreUsageMax": details.cpu_core_usage_max, "ramByteUsageMax": details.ram_byte_usage_max},
        )
    yield (
        "pvs",
        {
            f"cluster={cluster}:name={volume.resource}": {
                "byteHours": volume.byte_hours,
                "cost": (volume.cost - volume.adjustment) / 1e6,
                "providerID": volume.provider_id or "",
                "adjustment": volume.adjustment / 1e6,
            }
            for volume in details.volumes
        }
        or None,
    )
    yield (
        "lbAllocations",
        {
            f"{cluster}/{balancer.resource}": {
                "service": balancer.resource,
                "cost": (balancer.cost - balancer.adjustment) / 1e6,
                "private": balancer.private,
                "ip": balancer.ip or "",
                "hours": balancer.hours,
                "adjustment": balancer.adjustment / 1e6,
            }
            for balancer in details.load_balancers
        }
        or None,
    )


def properties(cluster: str, row: Row) -> dict[str, Any]:
    details = row.details
    word = "__unmounted__"
    is_unmounted = row.kind is Kind.UNMOUNTED
    found = {
        "cluster": cluster,
        "node": row.node,
        "namespace": word if is_unmounted else row.namespace,
        "pod": word if is_unmounted else row.pod,
        "container": row.container or (None if row.kind is Kind.IDLE else word),
        "controllerKind": row.controller_kind,
        "controller": row.controller,
        "services": list(row.services),
        "labels": row.labels,
        "namespaceLabels": row.namespace_labels,
        "annotations": details and details.annotations,
        "namespaceAnnotations": details and details.namespace_annotations,
        "providerID": details and details.provider_id,
    }
    return {key: value for key, value in found.items() if value}


def assert_same(mine: Any, its: Any, where: str) -> None:
    if isinstance(its, dict) and isinstance(mine, dict):
        assert mine.keys() == its.keys(), where
        for key in its:
            assert_same(mine[key], its[key], f"{where}.{key}")
    elif isinstance(its, int | float) and not isinstance(its, bool):
        assert mine == pytest.approx(its, abs=ROUNDING, rel=1e-9), where
    else:
        assert mine == its, where


def assert_rebuilt(cluster: str, rows: list[Row], window: Window, recorded: dict[str, Any]) -> None:
    mine = {name_of(cluster, row): row for row in rows if row.kind not in (Kind.OVERHEAD, Kind.DIFFERENCE)}
    assert mine.keys() == recorded.keys()
    for name, its in recorded.items():
        fields = dict(rebuilt(cluster, mine[name], window))
        assert its.keys() - fields.keys() - DERIVED <= {"properties", "start", "end", "minutes", "pvs", "lbAllocations"}
        for key, field in fields.items():
            assert_same(field, its[key], f"{name} {key}")
        assert_same(properties(cluster, mine[name]), its["properties"], name)


@pytest.mark.parametrize("day", range(3))
@pytest.mark.parametrize("cluster", ALL)
def test_recorded_rows_can_be_rebuilt(cluster: str, day: int) -> None:
    rows, _, window = stored(cluster, day)
    (recorded,) = Recording(cluster).json(f"allocation-day{day + 1}-idle")["data"]
    assert_rebuilt(cluster, rows, window, recorded)


@pytest.mark.parametrize("cluster", ALL)
def test_adjusted_rows_and_unknown_figures_can_be_rebuilt(cluster: str) -> None:
    (recorded,) = Recording(cluster).json("allocation-day1-idle")["data"]
    made = with_more(recorded)
    rows, _, window = stored(cluster, 0, json.dumps({"code": 200, "data": [made]}).encode())
    assert any(row.hours.cpu_core_usage_hours is None for row in rows)
    assert any(row.details and any(row.details.adjustments) for row in rows)
    assert_rebuilt(cluster, rows, window, made)


@pytest.mark.parametrize("cluster", ALL)
def test_recorded_assets_can_be_rebuilt(cluster: str) -> None:
    _, assets, _ = stored(cluster, 0)
    recorded = list(Recording(cluster).json("assets-day1")["data"].values())
    assert len(assets) == len(recorded)
    for asset, its in zip(assets, recorded, strict=True):
        details = asset.details
        assert details is not None
        assert (asset.name, asset.provider_id, asset.labels) == (
            its["properties"]["name"],
            its["properties"]["providerID"],
            its["labels"],
        )
        assert (shown(asset.life.start), shown(asset.life.end)) == (its["start"], its["end"])
        assert asset.hours * 60 == pytest.approx(its["minutes"])
        assert asset.total / 1e6 == pytest.approx(its["totalCost"], abs=ROUNDING)
        for key, mine in {
            "nodeType": asset.node_type,
            "cpuCoreHours": details.cpu_core_hours,
            "ramByteHours": details.ram_byte_hours,
            "GPUHours": details.gpu_hours,
            "byteHours": details.byte_hours,
            "byteHoursUsed": details.byte_hours_used,
            "byteUsageMax": details.byte_usage_max,
            "cpuBreakdown": details.cpu_breakdown and details.cpu_breakdown._asdict(),
            "ramBreakdown": details.ram_breakdown and details.ram_breakdown._asdict(),
            "breakdown": details.breakdown and details.breakdown._asdict(),
            "preemptible": details.preemptible,
            "private": details.private,
            "ip": details.ip,
            "storageClass": details.storage_class,
            "volumeName": details.volume_name,
            "claimName": details.claim_name,
            "claimNamespace": details.claim_namespace,
        }.items():
            value = its.get(key)
            assert_same(mine, None if value == "" else value, f"{asset.name} {key}")
        if its["type"] == "Node":
            assert details.region == its["labels"]["topology_kubernetes_io_region"]
            assert details.zone == its["labels"]["topology_kubernetes_io_zone"]
