"""`kubetally coverage`: which days are held, and how sure they are."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kubetally.cli.answer_file import answer_to, warn
from kubetally.cli.days import day_spans, days_in_words, without_day
from kubetally.cli.options import (
    End,
    OutputFile,
    Quiet,
    ScreenOrJson,
    ScreenOrJsonFormat,
    Start,
    window_of,
    window_option,
)
from kubetally.cli.start import start as start_up
from kubetally.domain.cluster_costs import DayState
from kubetally.domain.collection import DAMAGE_CODES, NO_DATA
from kubetally.domain.money import CurrencyOrigin, to_number
from kubetally.domain.window import Window, rfc3339

if TYPE_CHECKING:
    from rich.console import Console

    from kubetally.domain.booking import ComponentBalance
    from kubetally.domain.collection import CoveredDay, DayStatus
    from kubetally.domain.collection_facts import FactSum
    from kubetally.domain.component import Component
    from kubetally.domain.issues import Issue
    from kubetally.ledger.accounts.coverage import AccountCoverage, CoverageDetails

Missing = Mapping[str, Sequence["Issue"]]
"""What stored days lack, by the collection's id."""
_NOTHING: Missing = {}
DEFAULT_WINDOW = "90d"
Names = Annotated[list[str] | None, typer.Argument(metavar="ACCOUNT", help="Names or ids; without any, all.")]
ShownWindow = Annotated[str | None, window_option(f"{DEFAULT_WINDOW}, the last 90 days, in UTC.")]
_HOURS_OF_A_DAY = 24.0
_RULER = (1, 6, 11, 16, 21, 26, 31)
# What a day is, its sign, the same where only ASCII can be shown, and its style.
_SIGNS: Mapping[str, tuple[str, str, str]] = {
    "settled": ("█", "#", "green"),
    "provisional": ("▓", "+", "cyan"),
    "running": ("░", "~", "cyan"),
    "partial": ("◐", "o", "yellow"),
    "failed": ("×", "x", "red"),
    "damaged": ("!", "!", "bold red"),
    "assets_damaged": ("¡", "i", "yellow"),
    "nothing": ("·", ".", "dim"),
    "unknown": (" ", " ", ""),
}
_MEANINGS: Mapping[str, str] = {
    "settled": "settled",
    "provisional": "may still be corrected",
    "running": "not over",
    "partial": "data is missing",
    "failed": "could not be read",
    "damaged": "stored, but damaged",
    "assets_damaged": "costs are stored, assets are damaged",
    "nothing": "the source has no data",
}


def coverage(
    accounts: Names = None,
    window: ShownWindow = None,
    start: Start = None,
    end: End = None,
    output: ScreenOrJsonFormat = ScreenOrJson.TABLE,
    output_file: OutputFile = None,
    quiet: Quiet = False,
) -> None:
    """Show which days are held, as a calendar.

    \b
    Examples:
      kubetally coverage
      kubetally coverage prod --window lastmonth
    """
    from kubetally.ledger.accounts.coverage import find_coverage
    from kubetally.wiring.ledger import open_ledger
    from kubetally.wiring.storage import check_storage

    settings = start_up(quiet=quiet)
    span = window_of(window if window or start or end else DEFAULT_WINDOW, start, end)
    with answer_to(output_file):
        with open_ledger(settings) as ledger:
            found = find_coverage(ledger, accounts or (), span, with_details=output is ScreenOrJson.JSON)
        if output is ScreenOrJson.JSON:
            bodies = [_body(account, account.details, span) for account in found if account.details is not None]
            print(json.dumps(bodies, indent=2, allow_nan=False))
        else:
            _print(found, span)
    for problem in check_storage(settings).problems:
        warn(str(problem))


def _print(found: "Sequence[AccountCoverage]", span: Window) -> None:
    from kubetally.present.screen import console, say

    out = console()
    if not found:
        say(out, "No account yet: kubetally accounts add NAME --url URL")
    for account in found:
        _print_calendar(out, account, span)
    shown = {sort_of(day, account.missing) for account in found for day in account.days} - {"unknown"}
    if shown:
        say(out, "   ".join(f"{_sign(out, what)} {_MEANINGS[what]}" for what in _SIGNS if what in shown), style="dim")


def _print_calendar(out: "Console", one: "AccountCoverage", span: Window) -> None:
    from rich.text import Text

    from kubetally.present.screen import say

    held = [day for day in one.days if day.is_stored]
    hours = sum(day.hours_covered for day in held)
    since = f", its source has no data before {one.begins}" if one.begins else ""
    say(out, f"{one.account.name}: {days_in_words(len(held))} stored, {hours:g} h{since}", style="bold")
    by_day = {day.day: day for day in one.days}
    months = [(month, days) for month, days in _months(span) if any(day in by_day for day in days)]
    if months:
        out.print(Text("           " + "".join(f"{number:<5}" for number in _RULER).rstrip(), style="dim"))
    for month, days in months:
        line = Text(f"  {month}  " + " " * (days[0].day - 1))
        for day in days:
            what = sort_of(by_day[day], one.missing) if day in by_day else "unknown"
            line.append(_sign(out, what), style=_SIGNS[what][2] if out.is_terminal else "")
        line.rstrip()
        out.print(line)
    for words, of in _told(one.days, one.missing):
        say(out, f"  {day_spans(of)}: {words}", indent=4)
    if not one.days:
        say(out, f"  nothing was collected yet: kubetally collect {one.account.name}", indent=4)
    out.print()


def _told(days: "Sequence[DayStatus]", missing: Missing) -> Iterator[tuple[str, list[date]]]:
    """What is wrong with days, one line for days with the same problem."""
    by_words: dict[str, list[date]] = {}
    for known in days:
        for issue in missing.get(known.collection_id or "", ()):
            by_words.setdefault(f"{_hours_of(issue, known.day)}{issue.message}", []).append(known.day)
        if known.last_error is not None and (known.is_stored or known.last_error[0] != NO_DATA):
            words = known.last_error[1]  # of damage with its day, which is in names of files and in commands
            is_damage = known.last_error[0] in DAMAGE_CODES
            by_words.setdefault(words if is_damage else without_day(words, known.day), []).append(known.day)
        if known.is_stored and not known.assets_complete:
            by_words.setdefault("assets are missing", []).append(known.day)
    yield from by_words.items()


def _hours_of(issue: "Issue", day: date) -> str:
    """`12:00 to 24:00: `, where an issue is about a part of the day."""
    window = issue.window
    if window is None or window.hours >= _HOURS_OF_A_DAY:
        return ""
    end = "24:00" if window.end.date() > day else f"{window.end:%H:%M}"
    return f"{window.start:%H:%M} to {end}: "


def sort_of(day: "DayStatus | CoveredDay", missing: Missing = _NOTHING) -> str:
    """What a day is: a key of the calendar's signs."""
    if day.is_damaged:
        return "assets_damaged" if day.has_costs else "damaged"
    if not day.is_stored:
        is_empty = day.last_error is not None and day.last_error[0] == NO_DATA
        return "nothing" if is_empty else "failed" if day.last_error is not None else "unknown"
    if day.is_running:
        return "running"
    if day.hours_covered < _HOURS_OF_A_DAY or day.collection_id in missing:
        return "partial"
    return "settled" if day.state is DayState.SETTLED else "provisional"


def _sign(out: "Console", what: str) -> str:
    from kubetally.present.screen import draws_lines

    sign, in_ascii, _ = _SIGNS[what]
    return sign if draws_lines(out) else in_ascii


def _months(span: Window) -> Iterator[tuple[str, list[date]]]:
    """The days of a window, by month."""
    by_month: dict[str, list[date]] = {}
    day = span.start.date()
    while day < span.end.date() or (day == span.end.date() and span.end.time() != span.end.min.time()):
        by_month.setdefault(f"{day:%Y-%m}", []).append(day)
        day += timedelta(days=1)
    yield from by_month.items()


def _body(one: "AccountCoverage", details: "CoverageDetails", span: Window) -> dict[str, Any]:
    return {
        "account_id": one.account.id,
        "account": one.account.name,
        "start": rfc3339(span.start),
        "end": rfc3339(span.end),
        "history_begins": None if one.begins is None else one.begins.isoformat(),
        "not_measured": [{"component": fact.what, **_sum(fact)} for fact in details.facts if not fact.is_issue],
        "issues": [{"kind": fact.what, **_sum(fact)} for fact in details.facts if fact.is_issue],
        "days": [_day(day, details.balances.get(day.collection_id or "", {}), one.missing) for day in details.days],
    }


def _sum(fact: "FactSum") -> dict[str, Any]:
    """On how many stored days, for how many hours altogether, and from when to when."""
    first, last = fact.first.isoformat(), fact.last.isoformat()
    return {"days": fact.days, "hours": fact.hours, "first_day": first, "last_day": last}


def _day(day: "CoveredDay", balance: "Mapping[Component, ComponentBalance]", missing: Missing) -> dict[str, Any]:
    from kubetally.present.answer import issue_body

    error = None if day.last_error is None else {"code": day.last_error[0], "message": day.last_error[1]}
    return {
        "day": day.day.isoformat(),
        "is": sort_of(day, missing),
        "state": None if day.state is None else day.state.value,
        "assets_complete": day.assets_complete,
        "source": day.source,
        "rows": day.rows,
        "hours_covered": day.hours_covered,
        "total_cost": to_number(day.total) if day.has_costs else None,
        "currency": day.currency,
        "currency_assumed": day.currency_origin is CurrencyOrigin.ASSUMED if day.is_stored else None,
        "balance": [
            {"component": component.value, **{name: to_number(micros) for name, micros in its._asdict().items()}}
            for component, its in balance.items()
        ],
        "collected_at": None if day.collected_at is None else rfc3339(day.collected_at),
        "attempts": day.attempts,
        "tried_at": None if day.tried_at is None else rfc3339(day.tried_at),
        "last_error": error,
        "missing": [issue_body(issue) for issue in missing.get(day.collection_id or "", ())],
    }
