"""The ways a person writes a window: each gives that window, and everything else an error that says what to write."""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kubetally.domain.errors import RequestError
from kubetally.domain.window import (
    DAY,
    HOUR,
    FutureWindow,
    InvalidWindow,
    Window,
    midnight,
    parse_instant,
    parse_window,
    rfc3339,
    to_unix,
)
from tests.unit.domain.clusters import instants, windows

NOW = datetime(2026, 11, 25, 10, 20, 30, tzinfo=UTC)  # a Wednesday


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("24h", "2026-11-24T11:00:00Z", "2026-11-25T11:00:00Z"),
        ("1h", "2026-11-25T10:00:00Z", "2026-11-25T11:00:00Z"),
        ("1d", "2026-11-25", "2026-11-26"),
        ("7d", "2026-11-19", "2026-11-26"),  # today and the six days before
        ("30d", "2026-10-27", "2026-11-26"),
        ("1w", "2026-11-19", "2026-11-26"),
        ("2w", "2026-11-12", "2026-11-26"),
        ("today", "2026-11-25", "2026-11-26"),
        ("yesterday", "2026-11-24", "2026-11-25"),
        ("week", "2026-11-23", "2026-11-26"),  # since Monday
        ("lastweek", "2026-11-16", "2026-11-23"),
        ("month", "2026-11-01", "2026-11-26"),
        ("lastmonth", "2026-10-01", "2026-11-01"),
        (" Today ", "2026-11-25", "2026-11-26"),
        ("2026-10", "2026-10-01", "2026-11-01"),
        (" 2026-10 ", "2026-10-01", "2026-11-01"),
        ("2026-11", "2026-11-01", "2026-12-01"),  # not over: whole all the same
        ("2025-12", "2025-12-01", "2026-01-01"),
        ("2024-02", "2024-02-01", "2024-03-01"),  # 29 days
        ("2025-02", "2025-02-01", "2025-03-01"),
        ("2000-02", "2000-02-01", "2000-03-01"),
        ("1970-01", "1970-01-01", "1970-02-01"),
        ("2026-Q1", "2026-01-01", "2026-04-01"),
        ("2026-Q2", "2026-04-01", "2026-07-01"),
        ("2026-Q3", "2026-07-01", "2026-10-01"),
        ("2026-Q4", "2026-10-01", "2027-01-01"),
        ("2026-q3", "2026-07-01", "2026-10-01"),
        ("\t2025-q4\n", "2025-10-01", "2026-01-01"),
        ("2026", "2026-01-01", "2027-01-01"),
        ("2024", "2024-01-01", "2025-01-01"),
        (" 2025 ", "2025-01-01", "2026-01-01"),
        ("2026-11-20T06:00:00Z,2026-11-20T07:30:00Z", "2026-11-20T06:00:00Z", "2026-11-20T07:30:00Z"),
        ("2026-11-20T06:00:00+02:00,2026-11-20T07:00:00+02:00", "2026-11-20T04:00:00Z", "2026-11-20T05:00:00Z"),
        ("2026-11-20,2026-11-23", "2026-11-20", "2026-11-23"),
        ("2026-11-20 , 2026-11-23", "2026-11-20", "2026-11-23"),
        ("2026-11-20,2026-11-20", "2026-11-20", "2026-11-20"),
        ("1795132800,1795392000", "2026-11-20", "2026-11-23"),
        ("1795132800-1795392000", "2026-11-20", "2026-11-23"),
        ("1795132800|1795392000", "2026-11-20", "2026-11-23"),
    ],
)
def test_every_form_gives_its_window(text: str, start: str, end: str) -> None:
    assert parse_window(text, NOW) == Window(parse_instant(start), parse_instant(end))


@pytest.mark.parametrize(
    ("now", "week", "last_week"),
    [
        ("2026-11-23T00:00:00Z", "2026-11-23", "2026-11-16"),  # Monday, its first second
        ("2026-11-29T23:59:59Z", "2026-11-23", "2026-11-16"),  # Sunday, its last
        ("2026-01-01T12:00:00Z", "2025-12-29", "2025-12-22"),
    ],
)
def test_weeks_begin_on_monday(now: str, week: str, last_week: str) -> None:
    assert parse_window("week", parse_instant(now)).start == parse_instant(week)
    assert parse_window("lastweek", parse_instant(now)) == Window(parse_instant(last_week), parse_instant(week))


@pytest.mark.parametrize(
    ("now", "start", "end"),
    [("2026-01-31T12:00:00Z", "2025-12-01", "2026-01-01"), ("2028-03-31T00:00:00Z", "2028-02-01", "2028-03-01")],
)
def test_the_last_month_is_whole_however_long(now: str, start: str, end: str) -> None:
    assert parse_window("lastmonth", parse_instant(now)) == Window(parse_instant(start), parse_instant(end))


def test_now_is_understood_in_any_zone() -> None:
    tokyo = datetime.fromisoformat("2026-11-26T03:00:00+09:00")  # still the 25th in UTC
    assert parse_window("today", tokyo) == parse_window("today", NOW)
    assert parse_window("2h", tokyo) == Window(
        parse_instant("2026-11-25T17:00:00Z"), parse_instant("2026-11-25T19:00:00Z")
    )


@given(instants, st.integers(1, 300), st.sampled_from("hdw"))
def test_a_length_is_that_long_and_ends_with_the_running_unit(now: datetime, count: int, unit: str) -> None:
    length = {"h": HOUR, "d": DAY, "w": 7 * DAY}[unit]
    running = min(length, DAY)
    try:
        window = parse_window(f"{count}{unit}", now)
    except InvalidWindow:
        assert now - count * length < datetime(1970, 1, 2, tzinfo=UTC)
        return
    assert window.end - window.start == count * length
    assert window.end - running <= now < window.end
    assert (window.end - midnight(window.end)) % running == timedelta()


@given(instants)
def test_words_and_lengths_agree(now: datetime) -> None:
    today, yesterday = parse_window("today", now), parse_window("yesterday", now)
    week, last_week = parse_window("week", now), parse_window("lastweek", now)
    month = parse_window("month", now)
    assert today == parse_window("1d", now)
    assert yesterday.end == today.start
    assert (last_week.end, last_week.hours) == (week.start, 168)
    assert week.start.isoweekday() == 1
    assert month.start.day == 1
    assert week.end == month.end == today.end
    assert parse_window("lastmonth", now).end == month.start


@given(windows)
def test_a_window_that_is_printed_is_read_back(window: Window) -> None:
    whole_seconds = Window(window.start.replace(microsecond=0), window.end.replace(microsecond=0))
    assert parse_window(str(window), window.end) == whole_seconds
    start, end = to_unix(whole_seconds.start), to_unix(whole_seconds.end)
    if start >= 10**8:  # shorter figures are taken for dates
        for sign in ",-|":
            assert parse_window(f"{start}{sign}{end}", window.end) == whole_seconds
    assert parse_instant(rfc3339(window.end)) == whole_seconds.end


BAD = [
    ("", "is not understood: write it as 7d"),
    ("   ", "is not understood"),
    ("junk", "is not understood"),
    ("7", "is not understood"),
    ("7x", "is not understood"),
    ("7s", "is not understood"),
    ("0d", "is not understood"),
    ("-7d", "is not understood"),
    ("1.5d", "is not understood"),
    ("7d offset 1d", "is not understood"),
    ("2026-11-20", "is not understood"),
    ("2026-13-01", "does not exist: months are 2026-01 to 2026-12"),
    ("2026-11-31", "does not exist: the last day of 2026-11 is 2026-11-30"),
    (",", "is not understood"),
    ("2026-11-20,", "is not understood"),
    ("2026-11-20,2026-11-21,2026-11-22", "is not understood"),
    ("2026-11-20", "for that day write 2026-11-20,2026-11-21"),
    ("9999-12-31", "is not understood: write it as 7d"),
    ("2026-13", "is not a month: months are 2026-01 to 2026-12"),
    ("2026-00", "is not a month: months are 2026-01 to 2026-12"),
    ("2026-1", "is not a month: months are 2026-01 to 2026-12"),
    ("2026-Q5", "is not a quarter: quarters are 2026-Q1 to 2026-Q4"),
    ("2026-q0", "is not a quarter: quarters are 2026-Q1 to 2026-Q4"),
    ("2026-Q03", "is not a quarter: quarters are 2026-Q1 to 2026-Q4"),
    ("2026 - 10", "is not understood"),
    ("2026-Q", "is not understood"),
    ("Q3", "is not understood"),
    ("2026-2027", "is not understood"),
    ("26-10", "is not understood"),
    ("２０２６-10", "is not understood"),
    ("2026-10,2026-11", "'2026-10' is a whole month, not a time: write a day as 2026-10-01"),
    ("2026-Q3,2026-11-20", "'2026-Q3' is a whole quarter, not a time: write a day as 2026-07-01"),
    ("2025-11-20,2026", "'2026' is a whole year, not a time: write a day as 2026-01-01"),
    ("0000", "before the year 1"),
    ("9999", "past the year 9999"),
    ("9999-12", "past the year 9999"),
    ("1969", "begins before 1970"),
    ("1969-12", "begins before 1970"),
    ("1m", "minutes? months?"),
    ("3M", "minutes? months?"),
    ("99999m", "minutes? months?"),
    ("2026-13-01,2026-14-01", "'2026-13-01' does not exist: months are 2026-01 to 2026-12"),
    ("2026-02-29,2026-03-01", "'2026-02-29' does not exist: the last day of 2026-02 is 2026-02-28"),
    ("2026-11-20,2024-02-30T06:00:00Z", "does not exist: the last day of 2024-02 is 2024-02-29"),
    ("2026-11-00,2026-11-20", "'2026-11-00' does not exist: the first day of 2026-11 is 2026-11-01"),
    ("0000-01-01,2026-11-20", "is not a time"),
    ("2026-11-310,2026-11-20", "is not a time"),
    ("yesterday,today", "is not a time"),
    ("2026-11-20T25:00:00Z,2026-11-21T00:00:00Z", "is not a time"),
    ("2026-11-20T00:00:00,2026-11-21T00:00:00", "has no time zone: end it with Z"),
    ("2026-11-23,2026-11-20", "ends before it starts"),
    ("1795392000-1795132800", "ends before it starts"),
    ("12345678901234567890,12345678901234567890", "is past the year 9999"),
    ("1795132800000,1795392000000", "not milliseconds"),
    ("9" * 5000 + "," + "9" * 5000, "is past the year 9999"),
    ("9" * 5000 + "d", "is not understood"),
    ("99999999999999999999d", "is not understood"),
    ("99999w", "begins before 1970"),
    ("99999d", "begins before 1970"),
    ("1950-01-01,2026-01-01", "begins before 1970"),
    ("0001-01-01T00:00:00+14:00,2026-01-01", "before the year 1 or past the year 9999"),
    ("2026-01-01,9999-12-31T23:59:59-14:00", "before the year 1 or past the year 9999"),
]


FUTURE = ["2026-12", "2027-Q1", "2027", "2026-11-26,2026-11-27", "2026-11-25T10:20:31Z,2026-11-26T00:00:00Z"]


@pytest.mark.parametrize("text", FUTURE)
def test_window_in_the_future_is_refused_and_names_now(text: str) -> None:
    with pytest.raises(FutureWindow, match=r"in the future \(now 2026-11-25T10:20:30Z\)") as refused:
        parse_window(text, NOW)
    assert repr(text) in str(refused.value)


def test_window_that_begins_now_is_not_in_the_future() -> None:
    assert parse_window("today", parse_instant("2026-11-25")).hours == 24
    assert parse_window("2026-11-25T10:20:30Z,2026-12-01", NOW).end == parse_instant("2026-12-01")


@pytest.mark.parametrize("text", ["3m", "12m", "1m"])
def test_minutes_or_months_are_offered_in_valid_forms(text: str) -> None:
    with pytest.raises(InvalidWindow) as refused:
        parse_window(text, NOW)
    minutes, months = re.findall(r"(?:minutes write|months) ([0-9TZ:,-]+[0-9Z])", str(refused.value))
    assert parse_window(minutes, NOW).hours * 60 == int(text[:-1])
    assert parse_window(months, NOW) == Window(parse_instant(MONTHS_BEGAN[text]), parse_instant("2026-11-26"))


MONTHS_BEGAN = {"3m": "2026-09-01", "12m": "2025-12-01", "1m": "2026-11-01"}
UNREADABLE = ["", "junk", "7x", "3m", "2026-13", "2026-Q5", "2026 - 10", "2026-10,2026-11", "yesterday,today"]


@pytest.mark.parametrize("text", UNREADABLE)
def test_refusal_names_every_form(text: str) -> None:
    with pytest.raises(InvalidWindow) as refused:
        parse_window(text, NOW)
    for form in ("7d", "24h", "lastmonth", "2026-10", "2026-Q3", "2026 (a year)", "2026-11-20,2026-11-23"):
        assert form in str(refused.value)
    assert len(str(refused.value)) < 400


@given(instants, st.integers(1, 12))
def test_quarters_are_three_months_and_years_are_four_quarters(now: datetime, month: int) -> None:
    year = min(now.year, 9998)
    later = datetime(9999, 1, 1, tzinfo=UTC)
    months = [parse_window(f"{year:04}-{number:02}", later) for number in range(1, 13)] if year >= 1970 else []
    if not months:
        return
    assert all(one.end == following.start for one, following in pairwise(months))
    quarter = parse_window(f"{year:04}-Q{(month + 2) // 3}", later)
    assert quarter.contains(months[month - 1])
    assert quarter == Window(months[(month - 1) // 3 * 3].start, months[(month - 1) // 3 * 3 + 2].end)
    assert parse_window(f"{year:04}", later) == Window(months[0].start, months[-1].end)


@pytest.mark.parametrize(("text", "why"), BAD)
def test_invalid_window_is_refused_with_an_example(text: str, why: str) -> None:
    with pytest.raises(InvalidWindow) as refused:
        parse_window(text, NOW)
    assert why in str(refused.value)
    assert isinstance(refused.value, RequestError)
    assert refused.value.code == "invalid_window"
    assert not refused.value.retryable


def test_day_that_does_not_exist_is_refused_without_all_forms() -> None:
    for text in ("2026-11-31", "2026-11-31,2026-12-02"):
        with pytest.raises(InvalidWindow, match=r"the last day of 2026-11 is 2026-11-30$"):
            parse_window(text, NOW)


def test_the_error_repeats_what_was_written() -> None:
    with pytest.raises(InvalidWindow, match="'99999w'"):
        parse_window(" 99999w ", NOW)
    with pytest.raises(InvalidWindow, match="'99999w'"):
        parse_window("99999w", datetime(1980, 1, 1, tzinfo=UTC))


looks_like_one = st.from_regex(r"\A[0-9TZWhdw:+.,|\-]{0,45}\Z")
mixed = st.lists(
    st.sampled_from(["2026-11-20", "T00:00:00", "Z", ",", "-", "+14:00", "0001-01-01", "9", "w", "\0"])
).map("".join)


@given(st.one_of(st.text(), looks_like_one, mixed))
@example("２０２６１１２０12,２０２６１１２０13")
@example("2026-11-20\ud8000:00,2026-11-21")
@example("٣d")
def test_any_text_is_a_window_or_an_invalid_window(text: str) -> None:
    for parse in (lambda: parse_window(text, NOW).end, lambda: parse_instant(text)):
        with suppress(InvalidWindow):
            assert parse().tzinfo is UTC
