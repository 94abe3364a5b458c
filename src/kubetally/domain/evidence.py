"""Which hours of a day its answer gives evidence for (B10).

A source whose Prometheus lost samples answers lesser figures for a whole day and says nothing of it. What gives it away
are the spans in which it saw nodes and pods: a pod of some DaemonSet runs whenever a node does, so that both together
must reach the ends of the day. Rows of unmounted volumes and disks inside nodes always claim the whole day.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

from kubetally.domain.allocation import Allocation, Kind, stands_for_volumes
from kubetally.domain.asset import Asset, AssetType
from kubetally.domain.component import ZERO, Component, Costs
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.metrics import Family
from kubetally.domain.reading import Reading, without_requests, without_usage
from kubetally.domain.window import HOUR, Window, joined_spans, spans_without

TOLERANCE = timedelta(minutes=15)
"""What may be missing of a day without a word: a source begins a day up to two samples late."""

KEEP_THEIR_NAMES = frozenset({None, "statefulset"})
"""A new pod of these controllers takes the name of the old one: one row may stand for lives on several nodes."""

_NAMED_AT_MOST = 5
_ALIKE = timedelta(minutes=30)  # how far apart nights without nodes may begin, and end


class Proof(StrEnum):
    """What samples are missing of; `ANY` is of nodes and pods alike."""

    ANY = "samples"
    NODES = "nodes"
    PODS = "pods"
    USAGE = "usage"
    REQUESTS = "requests"


MISSING_IN_WORDS: Mapping[Proof, str] = {
    Proof.ANY: (
        "no node and no pod was seen: Prometheus was down or lost its samples, or the cluster had no nodes. Costs of "
        "this time are missing"
    ),
    Proof.NODES: (
        "pods ran, but no node has a price: OpenCost's own metrics were not scraped. Costs of nodes, volumes, load "
        "balancers and network are missing or too low"
    ),
    Proof.PODS: (
        "nodes were there, but no pod was seen: kube-state-metrics was not scraped, or samples were lost. Workloads of "
        "this time are missing, and what they cost stands as idle"
    ),
    Proof.USAGE: (
        "no container has any usage: cAdvisor (the kubelets) was not scraped. Efficiency is unknown, and containers "
        "without requests cost nothing"
    ),
    Proof.REQUESTS: (
        "containers have no requests, unlike before and after: kube-state-metrics was not scraped. Efficiency is "
        "unknown"
    ),
}
"""What is missing, the likely cause, and what it means for the figures."""


_FAMILIES = (Family.COST_MODEL, Family.KUBE_STATE, Family.CADVISOR)
_OF_NODES = (Component.CPU, Component.RAM, Component.GPU)
_OF_COSTS = frozenset({Proof.ANY, Proof.NODES, Proof.PODS})
"""What hours without it are not covered; without usage or requests, costs are still about right."""
_ISSUE_KINDS = {Proof.USAGE: IssueKind.USAGE_MISSING, Proof.REQUESTS: IssueKind.REQUESTS_MISSING}


class Missing(NamedTuple):
    """A span without samples, and of what."""

    span: Window
    proof: Proof


@dataclass(frozen=True, slots=True)
class Sighting:
    """When a source saw nodes and pods in `window`, each from the first to the last; None where it saw none.

    machines: of all nodes it saw, by provider id or else by name. last_machines, first_machines: those that it saw at
    the very end and beginning.
    """

    window: Window
    nodes: Window | None
    pods: Window | None
    machines: frozenset[str]
    first_machines: frozenset[str]
    last_machines: frozenset[str]

    @property
    def either(self) -> Window | None:
        """From when to when it saw anything."""
        return _hull(span for span in (self.nodes, self.pods) if span is not None)


@dataclass(frozen=True, slots=True)
class Around:
    """The days before and after one, as their source saw them; None where nobody asked, or there was no answer."""

    before: Sighting | None = None
    after: Sighting | None = None


NOTHING_AROUND = Around()


class SeenHour(NamedTuple):
    """What a source saw in one hour, asked for by the hour (B10 f); costs in micros.

    pods: from when to when it saw any. node_cost: of CPU, RAM and GPU of all nodes; workload_cost: the part that
    workloads were charged.
    """

    span: Window
    pods: Window | None
    node_cost: int
    workload_cost: int
    has_usage: bool
    has_requests: bool


def is_pod(row: Allocation) -> bool:
    """Whether a row is of a pod that ran, and no stand-in for volumes that nobody mounts."""
    return row.kind is Kind.WORKLOAD and row.pod is not None and not stands_for_volumes(row.namespace, row.pod)


def pods_of(reading: Reading) -> list[Allocation]:
    """The rows of pods that ran."""
    return [row for row in reading.allocations if is_pod(row)]


def sighting_of(reading: Reading, pods: Sequence[Allocation] | None = None) -> Sighting | None:
    """When nodes and pods were seen; None where the answer tells no spans, so that nothing can be said.

    pods: the rows of pods, where they were picked out already.
    """
    pods = pods_of(reading) if pods is None else pods
    nodes = [asset for asset in reading.assets or () if asset.type is AssetType.NODE]
    seen = [
        (asset.provider_id or asset.name, asset.life)
        for asset in nodes
        if asset.life is not None and asset.cpu_cores != 0
    ]
    lives = [row.life for row in pods if row.life is not None]
    if (pods and not lives) or (nodes and not any(asset.life for asset in nodes)):
        return None
    hull = _hull(life for _, life in seen)
    return Sighting(
        reading.window,
        hull,
        _hull(lives),
        frozenset(name for name, _ in seen),
        frozenset(name for name, life in seen if hull is not None and life.start - hull.start <= TOLERANCE),
        frozenset(name for name, life in seen if hull is not None and hull.end - life.end <= TOLERANCE),
    )


def is_in_doubt(reading: Reading) -> bool:
    """Whether the days around would tell more: samples seem to be missing, or no node is listed at all."""
    if not reading.allocations:
        return False
    pods = pods_of(reading)
    return any(gap.proof is Proof.ANY for gap in _missing(reading, pods, NOTHING_AROUND)) or (
        _has_no_nodes(reading) and reading.assets is not None and not _runs_one_pod_a_node(pods)
    )


def seen_hours(rows: Iterable[Allocation], window: Window) -> list[SeenHour]:
    """What rows of hourly steps show of each hour of the window; none where there are no rows or longer steps.

    Rows are of containers, or of all pods with one kind of controller.
    """
    by_hour = defaultdict[Window, list[Allocation]](list)
    for row in rows:
        by_hour[row.step].append(row)
    if not by_hour or any(step.end - step.start > HOUR for step in by_hour):
        return []  # an answer without any row says nothing of a day that has rows
    count = round((window.end - window.start) / HOUR)
    spans = [Window(window.start + hour * HOUR, window.start + (hour + 1) * HOUR) for hour in range(count)]
    return [_seen_hour(span, by_hour.get(span, ())) for span in spans]


def _seen_hour(span: Window, rows: Sequence[Allocation]) -> SeenHour:
    pods = [row for row in rows if is_pod(row) or (row.kind is Kind.WORKLOAD and row.controller_kind is not None)]
    workload_cost = sum(_cost_of_nodes(row) for row in pods)
    return SeenHour(
        span,
        _hull(row.life for row in pods if row.life is not None),
        workload_cost + sum(_cost_of_nodes(row) for row in rows if row.kind is Kind.IDLE),
        workload_cost,
        any(hours is None or hours > 0 for row in pods for hours in _usage(row)),
        any(hours is None or hours > 0 for row in pods for hours in _requests(row)),
    )


def _usage(row: Allocation) -> tuple[float | None, float | None]:
    return row.hours.cpu_core_usage_hours, row.hours.ram_byte_usage_hours


def _requests(row: Allocation) -> tuple[float | None, float | None]:
    return row.hours.cpu_core_request_hours, row.hours.ram_byte_request_hours


def _cost_of_nodes(row: Allocation) -> int:
    return row.costs.cpu + row.costs.ram + row.costs.gpu


def examine(reading: Reading, around: Around = NOTHING_AROUND, hours: Sequence[SeenHour] = ()) -> Reading:
    """The reading with `covered` cut to the hours that it gives evidence for, and an issue for each thing it lacks.

    Rows and costs stay: they are what is known. `hours`: what the source answered by the hour, where it was asked.
    Source: B10 of the booking rules (docs/how-a-day-is-booked.md).
    """
    if not (reading.covered and reading.allocations):
        return reading
    pods = pods_of(reading)
    missing = _missing(reading, pods, around)
    missing += _missing_of_metrics(reading, pods, [gap.span for gap in missing])
    missing += _missing_within(reading, hours, [gap.span for gap in missing])
    uncovered = joined_spans(gap.span for gap in missing if gap.proof in _OF_COSTS)
    missing += _without_any_usage(reading, pods, uncovered)
    issues = [_issue(reading, gap, around) for gap in _each_span_once(missing)]
    issues += _incomplete_nodes(reading, pods, uncovered)
    if _has_no_requests(pods):
        reading = without_requests(reading)
        issues += [] if uncovered else [_no_requests(reading)]
    if any(gap.proof is Proof.USAGE for gap in missing):
        reading = without_usage(reading)
    if any(gap.proof is Proof.REQUESTS for gap in missing):
        reading = without_requests(reading)
    covered = tuple(spans_without(reading.covered, uncovered)) if uncovered else reading.covered
    return replace(reading, covered=covered, issues=(*reading.issues, *issues))


def _each_span_once(missing: Iterable[Missing]) -> list[Missing]:
    """What several tests find of one exporter, joined."""
    spans = defaultdict[Proof, list[Window]](list)
    for gap in missing:
        spans[gap.proof].append(gap.span)
    joined = [Missing(span, proof) for proof in Proof for span in joined_spans(spans.get(proof, ()))]
    return sorted(joined, key=lambda gap: gap.span)


def _missing_of_metrics(reading: Reading, pods: Sequence[Allocation], known: Sequence[Window]) -> list[Missing]:
    """When the Prometheus beside a source that claims nodes or pods has no samples of a family (B10 e)."""
    beside = reading.infrastructure
    if beside is None:
        return []
    lives = [asset.life for asset in reading.assets or () if asset.type is AssetType.NODE]
    lives += [row.life for row in pods]
    claimed = spans_without([life for life in lives if life is not None], known)
    no_nodes, no_pods, no_usage = (_common(claimed, beside.missing(family)) for family in _FAMILIES)
    neither = _common(no_nodes, no_pods)
    return [
        *(Missing(span, Proof.ANY) for span in neither),
        *(Missing(span, Proof.NODES) for span in spans_without(no_nodes, neither)),
        *(Missing(span, Proof.PODS) for span in spans_without(no_pods, neither)),
        *(Missing(span, Proof.USAGE) for span in spans_without(no_usage, neither)),
    ]


def _without_any_usage(reading: Reading, pods: Sequence[Allocation], uncovered: Sequence[Window]) -> list[Missing]:
    """All that is covered, where no container has any usage: that can't be."""
    if not _tell_hours(pods) or any(row.hours.cpu_core_usage_hours or row.hours.ram_byte_usage_hours for row in pods):
        return []
    if all(row.hours.cpu_core_usage_hours is None and row.hours.ram_byte_usage_hours is None for row in pods):
        return []  # it is known to be unknown, and told as a figure that is missing
    return [Missing(span, Proof.USAGE) for span in spans_without(reading.covered, uncovered)]


def _has_no_requests(pods: Sequence[Allocation]) -> bool:
    return _tell_hours(pods) and not any(
        row.hours.cpu_core_request_hours or row.hours.ram_byte_request_hours for row in pods
    )


def _tell_hours(pods: Sequence[Allocation]) -> bool:
    """Whether rows have resource-hours wherever they have costs; what was merged elsewhere may have none."""
    return bool(pods) and (
        any(row.hours.cpu_core_hours or row.hours.ram_byte_hours for row in pods)
        or not any(row.costs.cpu or row.costs.ram for row in pods)
    )


def _no_requests(reading: Reading) -> Issue:
    message = (
        "no container has a request, so that efficiency has no meaning. If pods do have requests, see that Prometheus "
        "scrapes kube-state-metrics"
    )
    return Issue(IssueKind.NO_REQUESTS, message, reading.source, reading.window, Proof.REQUESTS.value)


def has_gaps(reading: Reading, hours: Sequence[SeenHour]) -> bool:
    """Whether single hours lack what the day as a whole claims."""
    return bool(_missing_within(reading, hours, ()))


def _missing(reading: Reading, pods: Sequence[Allocation], around: Around) -> list[Missing]:
    """What nodes together or pods together lack of the window, and what of it."""
    seen = sighting_of(reading, pods)
    if seen is None:
        return []
    no_pods = spans_without(reading.covered, _maybe(seen.pods))
    no_nodes = spans_without(reading.covered, _maybe(seen.nodes))
    if _has_no_nodes(reading):
        no_nodes = [] if reading.assets is None or _is_serverless(pods, around) else no_nodes
        neither = no_pods if reading.assets is None or not no_nodes else _common(no_pods, no_nodes)
    else:
        neither = _common(no_pods, no_nodes)
    unseen = spans_without(neither, [*_seen_otherwise(reading), *_without_nodes_on_purpose(seen, neither, around)])
    missing = [
        *(Missing(span, Proof.ANY) for span in unseen),
        *(Missing(span, Proof.NODES) for span in spans_without(no_nodes, neither)),
        *(Missing(span, Proof.PODS) for span in spans_without(no_pods, neither)),
    ]
    total = sum((gap.span.end - gap.span.start for gap in missing), timedelta())
    return sorted(missing) if total > TOLERANCE else []


def _missing_within(reading: Reading, hours: Sequence[SeenHour], known: Sequence[Window]) -> list[Missing]:
    """What single hours lack of what the day as a whole claims: a gap within a day leaves no other trace (B10 f)."""
    claimed = spans_without(_lives_of_nodes(reading), known)
    of_proof = defaultdict[Proof, list[Window]](list)
    without_pods, with_node_cost = list[Window](), list[Window]()
    running = 0
    for hour in hours:
        lived = _common([hour.span], claimed)
        without_pods += spans_without(lived, _maybe(hour.pods))
        if hour.node_cost > 0:
            with_node_cost.append(hour.span)
        if hour.pods is not None and lived and hour.pods.end - hour.pods.start > TOLERANCE:
            running += 1
            if hour.workload_cost > 0 and hour.node_cost <= 0:
                of_proof[Proof.NODES].append(hour.span)
            if not hour.has_usage:
                of_proof[Proof.USAGE].append(hour.span)
            if not hour.has_requests:
                of_proof[Proof.REQUESTS].append(hour.span)
    # What two hours lack on both sides of the full hour is one gap; some minutes of each are how a source counts.
    for span in joined_spans(without_pods):
        if span.end - span.start > TOLERANCE:
            # A sample that is left at the end of a gap shows a node and no pod.
            is_whole = spans_without([span], with_node_cost) or not _common([span], with_node_cost)
            of_proof[Proof.ANY if is_whole else Proof.PODS].append(span)
    if 2 * len(of_proof[Proof.REQUESTS]) > running:  # most hours have none: few containers request anything
        del of_proof[Proof.REQUESTS]
    return [Missing(span, proof) for proof in Proof for span in joined_spans(of_proof.get(proof, ()))]


def _lives_of_nodes(reading: Reading) -> list[Window]:
    """When any node was listed; of a cluster without nodes, the whole window."""
    nodes = [asset.life for asset in reading.assets or () if asset.type is AssetType.NODE and asset.life is not None]
    return joined_spans(nodes) if nodes else list(reading.covered)


def _has_no_nodes(reading: Reading) -> bool:
    return not any(asset.type is AssetType.NODE for asset in reading.assets or ())


def _is_serverless(pods: Sequence[Allocation], around: Around) -> bool:
    """Whether a cluster without any listed node has none, as one that is all Fargate."""
    days = [day for day in (around.before, around.after) if day is not None and day.pods is not None]
    if days:
        return not any(day.machines for day in days)
    return _runs_one_pod_a_node(pods)


def _runs_one_pod_a_node(pods: Sequence[Allocation]) -> bool:
    """Whether each pod is a node of its own, which is how serverless nodes appear."""
    pods_on = defaultdict[str | None, set[tuple[str | None, str | None]]](set)
    for row in pods:
        pods_on[row.node].add((row.namespace, row.pod))
    return all(node is None or len(of_node) == 1 for node, of_node in pods_on.items())


def _seen_otherwise(reading: Reading) -> list[Window]:
    """When volumes or load balancers were seen: samples were taken then, whatever nodes there were."""
    return joined_spans(
        asset.life
        for asset in reading.assets or ()
        if asset.life is not None
        and (asset.costs.pv or asset.costs.load_balancer)
        and asset.type in (AssetType.DISK, AssetType.LOAD_BALANCER)
    )


def _without_nodes_on_purpose(seen: Sighting, unseen: Sequence[Window], around: Around) -> list[Window]:
    """The ends of a day in which its cluster had no nodes, as one that is scaled to zero at night.

    Either all machines are others after such a time, or the days around lack the same hours, as where machines are
    stopped and started again. After a loss of samples the same machines are still there.
    """
    spans = []
    for span in unseen:
        at_end = span.end == seen.window.end
        beside = around.after if at_end else around.before
        mine = seen.last_machines if at_end else seen.first_machines
        theirs = frozenset[str]() if beside is None else beside.machines
        are_others = bool(mine and theirs and not mine & theirs)
        days = [day for day in (around.before, around.after) if day is not None]
        apart = [_apart(span, seen, day) for day in days]
        at_most = _ALIKE if len(days) == 2 else TOLERANCE
        if are_others or (apart and all(distance is not None and distance <= at_most for distance in apart)):
            spans.append(span)
    return spans


def _apart(span: Window, seen: Sighting, day: Sighting) -> timedelta | None:
    """How far from the same hour of the clock another day begins, or ends, to be without nodes; None if it is not."""
    if day.either is None or seen.window.hours != day.window.hours:
        return None
    shift = day.window.start - seen.window.start
    at_end = span.end == seen.window.end
    mine, theirs = (span.start + shift, day.either.end) if at_end else (span.end + shift, day.either.start)
    edge = day.window.end if at_end else day.window.start
    return abs(theirs - mine) if abs(theirs - edge) > TOLERANCE else None


def _issue(reading: Reading, missing: Missing, around: Around) -> Issue:
    span, proof = missing
    at_start = span.start <= reading.window.start
    beside = around.before if at_start else around.after if span.end >= reading.window.end else None
    if proof is Proof.ANY and beside is not None and beside.either is None:
        message = f"the source holds no data of this time, nor of the day {'before' if at_start else 'after'}"
        return Issue(IssueKind.WINDOW_WITHOUT_DATA, message, reading.source, span)
    kind = _ISSUE_KINDS.get(proof, IssueKind.SAMPLES_MISSING)
    return Issue(kind, MISSING_IN_WORDS[proof], reading.source, span, proof.value)


def _incomplete_nodes(reading: Reading, pods: Sequence[Allocation], missing: Sequence[Window]) -> list[Issue]:
    """Nodes that are listed for less time than most of their pods ran, without a price, or not at all (B10 b)."""
    nodes = _lives_by_node(reading.assets or ())
    names_of = defaultdict[Window, list[str]](list)
    for name, lives in _machines_not_listed(pods, nodes).items():
        for span in spans_without(_maybe(_hull(lives)), missing):
            if span.end - span.start > TOLERANCE:
                names_of[span].append(name)
    for name, rows in _pods_by_node(pods, nodes).items():
        charged = Costs.sum(row.costs for row in rows)
        is_free = any(charged.of(part) > 0 and nodes[name].costs.of(part) == 0 for part in _OF_NODES)
        if nodes[name].life is None and not is_free:
            continue  # the answer does not tell when it was listed
        priced = None if is_free else nodes[name].life
        for span in spans_without(_overhang(priced, [row.life for row in rows if row.life is not None]), missing):
            if span.end - span.start > TOLERANCE:
                names_of[span].append(name)
    return [
        Issue(
            IssueKind.NODE_INCOMPLETE,
            f"pods ran on {some_nodes(sorted(names))}, but the source has no price for it: costs of nodes are too low",
            reading.source,
            span,
            Proof.NODES.value,
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
            _hull(asset.life for asset in same if asset.life is not None),
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

    Where no node of the rows is listed, rows and assets name their machines otherwise, which is told elsewhere.
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
        return _maybe(_hull(pods))
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


def _hull(spans: Iterable[Window]) -> Window | None:
    """From the start of the first to the end of the last; None of none."""
    several = list(spans)
    if not several:
        return None
    return Window(min(span.start for span in several), max(span.end for span in several))


def _maybe(span: Window | None) -> list[Window]:
    return [] if span is None else [span]


def _common(spans: Sequence[Window], others: Sequence[Window]) -> list[Window]:
    return spans_without(spans, spans_without(spans, others))


def some_nodes(names: Sequence[str]) -> str:
    """The first of several names, and how many more there are."""
    more = len(names) - _NAMED_AT_MOST
    return ", ".join(names[:_NAMED_AT_MOST]) + (f" and {more} more nodes" if more > 0 else "")
