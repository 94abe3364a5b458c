"""The booking rules by their names, and which of them a row of the ledger follows (docs/how-a-day-is-booked.md)."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final

from kubetally.domain.allocation import Kind
from kubetally.domain.component import Component, Costs
from kubetally.domain.row import Cause


class BookingRule(StrEnum):
    """The rules that decide what a day costs."""

    BILL = "B1"
    USE = "B2"
    DIFFERENCE = "B3"
    WITHOUT_ASSET = "B4"
    KUBECOST = "B5"
    NEGATIVE_IDLE = "B6"
    ONE_CLUSTER = "B7"
    HOURS = "B8"
    EFFICIENCY = "B9"


RULE_IN_WORDS: Final[Mapping[BookingRule, str]] = {
    BookingRule.BILL: "The bill of a component comes from the source's assets; load balancers and network come from "
    "its allocations, or from Prometheus, where it lists no asset.",
    BookingRule.USE: "The use is what the source charged: workloads, idle, unmounted volumes and load balancers, and "
    "overhead, which it charges to nobody.",
    BookingRule.DIFFERENCE: "The difference is the bill less the use of a component, by cause; it has either sign.",
    BookingRule.WITHOUT_ASSET: "A cost on a node, volume or load balancer that no asset lists enters the bill at its "
    "own amount.",
    BookingRule.KUBECOST: "A Kubecost is asked not to put fees into rows. What it spread all the same is shared; a "
    "cost beyond the known components is external.",
    BookingRule.NEGATIVE_IDLE: "Idle is never below zero: a negative amount is a difference, caused by over-commit or "
    "a credit.",
    BookingRule.ONE_CLUSTER: "A day of an account is of one cluster and one currency.",
    BookingRule.HOURS: "Hours are a row's averages times its minutes; CPU usage is its average times the hours that "
    "were asked for.",
    BookingRule.EFFICIENCY: "Efficiency is used hours over requested hours, both summed first.",
}

_OF_KIND: Final[Mapping[Kind, tuple[BookingRule, ...]]] = {
    Kind.WORKLOAD: (BookingRule.USE, BookingRule.ONE_CLUSTER, BookingRule.HOURS),
    Kind.IDLE: (BookingRule.USE, BookingRule.NEGATIVE_IDLE, BookingRule.ONE_CLUSTER),
    Kind.UNMOUNTED: (BookingRule.USE, BookingRule.ONE_CLUSTER),
    Kind.OVERHEAD: (BookingRule.BILL, BookingRule.USE, BookingRule.ONE_CLUSTER),
    Kind.DIFFERENCE: (BookingRule.BILL, BookingRule.DIFFERENCE, BookingRule.ONE_CLUSTER),
}
_OF_COMPONENT: Final = {Component.SHARED: BookingRule.KUBECOST, Component.EXTERNAL: BookingRule.KUBECOST}
_OF_CAUSE: Final = {Cause.OVER_COMMIT: BookingRule.NEGATIVE_IDLE, Cause.CREDIT: BookingRule.NEGATIVE_IDLE}


def rules_of(kind: Kind, costs: Costs, cause: Cause | None = None) -> list[BookingRule]:
    """The rules that a row follows, in their order. costs: of the components that are asked about."""
    return sorted({*_OF_KIND[kind], *_rules_of_components(costs), *([_OF_CAUSE[cause]] if cause in _OF_CAUSE else [])})


def _rules_of_components(costs: Costs) -> Iterator[BookingRule]:
    return (rule for component, rule in _OF_COMPONENT.items() if costs.of(component))
