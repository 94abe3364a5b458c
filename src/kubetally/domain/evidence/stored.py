"""Which stored days lack hours, as far as their rows and assets show (B10).

Earlier versions took a day for whole whatever its source had lost. What is stored of it has no spans, only minutes of
pods and hours of nodes, so each day is compared with the days before and after it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import NamedTuple

from kubetally.domain.asset import Asset, AssetType
from kubetally.domain.booking import Booking
from kubetally.domain.completeness import Completeness, is_pod, is_priced_node
from kubetally.domain.evidence.days_around import share_missing, shares_that_break_off
from kubetally.domain.evidence.missing import KEEP_THEIR_NAMES, TOLERANCE, Samples, some_nodes
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.pods import merge_pods
from kubetally.domain.row import Row
from kubetally.domain.window import HOUR, Window

EXAMINED_ALONE, EXAMINED = 1, 2
"""How far a collection was examined: its own answer when it was read, and then the days around it; 0 of none."""

_TOLERANCE_HOURS = TOLERANCE / HOUR


class NodeHours(NamedTuple):
    """A node of a day. listed: hours for which it has a price.

    pods: hours of the pod that ran longest, where most of its pods ran longer than it is listed; else 0.
    pods_together: hours of all its pods, added up.
    """

    listed: float
    pods: float
    pods_together: float


@dataclass(frozen=True, slots=True)
class StoredFacts:
    """What the tests need of a stored day; small, so that the days around it can be kept.

    longest_pod: hours of the pod that ran longest.
    """

    window: Window
    source: str
    completeness: Completeness
    nodes: Mapping[str, NodeHours]
    longest_pod: float

    @property
    def whole(self) -> float:
        """From so many hours on, something was there all day."""
        return self.window.hours - _TOLERANCE_HOURS

    @property
    def whole_nodes(self) -> frozenset[str]:
        """The nodes that were there all day."""
        return frozenset(name for name, node in self.nodes.items() if node.listed >= self.whole)


@dataclass(frozen=True, slots=True)
class Examined:
    """What the tests found. hours_covered: hours with evidence, None if all have."""

    hours_covered: float | None = None
    issues: tuple[Issue, ...] = ()

    def applied_to(self, head: Booking) -> Booking:
        """The booking with these issues, and with no more hours than these; which of the day they were is unknown."""
        covered = head.covered
        if self.hours_covered is not None:
            covered = tuple(_first_hours(covered, timedelta(hours=self.hours_covered)))
        known = {(issue.kind, issue.subject) for issue in head.issues}
        new = [issue for issue in self.issues if (issue.kind, issue.subject) not in known]
        return replace(head, covered=covered, issues=(*head.issues, *new))


def facts_of(head: Booking, rows: Sequence[Row], assets: Sequence[Asset], completeness: Completeness) -> StoredFacts:
    """The facts of a stored day, from its rows and assets."""
    pods = [row for row in merge_pods(rows) if is_pod(row)]
    on_node = defaultdict[str | None, list[Row]](list)
    for row in pods:
        on_node[row.node].append(row)
    nodes = defaultdict[str, list[Asset]](list)
    for asset in assets:
        if asset.type is AssetType.NODE:
            nodes[asset.name].append(asset)
    longest = max((row.minutes / 60 for row in pods), default=0.0)
    of_nodes = {name: _node_hours(same, on_node) for name, same in nodes.items()}
    return StoredFacts(head.window, head.source, completeness, of_nodes, longest)


def examine_stored(
    day: StoredFacts, *, before: StoredFacts | None = None, after: StoredFacts | None = None
) -> Examined:
    """What a stored day lacks; `before` and `after` are the days around it, where those are stored.

    Source: B10 of the booking rules (docs/how-a-day-is-booked.md): tests b, c and d, and what hours show of a.
    """
    of_nodes, of_pods = _hours_of_nodes(day, before, after), _hours_of_pods(day, before, after)
    issues = [*_missing_samples(day, of_nodes, of_pods)]
    if of_nodes >= day.whole:
        issues += incomplete_nodes(day)
    if of_pods >= day.whole:
        issues += _missing_shares(day, [beside for beside in (before, after) if beside is not None])
    covered = min(of_nodes, of_pods)
    return Examined(covered if covered < day.whole else None, tuple(issues))


def _hours_of_nodes(day: StoredFacts, before: StoredFacts | None, after: StoredFacts | None) -> float:
    """Hours for which nodes are there with a price, by the pods that ran on them (b) and by the days around (d)."""
    hours = day.window.hours
    if day.nodes and all(node.pods for node in day.nodes.values()):
        hours = max(node.listed for node in day.nodes.values())
    if stayed := _stayed(before, after):
        hours = min(hours, max(day.nodes[name].listed if name in day.nodes else 0.0 for name in stayed))
    return hours


def _hours_of_pods(day: StoredFacts, before: StoredFacts | None, after: StoredFacts | None) -> float:
    """Hours for which pods are there: wherever a node is, some pod of a DaemonSet is, too (a).

    A restart of all pods shortens their lives, and not what they come to together.
    """
    if day.longest_pod >= day.whole:
        return day.window.hours
    if before is not None and after is not None and _stayed(before, after):
        is_long_around = min(before.longest_pod, after.longest_pod) >= day.whole
        usual = min(before.completeness.container_hours, after.completeness.container_hours)
        at_most = usual * (day.longest_pod / day.window.hours + 1) / 2
        is_missing = is_long_around and day.completeness.container_hours < at_most
    else:
        on_whole = [day.nodes[name].pods_together for name in day.whole_nodes]
        is_missing = bool(on_whole) and max(on_whole) < day.whole
    return day.longest_pod if is_missing else day.window.hours


def _stayed(before: StoredFacts | None, after: StoredFacts | None) -> frozenset[str]:
    """The nodes that were there all of the day before and all of the day after, and so in between."""
    return frozenset() if before is None or after is None else before.whole_nodes & after.whole_nodes


def _missing_samples(day: StoredFacts, of_nodes: float, of_pods: float) -> Iterator[Issue]:
    lacks_nodes, lacks_pods = of_nodes < day.whole, of_pods < day.whole
    if lacks_nodes and lacks_pods and abs(of_nodes - of_pods) < _TOLERANCE_HOURS:
        yield _samples(
            day,
            "samples",
            of_nodes,
            "nodes and pods were seen",
            "Prometheus was down or lost its samples. Costs of the other hours are missing",
        )
        return
    if lacks_nodes:
        yield _samples(
            day,
            "nodes",
            of_nodes,
            "nodes have a price",
            "OpenCost's own metrics were not scraped. Costs of nodes, volumes and load balancers are too low",
        )
    if lacks_pods:
        yield _samples(
            day,
            "pods",
            of_pods,
            "pods were seen",
            "kube-state-metrics was not scraped, or samples were lost. Workloads of the other hours stand as idle",
        )


def _samples(day: StoredFacts, subject: str, hours: float, what: str, so: str) -> Issue:
    message = f"{what} for {hours:.1f} of {day.window.hours:g} h: {so}"
    return Issue(IssueKind.SAMPLES_MISSING, message, day.source, day.window, subject, {"hours": round(hours, 2)})


def incomplete_nodes(day: StoredFacts) -> Iterator[Issue]:
    names = sorted(name for name, node in day.nodes.items() if node.pods)
    if names:
        message = (
            f"pods ran on {some_nodes(names)} for longer than the source has a price for it: costs of nodes are too low"
        )
        facts = {"nodes": tuple(names)}
        yield Issue(IssueKind.NODE_INCOMPLETE, message, day.source, day.window, "nodes", facts)


def _missing_shares(day: StoredFacts, around: Sequence[StoredFacts]) -> Iterator[Issue]:
    """That no container has usage, or that the share with usage or requests breaks off against the days around (c)."""
    issues = list(shares_that_break_off(day, around))
    is_without_usage = day.completeness.container_hours > 0 and day.completeness.usage_hours == 0
    if is_without_usage and all(issue.kind is not IssueKind.USAGE_MISSING for issue in issues):
        yield share_missing(day, Samples.USAGE)
    yield from issues


def _node_hours(same: Sequence[Asset], on_node: Mapping[str | None, Sequence[Row]]) -> NodeHours:
    """The hours of a node, which may be several machines one after the other."""
    rows = [row for name in frozenset().union(*(asset.names for asset in same)) for row in on_node.get(name, ())]
    is_charged = any(row.costs.cpu + row.costs.ram + row.costs.gpu > 0 for row in rows)
    listed = sum(asset.hours for asset in same if is_priced_node(asset) or not is_charged)
    pods = [row.minutes / 60 for row in rows if row.controller_kind not in KEEP_THEIR_NAMES]
    longer = [hours for hours in pods if hours > listed + _TOLERANCE_HOURS]
    as_long = sum(hours >= listed - _TOLERANCE_HOURS for hours in pods)
    is_beyond = bool(longer) and 2 * len(longer) >= as_long
    return NodeHours(listed, max(longer) if is_beyond else 0.0, sum(row.minutes for row in rows) / 60)


def _first_hours(covered: Iterable[Window], left: timedelta) -> Iterator[Window]:
    for span in sorted(covered):
        length = min(left, span.end - span.start)
        if length > timedelta():
            yield Window(span.start, span.start + length)
        left -= length
