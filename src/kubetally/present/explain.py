"""How a figure came about, on a screen."""

from collections.abc import Iterator, Sequence
from urllib.parse import urlencode

from rich.console import Console

from kubetally.domain.allocation import Kind
from kubetally.domain.booking_rules import RULE_IN_WORDS
from kubetally.domain.component import Component, Costs
from kubetally.domain.explanation import GIVEN_IN_WORDS, Explanation, LedgerLine, costs_by_day
from kubetally.domain.quantity import quantity
from kubetally.domain.row import CAUSE_IN_WORDS
from kubetally.domain.window import rfc3339
from kubetally.domain.words import component_word, period_words, window_words
from kubetally.present.grid import Grid
from kubetally.present.rounding import round_parts
from kubetally.present.screen import console, print_grid, say
from kubetally.present.text import UNKNOWN, money, rounding_words

MAX_SHOWN = 25
_TOTAL = "bold"
_GIB = 2**30
_UNITS = {
    Component.CPU: ("core-hours", 1),
    Component.RAM: ("GiB-hours", _GIB),
    Component.GPU: ("GPU-hours", 1),
    Component.PV: ("GiB-hours", _GIB),
    Component.NETWORK: ("GiB", _GIB),
}


def print_explanation(explanation: Explanation, figure: Sequence[str], *, quiet: bool = False) -> None:
    """The figure, its rows, components, days, rules and sources. figure: what it is of, in words.

    quiet: without the note on rounding.
    """
    out = console()
    _print_heading(out, explanation, figure)
    _print_lines(out, explanation)
    _print_components(out, explanation.report.bill)
    _print_days(out, explanation)
    _print_rules(out, explanation)
    _print_issues(out, explanation)
    if not quiet:
        say(out, rounding_words("--format json has"), style="dim")
    _print_sources(out, explanation)


def _print_heading(out: Console, explanation: Explanation, figure: Sequence[str]) -> None:
    report = explanation.report
    coverage, state = report.coverage, report.coverage.state.value
    currency = f"{report.currency or ''}{' (assumed)' if report.currency_assumed else ''}"
    say(out, f"{', '.join(figure)}: {money(report.bill.total)} {currency}".rstrip(), indent=2, style="bold")
    words = [window_words(report.window), f"{coverage.hours_covered:g} of {coverage.hours_asked:g} h", state]
    words.append("assets complete" if report.assets_complete else "assets incomplete")
    if report.question.as_of is not None:
        words.append(f"as of {rfc3339(report.question.as_of)}")
    say(out, ", ".join(words), indent=2)
    out.print()


def _print_lines(out: Console, explanation: Explanation) -> None:
    """The largest rows, and all others as one; printed amounts add up."""
    if not explanation.lines:
        say(out, "No row of the ledger costs anything in it.")
        out.print()
        return
    shown = explanation.lines[:MAX_SHOWN]
    rest = explanation.report.bill.total - sum(line.costs.total for line in shown)
    more = explanation.count - len(shown)
    amounts = round_parts([*(line.costs.total for line in shown), *([rest] if more else [])])
    component = _only_component(explanation.report.bill)
    is_one_day, is_one = len(explanation.report.steps) == 1, len({line.account_id for line in shown}) == 1
    names = ["" if is_one_day else "day", "" if is_one else "cluster", "namespace", "pod"]
    kept = [at for at, cells in enumerate(zip(*map(_names, shown), strict=True)) if names[at] and any(cells)]
    unit = [] if component not in _UNITS else [_UNITS[component][0]]
    grid = Grid([names[at] for at in kept], [*unit, "cost"])
    for line, amount in zip(shown, amounts, strict=False):
        cells = _names(line)
        figures = [] if component not in _UNITS else [_quantity(line, component)]
        grid.add([cells[at] for at in kept], [*figures, money(amount)], below=_about(line))
    if more:
        grid.add([f"{more:,} more rows"], [*[""] * len(unit), money(amounts[-1])])
    grid.rule()
    grid.add(["total"], [*[""] * len(unit), money(explanation.report.bill.total)], style=_TOTAL)
    say(out, f"{_rows(explanation.count)} of the ledger, the largest first")
    print_grid(out, grid)
    out.print()


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _names(line: LedgerLine) -> list[str]:
    """The cells of a row; one that is no workload has its kind before its namespace, if it has any."""
    kind = [] if line.kind is Kind.WORKLOAD else [line.kind.value]
    return [line.day.isoformat(), line.account, " ".join(filter(None, [*kind, line.namespace])), line.pod or ""]


def _about(line: LedgerLine) -> str:
    """What has no column: the long names, so that usual rows fit in 100 columns, and the cause of a difference."""
    controller = f"{line.controller_kind or 'controller'} {line.controller}" if line.controller else ""
    container = f"container {line.container}" if line.container else ""
    what = ", ".join(filter(None, [controller, container, "" if line.cause is None else line.cause.value]))
    return f"{what} on {line.node}".strip() if line.node else what


def _only_component(costs: Costs) -> Component | None:
    """The only component that costs anything; None if there are several."""
    present = [component for component in Component if costs.of(component)]
    return present[0] if len(present) == 1 else None


def _quantity(line: LedgerLine, component: Component | None) -> str:
    """What was allocated; idle and the like cost something without it."""
    amount = None if component is None else quantity(line.hours, component)
    if not amount and line.kind is not Kind.WORKLOAD:
        return UNKNOWN
    return UNKNOWN if component is None or amount is None else f"{amount / _UNITS[component][1]:,.3f}"


def _print_components(out: Console, costs: Costs) -> None:
    present = [component for component in Component if costs.of(component)]
    if len(present) > 1:
        grid = Grid(["component"], ["cost"])
        for component in present:
            grid.add([component_word(component)], [money(costs.of(component))])
        print_grid(out, grid)
        out.print()


def _print_days(out: Console, explanation: Explanation) -> None:
    days = costs_by_day(explanation.report)
    if len(days) > 1:
        grid = Grid(["day"], ["cost", "hours"])
        for step, costs in days:
            hours = f"{step.coverage.hours_covered:g} of {step.coverage.hours_asked:g}"
            shown = costs.total if step.coverage.hours_covered else None
            grid.add([f"{step.window.start:%Y-%m-%d}"], [money(shown), hours])
        print_grid(out, grid)
        out.print()


def _print_rules(out: Console, explanation: Explanation) -> None:
    rules = [*_rules(explanation)]
    if rules:
        say(out, "Booking rules (docs/how-a-day-is-booked.md)")
        for words in rules:
            say(out, f"  {words}", indent=6)
        out.print()


def _rules(explanation: Explanation) -> Iterator[str]:
    for rule in explanation.rules:
        yield f"{rule.value}: {RULE_IN_WORDS[rule]}"
    if any(line.given for line in explanation.lines):
        yield f"shared: {GIVEN_IN_WORDS}"
    for cause in sorted({line.cause for line in explanation.lines if line.cause is not None}):
        yield f"{cause.value}: {CAUSE_IN_WORDS[cause]}"


def _print_sources(out: Console, explanation: Explanation) -> None:
    """The sources; each request on a line of its own, to be copied, because it is longer than a terminal is wide."""
    if not explanation.sources:
        return
    out.print()
    say(out, "Sources, with what each was asked for its last day")
    for source in explanation.sources:
        product = " ".join(filter(None, (source.identity.product, source.identity.version)))
        cluster = f", cluster {source.identity.cluster_id}" if source.identity.cluster_id else ""
        say(out, f"  {source.account}: {product or 'source'} at {source.identity.url}{cluster}", indent=4)
        for request in source.requests:
            say(out, f"GET {request.path}?{urlencode(request.parameters, safe=':,/')}")


def _print_issues(out: Console, explanation: Explanation) -> None:
    for words in _issues(explanation):
        say(out, words, indent=2)
    if explanation.report.issues:
        out.print()


def _issues(explanation: Explanation) -> Iterator[str]:
    for issue in explanation.report.issues:
        mark = "missing" if issue.is_missing_data else "note"
        yield f"{mark}: {issue.message}" + ("" if issue.window is None else f" ({period_words(issue.window)})")
