"""Nodes that the source lists for less time than pods ran on them, without a price, or not at all (B10 b)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from kubetally.domain.allocation import Allocation
from kubetally.domain.asset import Asset, AssetType
from kubetally.domain.component import ZERO, Component, Costs
from kubetally.domain.evidence.missing import KEEP_THEIR_NAMES, TOLERANCE, Samples, some_nodes
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.reading import Reading
from kubetally.domain.window import Window, hull, known_spans, spans_without

_OF_NODES = (Component.CPU, Component.RAM, Component.GPU)


def incomplete_nodes(reading: Reading, pods: Sequence[Allocation], missing: Sequence[Window]) -> list[Issue]:
    """Nodes that are listed for less time than most of their pods ran, without a price, or not at all (B10 b)."""
    nodes = _lives_by_node(reading.assets or ())
    names_of = defaultdict[Window, list[str]](list)
    for name, lives in _machines_not_listed(pods, nodes).items():
        for span in spans_without(known_spans(hull(lives)), cuts=missing):
            if span.end - span.start > TOLERANCE:
                names_of[span].append(name)
    for name, rows in _pods_by_node(pods, nodes).items():
        charged = Costs.sum(row.costs for row in rows)
        is_free = any(charged.of(part) > 0 and nodes[name].costs.of(part) == 0 for part in _OF_NODES)
        if nodes[name].life is None and not is_free:
            continue  # the answer does not tell when it was listed
        priced = None if is_free else nodes[name].life
        for span in spans_without(_overhang(priced, [row.life for row in rows if row.life is not None]), cuts=missing):
            if span.end - span.start > TOLERANCE:
                names_of[span].append(name)
    return [
        Issue(
            IssueKind.NODE_INCOMPLETE,
            f"pods ran on {some_nodes(sorted(names))}, but the source has no price for it: costs of nodes are too low",
            reading.source,
            span,
            Samples.NODES.value,
            {"nodes": tuple(sorted(names))},
        )
        for span, names in sorted(names_of.items())
    ]


class _Node(NamedTuple):
    life: Window | None
    costs: Costs


def _lives_by_node(assets: Iterable[Asset]) -> dict[str, _Node]:
    """When each node was listed, all machines of one name together."""
    by_name = defaultdict[str, list[Asset]](list)
    for asset in assets:
        if asset.type is AssetType.NODE:
            for name in asset.names:
                by_name[name].append(asset)
    return {
        name: _Node(
            hull(asset.life for asset in same if asset.life is not None),
            Costs.sum(asset.costs if asset.cpu_cores != 0 else ZERO for asset in same),
        )
        for name, same in by_name.items()
    }


def _pods_by_node(rows: Iterable[Allocation], nodes: Mapping[str, _Node]) -> dict[str, list[Allocation]]:
    """Rows of pods whose node is certain, by that node."""
    by_node = defaultdict[str, list[Allocation]](list)
    for row in rows:
        if row.node is not None and row.node in nodes and row.controller_kind not in KEEP_THEIR_NAMES:
            by_node[row.node].append(row)
    return by_node


def _machines_not_listed(rows: Sequence[Allocation], nodes: Mapping[str, _Node]) -> dict[str, list[Window]]:
    """Lives of DaemonSet pods on nodes that no asset lists although others are: serverless nodes run none of them.

    Where no node of the rows is listed, rows and assets name their machines differently, which is another issue.
    """
    lives = defaultdict[str, list[Window]](list)
    for row in rows if any(row.node in nodes for row in rows) else ():
        if (
            row.controller_kind == "daemonset"
            and row.life is not None
            and row.node is not None
            and row.node not in nodes
        ):
            lives[row.node].append(row.life)
    return lives


def _overhang(node: Window | None, pods: Sequence[Window]) -> list[Window]:
    """The spans before and after a node's life in which half or more of the pods at that end of it ran on.

    A pod or two may be seen a little longer than their machine, and rows of a pod that moved name one machine only.
    Of a node without a life, all of them.
    """
    if node is None:
        return known_spans(hull(pods))
    spans = []
    at_end = [pod for pod in pods if pod.end >= node.end - TOLERANCE]
    after = [pod for pod in at_end if pod.end > node.end + TOLERANCE]
    if after and 2 * len(after) >= len(at_end):
        spans.append(Window(node.end, max(pod.end for pod in after)))
    at_start = [pod for pod in pods if pod.start <= node.start + TOLERANCE]
    before = [pod for pod in at_start if pod.start < node.start - TOLERANCE]
    if before and 2 * len(before) >= len(at_start):
        spans.append(Window(min(pod.start for pod in before), node.start))
    return spans
