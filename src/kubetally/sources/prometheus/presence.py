"""The spans of a window in which each family of metrics has samples, from which a cost source can compute.

They are read in steps of five minutes, from a quarter of an hour before the window to one after it, so that a gap
across midnight is the same gap for both days.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kubetally.domain.infrastructure import clipped
from kubetally.domain.metrics import FAMILY_METRICS, Family
from kubetally.domain.window import DAY, Window, from_unix
from kubetally.sources.prometheus.client import PrometheusClient, QueryResult, Series
from kubetally.sources.prometheus.hours import foreign_series
from kubetally.sources.prometheus.promql import HourRanges, Selector, named
from kubetally.sources.prometheus.queries import OTHER_CLUSTER_LABELS

_MIN_GAP = timedelta(minutes=15)
_STEP = timedelta(minutes=5)
_AROUND, _AROUND_STEP = 7 * DAY, timedelta(hours=6)
_MAX_SPAN_OF_CONTAINERS = 8 * DAY
_MATCHERS: Mapping[Family, tuple[str, ...]] = {Family.CADVISOR: ('container!=""',)}
# A family with a series per container is first read of the few containers that nearly every cluster has.
_OF_CONTAINERS, _FEW = (Family.KUBE_STATE, Family.CADVISOR), 'namespace="kube-system"'


@dataclass(frozen=True, slots=True)
class Presence:
    """See `Infrastructure.present` and `since`. `results` carry the server's warnings."""

    present: Mapping[Family, tuple[Window, ...]]
    since: datetime | None
    results: tuple[QueryResult, ...]


@dataclass(slots=True)
class _Seen:
    """The samples that queries returned.

    ends:      for each family the Unix seconds at which steps with a sample end.
    ambiguous: families with series of several clusters, which can't be attributed to the account.
    """

    url: str
    selector: Selector
    results: list[QueryResult] = field(default_factory=list)
    ends: dict[Family, set[int]] = field(default_factory=lambda: defaultdict(set))
    ambiguous: set[Family] = field(default_factory=set)

    def add(self, result: QueryResult) -> None:
        """Add the series of a query. Raises SourceError."""
        self.results.append(result)
        by_family: dict[Family, list[Series]] = defaultdict(list)
        for series in result.series:
            if series.labels.get("is") not in Family.__members__.values():
                raise foreign_series(self.url, series)
            by_family[Family(series.labels["is"])].append(series)
        for family, of_family in by_family.items():
            self.ends[family].update(round(at) for series in of_family for at, _ in series.points)
            if _are_of_several_clusters(of_family, self.selector):
                self.ambiguous.add(family)

    def is_late(self, family: Family, *, wide: Window, window: Window) -> bool:
        """Whether the family has no sample at the start of the window."""
        return any(gap.start <= window.start < gap.end for gap in self.gaps(family, wide))

    def gaps(self, family: Family, window: Window) -> list[Window]:
        """The spans of `window` without a sample that last 15 minutes or more."""
        gaps, reached = [], window.start
        for end in (*map(from_unix, sorted(self.ends[family])), window.end + _STEP):
            if end - _STEP - reached >= _MIN_GAP:
                gaps.append(Window(reached, end - _STEP))
            reached = max(reached, end)
        return gaps


async def read_presence(client: PrometheusClient, selector: Selector, window: Window, ranges: HourRanges) -> Presence:
    """The families in a window of whole hours: one query a month, and more where samples are missing.

    Raises: SourceError.
    """

    async def query(
        families: Iterable[Family],
        span: Window,
        *,
        step: timedelta = _STEP,
        few: str | None = None,
        max_span: timedelta | None = None,
    ) -> QueryResult:
        text = _query(selector, families, ranges, few)
        return await client.range(text, first=span.start + _STEP, last=span.end, step=step, max_span=max_span)

    wide = Window(window.start - _MIN_GAP, window.end + _MIN_GAP)
    seen, around = _Seen(client.url, selector), _Seen(client.url, selector)
    seen.add(await query(Family, wide, few=_FEW))
    late = [family for family in Family if seen.is_late(family, wide=wide, window=window)]
    if late:
        around.add(await query(late, Window(window.start - _AROUND, window.end + _AROUND), step=_AROUND_STEP))
    incomplete = {
        family: spans
        for family in _OF_CONTAINERS
        if (spans := seen.gaps(family, wide)) and (seen.ends[family] or around.ends[family])
    }
    if incomplete:
        begin = min(spans[0].start for spans in incomplete.values())
        span = Window(begin, max(spans[-1].end for spans in incomplete.values()))
        seen.add(await query(incomplete, span, max_span=_MAX_SPAN_OF_CONTAINERS))
    is_absent = all(seen.is_late(family, wide=wide, window=window) for family in Family)
    known = [family for family in Family if seen.ends[family] or around.ends[family]]
    return Presence(
        {
            family: _between(seen.gaps(family, wide), window)
            for family in known
            if family not in seen.ambiguous | around.ambiguous
        },
        _since(seen, around, window) if known and is_absent else None,
        (*seen.results, *around.results),
    )


def _query(selector: Selector, families: Iterable[Family], ranges: HourRanges, few: str | None) -> str:
    """For five minutes: which families have samples, and labels of the clusters that they are of.

    few: a further matcher for the families of containers.
    """
    by = ",".join((*selector.account_labels, *OTHER_CLUSTER_LABELS))

    def samples(family: Family) -> str:
        matchers = [*_MATCHERS.get(family, ()), *([few] if few and family in _OF_CONTAINERS else [])]
        series = (f"{selector.of(metric, *matchers)}{ranges.five_minutes}" for metric in FAMILY_METRICS[family])
        return " or ".join(f"group by ({by}) (last_over_time({selected}))" for selected in series)

    return " or ".join(named(samples(family), name=family) for family in families)


def _between(gaps: Iterable[Window], window: Window) -> tuple[Window, ...]:
    """The parts of the window outside of `gaps`."""
    spans, reached = [], window.start
    for gap in gaps:
        if gap.start > reached:
            spans.append(Window(reached, gap.start))
        reached = max(reached, gap.end)
    return clipped([*spans, Window(reached, max(reached, window.end))], window)


def _since(seen: _Seen, around: _Seen, window: Window) -> datetime | None:
    """The first sample of any family; None if there are samples in the days before the window."""
    if any(from_unix(end) <= window.start for ends in (*around.ends.values(), *seen.ends.values()) for end in ends):
        return None
    return min(from_unix(min(ends)) - _STEP for ends in (*seen.ends.values(), *around.ends.values()) if ends)


def _are_of_several_clusters(of_family: Iterable[Series], selector: Selector) -> bool:
    """Whether the series of a step name several tenants or clusters, and the selector chooses none."""
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
