"""Coverage as a calendar and as a body."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from kubetally.domain.account import account_labels
from kubetally.domain.collection import DAMAGE_CODES, NO_DATA, CoveredDay, DayStatus
from kubetally.domain.collection_facts import FactSum
from kubetally.domain.coverage import AccountCoverage, CoverageDetails, DayKind
from kubetally.domain.issues import Issue
from kubetally.domain.missing_days import no_day_words
from kubetally.domain.money import CurrencyOrigin, to_number
from kubetally.domain.window import DAY, Window, rfc3339
from kubetally.domain.words import days_words
from kubetally.present.days import day_spans, without_day

if TYPE_CHECKING:
    from rich.console import Console

Json = dict[str, object]

_RULER = (1, 6, 11, 16, 21, 26, 31)
# The sign of a day, its ASCII replacement, and its style.
_SIGNS: Mapping[DayKind, tuple[str, str, str]] = {
    DayKind.SETTLED: ("█", "#", "green"),
    DayKind.PROVISIONAL: ("▓", "+", "cyan"),
    DayKind.RUNNING: ("░", "~", "cyan"),
    DayKind.PARTIAL: ("◐", "o", "yellow"),
    DayKind.FAILED: ("×", "x", "red"),
    DayKind.DAMAGED: ("!", "!", "bold red"),
    DayKind.ASSETS_DAMAGED: ("¡", "i", "yellow"),
    DayKind.NOTHING: ("·", ".", "dim"),
    DayKind.UNKNOWN: (" ", " ", ""),
}
_MEANINGS: Mapping[DayKind, str] = {
    DayKind.SETTLED: "settled",
    DayKind.PROVISIONAL: "may still be corrected",
    DayKind.RUNNING: "not over",
    DayKind.PARTIAL: "data is missing",
    DayKind.FAILED: "could not be read",
    DayKind.DAMAGED: "stored, but damaged",
    DayKind.ASSETS_DAMAGED: "costs are stored, assets are damaged",
    DayKind.NOTHING: "the source has no data",
}


def print_coverage(accounts: Sequence[AccountCoverage], window: Window) -> None:
    """Print a calendar for each account, and what its signs mean."""
    from kubetally.present.screen import console, say  # bodies need no screen

    out = console()
    if not accounts:
        say(out, "No account yet: kubetally accounts add NAME --url URL")
    labels = account_labels(account.account for account in accounts)
    for account in accounts:
        _print_account(out, account, labels[account.account.id], window)
    shown = {account.kind_of(day) for account in accounts for day in account.days}
    if meanings := [f"{_sign(out, kind)} {words}" for kind, words in _MEANINGS.items() if kind in shown]:
        say(out, "   ".join(meanings), style="dim")


def _print_account(out: "Console", account: AccountCoverage, label: str, window: Window) -> None:
    from kubetally.present.screen import say

    stored = [day for day in account.days if day.is_stored]
    hours = sum(day.hours_covered for day in stored)
    since = f", its source has no data before {account.begins}" if account.begins else ""
    say(out, f"{label}: {days_words(len(stored))} stored, {hours:g} h{since}", style="bold")
    _print_calendar(out, account, window)
    for problem, days in _problems(account).items():
        say(out, f"  {day_spans(days)}: {problem}", indent=4)
    if not account.days:
        say(out, f"  {_why_no_day(account, label, window)}", indent=4)
    out.print()


def _why_no_day(account: AccountCoverage, label: str, window: Window) -> str:
    stored = account.stored
    if stored is None or stored.first is None or stored.last is None:
        return f"nothing was collected yet: kubetally collect {label}"
    return no_day_words(window, stored.first, last=stored.last)


def _print_calendar(out: "Console", account: AccountCoverage, window: Window) -> None:
    """Print a line for each month, below a ruler; months without any known day are left out."""
    from rich.text import Text

    kinds = {day.day: account.kind_of(day) for day in account.days}
    months = [(month, days) for month, days in _months(window).items() if not kinds.keys().isdisjoint(days)]
    if months:
        out.print(Text("           " + "".join(f"{number:<5}" for number in _RULER).rstrip(), style="dim"))
    for month, days in months:
        line = Text(f"  {month}  " + " " * (days[0].day - 1))
        for day in days:
            kind = kinds.get(day, DayKind.UNKNOWN)
            line.append(_sign(out, kind), style=_SIGNS[kind][2] if out.is_terminal else "")
        line.rstrip()
        out.print(line)


def _sign(out: "Console", kind: DayKind) -> str:
    from kubetally.present.screen import draws_lines

    sign, in_ascii, _ = _SIGNS[kind]
    return sign if draws_lines(out) else in_ascii


def _months(window: Window) -> dict[str, list[date]]:
    """The days of a window, by month."""
    months: dict[str, list[date]] = {}
    for day in window.dates():
        months.setdefault(f"{day:%Y-%m}", []).append(day)
    return months


def _problems(account: AccountCoverage) -> dict[str, list[date]]:
    """The days of each problem."""
    days: dict[str, list[date]] = {}
    for day in account.days:
        for problem in _problems_of(day, account.missing_on(day)):
            days.setdefault(problem, []).append(day.day)
    return days


def _problems_of(day: DayStatus, missing: Sequence[Issue]) -> Iterator[str]:
    for issue in missing:
        yield f"{_hours_of(issue, day.day)}{issue.message}"
    if day.last_error is not None and (day.is_stored or day.last_error[0] != NO_DATA):
        code, message = day.last_error
        # Messages of damage name files and commands, which contain the day.
        yield message if code in DAMAGE_CODES else without_day(message, day.day)
    if day.is_stored and not day.assets_complete:
        yield "assets are missing"


def _hours_of(issue: Issue, day: date) -> str:
    """`12:00 to 24:00: `, if an issue is about a part of the day."""
    window = issue.window
    if window is None or window.end - window.start >= DAY:
        return ""
    end = "24:00" if window.end.date() > day else f"{window.end:%H:%M}"
    return f"{window.start:%H:%M} to {end}: "


def coverage_bodies(accounts: Sequence[AccountCoverage], window: Window) -> list[Json]:
    """The bodies of accounts whose days have details."""
    return [_body(account, account.details, window) for account in accounts if account.details is not None]


def _body(account: AccountCoverage, details: CoverageDetails, window: Window) -> Json:
    return {
        "account_id": account.account.id,
        "account": account.account.name,
        "start": rfc3339(window.start),
        "end": rfc3339(window.end),
        "history_begins": None if account.begins is None else account.begins.isoformat(),
        "not_measured": [{"component": fact.what, **_sum_body(fact)} for fact in details.facts if not fact.is_issue],
        "issues": [{"kind": fact.what, **_sum_body(fact)} for fact in details.facts if fact.is_issue],
        "days": [_day_body(day, account, details) for day in details.days],
    }


def _sum_body(fact: FactSum) -> Json:
    """The number of stored days with a fact, their hours, and the first and last of them."""
    first, last = fact.first.isoformat(), fact.last.isoformat()
    return {"days": fact.days, "hours": fact.hours, "first_day": first, "last_day": last}


def _day_body(day: CoveredDay, account: AccountCoverage, details: CoverageDetails) -> Json:
    from kubetally.present.answer import issue_body  # a calendar needs no bodies

    error = None if day.last_error is None else dict(zip(("code", "message"), day.last_error, strict=True))
    balance = details.balances.get(day.collection_id or "", {})
    unknown = details.not_measured.get(day.collection_id or "", frozenset())
    return {
        "day": day.day.isoformat(),
        "is": account.kind_of(day).value,
        "state": None if day.state is None else day.state.value,
        "assets_complete": day.assets_complete,
        "source": day.source,
        "rows": day.rows,
        "hours_covered": day.hours_covered,
        "total_cost": to_number(day.total) if day.has_costs else None,
        "currency": day.currency,
        "currency_assumed": day.currency_origin is CurrencyOrigin.ASSUMED if day.is_stored else None,
        "balance": [
            {
                "component": component.value,
                **{
                    name: None if component in unknown else to_number(micros) for name, micros in sums._asdict().items()
                },
            }
            for component, sums in balance.items()
        ],
        "collected_at": None if day.collected_at is None else rfc3339(day.collected_at),
        "attempts": day.attempts,
        "tried_at": None if day.tried_at is None else rfc3339(day.tried_at),
        "last_error": error,
        "missing": [issue_body(issue) for issue in account.missing_on(day)],
    }
