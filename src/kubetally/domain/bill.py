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
    """The bill side. `measured` is the part of `costs` that a server of metrics measured, which no row carries."""

    costs: Costs
    network_classes: NetworkClasses
    not_measured: frozenset[Component]
    audited: bool
    assets: Sequence[Asset]
    has_unlisted_nodes: bool = False
    measured: Costs = ZERO


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
    network = listed.network if listed.network > 0 else use.everything.network
    has_fee = bool(by_type[AssetType.MANAGEMENT])
    measured, classes = _measured(
        reading,
        management=not has_fee,
        load_balancer=not by_type[AssetType.LOAD_BALANCER] and not use.everything.load_balancer,
        network=not network,
    )
    not_measured = set()
    if not has_fee and not _is_fee_measured(reading):
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
    costs = listed.plus(entered)._replace(network=network, external=use.everything.external, shared=0).plus(measured)
    return Bill(
        costs,
        classes or _classes_of(network, use.everything_classes),
        frozenset(not_measured),
        audited=not missing and not reading.missing,
        assets=assets,
        has_unlisted_nodes=any(resource.startswith(_NODE) for resource in missing),
        measured=measured,
    )


def _bill_from_use(reading: Reading, use: Use, issues: list[Issue]) -> Bill:
    """Without assets there is nothing to audit against: the bill is the sum of the source's own rows (B4)."""
    issues.append(
        Issue(
            IssueKind.NOT_AUDITED,
            "the source gave no assets for this window: the bill is the sum of its own rows, node disks "
            + ("are" if _is_fee_measured(reading) else "and the management fee are")
            + " not in it",
            source=reading.source,
            window=reading.window,
        )
    )
    costs = use.everything._replace(shared=0)
    measured, classes = _measured(
        reading, management=True, load_balancer=not costs.load_balancer, network=not costs.network
    )
    unmeasured = {Component.NODE_DISK} if _is_fee_measured(reading) else {Component.NODE_DISK, Component.MANAGEMENT}
    return Bill(
        costs.plus(measured),
        classes or _classes_of(costs.network, use.everything_classes),
        frozenset(unmeasured),
        audited=False,
        assets=(),
        measured=measured,
    )


def _is_fee_measured(reading: Reading) -> bool:
    return reading.infrastructure is not None and reading.infrastructure.management is not None


def _measured(
    reading: Reading, *, management: bool, load_balancer: bool, network: bool
) -> tuple[Costs, NetworkClasses | None]:
    """What a server of metrics measured of the components that nothing else has (B1), and the classes of its network.

    Each flag says that the component's earlier sources have nothing: a component has one source, never two.
    """
    infrastructure = reading.infrastructure
    if infrastructure is None:
        return ZERO, None
    classes = infrastructure.network if network else None
    return Costs(
        management=(infrastructure.management or 0) if management else 0,
        load_balancer=(infrastructure.load_balancer or 0) if load_balancer else 0,
        network=sum(classes) if classes is not None else 0,
    ), classes


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
