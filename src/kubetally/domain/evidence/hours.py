"""Gaps within a day, found in hourly answers of its source (B10 f)."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kubetally.domain.allocation import Allocation, Kind
from kubetally.domain.asset import AssetType
from kubetally.domain.evidence.missing import TOLERANCE, Missing, Samples
from kubetally.domain.evidence.sighting import is_pod
from kubetally.domain.infrastructure import clock_hours
from kubetally.domain.reading import Reading
from kubetally.domain.window import HOUR, Window, common_spans, hull, joined_spans, known_spans, spans_without


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


def seen_hours(rows: Iterable[Allocation], window: Window) -> list[SeenHour]:
    """What rows of hourly steps show of each hour of the window; none where there are no rows or longer steps.

    Rows are of containers, or of all pods with one kind of controller.
    """
    by_hour = defaultdict[Window, list[Allocation]](list)
    for row in rows:
        by_hour[row.step].append(row)
    if not by_hour or any(step.end - step.start > HOUR for step in by_hour):
        return []  # an answer without any row says nothing of a day that has rows
    return [_seen_hour(span, by_hour.get(span, ())) for span in clock_hours(window)]


def _seen_hour(span: Window, rows: Sequence[Allocation]) -> SeenHour:
    pods = [row for row in rows if is_pod(row) or (row.kind is Kind.WORKLOAD and row.controller_kind is not None)]
    workload_cost = sum(_cost_of_nodes(row) for row in pods)
    return SeenHour(
        span,
        hull(row.life for row in pods if row.life is not None),
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


def has_gaps(reading: Reading, hours: Sequence[SeenHour]) -> bool:
    """Whether single hours lack what the day as a whole claims."""
    return bool(missing_within(reading, hours, ()))


def missing_within(reading: Reading, hours: Sequence[SeenHour], known: Sequence[Window]) -> list[Missing]:
    """What single hours lack of what the day as a whole claims: a gap within a day leaves no other trace (B10 f)."""
    claimed = spans_without(_lives_of_nodes(reading), cuts=known)
    spans_of = defaultdict[Samples, list[Window]](list)
    without_pods, with_node_cost = list[Window](), list[Window]()
    running = 0
    for hour in hours:
        lived = common_spans([hour.span], claimed)
        without_pods += spans_without(lived, cuts=known_spans(hour.pods))
        if hour.node_cost > 0:
            with_node_cost.append(hour.span)
        if hour.pods is not None and lived and hour.pods.end - hour.pods.start > TOLERANCE:
            running += 1
            if hour.workload_cost > 0 and hour.node_cost <= 0:
                spans_of[Samples.NODES].append(hour.span)
            if not hour.has_usage:
                spans_of[Samples.USAGE].append(hour.span)
            if not hour.has_requests:
                spans_of[Samples.REQUESTS].append(hour.span)
    # What two hours lack on both sides of the full hour is one gap; some minutes of each are how a source counts.
    for span in joined_spans(without_pods):
        if span.end - span.start > TOLERANCE:
            # A sample that is left at the end of a gap shows a node and no pod.
            is_whole = spans_without([span], cuts=with_node_cost) or not common_spans([span], with_node_cost)
            spans_of[Samples.ANY if is_whole else Samples.PODS].append(span)
    if 2 * len(spans_of[Samples.REQUESTS]) > running:  # most hours have none: few containers request anything
        del spans_of[Samples.REQUESTS]
    return [Missing(span, samples) for samples in Samples for span in joined_spans(spans_of.get(samples, ()))]


def _lives_of_nodes(reading: Reading) -> list[Window]:
    """When any node was listed; of a cluster without nodes, the whole window."""
    nodes = [asset.life for asset in reading.assets or () if asset.type is AssetType.NODE and asset.life is not None]
    return joined_spans(nodes) if nodes else list(reading.covered)
