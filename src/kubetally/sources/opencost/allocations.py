"""Converts rows of an allocation answer to those of the ledger."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from kubetally.domain.allocation import Allocation
from kubetally.domain.errors import SourceError
from kubetally.domain.window import Window
from kubetally.garbage import gc_paused
from kubetally.sources.faults import AnswerNotUnderstood
from kubetally.sources.opencost.notes import Notes
from kubetally.sources.opencost.rows import COST_KEYS, read_row
from kubetally.sources.opencost.spans import life_of, window_of
from kubetally.sources.opencost.wire import ABSENT, AllocationAnswer, BookedAnswer, BookedRow, Span, sets_of


class Rows(NamedTuple):
    """The rows of an allocation answer, and the spans that it covers."""

    allocations: list[Allocation]
    covered: tuple[Window, ...]


@gc_paused()
def read_allocations(answer: BookedAnswer | AllocationAnswer, asked: Window, notes: Notes, url: str) -> Rows:
    """The rows of an answer, and the spans of `asked` that it covers.

    Sets without rows cover nothing. Rows of a set that reaches beyond `asked` are prorated by the time they lived: the
    set of the running day ends at midnight, although its costs arose until now.

    Raises: SourceError, if the answer has rows and no set of it lies in `asked`; AnswerNotUnderstood, also if the rows
            of a set have no window, or no row has a cost.
    """
    allocations: list[Allocation] = []
    steps: dict[Window, Window] = {}
    outside: Window | None = None
    answered = [{name: row for name, row in step.items() if row is not None} for step in sets_of(answer.data)]
    for named in answered:
        for step, rows in _by_step(named, asked, url).items():
            common = asked.overlap(step)
            if common is None:
                outside = step
                continue
            steps[step] = common
            allocations += _rows_of_step(rows, step, asked, notes)
    if outside and not steps:
        raise SourceError(
            f"{url} was asked for {asked} and answered for {outside}: a cache or proxy may repeat an older answer, or "
            "the clock or time zone of the source is wrong (see `kubetally doctor`)",
            code="wrong_window",
        )
    _note_absent_costs([row for named in answered for row in named.values()], notes, url)
    return Rows(allocations, tuple(steps.values()))


def _by_step(named: Mapping[str, BookedRow], asked: Window, url: str) -> Mapping[Window, Mapping[str, BookedRow]]:
    """The rows of a set by their window; a row without one has that of the others."""
    usual = next((row.window for row in named.values() if row.window and row.window.start), None)
    if usual is None:
        if named:
            raise AnswerNotUnderstood(url, "answered with rows that have no window")
        return {}
    if all(row.window is None or not row.window.start or row.window == usual for row in named.values()):
        return {window_of(usual, url) or asked: named}
    steps: dict[Window, dict[str, BookedRow]] = {}
    for name, row in named.items():
        span: Span = row.window if row.window and row.window.start else usual
        steps.setdefault(window_of(span, url) or asked, {})[name] = row
    return steps


def _rows_of_step(named: Mapping[str, BookedRow], step: Window, asked: Window, notes: Notes) -> Iterator[Allocation]:
    is_inside, step_hours = asked.contains(step), step.hours
    for name, row in named.items():
        read = read_row(name, row, step, step_hours, notes)
        if not is_inside:
            read = tuple(part for whole in read if (part := _part(whole, row, asked)) is not None)
            notes.prorated += bool(read)
        yield from read


def _note_absent_costs(rows: Sequence[BookedRow], notes: Notes, url: str) -> None:
    """Note costs whose key no row has. All versions have those of CPU, RAM and volumes; the others cost nothing if no
    row uses the resource.

    Raises: AnswerNotUnderstood, if no row has any cost.
    """
    if not rows:
        return
    absent = [key for key in COST_KEYS if all(getattr(row, key) is ABSENT for row in rows)]
    if len(absent) == len(COST_KEYS) and all(row.total_cost is None for row in rows):
        raise AnswerNotUnderstood(url, f"answered with rows that have none of {', '.join(COST_KEYS.values())}")
    is_used = {
        "cpu_cost": True,
        "ram_cost": True,
        "pv_cost": True,
        "gpu_cost": any(row.gpu_hours for row in rows),
        "load_balancer_cost": any(row.lb_allocations for row in rows),
        "network_cost": any(
            row.network_internet_cost or row.network_cross_region_cost or row.network_cross_zone_cost for row in rows
        ),
    }
    notes.absent_figures.update(COST_KEYS[key] for key in absent if is_used.get(key))


def _part(allocation: Allocation, row: BookedRow, asked: Window) -> Allocation | None:
    """The part of a row within `asked`."""
    step = allocation.step
    lived = life_of(step, start=row.start, end=row.end, minutes=row.minutes)
    part = allocation._replace(step=lived or step).within(asked)
    common = step.overlap(asked)
    return part._replace(step=common) if part is not None and common is not None else None
