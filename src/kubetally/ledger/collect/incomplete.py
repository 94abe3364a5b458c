"""Which of the days that were just collected are incomplete."""

from collections.abc import Iterable
from datetime import date

from kubetally.domain.collection import window_of
from kubetally.domain.collection_report import Report
from kubetally.domain.coverage import AccountCoverage, DayKind
from kubetally.domain.window import Window
from kubetally.ledger.accounts.coverage import find_coverage
from kubetally.ledger.stores import Ledger

AccountDay = tuple[str, date]
"""The name of an account, and a day of it."""


def find_incomplete_days(ledger: Ledger, report: Report) -> list[AccountDay]:
    """The collected days that lack hours which are over, or other data. Raises StoreError."""
    if not report.collected:
        return []
    days = [outcome.day for outcome in report.collected]
    window = Window(window_of(min(days)).start, window_of(max(days)).end)
    accounts = sorted({outcome.account_id for outcome in report.collected})
    return choose_incomplete(report, find_coverage(ledger, accounts, window))


def choose_incomplete(report: Report, covered: Iterable[AccountCoverage]) -> list[AccountDay]:
    """Those of the collected days that are incomplete, as their accounts' coverage has them."""
    collected = {(outcome.account_id, outcome.day) for outcome in report.collected}
    return [
        (account.account.name, day.day)
        for account in covered
        for day in account.days
        if (account.account.id, day.day) in collected and account.kind_of(day) is DayKind.PARTIAL
    ]
