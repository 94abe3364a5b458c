"""Converts assets of an answer to those of the ledger."""

import re
from collections.abc import Iterable, Mapping, Sequence

from kubetally.domain.asset import Asset, AssetDetails, AssetType, Breakdown, node_costs, node_parts
from kubetally.domain.component import Costs
from kubetally.domain.money import to_micros
from kubetally.domain.window import Window, covered_hours
from kubetally.garbage import gc_paused
from kubetally.sources.opencost.figures import MAX_COST_MICROS, known_hours, without_huge
from kubetally.sources.opencost.notes import Notes
from kubetally.sources.opencost.spans import life_of, window_of
from kubetally.sources.opencost.wire import AssetAnswer, AssetRow, Fractions, sets_of

_LOCAL_DISK = "__local__"
_ASSET_TYPES = {
    "Node": AssetType.NODE,
    "Disk": AssetType.DISK,
    "LoadBalancer": AssetType.LOAD_BALANCER,
    "Network": AssetType.NETWORK,
    "ClusterManagement": AssetType.MANAGEMENT,
}


def _spellings(*keys: str) -> tuple[str, ...]:
    """Label keys of Kubernetes, each followed by its spelling with underscores, which some sources have."""
    return tuple(spelling for key in keys for spelling in (key, re.sub(r"[^A-Za-z0-9_]", "_", key)))


_REGION_LABELS = _spellings("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region")
_ZONE_LABELS = _spellings("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
_POOL_LABELS = _spellings(
    "cloud.google.com/gke-nodepool", "eks.amazonaws.com/nodegroup", "alpha.eksctl.io/nodegroup-name",
    "kubernetes.azure.com/agentpool", "agentpool", "karpenter.sh/nodepool",
)  # fmt: skip
_OUTSIDE = frozenset({"Cloud", "Shared"})  # of the cluster: not part of its bill


@gc_paused()
def read_assets(answer: AssetAnswer, asked: Window, notes: Notes) -> list[Asset] | None:
    """The assets of an answer within `asked`; None if one reaches beyond it, as they are no bill for it then.

    Sets of other days are ignored. Raises AnswerNotUnderstood.
    """
    assets: list[Asset] = []
    is_beyond = False
    for step in sets_of(answer.data):
        for row in step.values():
            if row is None or row.type in _OUTSIDE:
                continue
            window = window_of(row.window, notes.source) or asked
            if asked.overlap(window) is None and not asked.contains(window):
                continue
            if row.type not in _ASSET_TYPES:
                notes.other_assets += filter(None, [_other_asset(row, window).within(asked)])
            elif not asked.contains(window):
                is_beyond = True
            else:
                assets.append(_asset(row, window, notes))
    return None if is_beyond else assets


def are_of_one_span(assets: Iterable[Asset], covered: Sequence[Window]) -> bool:
    """Whether assets and rows are about the same time, so that they can be compared."""
    spans = {asset.window for asset in assets}
    return not spans or covered_hours(spans) == covered_hours(covered) == covered_hours([*spans, *covered])


def _asset(row: AssetRow, window: Window, notes: Notes) -> Asset:
    about, kind = row.properties, _ASSET_TYPES[row.type]
    name = (about.name if about else None) or ""
    figures = (row.total_cost or 0.0, row.cpu_cost or 0.0, row.ram_cost or 0.0, row.gpu_cost or 0.0)
    if max(map(abs, figures)) * 1e6 >= MAX_COST_MICROS:
        row = without_huge(name, row, notes, unknown=None)
    if (row.total_cost or 0.0) < min(row.adjustment or 0.0, 0.0) or (row.minutes or 0.0) < 0:
        notes.negative[name] = 0
    total = 0 if row.total_cost is None else to_micros(row.total_cost)
    if row.total_cost is None:
        notes.null_figures.add(f"totalCost of {row.type} assets")
    match kind:
        case AssetType.NODE:
            cpu, ram, gpu = _node_parts(row, notes)
            costs = node_costs(cpu=cpu, ram=ram, gpu=gpu, discount=row.discount or 0.0, total=row.total_cost)
        case AssetType.DISK:
            costs = Costs(node_disk=total) if row.storage_class == _LOCAL_DISK else Costs(pv=total)
        case AssetType.LOAD_BALANCER:
            costs = Costs(load_balancer=total)
        case AssetType.NETWORK:
            costs = Costs(network=total)
        case AssetType.MANAGEMENT:
            costs = Costs(management=total)
    return Asset(
        type=kind,
        name=name,
        names=frozenset(filter(None, (name, row.volume_name if kind is AssetType.DISK else None))),
        window=window,
        costs=costs,
        cluster_id=about.cluster if about else None,
        provider_id=about.provider_id if about else None,
        node_type=row.node_type,
        labels=row.labels,
        hours=(row.minutes or 0.0) / 60,
        discount=row.discount or 0.0,
        adjustment=to_micros(row.adjustment) if row.adjustment else 0,
        life=life_of(window, start=row.start, end=row.end, minutes=row.minutes),
        cpu_cores=row.cpu_cores if kind is AssetType.NODE else None,
        details=_asset_details(row),
    )


def _node_parts(row: AssetRow, notes: Notes) -> tuple[float, float, float]:
    """List costs of CPU, RAM and GPU; 0, with a note, if one is unknown."""
    cpu, ram, gpu = node_parts(
        cpu=row.cpu_cost,
        ram=row.ram_cost,
        gpu=row.gpu_cost,
        discount=row.discount or 0.0,
        adjustment=row.adjustment or 0.0,
        total=row.total_cost,
    )
    parts = {"cpuCost": cpu, "ramCost": ram, "gpuCost": gpu}
    notes.null_figures.update(f"{key} of Node assets" for key, cost in parts.items() if cost is None)
    return cpu or 0.0, ram or 0.0, gpu or 0.0


def _other_asset(row: AssetRow, window: Window) -> Asset:
    """An asset of an unknown type; it has an amount and no costs."""
    about, cost = row.properties, row.total_cost
    details = _asset_details(row)._replace(
        source_type=row.type or "no type",
        amount=None if cost is None or abs(cost) * 1e6 >= MAX_COST_MICROS else to_micros(cost),
    )
    name = (about.name if about else None) or ""
    return Asset(
        type=AssetType.OTHER,
        name=name,
        names=frozenset(filter(None, (name,))),
        window=window,
        cluster_id=(about.cluster if about else None) or None,
        provider_id=about.provider_id if about else None,
        labels=row.labels,
        hours=min(max(row.minutes or 0.0, 0.0) / 60, window.hours),
        life=life_of(window, start=row.start, end=row.end, minutes=row.minutes),
        details=details,
    )


def _asset_details(row: AssetRow) -> AssetDetails:
    labels = row.labels or {}
    return AssetDetails(
        pool=row.pool or _first_of(labels, _POOL_LABELS),
        preemptible=None if row.preemptible is None else row.preemptible > 0,
        region=_first_of(labels, _REGION_LABELS),
        zone=_first_of(labels, _ZONE_LABELS),
        storage_class=row.storage_class or None,
        volume_name=row.volume_name or None,
        claim_name=row.claim_name or None,
        claim_namespace=row.claim_namespace or None,
        private=row.private,
        ip=row.ip or None,
        cpu_core_hours=known_hours(row.cpu_core_hours),
        ram_byte_hours=known_hours(row.ram_byte_hours),
        gpu_hours=known_hours(row.gpu_hours),
        byte_hours=known_hours(row.byte_hours),
        byte_hours_used=known_hours(row.byte_hours_used),
        byte_usage_max=known_hours(row.byte_usage_max),
        cpu_breakdown=_breakdown(row.cpu_breakdown),
        ram_breakdown=_breakdown(row.ram_breakdown),
        breakdown=_breakdown(row.breakdown),
    )


def _breakdown(fractions: Fractions | None) -> Breakdown | None:
    if fractions is None:
        return None
    return Breakdown(fractions.idle, fractions.user, fractions.system, fractions.other)


def _first_of(labels: Mapping[str, str], keys: Sequence[str]) -> str | None:
    """The value of the first label that is set."""
    return next((value for key in keys if (value := labels.get(key))), None) if labels else None
