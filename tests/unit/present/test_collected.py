"""The results of collecting, as lines of text."""

from datetime import date

import pytest

from kubetally.domain.collection_report import Outcome, Report
from kubetally.present.collected import incomplete_words, print_collected

DAYS = [date(2026, 11, day) for day in (20, 21, 22, 23)]
PROD = {"account": "prod"}
EMPTY = ("no_data", "the source has no data for this day")


def test_each_failed_day_is_named_and_counted_once(capsys: pytest.CaptureFixture[str]) -> None:
    down = ("source_unreachable", "nobody answers")
    skipped = ("not_tried", "skipped")
    outcomes = [
        *(Outcome("a", day, *down, **PROD) for day in DAYS[:2]),
        *(Outcome("a", day, *skipped, **PROD) for day in DAYS),
        *(Outcome("a", day, *down, **PROD) for day in DAYS[:3]),
        Outcome("a", DAYS[3], rows=5, **PROD),
        Outcome("a", DAYS[3], rows=7, **PROD),
    ]
    print_collected(Report(outcomes=outcomes))
    printed = capsys.readouterr()
    assert printed.out == "Collected 1 day, 7 rows; 3 days failed: see `kubetally coverage`\n"
    assert printed.err == "prod: 2026-11-20 to 2026-11-22 (3 days): nobody answers\n"


def test_days_before_the_first_stored_one_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = [Outcome("a", DAYS[3], rows=5, **PROD), *(Outcome("a", day, *EMPTY, **PROD) for day in DAYS[:3])]
    print_collected(report := Report(outcomes=outcomes, first_days={"a": DAYS[1]}))
    assert [outcome.day for outcome in report.failed] == [DAYS[1], DAYS[2]], "a gap between days is news"
    assert capsys.readouterr().err == "prod: 2026-11-21 to 2026-11-22 (2 days): the source has no data for this day\n"


def test_source_without_data_is_reported_once(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = [Outcome("a", day, *EMPTY, **PROD) for day in DAYS]
    print_collected(Report(outcomes=outcomes, first_days={}))
    printed = capsys.readouterr()
    assert printed.out == "Nothing was collected\n"
    assert printed.err == "prod: 2026-11-20 to 2026-11-23 (4 days): the source has no data\n"


def test_messages_that_differ_only_by_day_are_one_reason(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = [Outcome("a", day, "timeout", f"no answer for {day}", **PROD) for day in DAYS[::2]]
    print_collected(Report(outcomes=outcomes))
    assert capsys.readouterr().err == "prod: 2026-11-20, 2026-11-22: no answer for the day\n"


def test_skipped_and_empty_days_are_no_failures(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = Report(
        outcomes=[
            Outcome("a", DAYS[0], "not_tried", "left for later", account="prod"),
            Outcome("a", DAYS[1], "source_unreachable", "nobody answers", account="prod"),
            Outcome("a", DAYS[1], "source_unreachable", "nobody answers", account="prod"),
            Outcome("a", DAYS[2], "no_data", "the source holds nothing", account="prod"),
            Outcome("a", DAYS[0], rows=7, account="prod"),
            Outcome("a", DAYS[3], rows=8, account="prod"),
        ]
    )
    print_collected(report)
    printed = capsys.readouterr()
    assert printed.out == "Collected 2 days, 15 rows; 1 day failed: see `kubetally coverage`\n"
    assert "left for later" not in printed.err
    assert "nobody answers" in printed.err


def test_incomplete_days_are_named() -> None:
    assert incomplete_words([("prod", DAYS[0])]) == "1 day is incomplete (prod 2026-11-20)"
    many = incomplete_words([("prod", day) for day in DAYS] * 2)
    assert many.startswith("8 days are incomplete (prod 2026-11-20, ")
    assert many.endswith(" and 3 more)")
