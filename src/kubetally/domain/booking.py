"""Booking a cluster-day: the bill on one side, its use on the other, and the difference between them by cause.

The bill comes from assets, the use from allocations. They are different computations of the source, rounded apart, so
they never agree by themselves; `book` puts every difference into a line of its own, by component and cause, so that
workloads + idle + unmounted + overhead + difference are the bill, exactly.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import NamedTuple

from kubetally.domain.allocation import Allocation, Kind
from kubetally.domain.bill import Bill, bill_side
from kubetally.domain.component import NO_CLASSES, Component, Costs, NetworkClasses
from kubetally.domain.difference import difference_rows
from kubetally.domain.errors import BalanceError
from kubetally.domain.evidence.days_around import DayFacts
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.load_balancers import correct_load_balancers, differing_load_balancers
from kubetally.domain.money import CurrencyOrigin
from kubetally.domain.reading import Reading
from kubetally.domain.row import BELOW_ZERO, Cause, Row
from kubetally.domain.usage import correct_usage, understated_usage
from kubetally.domain.use import Use, use_side
from kubetally.domain.window import Window

_IDENTITY = attrgetter("step.start", "step.end", "cluster_id", "node", "namespace", "pod", "container", "kind")


class ComponentBalance(NamedTuple):
    """One component of a day: bill = workload + idle + unmounted + overhead + difference, in micros."""

    bill: int
    workload: int
    idle: int
    unmounted: int
    overhead: int
    difference: int

    def source_shows(self, causes: Iterable[tuple[Cause, int]]) -> int:
        """What the source itself shows for the component: workloads, idle and unmounted, with what is below zero (B6).

        causes: of the difference, with their micros.
        """
        below_zero = sum(amount for cause, amount in causes if cause in BELOW_ZERO)
        return self.workload + self.idle + self.unmounted + below_zero


@dataclass(frozen=True, slots=True)
class Booking:
    """A balanced cluster-day (or a part of a day). `bill` is exactly the sum of `rows`, component by component.

    `not_measured`: components that no source measured; they are zero in sums and unknown to a reader.
    `facts`: what the days around it are compared with; None for a stored booking.
    `left_to_metrics`: components that the source does not have, whether Prometheus measured them or not.
    `currency_origin`: who states the currency; None if unknown.
    `answered_at`: when the source's rows arrived, which identifies the answer; None if unknown.
    `source_total`: the source's own total of the window: its rows' totals with idle, in micros.
    """

    window: Window
    covered: tuple[Window, ...]
    rows: tuple[Row, ...]
    bill: Costs
    bill_network_classes: NetworkClasses
    not_measured: frozenset[Component]
    assets_complete: bool
    currency: str
    source: str
    source_total: int
    issues: tuple[Issue, ...]
    left_to_metrics: frozenset[Component] = frozenset()
    facts: DayFacts | None = field(default=None, compare=False)
    currency_origin: CurrencyOrigin | None = None
    answered_at: datetime | None = field(default=None, compare=False)

    def kind_costs(self, kind: Kind) -> Costs:
        """What all rows of one kind cost together."""
        return Costs.sum(row.costs for row in self.rows if row.kind is kind)

    def balance(self) -> dict[Component, ComponentBalance]:
        """The day's balance sheet, component by component."""
        by_kind = [self.kind_costs(kind) for kind in Kind]
        return {
            component: ComponentBalance(self.bill.of(component), *(costs.of(component) for costs in by_kind))
            for component in Component
        }


def book(reading: Reading) -> Booking:
    """The balanced booking of a source's answer.

    Raises: BalanceError, if this function is wrong; never because of the data.
    Source: the booking rules B1 to B9 (docs/how-a-day-is-booked.md).
    """
    reading = correct_load_balancers(correct_usage(reading))
    understated = understated_usage(reading)
    issues = [*reading.issues, *([understated] if understated else []), *differing_load_balancers(reading)]
    allocations = _without_duplicates(reading, issues)
    use = use_side(allocations)
    bill = bill_side(reading, allocations, use, issues)
    lines = _lines_of(reading, allocations, use, bill)
    rows = (*use.containers, *(line for line in lines if any(line.costs) or any(line.hours)))
    if Costs.sum(row.costs for row in rows) != bill.costs:
        raise BalanceError(
            f"the rows of {reading.window} add up to {Costs.sum(row.costs for row in rows)}, its bill is {bill.costs}: "
            "please report this defect",
            code="parts_do_not_add_up",
        )
    _check_plausibility(reading, use, bill, issues)
    return Booking(
        window=reading.window,
        covered=reading.covered,
        rows=rows,
        bill=bill.costs,
        bill_network_classes=bill.network_classes,
        not_measured=bill.not_measured,
        assets_complete=bill.assets_complete,
        currency=reading.currency,
        source=reading.source,
        source_total=sum(row.total for row in allocations),
        issues=tuple(issues),
        left_to_metrics=bill.left_to_metrics,
        currency_origin=reading.currency_origin,
        answered_at=reading.collected_at,
    )


def _lines_of(reading: Reading, allocations: Sequence[Allocation], use: Use, bill: Bill) -> list[Row]:
    """Idle, unmounted, overhead, and the difference by cause."""
    # Nobody is charged for node disks and management fee; a shared cost of rows is those two, distributed once more.
    # Nor is anybody charged for load balancers and traffic that only Prometheus measured.
    overhead = bill.measured._replace(
        node_disk=bill.costs.node_disk, management=bill.costs.management, shared=-use.everything.shared
    )
    classes = bill.network_classes if bill.measured.network else NO_CLASSES
    lines = [
        Row(Kind.IDLE, costs=use.idle),
        use.unmounted,
        Row(Kind.OVERHEAD, costs=use.overhead.plus(overhead), network_classes=classes),
    ]
    booked = Costs.sum([use.workload, *(line.costs for line in lines)])
    difference = bill.costs.minus(booked)
    lines += difference_rows(
        bill, difference, use, allocations, missing=reading.missing, figure_rounding=reading.figure_rounding
    )
    return lines


def _without_duplicates(reading: Reading, issues: list[Issue]) -> Sequence[Allocation]:
    """Equal rows count once; different rows with one identity are all kept, because each may be true."""
    # Unlike hashes are unlike identities: of a sound day, which has no two rows alike, that is all there is to see.
    if len({hash(_identity(row)) for row in reading.allocations}) == len(reading.allocations):
        return reading.allocations
    kept: list[Allocation] = []
    by_identity: dict[tuple[object, ...], list[Allocation]] = defaultdict(list)
    for row in reading.allocations:
        same = by_identity[_identity(row)]
        if row not in same:
            same.append(row)
            kept.append(row)
    equal = len(reading.allocations) - len(kept)
    unlike = sum(len(same) - 1 for same in by_identity.values() if same[0].kind is Kind.WORKLOAD)
    messages = [f"{equal} rows came twice with equal figures and count once"] if equal else []
    messages += [f"{unlike} rows have the name of another row and other figures; all count"] if unlike else []
    if messages:
        issues.append(
            Issue(
                IssueKind.DUPLICATE_ROWS,
                "; ".join(messages),
                source=reading.source,
                window=reading.window,
                facts={"equal": equal, "unlike": unlike},
            )
        )
    return kept


def _identity(row: Allocation) -> tuple[object, ...]:
    """Distinguishes a row from all others: the source's name for it, else all of its properties."""
    if row.name:
        return (row.step.start, row.name)
    identity: tuple[object, ...] = _IDENTITY(row)
    return identity


def _check_plausibility(reading: Reading, use: Use, bill: Bill, issues: list[Issue]) -> None:
    """Add issues for well-formed answers that can't be complete."""
    if use.containers or any(use.everything):
        running = any(row.hours.cpu_core_hours or row.hours.ram_byte_hours or row.node for row in use.containers)
        if not running:
            issues.append(
                Issue(
                    IssueKind.NO_WORKLOADS,
                    "the source shows no running pod but charges for the cluster: its query for pods may have failed; "
                    "retry, and check its log and its Prometheus",
                    source=reading.source,
                    window=reading.window,
                )
            )
    if not bill.costs.network and any(row.hours.network_transfer_bytes for row in use.containers):
        issues.append(
            Issue(
                IssueKind.NETWORK_UNPRICED,
                "pods sent traffic that cost nothing: the network-costs exporter may be missing",
                source=reading.source,
                window=reading.window,
                subject=Component.NETWORK,
            )
        )
