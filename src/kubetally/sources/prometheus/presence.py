"""In which part of a window each family of metrics has samples: what a cost source could compute from.

Presence is looked at in steps of five minutes of the clock, a quarter of an hour beyond both ends of the window, so
that a gap across midnight is the same gap for both days.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kubetally.domain.infrastructure import clipped
from kubetally.domain.metrics import FAMILY_METRICS, Family
from kubetally.domain.window import DAY, Window, from_unix
from kubetally.sources.prometheus.client import Found, PrometheusClient, Series
from kubetally.sources.prometheus.hours import foreign_series
from kubetally.sources.prometheus.promql import HourRanges, Selector, named
from kubetally.sources.prometheus.queries import OTHER_CLUSTER_LABELS

SHORTEST_GAP = timedelta(minutes=15)
_STEP = timedelta(minutes=5)
_AROUND, _AROUND_STEP = 7 * DAY, timedelta(hours=6)
_LONGEST_OF_CONTAINERS = 8 * DAY
_MATCHERS: Mapping[Family, tuple[str, ...]] = {Family.CADVISOR: ('container!=""',)}
# A family with a series for each container is first looked for among the few that nearly every cluster has.
_OF_CONTAINERS, _FEW = (Family.KUBE_STATE, Family.CADVISOR), 'namespace="kube-system"'


@dataclass(frozen=True, slots=True)
class Presence:
    """See `Infrastructure.present` and `since`. `answers`: what the server said, with its warnings."""

    present: Mapping[Family, tuple[Window, ...]]
    since: datetime | None
    answers: tuple[Found, ...]


@dataclass(slots=True)
class _Seen:
    """What answers show.

    ends:      of each family the Unix seconds at which steps with a sample end.
    ambiguous: families with series of several clusters, which can't be attributed to the account.
    """

    url: str
    selector: Selector
    answers: list[Found] = field(default_factory=list)
    ends: dict[Family, set[int]] = field(default_factory=lambda: defaultdict(set))
    ambiguous: set[Family] = field(default_factory=set)

    def enter(self, answer: Found) -> None:
        """Add what an answer shows. Raises SourceError."""
        self.answers.append(answer)
        by_family: dict[Family, list[Series]] = defaultdict(list)
        for series in answer.series:
            if series.labels.get("is") not in Family.__members__.values():
                raise foreign_series(self.url, series)
            by_family[Family(series.labels["is"])].append(series)
        for family, of_family in by_family.items():
            self.ends[family].update(round(at) for series in of_family for at, _ in series.points)
            if _are_of_several_clusters(of_family, self.selector):
                self.ambiguous.add(family)

    def is_late(self, family: Family, wide: Window, window: Window) -> bool:
        """Whether the family has no sample where the window begins."""
        return any(gap.start <= window.start < gap.end for gap in self.gaps(family, wide))

    def gaps(self, family: Family, window: Window) -> list[Window]:
        """The spans of `window` without a sample that are no shorter than `SHORTEST_GAP`."""
        gaps, reached = [], window.start
        for end in (*map(from_unix, sorted(self.ends[family])), window.end + _STEP):
            if end - _STEP - reached >= SHORTEST_GAP:
                gaps.append(Window(reached, end - _STEP))
            reached = max(reached, end)
        return gaps


class PresenceReader:
    """Looks for the families of one account on one server."""

    def __init__(self, client: PrometheusClient, selector: Selector) -> None:
        self._client, self._selector = client, selector

    async def read(self, window: Window, ranges: HourRanges) -> Presence:
        """The families in a window of whole hours: one question a month, and more where samples are missing.

        Raises: SourceError.
        """
        wide = Window(window.start - SHORTEST_GAP, window.end + SHORTEST_GAP)
        seen = _Seen(self._client.url, self._selector)
        seen.enter(await self._asked(_query(self._selector, Family, ranges, _FEW), wide))
        around = _Seen(self._client.url, self._selector)
        late = [family for family in Family if seen.is_late(family, wide, window)]
        if late:
            span = Window(window.start - _AROUND, window.end + _AROUND)
            around.enter(await self._asked(_query(self._selector, late, ranges), span, _AROUND_STEP))
        lacking = {
            family: spans
            for family in _OF_CONTAINERS
            if (spans := seen.gaps(family, wide)) and (seen.ends[family] or around.ends[family])
        }
        if lacking:
            begin = min(spans[0].start for spans in lacking.values())
            span = Window(begin, max(spans[-1].end for spans in lacking.values()))
            seen.enter(await self._asked(_query(self._selector, lacking, ranges), span, longest=_LONGEST_OF_CONTAINERS))
        late = [family for family in late if seen.is_late(family, wide, window)]
        gaps = {family: seen.gaps(family, wide) for family in Family}
        held = [family for family in Family if seen.ends[family] or around.ends[family]]
        ours = [family for family in held if family not in seen.ambiguous | around.ambiguous]
        return Presence(
            {family: _between(gaps[family], window) for family in ours},
            _since(seen, around, window) if held and len(late) == len(Family) else None,
            (*seen.answers, *around.answers),
        )

    async def _asked(
        self, query: str, span: Window, step: timedelta = _STEP, longest: timedelta | None = None
    ) -> Found:
        return await self._client.range(query, span.start + _STEP, span.end, step, longest=longest)


def _query(selector: Selector, families: Iterable[Family], ranges: HourRanges, few: str | None = None) -> str:
    """Of five minutes: which families have samples, and which clusters they seem to be of.

    few: a further matcher for the families of containers.
    """
    by = ",".join((*selector.account_labels, *OTHER_CLUSTER_LABELS))

    def samples(family: Family) -> str:
        matchers = [*_MATCHERS.get(family, ()), *([few] if few and family in _OF_CONTAINERS else [])]
        series = (f"{selector.of(metric, *matchers)}{ranges.five_minutes}" for metric in FAMILY_METRICS[family])
        return " or ".join(f"group by ({by}) (last_over_time({selected}))" for selected in series)

    return " or ".join(named(family, samples(family)) for family in families)


def _between(gaps: Iterable[Window], window: Window) -> tuple[Window, ...]:
    """What `gaps` leave of the window."""
    spans, reached = [], window.start
    for gap in gaps:
        if gap.start > reached:
            spans.append(Window(reached, gap.start))
        reached = max(reached, gap.end)
    return clipped([*spans, Window(reached, max(reached, window.end))], window)


def _since(seen: _Seen, around: _Seen, window: Window) -> datetime | None:
    """The first sample of any family; None where there are samples in the days before the window."""
    if any(from_unix(end) <= window.start for ends in (*around.ends.values(), *seen.ends.values()) for end in ends):
        return None
    return min(from_unix(min(ends)) - _STEP for ends in (*seen.ends.values(), *around.ends.values()) if ends)


def _are_of_several_clusters(of_family: Iterable[Series], selector: Selector) -> bool:
    """Whether the series of some step name several tenants or clusters, and none was chosen."""
    chosen = (selector.tenant is not None, selector.cluster_id is not None)
    open_labels = [label for label, is_chosen in zip(selector.account_labels, chosen, strict=True) if not is_chosen]
    names: dict[tuple[str, float], set[str]] = defaultdict(set)
    for series in of_family:
        other = () if series.labels.get(selector.cluster_label) else OTHER_CLUSTER_LABELS
        for label in (*open_labels, *other):
            if name := series.labels.get(label):
                for at, _ in series.points:
                    names[label, at].add(name)
    return any(len(of_step) > 1 for of_step in names.values())
