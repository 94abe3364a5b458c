"""Answers of several clusters, and their sums."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

from kubetally.domain.allocation import Kind
from kubetally.domain.efficiency import Efficiency
from kubetally.domain.errors import KubetallyError
from kubetally.domain.report import ClusterReport, Sums, add
from kubetally.domain.source_identity import SourceIdentity
from kubetally.domain.status import Status

_LEAST_HOURS = 1e-6  # below it, a difference of hours is one of rounding


@dataclass(frozen=True, slots=True)
class Failed:
    """Stands in a list of answers for a cluster that gave none. note: which days are stored instead, if known."""

    source: SourceIdentity
    error: KubetallyError
    note: str = ""

    @property
    def message(self) -> str:
        """Why, and what is stored instead."""
        return f"{self.error}; {self.note}" if self.note else str(self.error)


@dataclass(frozen=True, slots=True)
class FleetSum:
    """What several clusters of one currency cost together: costs in micros, efficiency from summed hours.

    hours_asked, hours_covered: summed over the clusters. incomplete: those that lack hours, and how many.
    """

    currency: str
    total: int
    source_total: int
    idle: int
    difference: int
    efficiency: Efficiency
    hours_asked: float
    hours_covered: float
    incomplete: tuple[tuple[ClusterReport, float], ...]
    currency_assumed: bool = False


def fleet_sums(answers: Sequence[ClusterReport]) -> list[FleetSum]:
    """A sum for each currency, in the order in which they come; unlike ones are never added.

    A cluster without data adds no cost and all of its hours to those that are missing.
    """
    currencies = dict.fromkeys(costs.currency for costs in answers if costs.status is not Status.NO_DATA)
    return [_sum([costs for costs in answers if costs.currency == currency], currency) for currency in currencies]


def _sum(answers: Sequence[ClusterReport], currency: str) -> FleetSum:
    workloads = [costs.workloads for costs in answers]
    missing = [(costs, costs.coverage.hours_asked - costs.coverage.hours_covered) for costs in answers]
    return FleetSum(
        currency,
        total=sum(costs.bill.total for costs in answers),
        source_total=sum(costs.source_total for costs in answers),
        idle=sum(costs.line(Kind.IDLE).costs.total for costs in answers),
        difference=sum(costs.line(Kind.DIFFERENCE).costs.total for costs in answers),
        efficiency=Sums(*add(workloads)).efficiency,
        hours_asked=fsum(costs.coverage.hours_asked for costs in answers),
        hours_covered=fsum(costs.coverage.hours_covered for costs in answers),
        incomplete=tuple((costs, hours) for costs, hours in missing if hours > _LEAST_HOURS),
        currency_assumed=any(costs.currency_assumed for costs in answers),
    )
