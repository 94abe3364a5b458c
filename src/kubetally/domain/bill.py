"""The bill side of a cluster-day: the cost of its assets, by component (B1, B4)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from typing import NamedTuple

from kubetally.domain.allocation import Allocation
from kubetally.domain.asset import Asset, AssetType
from kubetally.domain.component import ZERO, Component, Costs, NetworkClasses
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.metrics import ALL_EGRESS_PRICES, EGRESS_BYTES
from kubetally.domain.money import split
from kubetally.domain.reading import Reading
from kubetally.domain.use import Use
from kubetally.domain.words import name_some

_NODE = "node "


class Bill(NamedTuple):
    """The bill side.

    left_to_metrics: components that the source does not have, so that only Prometheus can measure them.
    measured:        the part of `costs` that Prometheus measured, which no row has.
    """

    costs: Costs
    network_classes: NetworkClasses
    not_measured: frozenset[Component]
    left_to_metrics: frozenset[Component]
    assets_complete: bool
    assets: Sequence[Asset]
    has_unlisted_nodes: bool = False
    has_unpriced_nodes: bool = False
    has_machine_twice: bool = False
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
        on_nodes = {row.node for row in allocations if row.node}
        of_nodes = {name for asset in by_type[AssetType.NODE] for name in asset.names}
        are_all_unlisted = bool(on_nodes and of_nodes) and on_nodes.isdisjoint(of_nodes)
        issues.append(_charged_but_not_listed(reading, tuple(missing), are_all_unlisted=are_all_unlisted))
    network = listed.network if listed.network > 0 else use.everything.network
    left = _left_to_metrics(
        management=not by_type[AssetType.MANAGEMENT],
        load_balancer=not (by_type[AssetType.LOAD_BALANCER] or use.everything.load_balancer or entered.load_balancer),
        network=not network,
    )
    measured, classes = _measured(reading, left)
    not_measured = _not_measured(reading, left)
    issues += [_unmeasured_issue(reading, component) for component in Component if component in not_measured]
    costs = listed.plus(entered)._replace(network=network, external=use.everything.external, shared=0).plus(measured)
    return Bill(
        costs,
        classes or _classes_of(network, use.everything_classes),
        not_measured,
        left,
        assets_complete=not missing and not reading.missing and not reading.other_assets,
        assets=assets,
        has_unlisted_nodes=any(resource.startswith(_NODE) for resource in missing),
        has_unpriced_nodes=_has_unpriced_nodes(allocations, by_type[AssetType.NODE]),
        has_machine_twice=reading.has_machine_twice,
        measured=measured,
    )


def _bill_from_use(reading: Reading, use: Use, issues: list[Issue]) -> Bill:
    """Without assets, the bill is the sum of the source's own rows (B4)."""
    costs = use.everything._replace(shared=0)
    left = _left_to_metrics(management=True, load_balancer=not costs.load_balancer, network=not costs.network)
    measured, classes = _measured(reading, left)
    not_measured = _not_measured(reading, left)
    issues.append(
        Issue(
            IssueKind.NOT_AUDITED,
            "the source returned no assets for this window: the bill is the sum of its rows, without node disks"
            + (" and management fee" if Component.MANAGEMENT in not_measured else ""),
            source=reading.source,
            window=reading.window,
        )
    )
    if Component.NETWORK in not_measured:
        issues.append(_unmeasured_issue(reading, Component.NETWORK))
    return Bill(
        costs.plus(measured),
        classes or _classes_of(costs.network, use.everything_classes),
        not_measured | {Component.NODE_DISK},
        left,
        assets_complete=False,
        assets=(),
        has_unlisted_nodes=reading.assets is not None,  # it answered, and lists none
        measured=measured,
    )


def _left_to_metrics(*, management: bool, load_balancer: bool, network: bool) -> frozenset[Component]:
    """The components with a true flag: assets and allocations have nothing of them. A component has one source."""
    flags = {Component.MANAGEMENT: management, Component.LOAD_BALANCER: load_balancer, Component.NETWORK: network}
    return frozenset(component for component, is_left in flags.items() if is_left)


def _measured(reading: Reading, left: Set[Component]) -> tuple[Costs, NetworkClasses | None]:
    """Costs that Prometheus measured for the components left to it (B1), and the classes of its network cost."""
    infrastructure = reading.infrastructure
    if infrastructure is None:
        return ZERO, None
    classes = infrastructure.network if Component.NETWORK in left else None
    return Costs(
        management=(infrastructure.management or 0) if Component.MANAGEMENT in left else 0,
        load_balancer=(infrastructure.load_balancer or 0) if Component.LOAD_BALANCER in left else 0,
        network=sum(classes) if classes is not None else 0,
    ), classes


def _not_measured(reading: Reading, left: Set[Component]) -> frozenset[Component]:
    """The unmeasured ones of the components that are left to metrics.

    A source without management fee can't have one. A source without network cost may be right, and is believed if there
    is no Prometheus; a Prometheus without cost of traffic means that nobody measured it. A cluster without load
    balancers has no samples of them, so their absence means nothing.
    """
    infrastructure = reading.infrastructure
    unmeasured = set()
    if infrastructure is None or infrastructure.management is None:
        unmeasured.add(Component.MANAGEMENT)
    if infrastructure is not None and infrastructure.network is None:
        unmeasured.add(Component.NETWORK)
    return frozenset(unmeasured & left)


def _unmeasured_issue(reading: Reading, component: Component) -> Issue:
    """The issue for an unmeasured management fee or network cost."""
    message = "the management fee of the cluster is not measured by this source"
    if component is Component.NETWORK:
        was_counted = reading.infrastructure is not None and reading.infrastructure.network_bytes is not None
        message = "network cost is not measured: the source has none, and Prometheus has " + (
            f"the bytes that pods sent, but not all prices ({ALL_EGRESS_PRICES})"
            if was_counted
            else f"no sample of the bytes that pods sent ({EGRESS_BYTES})"
        )
    return Issue(IssueKind.NOT_MEASURED, message, reading.source, reading.window, component)


def _charged_but_not_listed(reading: Reading, resources: tuple[str, ...], *, are_all_unlisted: bool) -> Issue:
    same = ". No node of its rows is listed: if the listed nodes are the same machines by other names, they count twice"
    return Issue(
        IssueKind.RESOURCE_WITHOUT_ASSET,
        "the source charges for resources that it does not list as assets; they are billed at that amount: "
        + name_some(resources)
        + (same if are_all_unlisted else ""),
        source=reading.source,
        window=reading.window,
        facts={"resources": resources},
    )


def _classes_of(network: int, classes: NetworkClasses) -> NetworkClasses:
    """The bill's network cost by class, in the proportion of the rows; all of it internet without classes."""
    if sum(classes) == network:
        return classes
    if any(amount > 0 for amount in classes):
        return NetworkClasses(*split(network, classes))
    return NetworkClasses(internet=network)


def _without_asset(allocations: Sequence[Allocation], by_type: Mapping[AssetType, Sequence[Asset]]) -> dict[str, Costs]:
    """Costs of rows on resources without an asset, by the resource's name (B4)."""
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
        if row.load_balancers and any(piece.cost for piece in row.load_balancers):
            for balancer in row.scaled_load_balancers():
                if balancer.resource not in balancers:
                    enter(f"load balancer {balancer.resource}", Costs(load_balancer=balancer.cost))
        elif row.costs.load_balancer and services.isdisjoint(
            names := {*row.services, *(piece.resource for piece in row.load_balancers)}
        ):
            named = ", ".join(sorted(names)) or "without a name"
            enter(f"load balancer {named}", Costs(load_balancer=row.costs.load_balancer))
    return missing


def _has_unpriced_nodes(allocations: Sequence[Allocation], nodes: Sequence[Asset]) -> bool:
    """Whether rows are charged for a node that is listed and costs nothing."""
    unpriced = {name for asset in nodes if not any(asset.costs) for name in asset.names}
    return bool(unpriced) and any(row.node in unpriced and (row.costs.cpu or row.costs.ram) for row in allocations)
