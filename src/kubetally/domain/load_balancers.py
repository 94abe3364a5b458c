"""The cost of load balancers whose address changed, which a source gets wrong and a Prometheus beside it knows.

The price of a load balancer is a series for each address. OpenCost takes the life of one of them, whichever comes last,
for every address: of one that costs 0.600 a day it shows 0.575 or 0.633 by chance, and not the same as an asset and in
allocations.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from kubetally.domain.allocation import Allocation
from kubetally.domain.asset import Asset, AssetType
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.metrics import Family
from kubetally.domain.money import split
from kubetally.domain.reading import Reading

_SAME = 0.01  # of a cost: what differs by less is the same; OpenCost adds one sample's length to every life
_LEAST = 1_000  # micros: less is rounding


def correct_load_balancers(reading: Reading) -> Reading:
    """The reading with the cost that its Prometheus measured of balancers which had several addresses in the window.

    Their assets and what rows are charged for them become that cost; the rows' totals stay the source's. One that has
    adjustments is left, because a cloud bill decided it, and so are all where the Prometheus lacks samples of prices.
    """
    measured = reading.infrastructure
    if measured is None or not reading.assets or measured.missing(Family.COST_MODEL):
        return reading
    addresses: dict[str, set[str]] = defaultdict(set)
    costs: dict[str, int] = defaultdict(int)
    for hour in measured.hours:
        for balancer in hour.load_balancers:
            addresses[balancer.name].add(balancer.address)
        for name, cost in hour.load_balancer_costs().items():
            costs[name] += cost
    moved = {name: costs[name] for name, of_name in addresses.items() if len(of_name) > 1}
    listed, charged = _listed(reading.assets), _charged(reading)
    settled = {
        name: cost
        for name, cost in moved.items()
        if name in listed
        and not any(asset.adjustment for asset in listed[name])
        and (_differ(cost, _cost(listed[name])) or (name in charged and _differ(cost, charged[name])))
    }
    if not settled:
        return reading
    words = "; ".join(
        f"{name} {_cost(listed[name]) / 1e6:.4f}, measured {cost / 1e6:.4f}" for name, cost in settled.items()
    )
    issue = Issue(
        IssueKind.BALANCER_CORRECTED,
        f"the address of {_balancers(len(settled))} changed, so the source shows wrong hours; the cost is that "
        f"of Prometheus ({words})",
        measured.source,
        reading.window,
        facts={"load_balancers": tuple(settled)},
    )
    return replace(
        reading,
        assets=_with_costs(reading.assets, listed, settled),
        allocations=[_charged_as(row, settled, charged) if row.load_balancers else row for row in reading.allocations],
        issues=(*reading.issues, issue),
    )


def differing_load_balancers(reading: Reading) -> Iterator[Issue]:
    """That a load balancer costs another amount as an asset than in rows; call after `correct_load_balancers`."""
    charged, listed = _charged(reading), _listed(reading.assets or ())
    differing = [name for name in charged if name in listed and _differ(charged[name], _cost(listed[name]))]
    if differing:
        words = "; ".join(
            f"{name} {_cost(listed[name]) / 1e6:.4f} as an asset, {charged[name] / 1e6:.4f} in allocations"
            for name in differing
        )
        advice = "" if reading.infrastructure else "; --prometheus-url decides which is right"
        yield Issue(
            IssueKind.BALANCER_DIFFERS,
            f"the source shows two costs of {_balancers(len(differing))}, as after a change of address; the asset's is "
            f"booked ({words}){advice}",
            reading.source,
            reading.window,
            facts={"load_balancers": tuple(differing)},
        )


def _listed(assets: Sequence[Asset]) -> dict[str, list[Asset]]:
    """The assets of each balancer, by `namespace/service`."""
    listed: dict[str, list[Asset]] = defaultdict(list)
    for asset in assets:
        if asset.type is AssetType.LOAD_BALANCER:
            listed[asset.name].append(asset)
    return listed


def _charged(reading: Reading) -> dict[str, int]:
    """What rows that name their balancers are charged for each."""
    charged: dict[str, int] = defaultdict(int)
    for row in reading.allocations:
        if row.load_balancers:
            for piece in row.scaled_load_balancers():
                charged[piece.resource] += piece.cost
    return {name: cost for name, cost in charged.items() if cost > 0}


def _cost(assets: Sequence[Asset]) -> int:
    return sum(asset.costs.load_balancer for asset in assets)


def _differ(one: int, other: int) -> bool:
    return abs(one - other) > max(_LEAST, _SAME * max(one, other))


def _with_costs(assets: Sequence[Asset], listed: Mapping[str, list[Asset]], settled: Mapping[str, int]) -> list[Asset]:
    """The assets, those of the settled balancers at their new cost: in proportion where one stands there twice."""
    parts: dict[str, Iterator[int]] = {}
    for name, cost in settled.items():
        weights = [max(0, asset.costs.load_balancer) for asset in listed[name]]
        parts[name] = iter(split(cost, weights if any(weights) else [1] * len(weights)))

    def at_cost(asset: Asset) -> Asset:
        cost = next(parts[asset.name])
        return asset._replace(costs=asset.costs._replace(load_balancer=cost))

    return [
        at_cost(asset) if asset.type is AssetType.LOAD_BALANCER and asset.name in settled else asset for asset in assets
    ]


def _charged_as(row: Allocation, settled: Mapping[str, int], charged: Mapping[str, int]) -> Allocation:
    """The row with its share of the balancers' new costs."""
    before = row.scaled_load_balancers()
    after = tuple(
        piece._replace(cost=round(piece.cost * settled[piece.resource] / charged[piece.resource]))
        if piece.resource in settled and piece.resource in charged
        else piece
        for piece in before
    )
    change = sum(piece.cost for piece in after) - sum(piece.cost for piece in before)
    return row._replace(load_balancers=after, costs=row.costs._replace(load_balancer=row.costs.load_balancer + change))


def _balancers(count: int) -> str:
    return "1 load balancer" if count == 1 else f"{count} load balancers"
