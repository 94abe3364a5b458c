"""The usage of containers that restarted or moved, which a source gets wrong and a Prometheus beside it knows.

OpenCost averages the series of a container's lives where they should be added up: of one that moved to another node it
shows a half of the CPU it used, of one that restarted often a fraction.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import combinations, islice
from math import fsum
from operator import attrgetter

from kubetally.domain.allocation import Allocation, Kind
from kubetally.domain.efficiency import Hours
from kubetally.domain.infrastructure import BYTES_PER_GIB, ContainerKey, UsedHour
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.reading import Reading
from kubetally.domain.window import Window

_CHANGED = 0.01  # of a figure: what differs by less is the same
_EXCESS = 0.2  # of request and usage together: a charge beyond that is not rounding or a short life
_EXCESS_CORE_HOURS = 0.05
_EXCESS_BYTE_HOURS = 0.1 * BYTES_PER_GIB
_SHARED_LIFE = timedelta(minutes=15)  # two rows of a pod that moved may share as much
_MAX_NAMED = 3
_CONTAINER = attrgetter("namespace", "pod", "container")


def correct_usage(reading: Reading) -> Reading:
    """The reading with the usage that its Prometheus measured, and an issue that counts the containers it changed.

    CPU is never lowered: the average of lives is at most their sum, so that less means samples which the source had.
    """
    measured = reading.infrastructure
    if measured is None or not measured.usage:
        return reading
    minutes: dict[tuple[ContainerKey, Window], float] = defaultdict(float)
    for row in reading.allocations:
        if (key := _key(row)) in measured.usage:
            minutes[key, row.step] += row.minutes
    changed: dict[ContainerKey, tuple[float, float]] = {}

    def corrected(row: Allocation) -> Allocation:
        key = _key(row)
        if key not in measured.usage or row.minutes <= 0 or not measured.window.contains(row.step):
            return row
        hours = _hours(row, measured.usage[key], row.minutes / minutes[key, row.step])
        if not _differ(row.hours, hours):
            return row
        before, after = changed.get(key, (0.0, 0.0))
        was, now = row.hours.cpu_core_usage_hours or 0.0, hours.cpu_core_usage_hours or 0.0
        changed[key] = before + was, after + now
        return row._replace(hours=hours)

    rows = [corrected(row) for row in reading.allocations]
    if not changed:
        return reading
    worst = sorted(changed.items(), key=lambda item: item[1][0] - item[1][1])
    words = (f"{key} {was:.2f} before, {now:.2f} core-hours now" for key, (was, now) in worst)
    issue = Issue(
        IssueKind.USAGE_CORRECTED,
        f"{_containers(len(changed))} restarted or moved; the source averages their lives, so their usage is that of "
        f"Prometheus ({_some_of(words, len(changed))})",
        measured.source,
        reading.window,
        facts={"containers": len(changed)},
    )
    return replace(reading, allocations=rows, issues=(*reading.issues, issue))


def understated_usage(reading: Reading) -> Issue | None:
    """That rows show less usage than there was, where they show that; call it after `correct_usage`.

    A charge is the mean of the larger of request and usage at each instant, so that it is at most both together. Two
    rows of one pod on two nodes at the same time each have the average of both.
    """
    if any(issue.kind is IssueKind.ROWS_MERGED_BY_SOURCE for issue in reading.issues):
        return None  # then it is our own figure that is not exact
    rows = [row for row in reading.allocations if row.kind is Kind.WORKLOAD and row.pod]
    beyond = {_key(row): excess for row in rows if _may_be_beyond(row.hours) and (excess := _beyond(row))}
    twice = [key for key in _on_two_nodes(rows) if key not in beyond]
    if not beyond and not twice:
        return None
    worst = sorted(beyond.items(), key=lambda item: -item[1][0])
    words = [f"{key} {text}" for key, (_, text) in worst] + [f"{key} on two nodes at the same time" for key in twice]
    advice = "" if reading.infrastructure else "; --prometheus-url reads their usage from Prometheus"
    return Issue(
        IssueKind.USAGE_UNDERSTATED,
        f"the source shows too little usage of {_containers(len(words))}: it averages the lives of those that restart "
        f"or move ({_some_of(words, len(words))}){advice}",
        reading.source,
        reading.window,
        facts={"containers": len(words)},
    )


def _hours(row: Allocation, used: Sequence[UsedHour], share: float) -> Hours:
    """The row's hours with the usage measured in its step; it has `share` of the CPU of all rows of its container."""
    parts = [part for hour in used if (part := hour.within(row.step)) is not None]
    cpu, was = (
        [part.cpu_core_hours for part in parts if part.cpu_core_hours is not None],
        row.hours.cpu_core_usage_hours,
    )
    samples = fsum(part.ram_samples for part in parts if part.ram_bytes is not None)
    hours = row.hours
    if cpu:
        hours = hours._replace(cpu_core_usage_hours=max(fsum(cpu) * share, was or 0.0))
    if samples:
        mean = fsum(part.ram_bytes * part.ram_samples for part in parts if part.ram_bytes is not None) / samples
        hours = hours._replace(ram_byte_usage_hours=mean * row.minutes / 60)
    return hours


def _differ(was: Hours, now: Hours) -> bool:
    pairs = (
        (was.cpu_core_usage_hours, now.cpu_core_usage_hours),
        (was.ram_byte_usage_hours, now.ram_byte_usage_hours),
    )
    return any(b is not None and (a is None or abs(b - a) > _CHANGED * max(a, b)) for a, b in pairs)


def _may_be_beyond(hours: Hours) -> bool:
    """What next to no row is, seen quickly: charged more than requested and used."""
    return hours.cpu_core_hours > (hours.cpu_core_request_hours or 0.0) + (
        hours.cpu_core_usage_hours or 0.0
    ) or hours.ram_byte_hours > (hours.ram_byte_request_hours or 0.0) + (hours.ram_byte_usage_hours or 0.0)


def _beyond(row: Allocation) -> tuple[float, str] | None:
    """By which part a row's charge exceeds request and usage together, and both in words."""
    hours, excesses = row.hours, []
    for charged, requested, used, least, unit, per in (
        (hours.cpu_core_hours, hours.cpu_core_request_hours, hours.cpu_core_usage_hours, _EXCESS_CORE_HOURS, "core", 1),
        (
            hours.ram_byte_hours,
            hours.ram_byte_request_hours,
            hours.ram_byte_usage_hours,
            _EXCESS_BYTE_HOURS,
            "GiB",
            BYTES_PER_GIB,
        ),
    ):
        if requested is None or used is None:
            continue
        excess = charged - requested - used
        if excess > max(least, _EXCESS * (requested + used)):
            text = f"{charged / per:.2f} {unit}-hours charged, {(requested + used) / per:.2f} requested and used"
            excesses.append((excess / charged, text))
    return max(excesses, default=None)


def _on_two_nodes(rows: Sequence[Allocation]) -> Iterator[ContainerKey]:
    """Containers with two rows on different nodes whose lives overlap."""
    keys = [*map(_CONTAINER, rows)]
    if len(set(keys)) == len(keys):
        return
    by_key: dict[tuple[str | None, ...], list[Allocation]] = defaultdict(list)
    for key, row in zip(keys, rows, strict=True):
        by_key[key].append(row)
    for same in by_key.values():
        if len(same) > 1 and any(_overlap(a, b) for a, b in combinations(same, 2)):
            yield _key(same[0])


def _overlap(one: Allocation, other: Allocation) -> bool:
    if not one.node or not other.node or one.node == other.node or one.life is None or other.life is None:
        return False
    common = one.life.overlap(other.life)
    return common is not None and common.end - common.start > _SHARED_LIFE


def _key(row: Allocation) -> ContainerKey:
    return ContainerKey(row.namespace or "", row.pod or "", row.container or "")


def _containers(count: int) -> str:
    return "1 container" if count == 1 else f"{count} containers"


def _some_of(words: Iterable[str], count: int) -> str:
    more = f"; and {count - _MAX_NAMED} more" if count > _MAX_NAMED else ""
    return "; ".join(islice(words, _MAX_NAMED)) + more
