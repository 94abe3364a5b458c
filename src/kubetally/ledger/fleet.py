"""What can only be seen of several clusters together."""

from collections.abc import Sequence
from dataclasses import replace

from kubetally.domain.cluster_costs import ClusterCosts
from kubetally.domain.issues import Issue, IssueKind


def tell_same_clusters(answers: Sequence[ClusterCosts]) -> list[ClusterCosts]:
    """The same answers, with an issue on each that seems to be of one cluster with another: it would count twice.

    Told by the cluster's id and a node in common; an id alone proves nothing, as many clusters keep the default one.
    """
    nodes = [frozenset(row.node for row in costs.rows if row.node) for costs in answers]
    told = []
    for i, costs in enumerate(answers):
        cluster_id = costs.source.cluster_id
        others = [
            other.source.account_name or other.source.url
            for j, other in enumerate(answers)
            if i != j and cluster_id is not None and other.source.cluster_id == cluster_id and nodes[i] & nodes[j]
        ]
        told.append(_with_issue(costs, others) if others else costs)
    return told


def _with_issue(costs: ClusterCosts, others: Sequence[str]) -> ClusterCosts:
    message = (
        f"cluster {costs.source.cluster_id!r} seems to be the one behind {', '.join(others)} too: "
        "its cost is in the answers more than once"
    )
    issue = Issue(IssueKind.SAME_CLUSTER_TWICE, message, costs.source.url, costs.window, costs.source.cluster_id)
    return replace(costs, issues=(*costs.issues, issue))
