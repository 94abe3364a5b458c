"""Made-up cluster-days for tests of what keeps them."""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime

from kubetally.domain.allocation import Kind
from kubetally.domain.asset import Asset, AssetType
from kubetally.domain.booking import Booking
from kubetally.domain.collection import CollectedDay, new_collected_day, window_of
from kubetally.domain.component import NO_CLASSES, Costs, NetworkClasses
from kubetally.domain.efficiency import Hours
from kubetally.domain.row import Row
from kubetally.domain.source_identity import SourceIdentity

DAY = date(2026, 11, 20)


def cluster_day(
    account: str,
    generation: int = 0,
    *,
    day: date = DAY,
    pods: int = 5,
    nodes: int = 2,
    is_running: bool = False,
    rows: Sequence[Row] | None = None,
    assets: Sequence[Asset] | None = None,
    currency: str = "USD",
    collected_at: datetime | None = None,
) -> CollectedDay:
    """A day of an account; each generation has other figures, and its own collection id."""
    chance = random.Random(f"{account} {day} {generation}")  # noqa: S311
    made = [*_pods(chance, pods), Row(Kind.IDLE, costs=_costs(chance))] if rows is None else rows
    window = window_of(day)
    booking = Booking(
        window=window,
        covered=(window,),
        rows=tuple(made),
        bill=Costs.sum(row.costs for row in made),
        bill_network_classes=NO_CLASSES,
        not_measured=frozenset(),
        assets_complete=True,
        currency=currency,
        source="OpenCost 1.118",
        source_total=0,
        issues=(),
    )
    return new_collected_day(
        f"{account}-{day}-{generation}",
        account_id=account,
        day=day,
        collected_at=collected_at or datetime.now(UTC),
        source=SourceIdentity("http://opencost.test", cluster_id=f"cluster-of-{account}"),
        booking=booking,
        assets=[_node(chance, number, day) for number in range(nodes)] if assets is None else assets,
        is_running=is_running,
    )


def _pods(chance: random.Random, count: int) -> Iterator[Row]:
    for number in reversed(range(count)):
        network = chance.randrange(10_000)
        yield Row(
            Kind.WORKLOAD,
            namespace=f"team-{number % 20:02}",
            controller_kind="deployment",
            controller=f"app-{number // 4}",
            pod=f"app-{number // 4}-{chance.getrandbits(40):x}",
            node=f"node-{number % 7}",
            containers=1 + number % 3,
            minutes=1440.0 * chance.random(),
            hours=Hours(*[24 * chance.random() for _ in Hours._fields]),
            costs=_costs(chance)._replace(network=network),
            network_classes=NetworkClasses(network - network // 3, network // 3),
            services=(f"service-{number // 4}",),
            labels={"app": f"app-{number // 4}", "pod_template_hash": f"{chance.getrandbits(32):x}"},
            namespace_labels={"team": f"team-{number % 20:02}"},
        )


def _costs(chance: random.Random) -> Costs:
    return Costs(*[chance.randrange(1_000_000) for _ in Costs._fields])


def _node(chance: random.Random, number: int, day: date) -> Asset:
    name = f"node-{number}"
    costs = Costs(cpu=chance.randrange(10**7), ram=chance.randrange(10**7))
    return Asset(AssetType.NODE, name, frozenset({name, f"i-{number:08x}"}), window_of(day), costs, labels={})
