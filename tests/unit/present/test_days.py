"""Numbers and spans of days as text."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from kubetally.domain.words import days_words
from kubetally.present.days import day_spans, without_day

DAY = date(2026, 11, 20)


def days(*numbers: int) -> list[date]:
    return [DAY + timedelta(days=number) for number in numbers]


def test_spans_name_each_day_once() -> None:
    assert day_spans(days(0)) == "2026-11-20"
    assert day_spans(days(2, 0, 1, 0, 4)) == "2026-11-20 to 2026-11-22 (3 days), 2026-11-24"
    assert day_spans(days(0, 2, 4, 6, 8, 9)) == "2026-11-20, 2026-11-22, 2026-11-24, 2026-11-26 and 2 days more"
    assert day_spans(days(0, 2, 4, 6, 8)).endswith(" and 1 day more")


@given(st.lists(st.integers(0, 40), min_size=1))
def test_spans_ignore_order_and_repetition(numbers: list[int]) -> None:
    assert day_spans(days(*numbers)) == day_spans(days(*sorted(set(numbers))))


def test_error_text_does_not_depend_on_the_day() -> None:
    assert days_words(1) == "1 day"
    assert without_day("no answer for 2026-11-20 to 2026-11-21", DAY) == "no answer for the day to next"
