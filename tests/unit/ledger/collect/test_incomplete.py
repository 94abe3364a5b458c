"""Which collected days are incomplete."""

from datetime import date

from kubetally.domain.account import Account, AccountType
from kubetally.domain.collection import DayStatus
from kubetally.domain.collection_report import Outcome, Report
from kubetally.domain.coverage import AccountCoverage
from kubetally.domain.status import DayState
from kubetally.ledger.collect.incomplete import choose_incomplete

DAYS = [date(2026, 11, day) for day in (20, 21, 22, 23)]


def stored(day: date, hours: float, *, is_running: bool = False) -> DayStatus:
    return DayStatus("a", day, f"c{day}", DayState.PROVISIONAL, is_running, False, hours, None)


def test_day_with_fewer_hours_is_incomplete() -> None:
    report = Report(outcomes=[Outcome("a", day, rows=1, account="prod") for day in DAYS[:3]])
    days = [stored(DAYS[0], 22), stored(DAYS[1], 24), stored(DAYS[2], 9, is_running=True), stored(DAYS[3], 3)]
    covered = AccountCoverage(Account("a", "o", "prod", AccountType.KUBERNETES_CNR), days, None)
    assert choose_incomplete(report, [covered]) == [("prod", DAYS[0])]
