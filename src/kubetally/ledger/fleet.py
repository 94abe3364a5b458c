"""What can only be seen of several clusters together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kubetally.domain.cluster_costs import ClusterCosts
from kubetally.domain.issues import Issue, IssueKind


@dataclass(frozen=True, slots=True)
class SeenCluster:
    """What tells whether an answer is of the same cluster as another; `name` is what the other one is told of it."""

    cluster_id: str | None
    nodes: frozenset[str]
    name: str

    @classmethod
    def of(cls, costs: ClusterCosts) -> "SeenCluster":
        """Of an answer."""
        nodes = frozenset(row.node for row in costs.rows if row.node)
        return cls(costs.source.cluster_id, nodes, costs.source.account_name or costs.source.url)


def twice_there(clusters: Sequence[SeenCluster]) -> list[str | None]:
    """For each cluster what is to be said of it, where it seems to be the same as another: it would count twice.

    Told by the cluster's id and a node in common; an id alone proves nothing, as many clusters keep the default one.
    """
    told: list[str | None] = []
    for one in clusters:
        others = [
            other.name
            for other in clusters
            if other is not one
            and one.cluster_id is not None
            and other.cluster_id == one.cluster_id
            and one.nodes & other.nodes
        ]
        told.append(_told(one, others) if others else None)
    return told


def tell_same_clusters(answers: Sequence[ClusterCosts]) -> list[ClusterCosts]:
    """The same answers, with an issue on each that seems to be of one cluster with another."""
    told = twice_there([SeenCluster.of(costs) for costs in answers])
    return [_with_issue(costs, words) if words else costs for costs, words in zip(answers, told, strict=True)]


def _told(one: SeenCluster, others: Sequence[str]) -> str:
    return (
        f"cluster {one.cluster_id!r} seems to be the one behind {', '.join(others)} too: "
        "its cost is in the answers more than once"
    )


def _with_issue(costs: ClusterCosts, message: str) -> ClusterCosts:
    issue = Issue(IssueKind.SAME_CLUSTER_TWICE, message, costs.source.url, costs.window, costs.source.cluster_id)
    return replace(costs, issues=(*costs.issues, issue))
