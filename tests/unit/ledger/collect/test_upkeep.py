"""When the lake is looked after."""

from datetime import UTC, datetime, timedelta

import pytest

from kubetally.domain.errors import StoreError
from kubetally.ledger.collect.maintenance import Upkeep

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def test_lake_is_maintained_daily_and_tidied_hourly() -> None:
    done: list[tuple[str, float]] = []
    hours = 0.0

    def maintain() -> None:
        done.append(("maintained", hours))

    upkeep = Upkeep(maintain=maintain, tidy=lambda: done.append(("tidied", hours)))
    for quarter in range(4 * 24 + 1):
        hours = quarter / 4
        upkeep.run_due(NOON + timedelta(hours=hours))
    assert [at for what, at in done if what == "maintained"] == [0, 24]
    assert [at for what, at in done if what == "tidied"] == list(range(25))
    upkeep.run_due(NOON - timedelta(days=2))
    assert done[-2:] == [("maintained", hours), ("tidied", hours)], "the clock was set back"


@pytest.mark.parametrize("failure", [StoreError("a backup is being written"), None])
def test_failed_upkeep_is_retried_after_minutes(failure: StoreError | None) -> None:
    tried: list[int] = []
    minute, is_failing = 0, True

    def maintain() -> bool:
        tried.append(minute)
        if is_failing and failure is not None:
            raise failure
        return not is_failing

    upkeep = Upkeep(maintain=maintain, tidy=lambda: None)
    for minute in range(24 * 60 + 60):
        is_failing = minute < 25
        upkeep.run_due(NOON + timedelta(minutes=minute))
    assert tried == [0, 10, 20, 30, 30 + 24 * 60]
