"""What options mean."""

import pytest

from kubetally.cli.options import window_of
from kubetally.cli.verify import parse_tolerance
from kubetally.domain.window import InvalidWindow
from tests.errors import raises_code


@pytest.mark.parametrize(
    ("text", "fraction"),
    [("5%", 0.05), (" 5 % ", 0.05), ("0.05", 0.05), ("0", 0.0), ("100%", 1.0), ("0.001%", 0.00001)],
)
def test_tolerance_is_a_percentage_or_a_fraction(text: str, fraction: float) -> None:
    assert parse_tolerance(text) == pytest.approx(fraction)


@pytest.mark.parametrize("text", ["five", "", "%", "5%%"])
def test_unreadable_tolerance_is_refused(text: str) -> None:
    with raises_code("invalid_tolerance", match=r"can't be read: write 5% or 0\.05"):
        parse_tolerance(text)


@pytest.mark.parametrize("text", ["5", "-1%", "nan", "inf", "101%"])
def test_tolerance_outside_the_range_names_it(text: str) -> None:
    with raises_code("invalid_tolerance", match=r"is not from 0 % to 100 %: write 5% or 0\.05"):
        parse_tolerance(text)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-11-20", "2026-11-23"),
        ("1795132800", "1795392000"),
        ("2026-11-20T00:00:00Z", "2026-11-23T02:00:00+02:00"),
        (" 2026-11-20 ", "2026-11-23"),
    ],
)
def test_start_and_end_are_the_same_span_in_every_form(start: str, end: str) -> None:
    assert str(window_of(None, start=start, end=end)) == "2026-11-20T00:00:00Z,2026-11-23T00:00:00Z"
    assert window_of(f"{start.strip()},{end}") == window_of(None, start=start, end=end)


@pytest.mark.parametrize(
    ("window", "start", "end"),
    [
        ("fortnight", None, None),
        ("", None, None),
        (None, "2026-11-20", None),
        (None, None, "2026-11-20"),
        ("7d", "2026-11-20", "2026-11-23"),
        (None, "2026-11-23", "2026-11-20"),
        (None, "2026-13-01", "2026-13-02"),
        (None, "0001-01-01", "2026-11-20"),
    ],
)
def test_invalid_window_is_refused(window: str | None, start: str | None, end: str | None) -> None:
    with pytest.raises(InvalidWindow):
        window_of(window, start=start, end=end)


@pytest.mark.parametrize(
    ("window", "start", "end", "instead"),
    [
        (None, "2026-11-20", "2026-11-20", "is empty: the end is exclusive; for that day give --end 2026-11-21"),
        (None, "2026-10-31", "2026-10-31T00:00:00Z", "for that day give --end 2026-11-01"),
        ("2026-11-20,2026-11-20", None, None, "for that day give --end 2026-11-21"),
        (None, "2026-11-20T06:00:00Z", "2026-11-20T06:00:00Z", "give a later --end"),
    ],
)
def test_empty_window_is_refused_with_a_suggestion(
    window: str | None, start: str | None, end: str | None, instead: str
) -> None:
    with pytest.raises(InvalidWindow, match=instead):
        window_of(window, start=start, end=end)


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("2026-11-31", "2026-12-02", "--start '2026-11-31' does not exist: the last day of 2026-11 is 2026-11-30"),
        ("20.11.2026", None, "--start '20.11.2026' is not a time: write 2026-11-20"),
        (None, "21.11.2026", "--end '21.11.2026' is not a time: write 2026-11-20"),
        ("2026-11-20", "21.11.2026", "--end '21.11.2026' is not a time: write 2026-11-20"),
        ("2026-10", "2026-11-01", "--start '2026-10' is a whole month, not a time: write a day as 2026-10-01"),
        ("2025", None, "--start '2025' is a whole year, not a time: write a day as 2025-01-01"),
        ("2026-10-01", "2026-Q4", "--end '2026-Q4' is a whole quarter, not a time: write a day as 2026-10-01"),
        ("2026-11-20", None, "lacks its end: give --end too"),
        (None, "2026-11-20", "lacks its start: give --start too"),
    ],
)
def test_unreadable_time_is_reported_before_a_missing_one(start: str | None, end: str | None, words: str) -> None:
    with pytest.raises(InvalidWindow, match=words):
        window_of(None, start=start, end=end)


def test_default_window_is_seven_days() -> None:
    assert window_of(None).hours == 7 * 24
    assert window_of(None, default="yesterday").hours == 24
