"""Sums of several clusters, and clusters that appear twice."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import fsum

from kubetally.domain.allocation import Kind
from kubetally.domain.cluster_costs import ClusterCosts, Status
from kubetally.domain.efficiency import Efficiency, RatedHours, efficiency
from kubetally.domain.issues import Issue, IssueKind

_LEAST_HOURS = 1e-6  # below it, a difference of hours is one of rounding


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
    incomplete: tuple[tuple[ClusterCosts, float], ...]
    currency_assumed: bool = False


def fleet_sums(answers: Sequence[ClusterCosts]) -> list[FleetSum]:
    """A sum for each currency, in the order in which they come; unlike ones are never added.

    A cluster without data adds no cost and all of its hours to those that are missing.
    """
    currencies = dict.fromkeys(costs.currency for costs in answers if costs.status is not Status.NO_DATA)
    return [_sum([costs for costs in answers if costs.currency == currency], currency) for currency in currencies]


def _sum(answers: Sequence[ClusterCosts], currency: str) -> FleetSum:
    workloads = [costs.workload_total() for costs in answers]
    lines = [{line.kind: line.costs.total for line in costs.lines()} for costs in answers]
    rated = RatedHours()
    for group in workloads:
        rated = rated.plus(group.rated)
    lacking = [(costs, costs.hours_asked - costs.hours_covered) for costs in answers]
    return FleetSum(
        currency,
        total=sum(costs.bill.total for costs in answers),
        source_total=sum(costs.source_total for costs in answers),
        idle=sum(totals[Kind.IDLE] for totals in lines),
        difference=sum(totals[Kind.DIFFERENCE] for totals in lines),
        efficiency=efficiency(
            rated, sum(group.costs.cpu for group in workloads), sum(group.costs.ram for group in workloads)
        ),
        hours_asked=fsum(costs.hours_asked for costs in answers),
        hours_covered=fsum(costs.hours_covered for costs in answers),
        incomplete=tuple((costs, hours) for costs, hours in lacking if hours > _LEAST_HOURS),
        currency_assumed=any(costs.currency_assumed for costs in answers),
    )


@dataclass(frozen=True, slots=True)
class ClusterFingerprint:
    """What identifies the cluster of an answer; `name` stands for it in the issue of a duplicate."""

    cluster_id: str | None
    nodes: frozenset[str]
    name: str

    @classmethod
    def of(cls, costs: ClusterCosts) -> "ClusterFingerprint":
        """Of an answer."""
        nodes = frozenset(row.node for row in costs.rows if row.node)
        return cls(costs.source.cluster_id, nodes, costs.source.account_name or costs.source.url)


def find_duplicate_clusters(clusters: Sequence[ClusterFingerprint]) -> list[str | None]:
    """For each cluster a message if it seems to be the same as another, so that it would count twice; else None.

    Duplicates share the cluster's id and a node; an id alone proves nothing, as many clusters keep the default.
    """
    messages: list[str | None] = []
    for cluster in clusters:
        others = [
            other.name
            for other in clusters
            if other is not cluster
            and cluster.cluster_id is not None
            and other.cluster_id == cluster.cluster_id
            and cluster.nodes & other.nodes
        ]
        messages.append(_message(cluster, others) if others else None)
    return messages


def flag_duplicate_clusters(answers: Sequence[ClusterCosts]) -> list[ClusterCosts]:
    """The same answers, with an issue on each that seems to be of one cluster with another."""
    messages = find_duplicate_clusters([ClusterFingerprint.of(costs) for costs in answers])
    return [_with_issue(costs, words) if words else costs for costs, words in zip(answers, messages, strict=True)]


def _message(cluster: ClusterFingerprint, others: Sequence[str]) -> str:
    return (
        f"cluster {cluster.cluster_id!r} seems to be that of {', '.join(others)} too: "
        "its cost is in the answers more than once"
    )


def _with_issue(costs: ClusterCosts, message: str) -> ClusterCosts:
    issue = Issue(IssueKind.SAME_CLUSTER_TWICE, message, costs.source.url, costs.window, costs.source.cluster_id)
    return replace(costs, issues=(*costs.issues, issue))
