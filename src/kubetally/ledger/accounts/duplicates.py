"""Finds clusters that appear twice among several."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kubetally.domain.fleet import Failed
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.live_costs import LiveCosts
from kubetally.domain.report import ClusterReport
from kubetally.domain.source_identity import SourceIdentity
from kubetally.domain.window import Window


@dataclass(frozen=True, slots=True)
class ClusterFingerprint:
    """What identifies the cluster of an answer; `name` stands for it in the issue of a duplicate."""

    cluster_id: str | None
    nodes: frozenset[str]
    name: str

    @classmethod
    def of(cls, costs: ClusterReport) -> "ClusterFingerprint":
        """The fingerprint of an answer's cluster."""
        nodes = frozenset(node for row in costs.rows for node in row.nodes)
        return cls(costs.source.cluster_id, nodes, costs.source.name)


def find_duplicate_clusters(clusters: Sequence[ClusterFingerprint]) -> list[str | None]:
    """For each cluster a message if it seems to be the same as another, else None.

    Duplicates share the cluster id and a node. An id alone proves nothing, because many clusters keep the default.
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


def flag_duplicate_clusters(answers: Sequence[ClusterReport]) -> list[ClusterReport]:
    """The answers; each that seems to be of the same cluster as another gets an issue."""
    messages = find_duplicate_clusters([ClusterFingerprint.of(costs) for costs in answers])
    return [
        replace(costs, issues=(*costs.issues, _issue(costs.source, costs.window, message))) if message else costs
        for costs, message in zip(answers, messages, strict=True)
    ]


def flag_duplicates_of_live(answers: Sequence[LiveCosts | Failed], window: Window) -> list[LiveCosts | Failed]:
    """As `flag_duplicate_clusters`, for what sources answered beside stored days."""
    asked = {at: live for at, live in enumerate(answers) if isinstance(live, LiveCosts)}
    fingerprints = [ClusterFingerprint(live.source.cluster_id, live.nodes, live.source.name) for live in asked.values()]
    flagged = list(answers)
    for (at, live), message in zip(asked.items(), find_duplicate_clusters(fingerprints), strict=True):
        if message:
            flagged[at] = replace(live, issues=(*live.issues, _issue(live.source, window, message)))
    return flagged


def _message(cluster: ClusterFingerprint, others: Sequence[str]) -> str:
    return (
        f"cluster {cluster.cluster_id!r} seems to be that of {', '.join(others)} too: "
        "its cost is in the answers more than once"
    )


def _issue(source: SourceIdentity, window: Window, message: str) -> Issue:
    return Issue(IssueKind.SAME_CLUSTER_TWICE, message, source.url, window, source.cluster_id)
