"""Dates and windows as people read them."""

import pytest

from kubetally.domain.window import Window, parse_instant
from kubetally.domain.words import period_words, window_words


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("2026-11-20", "2026-11-23", "20-22 Nov 2026 (3 days, UTC)"),
        ("2026-11-20", "2026-11-21", "20 Nov 2026 (1 day, UTC)"),
        ("2026-10-28", "2026-11-04", "28 Oct - 3 Nov 2026 (7 days, UTC)"),
        ("2026-12-30", "2027-01-03", "30 Dec 2026 - 2 Jan 2027 (4 days, UTC)"),
        ("2026-11-20T06:00:00Z", "2026-11-20T12:00:00Z", "20 Nov 2026 06:00-12:00 UTC"),
        ("2026-11-20T12:00:00Z", "2026-11-21T00:00:00Z", "20 Nov 2026 12:00-24:00 UTC"),
        ("2026-11-20T06:00:00Z", "2026-11-22T06:30:00Z", "20 Nov 2026 06:00 to 22 Nov 2026 06:30 UTC"),
        ("2026-11-20", "2026-11-20", "20 Nov 2026 00:00-00:00 UTC"),
    ],
)
def test_window_is_named_by_its_days_or_hours(start: str, end: str, words: str) -> None:
    assert window_words(Window(parse_instant(start), parse_instant(end))) == words


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [("2026-11-20", "2026-11-23", "20-22 Nov 2026 UTC"), ("2026-11-20", "2026-11-21", "20 Nov 2026 UTC")],
)
def test_period_in_a_sentence_has_no_number_of_days(start: str, end: str, words: str) -> None:
    assert period_words(Window(parse_instant(start), parse_instant(end))) == words
