"""The results of collecting, as lines of text."""

import sys
from collections.abc import Sequence
from datetime import date

from kubetally.domain.collection import DAMAGE_CODES, NO_DATA
from kubetally.domain.collection_report import Outcome, Report
from kubetally.domain.words import days_words, name_some
from kubetally.present.days import day_spans, without_day

_MAX_NAMED = 5


def print_collected(report: Report) -> None:
    """Print how many days were collected; on standard error which were not, by reason."""
    days, failed = report.collected, report.failed_days
    rows = sum(outcome.rows for outcome in days)
    collected = f"Collected {days_words(len(days))}, {rows} rows" if days else "Nothing was collected"
    failures = f"; {days_words(len(failed))} failed: see `kubetally coverage`" if failed else ""
    print(f"{collected}{failures}", flush=True)
    for (account, reason), failed_days in _days_by_reason(report).items():
        print(f"{account}: {day_spans(failed_days)}: {reason}", file=sys.stderr)


def incomplete_words(days: Sequence[tuple[str, date]]) -> str:
    """`2 days are incomplete (prod 2026-11-20, prod 2026-11-21)`, of accounts' names and days."""
    verb = "is" if len(days) == 1 else "are"
    names = name_some([f"{account} {day}" for account, day in days], _MAX_NAMED)
    return f"{days_words(len(days))} {verb} incomplete ({names})"


def _days_by_reason(report: Report) -> dict[tuple[str, str], list[date]]:
    """The days that were not collected, by account and reason."""
    days: dict[tuple[str, str], list[date]] = {}
    for outcome in report.failed:
        days.setdefault((outcome.account, _reason(outcome, report)), []).append(outcome.day)
    return days


def _reason(outcome: Outcome, report: Report) -> str:
    """Why a day was not collected; one reason for all days of an account whose source never had data."""
    if outcome.code == NO_DATA and report.first_days is not None and outcome.account_id not in report.first_days:
        return "the source has no data"
    reason = outcome.why or outcome.code or ""
    # Messages of damage name files and commands, which contain the day.
    return reason if outcome.code in DAMAGE_CODES else without_day(reason, outcome.day)
