"""What a day lacks compared with the days around it; each was examined by itself before (B10 c and d)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from kubetally.domain.allocation import Kind
from kubetally.domain.asset import Asset, AssetType
from kubetally.domain.completeness import Completeness, is_priced_node
from kubetally.domain.evidence.missing import MISSING_IN_WORDS, TOLERANCE, Samples, some_nodes
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.row import Row
from kubetally.domain.window import DAY, HOUR, Window

_WORTH_A_SHARE = 0.2  # shares below are not compared: a few containers may come and go
_DAY_HOURS = 24


@dataclass(frozen=True, slots=True)
class DayFacts:
    """What the days around need to know of a day. node_hours: of each node that has a price."""

    window: Window
    source: str
    completeness: Completeness
    node_hours: Mapping[str, float]

    @property
    def whole_nodes(self) -> frozenset[str]:
        """The nodes that were listed all day."""
        whole = self.window.hours - TOLERANCE / HOUR
        return frozenset(name for name, hours in self.node_hours.items() if hours >= whole)


def facts_of(window: Window, source: str, completeness: Completeness, assets: Iterable[Asset]) -> DayFacts:
    """The facts of a booked day; several machines of one name add up."""
    hours = defaultdict[str, float](float)
    for asset in assets:
        if asset.type is AssetType.NODE and is_priced_node(asset):
            hours[asset.name] += asset.hours
    return DayFacts(window, source, completeness, hours)


def compare_days(*, before: DayFacts | None, day: DayFacts, after: DayFacts | None) -> tuple[Issue, ...]:
    """What `day` lacks against the UTC days right around it, whichever of them are known; all of them whole days."""
    if day.window.hours < _DAY_HOURS:
        return ()
    around = [
        beside
        for beside in (before, after)
        if beside is not None
        and beside.window.hours == _DAY_HOURS
        and day.window.start in (beside.window.end, beside.window.start - DAY)
    ]
    issues = list(shares_that_break_off(day, around))
    if len(around) == 2:
        stayed = around[0].whole_nodes & around[1].whole_nodes
        if lacking := sorted(stayed - day.whole_nodes):
            issues.append(_nodes_in_between(day, lacking))
    return tuple(issues)


def _nodes_in_between(day: DayFacts, names: Sequence[str]) -> Issue:
    message = (
        f"{some_nodes(names)} had a price on the days before and after, but not all day: costs of nodes are too low"
    )
    return Issue(
        IssueKind.NODE_INCOMPLETE, message, day.source, day.window, Samples.NODES.value, {"nodes": tuple(names)}
    )


class _Share(NamedTuple):
    """Of container-hours: how much of the days' around has to be left of it."""

    kind: IssueKind
    figure: str
    least: float


_SHARES: Mapping[Samples, _Share] = {
    # Whatever runs uses some memory; requests are a choice, and a team may drop theirs.
    Samples.USAGE: _Share(IssueKind.USAGE_MISSING, "usage_hours", 0.8),
    Samples.REQUESTS: _Share(IssueKind.REQUESTS_MISSING, "request_hours", 0.5),
}


class HasCompleteness(Protocol):
    """A day with what is known of its completeness."""

    @property
    def window(self) -> Window:
        """The day."""

    @property
    def source(self) -> str:
        """Its source, fit to be shown."""

    @property
    def completeness(self) -> Completeness:
        """How many hours it has of what."""


def share_missing(day: HasCompleteness, samples: Samples) -> Issue:
    """That usage or requests of a day are missing."""
    return Issue(_SHARES[samples].kind, MISSING_IN_WORDS[samples], day.source, day.window, samples.value)


def shares_that_break_off(day: HasCompleteness, around: Sequence[HasCompleteness]) -> Iterator[Issue]:
    """Usage or requests that containers of the days around have, and many of this day do not."""
    for samples, share in _SHARES.items():
        mine, *others = (_part(facts.completeness, share.figure) for facts in (day, *around))
        known = [part for part in others if part is not None]
        if mine is None or not known or min(known) < _WORTH_A_SHARE or mine >= share.least * min(known):
            continue
        # Containers that are gone take their share with them; those that lost it are more without it than before.
        without = [_without(facts.completeness, share.figure) for facts in (day, *around)]
        had = min(getattr(beside.completeness, share.figure) for beside in around)
        if without[0] - max(without[1:]) > (1 - share.least) * min(had, day.completeness.container_hours):
            yield share_missing(day, samples)


def _without(of: Completeness, figure: str) -> float:
    hours: float = getattr(of, figure)
    return of.container_hours - hours


def _part(of: Completeness, figure: str) -> float | None:
    hours: float = getattr(of, figure)
    return hours / of.container_hours if of.container_hours > 0 else None


def new_issues(issues: Iterable[Issue], known: Sequence[Issue]) -> list[Issue]:
    """The issues that are not in `known` yet: of the same nodes, or of usage or requests as a whole."""
    return [issue for issue in issues if not any(_is_known(issue, other) for other in known)]


def _is_known(issue: Issue, known: Issue) -> bool:
    """Whether `known` says the same. Its message may be that of an earlier version."""
    if issue.kind is not IssueKind.NODE_INCOMPLETE:
        return issue.kind is known.kind
    return (issue.kind, issue.subject, issue.window, issue.facts) == (
        known.kind,
        known.subject,
        known.window,
        known.facts,
    )


def rows_without(rows: Sequence[Row], issues: Iterable[Issue]) -> tuple[Row, ...]:
    """The rows with the usage or requests unknown that turned out to be missing."""
    kinds = {issue.kind for issue in issues}
    if IssueKind.USAGE_MISSING in kinds:
        rows = [_with_hours(row, cpu_core_usage_hours=None, ram_byte_usage_hours=None) for row in rows]
    if IssueKind.REQUESTS_MISSING in kinds:
        rows = [_with_hours(row, cpu_core_request_hours=None, ram_byte_request_hours=None) for row in rows]
    return tuple(rows)


def _with_hours(row: Row, **hours: float | None) -> Row:
    return row._replace(hours=row.hours._replace(**hours)) if row.kind is Kind.WORKLOAD else row  # type: ignore[arg-type]
