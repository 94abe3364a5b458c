"""The difference between bill and use, by cause (B3, B6)."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from kubetally.domain.allocation import Allocation, Kind
from kubetally.domain.asset import Asset, AssetType
from kubetally.domain.bill import Bill
from kubetally.domain.component import Component, Costs
from kubetally.domain.money import split
from kubetally.domain.row import Cause, Row
from kubetally.domain.use import Use

_Amounts = list[tuple[Cause, int]]
NODE_COMPONENTS = (Component.CPU, Component.RAM, Component.GPU)  # the first three


def difference_rows(
    bill: Bill,
    difference: Costs,
    use: Use,
    allocations: Sequence[Allocation],
    *,
    missing: frozenset[Component],
    figure_rounding: int,
) -> list[Row]:
    """A row for each cause of the difference between bill and use (B3); they add up to it.

    missing: components with a figure that the source could not compute. figure_rounding: of each of its figures.
    """
    causes: dict[Cause, dict[Component, int]] = defaultdict(dict)
    for component, figures in zip(Component, _figures(bill.assets, allocations), strict=True):
        rounding = figure_rounding * figures
        rest = difference.of(component)
        named = _below_zero(rest, component, bill, use)
        left = rest - sum(amount for _, amount in named)
        if abs(left) > rounding and component not in missing:  # a missing figure would look like another cause
            if component is Component.LOAD_BALANCER:
                named += _balancer_causes(bill.assets, allocations, figure_rounding)
            elif component is Component.PV:
                named += _volume_causes(bill.assets, allocations, figure_rounding)
            elif component is Component.NETWORK:
                named.append((Cause.NETWORK_ASSET_DIFFERS, left))
        for cause, amount in named:
            if amount:
                causes[cause][component] = causes[cause].get(component, 0) + amount
                rest -= amount
        if rest:
            cause = _cause_of_rest(rest, rounding, component, bill, missing)
            causes[cause][component] = causes[cause].get(component, 0) + rest
    return [Row(Kind.DIFFERENCE, cause, costs=Costs.from_mapping(causes[cause])) for cause in Cause if cause in causes]


def _below_zero(rest: int, component: Component, bill: Bill, use: Use) -> _Amounts:
    """What idle and rows were below zero, by cause; never more than is left, or two causes would cancel out."""
    over_commit = Cause.OVER_COMMIT
    if component in NODE_COMPONENTS and bill.has_unlisted_nodes:
        over_commit = Cause.NODE_WITHOUT_ASSET
    elif component in NODE_COMPONENTS and bill.has_unpriced_nodes:
        over_commit = Cause.NODE_WITHOUT_PRICE
    named = []
    for cause, costs in (
        (Cause.NEGATIVE_FIGURE, use.negative),
        (over_commit, use.over_commit),
        (Cause.CREDIT, use.credit),
    ):
        amount = max(costs.of(component), min(rest, 0))
        named.append((cause, amount))
        rest -= amount
    return named


def _cause_of_rest(rest: int, rounding: int, component: Component, bill: Bill, missing: frozenset[Component]) -> Cause:
    if abs(rest) <= rounding:
        return Cause.ROUNDING
    if component in missing:
        return Cause.FIGURE_MISSING
    if bill.has_machine_twice and component in NODE_COMPONENTS and rest < 0:
        return Cause.MACHINE_TWICE
    # Idle names no node: of an unlisted one it is in the use and not on the bill.
    if bill.has_unlisted_nodes and component in NODE_COMPONENTS and rest < 0:
        return Cause.NODE_WITHOUT_ASSET
    return Cause.UNKNOWN


def _figures(assets: Sequence[Asset], allocations: Sequence[Allocation]) -> list[int]:
    """How many figures of the source each component is made of: every one of them was rounded.

    A row on a node has all of the node's components, those that were rounded to nothing too.
    """
    counts = [0] * len(Component)
    for costs in ([row.costs for row in allocations], [asset.costs for asset in assets]):
        for i, column in enumerate(zip(*costs, strict=True)):
            counts[i] += len(column) - column.count(0)
    on_nodes = sum(row.node is not None for row in allocations)
    return [max(count, on_nodes) if i < len(NODE_COMPONENTS) else count for i, count in enumerate(counts)]


def _balancer_causes(assets: Sequence[Asset], allocations: Sequence[Allocation], figure_rounding: int) -> _Amounts:
    """For each load balancer, what was billed beyond what was charged, and the other way round."""
    billed = Counter[str]()
    for asset in assets:
        if asset.type is AssetType.LOAD_BALANCER:
            billed[asset.name] += asset.costs.load_balancer
    by_service: dict[str, list[str]] = defaultdict(list)
    for name in billed:
        by_service[name.rpartition("/")[2]].append(name)
    charged = _Charged()
    for row in allocations:
        if row.load_balancers and any(piece.cost for piece in row.load_balancers):
            for piece in row.scaled_load_balancers():
                charged.add(piece.resource, piece.cost)
        elif row.costs.load_balancer:
            # An unmounted row only has the services' bare names: its amount falls on those in proportion.
            names = sorted(name for service in set(row.services) for name in by_service[service.rpartition("/")[2]])
            if any(billed[name] > 0 for name in names):
                parts = split(row.costs.load_balancer, [billed[name] for name in names])
                for name, part in zip(names, parts, strict=True):
                    charged.add(name, part)
    return _above_and_below(
        billed, charged, figure_rounding, Cause.BALANCER_BOOKED_IN_PART, Cause.BALANCER_CHARGED_TWICE
    )


def _volume_causes(assets: Sequence[Asset], allocations: Sequence[Allocation], figure_rounding: int) -> _Amounts:
    """For each disk, what was billed beyond what was charged for its volume, and the other way round."""
    billed, disk_of = Counter[str](), {}
    for asset in assets:
        if asset.type is AssetType.DISK and asset.costs.pv:
            billed[asset.name] += asset.costs.pv
            disk_of.update(dict.fromkeys(asset.names, asset.name))
    charged = _Charged()
    for piece in (piece for row in allocations for piece in row.volumes):
        if piece.resource in disk_of:
            charged.add(disk_of[piece.resource], piece.cost)
    return _above_and_below(
        billed, charged, figure_rounding, Cause.VOLUME_BOOKED_IN_PART, Cause.VOLUME_CHARGED_BEYOND_ITS_DISK
    )


class _Charged:
    """Charges of rows for each resource, and the number of their figures."""

    def __init__(self) -> None:
        self.costs = Counter[str]()
        self.figures = Counter[str]()

    def add(self, resource: str, cost: int) -> None:
        """One more figure."""
        self.costs[resource] += cost
        self.figures[resource] += 1


def _above_and_below(
    billed: Counter[str], charged: _Charged, figure_rounding: int, in_part: Cause, beyond: Cause
) -> _Amounts:
    """What was billed beyond what was charged, and the other way round, where rounding can't have made it."""
    differences = [
        difference
        for name in billed
        if abs(difference := billed[name] - charged.costs[name]) > figure_rounding * (charged.figures[name] + 1)
    ]
    return [
        (in_part, sum(amount for amount in differences if amount > 0)),
        (beyond, sum(amount for amount in differences if amount < 0)),
    ]
