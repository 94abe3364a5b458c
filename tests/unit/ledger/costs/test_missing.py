"""What is not stored of a window is asked of its source."""

from collections.abc import Sequence

import pytest

from kubetally.domain.errors import SourceError
from kubetally.domain.issues import IssueKind
from kubetally.domain.live_costs import LiveCosts, by_day
from kubetally.domain.window import DAY, HOUR, Window
from kubetally.ledger.costs.join import UNSTATED
from kubetally.ledger.costs.missing import ask_missing
from tests.served import FixedClock
from tests.unit.ledger.costs.test_join import MIDNIGHT, Saving, ago


async def asked(stored: Sequence[Window], window: Window, source: Saving) -> LiveCosts:
    return await ask_missing(
        stored, "http://place", source.live, window, clock=FixedClock(), deadline_seconds=None, currency=UNSTATED
    )


async def test_window_that_is_stored_asks_nothing() -> None:
    source = Saving(broken_open=SourceError("must not be opened"))
    live = await asked([ago(3, 2), ago(2, 1)], ago(3, 1), source)
    assert (live.bookings, live.issues, live.source.url) == ((), (), "http://place")
    assert source.asked_savings == 0


async def test_missing_day_and_running_day_are_asked() -> None:
    source = Saving()
    live = await asked([ago(3, 2)], Window(ago(3).start, MIDNIGHT + DAY), source)
    noon = MIDNIGHT + 12 * HOUR
    assert source.asked == [ago(2, 1), ago(1, 0), Window(MIDNIGHT, noon)]
    assert [booking.window for booking in live.bookings] == source.asked
    assert list(by_day(live.bookings)) == [window.start.date() for window in source.asked]
    assert live.issues[0].kind is IssueKind.WINDOW_NOT_OVER


async def test_failed_source_is_an_issue_beside_stored_days_only() -> None:
    source = Saving(broken_open=SourceError("away"))
    live = await asked([ago(3, 2)], ago(3, 1), source)
    assert [(issue.kind, issue.window) for issue in live.issues] == [(IssueKind.SOURCE_FAILED, ago(2, 1))]
    with pytest.raises(SourceError, match="away"):
        await asked([], ago(3, 1), source)
