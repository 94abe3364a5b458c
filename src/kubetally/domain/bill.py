"""The bill side of a cluster-day: what was paid, by component, and for what (B1, B4)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kubetally.domain.allocation import Allocation
from kubetally.domain.asset import Asset, AssetType
from kubetally.domain.component import ZERO, Component, Costs, NetworkClasses
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.money import split
from kubetally.domain.reading import Reading
from kubetally.domain.use import Use

_NODE = "node "
_NAMED_AT_MOST = 10  # resources that one issue names before it only counts the rest


class Bill(NamedTuple):
    costs: Costs
    network_classes: NetworkClasses
    not_measured: frozenset[Component]
    audited: bool
    assets: Sequence[Asset]
    has_unlisted_nodes: bool = False


def bill_side(reading: Reading, allocations: Sequence[Allocation], use: Use, issues: list[Issue]) -> Bill:
    assets = reading.assets
    if not assets and (assets is None or any(any(row.costs) for row in allocations)):
        return _bill_from_use(reading, use, issues)
    assets = assets or ()
    by_type = defaultdict(list)
    for asset in assets:
        by_type[asset.type].append(asset)
    listed = Costs.sum(asset.costs for asset in assets)
    missing = _without_asset(allocations, by_type)
    entered = Costs.sum(costs for costs in missing.values())
    if missing:
        issues.append(
            Issue(
                IssueKind.RESOURCE_WITHOUT_ASSET,
                "the source charges for what it does not list as an asset; it enters the bill at the amount charged: "
                + _some_of(tuple(missing)),
                source=reading.source,
                window=reading.window,
                facts={"resources": tuple(missing)},
            )
        )
    not_measured = set()
    network, classes = use.everything.network, use.everything_classes
    if listed.network > 0:
        network = listed.network
    if not by_type[AssetType.MANAGEMENT]:
        not_measured.add(Component.MANAGEMENT)
        issues.append(
            Issue(
                IssueKind.NOT_MEASURED,
                "the management fee of the cluster is not measured by this source",
                source=reading.source,
                window=reading.window,
                subject=Component.MANAGEMENT,
            )
        )
    costs = listed.plus(entered)._replace(network=network, external=use.everything.external, shared=0)
    return Bill(
        costs,
        _classes_of(network, classes),
        frozenset(not_measured),
        audited=not missing and not reading.missing,
        assets=assets,
        has_unlisted_nodes=any(resource.startswith(_NODE) for resource in missing),
    )


def _bill_from_use(reading: Reading, use: Use, issues: list[Issue]) -> Bill:
    """Without assets there is nothing to audit against: the bill is the sum of the source's own rows (B4)."""
    issues.append(
        Issue(
            IssueKind.NOT_AUDITED,
            "the source gave no assets for this window: the bill is the sum of its own rows, node disks and the "
            "management fee are not in it",
            source=reading.source,
            window=reading.window,
        )
    )
    costs = use.everything._replace(shared=0)
    unmeasured = frozenset({Component.NODE_DISK, Component.MANAGEMENT})
    return Bill(costs, _classes_of(costs.network, use.everything_classes), unmeasured, audited=False, assets=())


def _classes_of(network: int, classes: NetworkClasses) -> NetworkClasses:
    """The bill's network cost by class, in the proportion the rows show; all of it internet where they show none."""
    if sum(classes) == network:
        return classes
    if any(amount > 0 for amount in classes):
        return NetworkClasses(*split(network, classes))
    return NetworkClasses(internet=network)


def _without_asset(allocations: Sequence[Allocation], by_type: Mapping[AssetType, Sequence[Asset]]) -> dict[str, Costs]:
    """What rows cost on a resource that no asset lists, by the resource's name (B4)."""
    nodes, disks, balancers = (
        frozenset(name for asset in by_type[kind] for name in asset.names)
        for kind in (AssetType.NODE, AssetType.DISK, AssetType.LOAD_BALANCER)
    )
    services = balancers | {name.rpartition("/")[2] for name in balancers}
    missing: dict[str, Costs] = {}

    def enter(resource: str, costs: Costs) -> None:
        if any(costs):
            missing[resource] = missing.get(resource, ZERO).plus(costs)

    for row in allocations:
        if row.node and row.node not in nodes:
            enter(_NODE + row.node, Costs(row.costs.cpu, row.costs.ram, row.costs.gpu))
        for volume in row.volumes:
            if volume.resource not in disks:
                enter(f"volume {volume.resource}", Costs(pv=volume.cost))
        if row.balancers and any(piece.cost for piece in row.balancers):
            for balancer in row.scaled_balancers():
                if balancer.resource not in balancers:
                    enter(f"load balancer {balancer.resource}", Costs(load_balancer=balancer.cost))
        elif row.costs.load_balancer and services.isdisjoint(
            names := {*row.services, *(piece.resource for piece in row.balancers)}
        ):
            named = ", ".join(sorted(names)) or "without a name"
            enter(f"load balancer {named}", Costs(load_balancer=row.costs.load_balancer))
    return missing


def _some_of(names: Sequence[str]) -> str:
    more = len(names) - _NAMED_AT_MOST
    return ", ".join(names[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
