"""The report of booked days."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import fsum
from operator import attrgetter

from kubetally.domain.allocation import Kind
from kubetally.domain.booking import Booking, ComponentBalance
from kubetally.domain.component import Component, Costs, NetworkClasses
from kubetally.domain.efficiency import Hours, RatedHours
from kubetally.domain.grouping import group_by
from kubetally.domain.issues import Issue
from kubetally.domain.money import CurrencyOrigin, unlike_currencies
from kubetally.domain.pods import merge_pods
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.report import ClusterReport, CostRow, Sums, highest_first
from kubetally.domain.row import Cause, Row
from kubetally.domain.savings import Savings
from kubetally.domain.source_identity import SourceIdentity
from kubetally.domain.status import Coverage, DayState

_POD = attrgetter("namespace", "controller_kind", "controller", "pod")


def report_bookings(
    question: CostQuestion,
    bookings: Sequence[Booking],
    *,
    hours_asked: float,
    state: DayState,
    currency: str,
    currency_origin: CurrencyOrigin = CurrencyOrigin.ASSUMED,
    source: SourceIdentity,
    issues: Sequence[Issue] = (),
    savings: Savings | None = None,
) -> ClusterReport:
    """The report of the booked parts of a window, with a row for each pod.

    hours_asked: of the part of the window that is over. state: of the least certain day.
    currency_origin: of a report without bookings; else they have their own.
    issues:      of the report as a whole, the bookings' among them.
    Raises:      RequestError, for bookings in unlike currencies.
    """
    for booking in bookings:
        if booking.currency != currency:
            raise unlike_currencies(currency, booking.currency)
    pods = [pod for booking in bookings for pod in merge_pods(booking.rows)]
    not_measured = [booking.not_measured for booking in bookings]
    origins = {booking.currency_origin for booking in bookings} or {currency_origin}
    return ClusterReport(
        question=question,
        source=source,
        currency=currency,
        currency_assumed=CurrencyOrigin.ASSUMED in origins,
        coverage=Coverage.of_spans(hours_asked, (span for booking in bookings for span in booking.covered), state),
        has_data=bool(bookings),
        assets_complete=bool(bookings) and all(booking.assets_complete for booking in bookings),
        bill=Costs.sum(booking.bill for booking in bookings),
        network_classes=NetworkClasses.sum(booking.bill_network_classes for booking in bookings),
        not_measured=frozenset.intersection(*not_measured) if not_measured else frozenset(),
        source_total=sum(booking.source_total for booking in bookings),
        balance=_balance(bookings),
        rows=tuple(highest_first(_pod(rows) for rows in group_by(_POD, pods))),
        lines=tuple(_lines(bookings)),
        workloads=Sums(*_sums(pods)),
        issues=tuple(issues),
        savings=savings,
    )


def _sums(rows: Sequence[Row]) -> tuple[Costs, NetworkClasses, Hours, RatedHours]:
    return (
        Costs.sum(row.costs for row in rows),
        NetworkClasses.sum(row.network_classes for row in rows),
        Hours.sum(row.hours for row in rows),
        RatedHours.of(row.hours for row in rows),
    )


def _pod(rows: Sequence[Row]) -> CostRow:
    """A pod of one or more nodes and days; a StatefulSet's pod keeps its name when it moves."""
    return CostRow(
        *_sums(rows),
        kind=Kind.WORKLOAD,
        key=_POD(rows[0]),
        nodes=tuple(sorted({row.node for row in rows if row.node})),
        minutes=fsum(row.minutes for row in rows),
    )


def _lines(bookings: Sequence[Booking]) -> Iterator[CostRow]:
    by_kind = defaultdict[Kind, list[Row]](list)
    for booking in bookings:
        for row in booking.rows:
            if row.kind is not Kind.WORKLOAD:
                by_kind[row.kind].append(row)
    for kind in Kind:
        if kind is not Kind.WORKLOAD:
            rows = by_kind[kind]
            yield CostRow(*_sums(rows), kind=kind, count=len(rows), causes=tuple(_causes(rows)))


def _causes(rows: Sequence[Row]) -> Iterator[tuple[Cause, Costs]]:
    for cause in Cause:
        costs = [row.costs for row in rows if row.cause is cause]
        if costs:
            yield cause, Costs.sum(costs)


def _balance(bookings: Sequence[Booking]) -> dict[Component, ComponentBalance]:
    sheets = [booking.balance() for booking in bookings]
    columns = {component: [sheet[component] for sheet in sheets] for component in Component}
    return {
        component: ComponentBalance(*map(sum, zip(*rows, strict=True))) if rows else ComponentBalance(0, 0, 0, 0, 0, 0)
        for component, rows in columns.items()
    }
