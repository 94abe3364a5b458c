"""What is known of a day."""

from datetime import date

import pytest

from kubetally.domain.account import Account, AccountType
from kubetally.domain.collection import DayStatus
from kubetally.domain.coverage import AccountCoverage, DayKind
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.status import DayState

DAY = date(2026, 11, 20)
ACCOUNT = Account("a", "o", "prod", AccountType.KUBERNETES_CNR)
LACKING = {"incomplete": [Issue(IssueKind.SAMPLES_MISSING, "samples are missing")]}


def status(
    collection_id: str | None = "whole",
    state: DayState = DayState.PROVISIONAL,
    hours: float = 24.0,
    error: str | None = None,
    *,
    is_running: bool = False,
) -> DayStatus:
    last_error = None if error is None else (error, "why")
    return DayStatus("a", DAY, collection_id, state, is_running, True, hours, last_error)


@pytest.mark.parametrize(
    ("day", "kind"),
    [
        (status(state=DayState.SETTLED), DayKind.SETTLED),
        (status(), DayKind.PROVISIONAL),
        (status(error="source_unreachable"), DayKind.PROVISIONAL),
        (status(hours=3.0, is_running=True), DayKind.RUNNING),
        (status(hours=23.0), DayKind.PARTIAL),
        (status("incomplete", DayState.SETTLED), DayKind.PARTIAL),
        (status(error="day_damaged"), DayKind.DAMAGED),
        (status(error="assets_damaged"), DayKind.ASSETS_DAMAGED),
        (status(None, error="no_data"), DayKind.NOTHING),
        (status(None, error="source_unreachable"), DayKind.FAILED),
        (status(None), DayKind.UNKNOWN),
    ],
)
def test_kind_of_a_day_follows_from_its_status(day: DayStatus, kind: DayKind) -> None:
    assert AccountCoverage(ACCOUNT, [day], None, LACKING).kind_of(day) is kind
