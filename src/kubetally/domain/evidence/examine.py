"""The hours of a day with evidence in its answer (B10).

A source whose Prometheus lost samples answers lesser figures for a whole day and says nothing of it. What gives it away
are the spans in which it saw nodes and pods: a pod of some DaemonSet runs whenever a node does, so that both together
must reach the ends of the day. Rows of unmounted volumes and disks inside nodes always claim the whole day.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta

from kubetally.domain.allocation import Allocation
from kubetally.domain.asset import AssetType
from kubetally.domain.evidence.hours import SeenHour, missing_within
from kubetally.domain.evidence.missing import MISSING_IN_WORDS, TOLERANCE, Missing, Samples
from kubetally.domain.evidence.nodes import incomplete_nodes
from kubetally.domain.evidence.sighting import NOTHING_AROUND, Around, Sighting, pods_of, sighting_of
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.metrics import Family
from kubetally.domain.reading import Reading, without_requests, without_usage
from kubetally.domain.window import Window, common_spans, joined_spans, known_spans, spans_without

_ALIKE = timedelta(minutes=30)  # how far apart nights without nodes may begin, and end
_FAMILIES = (Family.COST_MODEL, Family.KUBE_STATE, Family.CADVISOR)
_OF_COSTS = frozenset({Samples.ANY, Samples.NODES, Samples.PODS})
"""What hours without it are not covered; without usage or requests, costs are still about right."""
_ISSUE_KINDS = {Samples.USAGE: IssueKind.USAGE_MISSING, Samples.REQUESTS: IssueKind.REQUESTS_MISSING}


def is_in_doubt(reading: Reading) -> bool:
    """Whether the days around it would help: samples seem to be missing, or no node is listed at all."""
    if not reading.allocations:
        return False
    pods = pods_of(reading)
    return any(gap.samples is Samples.ANY for gap in _missing(reading, pods, NOTHING_AROUND)) or (
        _has_no_nodes(reading) and reading.assets is not None and not _runs_one_pod_a_node(pods)
    )


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
    missing += missing_within(reading, hours, [gap.span for gap in missing])
    uncovered = joined_spans(gap.span for gap in missing if gap.samples in _OF_COSTS)
    missing += _without_any_usage(reading, pods, uncovered)
    issues = [_issue(reading, gap, around) for gap in _each_span_once(missing)]
    issues += incomplete_nodes(reading, pods, uncovered)
    if _has_no_requests(pods):
        reading = without_requests(reading)
        issues += [] if uncovered else [_no_requests(reading)]
    if any(gap.samples is Samples.USAGE for gap in missing):
        reading = without_usage(reading)
    if any(gap.samples is Samples.REQUESTS for gap in missing):
        reading = without_requests(reading)
    covered = tuple(spans_without(reading.covered, cuts=uncovered)) if uncovered else reading.covered
    return replace(reading, covered=covered, issues=(*reading.issues, *issues))


def _each_span_once(missing: Iterable[Missing]) -> list[Missing]:
    """What several tests find of one exporter, joined."""
    spans = defaultdict[Samples, list[Window]](list)
    for gap in missing:
        spans[gap.samples].append(gap.span)
    joined = [Missing(span, samples) for samples in Samples for span in joined_spans(spans.get(samples, ()))]
    return sorted(joined, key=lambda gap: gap.span)


def _missing_of_metrics(reading: Reading, pods: Sequence[Allocation], known: Sequence[Window]) -> list[Missing]:
    """When the Prometheus beside a source that claims nodes or pods has no samples of a family (B10 e)."""
    beside = reading.infrastructure
    if beside is None:
        return []
    lives = [asset.life for asset in reading.assets or () if asset.type is AssetType.NODE]
    lives += [row.life for row in pods]
    claimed = spans_without([life for life in lives if life is not None], cuts=known)
    no_nodes, no_pods, no_usage = (common_spans(claimed, beside.missing(family)) for family in _FAMILIES)
    neither = common_spans(no_nodes, no_pods)
    return [
        *(Missing(span, Samples.ANY) for span in neither),
        *(Missing(span, Samples.NODES) for span in spans_without(no_nodes, cuts=neither)),
        *(Missing(span, Samples.PODS) for span in spans_without(no_pods, cuts=neither)),
        *(Missing(span, Samples.USAGE) for span in spans_without(no_usage, cuts=neither)),
    ]


def _without_any_usage(reading: Reading, pods: Sequence[Allocation], uncovered: Sequence[Window]) -> list[Missing]:
    """All that is covered, where no container has any usage: that can't be."""
    if not _tell_hours(pods) or any(row.hours.cpu_core_usage_hours or row.hours.ram_byte_usage_hours for row in pods):
        return []
    if all(row.hours.cpu_core_usage_hours is None and row.hours.ram_byte_usage_hours is None for row in pods):
        return []  # it is known to be unknown, and told as a figure that is missing
    return [Missing(span, Samples.USAGE) for span in spans_without(reading.covered, cuts=uncovered)]


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
        "no container has a request, so efficiency has no meaning. If pods have requests, check that Prometheus "
        "scrapes kube-state-metrics"
    )
    return Issue(IssueKind.NO_REQUESTS, message, reading.source, reading.window, Samples.REQUESTS.value)


def _missing(reading: Reading, pods: Sequence[Allocation], around: Around) -> list[Missing]:
    """What nodes together or pods together lack of the window, and what of it."""
    seen = sighting_of(reading, pods)
    if seen is None:
        return []
    no_pods = spans_without(reading.covered, cuts=known_spans(seen.pods))
    no_nodes = spans_without(reading.covered, cuts=known_spans(seen.nodes))
    if _has_no_nodes(reading):
        no_nodes = [] if reading.assets is None or _is_serverless(pods, around) else no_nodes
        neither = no_pods if reading.assets is None or not no_nodes else common_spans(no_pods, no_nodes)
    else:
        neither = common_spans(no_pods, no_nodes)
    unseen = spans_without(neither, cuts=[*_seen_otherwise(reading), *_without_nodes_on_purpose(seen, neither, around)])
    missing = [
        *(Missing(span, Samples.ANY) for span in unseen),
        *(Missing(span, Samples.NODES) for span in spans_without(no_nodes, cuts=neither)),
        *(Missing(span, Samples.PODS) for span in spans_without(no_pods, cuts=neither)),
    ]
    total = sum((gap.span.end - gap.span.start for gap in missing), timedelta())
    return sorted(missing) if total > TOLERANCE else []


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
    span, samples = missing
    at_start = span.start <= reading.window.start
    beside = around.before if at_start else around.after if span.end >= reading.window.end else None
    if samples is Samples.ANY and beside is not None and beside.either is None:
        message = f"the source has no data for this time, nor for the day {'before' if at_start else 'after'}"
        return Issue(IssueKind.WINDOW_WITHOUT_DATA, message, reading.source, span)
    kind = _ISSUE_KINDS.get(samples, IssueKind.SAMPLES_MISSING)
    return Issue(kind, MISSING_IN_WORDS[samples], reading.source, span, samples.value)
