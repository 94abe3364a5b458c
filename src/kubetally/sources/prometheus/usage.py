"""The usage of containers with several lives: those that restarted, or moved to another node under the same name.

A life is a series of cAdvisor. One query finds the containers that have several in a day, and only these are then read
by the hour, so that the effort grows with their number.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from kubetally.domain.infrastructure import ContainerKey, UsedHour, clock_hours
from kubetally.domain.window import DAY, HOUR, Window, midnight, to_unix
from kubetally.sources.prometheus.client import PrometheusClient, QueryResult
from kubetally.sources.prometheus.promql import HourRanges, Selector, named, quoted
from kubetally.tasks import task_group

_CPU, _MEMORY = "container_cpu_usage_seconds_total", "container_memory_working_set_bytes"
_CONTAINERS = ('container!=""', 'container!="POD"', 'pod!=""')
_KEY = ("namespace", "pod", "container")
_LIFE = "kubetally_life"
_MAX_SPAN = 8 * DAY
_MAX_PODS_PER_QUERY = 100
_SECONDS, _BYTES, _SAMPLES = "cpu_seconds", "ram_bytes", "ram_samples"


@dataclass(frozen=True, slots=True)
class MeasuredUsage:
    """See `Infrastructure.usage`. `results` carry the server's warnings."""

    usage: Mapping[ContainerKey, tuple[UsedHour, ...]]
    results: tuple[QueryResult, ...]


@dataclass(slots=True)
class _Hours:
    """Figures of one container, by the Unix second at which an hour ends."""

    cpu_seconds: dict[int, float] = field(default_factory=dict)
    ram_bytes: dict[int, float] = field(default_factory=dict)
    ram_samples: dict[int, float] = field(default_factory=dict)

    def used(self, spans: Iterable[Window]) -> Iterable[UsedHour]:
        """Each hour with a figure."""
        for span in spans:
            end = to_unix(span.end)
            seconds, total, samples = (
                figures.get(end) for figures in (self.cpu_seconds, self.ram_bytes, self.ram_samples)
            )
            if seconds is not None or samples:
                yield UsedHour(
                    span,
                    None if seconds is None else seconds / 3600,
                    total / samples if samples and total is not None else None,
                    samples or 0.0,
                )


async def read_usage(client: PrometheusClient, selector: Selector, window: Window, ranges: HourRanges) -> MeasuredUsage:
    """The usage of containers with several lives on a day, in a window of whole hours. Raises SourceError.

    One query a week, and one for every hundred such pods.
    """
    first, last = midnight(window.start) + DAY, midnight(window.end - HOUR) + DAY
    lives = await client.range(_lives_query(selector), first=first, last=last, step=DAY, max_span=_MAX_SPAN)
    keys = {_key(series.labels) for series in lives.series}
    pods = sorted({key.pod for key in keys})
    batches = [pods[begin : begin + _MAX_PODS_PER_QUERY] for begin in range(0, len(pods), _MAX_PODS_PER_QUERY)]
    queries = [_usage_query(selector, ranges, batch) for batch in batches]
    first, last = window.start + HOUR, window.end
    async with task_group() as group:
        tasks = [
            group.create_task(client.range(query, first=first, last=last, step=HOUR, max_span=_MAX_SPAN))
            for query in queries
        ]
    results = [task.result() for task in tasks]
    usage = await client.calculate(0, _usage_by_container, results, keys, clock_hours(window))
    return MeasuredUsage(usage, (lives, *results))


def _usage_by_container(
    results: Sequence[QueryResult], keys: Set[ContainerKey], spans: Sequence[Window]
) -> dict[ContainerKey, tuple[UsedHour, ...]]:
    """The hours of each container, in order."""
    hours: dict[ContainerKey, _Hours] = defaultdict(_Hours)
    for result in results:
        for series in result.series:
            if (key := _key(series.labels)) in keys:
                figures: dict[int, float] = getattr(hours[key], series.labels["is"])
                figures.update((round(at), value) for at, value in series.points)
    return {key: tuple(of_container.used(spans)) for key, of_container in hours.items()}


def _lives_query(selector: Selector) -> str:
    """For a day: the number of lives of each container with several."""
    lives = _of_life(f"last_over_time({selector.of(_CPU, *_CONTAINERS)}[1d] offset 1ms)")
    return f"count by ({_by()}) (group by ({_by(_LIFE)}) ({lives})) > 1"


def _usage_query(selector: Selector, ranges: HourRanges, pods: Sequence[str]) -> str:
    """For an hour, by container: CPU seconds of all lives, and the sum and number of memory samples.

    A life that is scraped several times, by two jobs or an HA pair, counts once.
    """
    some = (*_CONTAINERS, f"pod=~{quoted('|'.join(map(re.escape, pods)))}")
    increase = _of_life(f"increase({selector.of(_CPU, *some)}{ranges.samples})")
    memory = f"{selector.of(_MEMORY, *some)}{ranges.samples}"
    return " or ".join(
        [
            named(f"sum by ({_by()}) (max by ({_by(_LIFE, 'cpu')}) ({increase}))", name=_SECONDS),
            named(f"sum by ({_by()}) (sum_over_time({memory}))", name=_BYTES),
            named(f"sum by ({_by()}) (count_over_time({memory}))", name=_SAMPLES),
        ]
    )


def _by(*labels: str) -> str:
    return ",".join((*_KEY, *labels))


def _of_life(expression: str) -> str:
    """`expression`, its series labelled with the life: the container's cgroup or id, else its node."""
    for label, pattern in (("instance", "(.*)"), ("name", "(.+)"), ("id", "(.+)")):
        expression = f'label_replace({expression}, "{_LIFE}", "$1", "{label}", "{pattern}")'
    return expression


def _key(labels: Mapping[str, str]) -> ContainerKey:
    return ContainerKey(*(labels.get(label, "") for label in _KEY))
