"""How a window is cut into requests: whole hours within a UTC day, without gap or overlap."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings

from kubetally.domain.window import DAY, HOUR, Window, midnight, parse_window, whole_hour
from kubetally.ledger.costs.requests import SourceRequest, source_requests
from tests.unit.domain.clusters import MIDNIGHT, windows


@settings(deadline=None)
@given(windows)
def test_wanted_parts_make_up_the_window(window: Window) -> None:
    wanted = [question.wanted for question in source_requests(window)]
    assert sum((part.end - part.start for part in wanted), timedelta()) == window.end - window.start
    assert not any(part.is_empty for part in wanted)
    if wanted:
        assert (wanted[0].start, wanted[-1].end) == (window.start, window.end)
    assert all(part.end == following.start for part, following in pairwise(wanted))


@settings(deadline=None)
@given(windows)
def test_requests_are_whole_hours_of_one_day_and_disjoint(window: Window) -> None:
    asked = source_requests(window)
    for question in asked:
        ask, want = question.requested, question.wanted
        assert ask.start == whole_hour(ask.start)
        assert ask.end == whole_hour(ask.end)
        assert ask.end <= midnight(ask.start) + DAY
        assert ask.contains(want)
        assert ask == want or ask.hours == 1, "only an hour is ever prorated"
    for question, following in pairwise(asked):
        assert question.requested.end <= following.requested.start


@settings(deadline=None)
@given(windows)
def test_day_takes_one_request_or_at_most_three(window: Window) -> None:
    asked = source_requests(window)
    for day in window.days():
        of_this_day = [question for question in asked if day.contains(question.wanted)]
        assert 1 <= len(of_this_day) <= 3
        if day.start == whole_hour(day.start) and day.end == whole_hour(day.end):
            assert of_this_day == [SourceRequest(day, day)]


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ("2026-11-20,2026-11-20", []),
        ("2026-11-20,2026-11-21", [("00:00-24:00", "00:00-24:00")]),
        ("2026-11-20T06:00:00Z,2026-11-20T09:00:00Z", [("06:00-09:00", "06:00-09:00")]),
        ("2026-11-20T06:15:00Z,2026-11-20T06:45:00Z", [("06:00-07:00", "06:15-06:45")]),
        ("2026-11-20T06:00:00Z,2026-11-20T06:45:00Z", [("06:00-07:00", "06:00-06:45")]),
        ("2026-11-20T06:15:00Z,2026-11-20T07:00:00Z", [("06:00-07:00", "06:15-07:00")]),
        (
            "2026-11-20T06:15:00Z,2026-11-20T09:45:00Z",
            [("06:00-07:00", "06:15-07:00"), ("07:00-09:00", "07:00-09:00"), ("09:00-10:00", "09:00-09:45")],
        ),
        (
            "2026-11-20T06:15:00Z,2026-11-20T07:45:00Z",
            [("06:00-07:00", "06:15-07:00"), ("07:00-08:00", "07:00-07:45")],
        ),
        ("2026-11-20T23:15:00Z,2026-11-21", [("23:00-24:00", "23:15-24:00")]),
        (
            "2026-11-20T23:15:00Z,2026-11-21T01:00:00Z",
            [("23:00-24:00", "23:15-24:00"), ("24:00-25:00", "24:00-25:00")],
        ),
    ],
)
def test_ragged_edges_are_separate_requests(window: str, expected: list[tuple[str, str]]) -> None:
    def clock(span: Window) -> str:
        minutes = [int((at - MIDNIGHT) / HOUR * 60) for at in (span.start, span.end)]
        return "-".join(f"{at // 60:02}:{at % 60:02}" for at in minutes)

    asked = source_requests(parse_window(window, MIDNIGHT + 2 * DAY))
    assert [(clock(question.requested), clock(question.wanted)) for question in asked] == expected
