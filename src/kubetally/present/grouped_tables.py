"""Costs of a group as a table: rows, the lines that no workload was allocated, and totals, for each step."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from rich.console import Console

from kubetally.domain.allocation import Kind
from kubetally.domain.compare import LARGEST_CHANGE_FIRST, Change, ComparedRow, Comparison, arrange_comparison
from kubetally.domain.component import Component, Costs
from kubetally.domain.issues import Issue
from kubetally.domain.question.arrange import DEFAULT_ORDER, arrange_report
from kubetally.domain.question.group import Dimension
from kubetally.domain.report import REST, CostReport, CostRow, StepSum, Sums, add, add_weights
from kubetally.domain.status import Status
from kubetally.domain.window import Window
from kubetally.domain.words import component_word, name_some, window_words
from kubetally.present.grid import Grid
from kubetally.present.rounding import round_table
from kubetally.present.screen import console, print_grid, say
from kubetally.present.text import (
    UNKNOWN,
    Note,
    currency_words,
    hours_of,
    money,
    percent,
    rounding_words,
    status_words,
    zero_words,
)

_TOTAL, _LINE = "bold", "dim"
_MAX_NAMES = 5
_Row = TypeVar("_Row", CostRow, ComparedRow)


def print_grouped(
    report: CostReport, top: int | None, names: Mapping[str, str], words: Sequence[str] = (), *, quiet: bool = False
) -> None:
    """The report of one or more clusters. names: of these by id. words: what is asked beside window and group.

    Rows of 0.00 are counted, not printed; columns without a cost are named below the table.
    quiet: without the note on rounding.
    """
    out = console()
    _print_heading(out, report.question.group, len(names), words)
    _print_period(out, report)
    lines, rows = arrange_report(report, DEFAULT_ORDER, top)
    both = _labelled([*sorted(rows, key=lambda row: row.kind == REST), *lines], report.question.group, names)
    # A row of one component says which in its key.
    is_by_component = any(row.component for row in both)
    shown = [part for part in Component if not is_by_component and any(row.costs.of(part) for row in both)]
    zero = [part for part in Component if part not in shown and part not in report.not_measured] if shown else []
    grid, printed = (None, 0) if report.status is Status.NO_DATA else _grid(report, both, shown)
    left_out = _left_out(map(component_word, zero), len(both) - printed if report.question.group else 0)
    _print_rest(out, grid, left_out, report.issues, names, quiet=quiet)


def print_comparison(
    comparison: Comparison, top: int | None, names: Mapping[str, str], words: Sequence[str] = (), *, quiet: bool = False
) -> None:
    """What changed between two periods, as `print_grouped`."""
    out = console()
    group = comparison.question.costs.group
    _print_heading(out, group, len(names), words)
    _print_period(out, comparison.now)
    _print_period(out, comparison.before, "before: ")
    lines, rows = arrange_comparison(comparison, LARGEST_CHANGE_FIRST, top)
    both = _labelled([*rows, *lines] if group else [], group, names)
    total = comparison.total
    shown = [
        reason
        for at, reason in enumerate(Change._fields)
        if total.change is None or any(row.counted[at] for row in (*both, total))
    ]
    grid, printed = _comparison_grid(comparison, both, shown)
    left_out = _left_out([reason for reason in Change._fields if reason not in shown], len(both) - printed)
    _print_rest(out, grid, left_out, comparison.issues, names, quiet=quiet)


def _print_heading(out: Console, group: Sequence[Dimension], clusters: int, words: Sequence[str]) -> None:
    """What is grouped by what, of how many clusters, and what else is asked."""
    by = ", ".join(dimension.asked for dimension in group)
    many = "1 cluster" if clusters == 1 else f"{clusters:,} clusters"
    say(out, f"{many} by {by}" if by else many, indent=2, style="bold")
    if words:
        say(out, "; ".join(words), indent=2)


def _print_period(out: Console, report: CostReport, words: str = "") -> None:
    """Window, coverage, status and currency."""
    currency = [] if report.currency is None else [currency_words(report)]
    about = [window_words(report.window), f"{hours_of(report)} h", status_words(report), *currency]
    say(out, words + ", ".join(about), indent=2)


def _print_rest(
    out: Console,
    grid: Grid | None,
    left_out: Iterable[str],
    issues: Iterable[Issue],
    names: Mapping[str, str],
    *,
    quiet: bool,
) -> None:
    """The table, if there is one, and the notes below it. left_out: what of it is not printed, in words."""
    if grid is not None:
        print_grid(out, grid)
        for words in left_out:
            say(out, f"  {words}", indent=4)
    for note in notes_on(issues, names):
        say(out, f"  {note.mark}: {note.words}", indent=4)
    out.print()
    if grid is not None and not quiet:
        say(out, rounding_words("--format json and csv have", adds_up=False), style="dim")


def _left_out(columns: Iterable[str], rows: int) -> Iterator[str]:
    """The columns that are zero in all rows, and how many rows are."""
    if (words := zero_words(columns)) is not None:
        yield words
    if rows:
        many = "1 row" if rows == 1 else f"{rows:,} rows"
        yield f"left out: {many} of 0.00; --format json and csv have all rows"


def _comparison_grid(comparison: Comparison, both: Sequence[ComparedRow], shown: Sequence[str]) -> tuple[Grid, int]:
    """Costs of both periods, the change, and why it changed; the reasons of a row add up as they are printed.

    both: rows and lines; how many of them are printed is returned too. shown: the reasons.
    """
    printed = 0
    group = comparison.question.costs.group
    grid = Grid([dimension.asked for dimension in group] or [""], ["before", "now", "change", *shown])
    places = [Change._fields.index(reason) for reason in shown]

    def figures(row: ComparedRow, reasons: Sequence[int]) -> list[str]:
        why = [sum(row.counted), *(reasons[at] for at in places)]
        return [*map(money, (row.before, row.now)), *(UNKNOWN if row.change is None else money(its) for its in why)]

    for row, reasons in zip(both, round_table([row.counted for row in both]), strict=True):
        amounts = figures(row, reasons)
        if not _is_nothing(row, amounts):
            printed += 1
            grid.add(_names(row, group), amounts, style=_LINE if _is_line(row) else "")
    grid.rule()
    grid.add(["total"], figures(comparison.total, comparison.total.counted), style=_TOTAL)
    return grid, printed


def _grid(report: CostReport, both: Sequence[CostRow], shown: Sequence[Component]) -> tuple[Grid, int]:
    """The printed rows and lines, and the total of each step and of all; and how many rows are printed of `both`."""
    printed = 0
    of_steps = defaultdict[datetime | None, list[CostRow]](list)
    for row in both:
        of_steps[row.start].append(row)
    is_by_component = any(row.component for row in both)  # such rows have no hours
    names = [dimension.asked for dimension in report.question.group]
    ratios = [] if is_by_component else ["CPU eff.", "RAM eff."]
    grid = Grid(["from"] * bool(report.steps) + names or [""], ["total", *map(component_word, shown), *ratios])
    for start, step in _steps(report):
        first = [] if step is None else [f"{step.window.start:%Y-%m-%d}"]
        rows = of_steps[start]
        if names:
            printed += _add_rows(grid, first, rows, report.question.group, shown)
        if step is not None:
            sums = Sums(*add(rows), weights=add_weights(rows))
            whole = [*_amounts(sums.costs, shown), *([] if is_by_component else _ratios(sums))]
            grid.add([*first, *(["total"] if names else [])], [UNKNOWN] if step.total is None else whole, style=_TOTAL)
            grid.rule()
    grid.add(["total"], [*_amounts(report.bill, shown), *([] if is_by_component else _ratios(report))], style=_TOTAL)
    return grid, printed


def _steps(report: CostReport) -> Iterator[tuple[datetime | None, StepSum | None]]:
    """When each step begins, as its rows state it, and its sum; None for a window that is not divided."""
    if not report.steps:
        yield None, None
    for step in report.steps:
        yield step.window.start, step


def _add_rows(
    grid: Grid, first: Sequence[str], rows: Sequence[CostRow], group: Sequence[Dimension], shown: Sequence[Component]
) -> int:
    """Add the rows of a step, or of a window that is not divided; returns how many. first: the step, in words."""
    printed = 0
    table = round_table([[row.costs.of(part) for part in shown] for row in rows])
    for row, cells in zip(rows, table, strict=True):
        amounts = [*map(money, [row.costs.total, *cells])]
        if _is_nothing(row, amounts):
            continue
        printed += 1
        ratios = [] if row.component else _ratios(row)
        grid.add([*first, *_names(row, group)], [*amounts, *ratios], style=_LINE if _is_line(row) else "")
    grid.rule()
    return printed


def _amounts(costs: Costs, shown: Sequence[Component]) -> list[str]:
    """The total and its components."""
    return [*map(money, [costs.total, *map(costs.of, shown)])]


def _is_nothing(row: CostRow | ComparedRow, figures: Iterable[str]) -> bool:
    """Whether all figures of a row are 0 as printed, unless it is what is left of many."""
    return row.kind != REST and {*figures} == {money(0)}


def _is_line(row: CostRow | ComparedRow) -> bool:
    return row.kind not in (None, REST, Kind.WORKLOAD)


def _labelled(rows: Sequence[_Row], group: Sequence[Dimension], labels: Mapping[str, str]) -> list[_Row]:
    """The rows with the labels of accounts in place of their names. Beside its organization a label needs none."""
    names = [dimension.name for dimension in group]

    def labelled(row: _Row) -> _Row:
        label = labels.get(row.account_id or "")
        if label is None:
            return row
        key = list(zip(names, row.key, strict=True))
        organization = next((value for name, value in key if name == "organization"), None)
        shown = label.removeprefix(f"{organization}/")
        return replace(row, key=tuple(shown if name == "cluster" else value for name, value in key))

    return [labelled(row) for row in rows]


def _names(row: CostRow | ComparedRow, group: Sequence[Dimension]) -> list[str]:
    """The key in words; a line has its kind in place of the first dimension that it does not have."""
    if row.kind == REST:
        return [f"({row.count:,} more)"]
    words = [value or f"(no {dimension.asked})" for dimension, value in zip(group, row.key, strict=True)]
    if _is_line(row):
        lacking = [place for place, dimension in enumerate(group) if not dimension.is_carried_by_lines]
        words = [
            str(row.kind) if place == lacking[0] else "" if place in lacking else word
            for place, word in enumerate(words)
        ]
    return words


def _ratios(of: Sums | CostReport) -> list[str]:
    return [percent(of.efficiency.cpu), percent(of.efficiency.ram)]


def notes_on(issues: Iterable[Issue], names: Mapping[str, str]) -> list[Note]:
    """The issues of clusters as notes, each once; what is missing with its windows. names: of all clusters by id."""
    windows = dict[tuple[bool, str], set[Window]]()
    for issue in issues:
        spans = windows.setdefault((issue.is_missing_data, issue.message + _clusters_of(issue, names)), set())
        if issue.window is not None and issue.is_missing_data:
            spans.add(issue.window)
    return [Note(message, tuple(sorted(spans)), is_missing) for (is_missing, message), spans in windows.items()]


def _clusters_of(issue: Issue, names: Mapping[str, str]) -> str:
    """The clusters that it is about, unless it is about all."""
    accounts = issue.facts.get("accounts", ())
    about = sorted(names.get(str(id_), str(id_)) for id_ in accounts) if isinstance(accounts, list) else []
    return f" [{name_some(about, _MAX_NAMES)}]" if 0 < len(about) < len(names) else ""
