"""What the end of a collection says."""

from datetime import date

import pytest

from kubetally.cli.collect import _tell
from kubetally.ledger.collect.collector import Report
from kubetally.ledger.collect.commit import Outcome

DAYS = [date(2026, 11, day) for day in (20, 21, 22, 23)]


def test_days_that_a_later_round_collected_are_not_told_as_missing_nor_those_that_a_source_does_not_hold(
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
    _tell(report)
    told = capsys.readouterr()
    assert told.out == "Collected 2 days, 15 rows; 1 day could not be had: see `kubetally coverage`\n"
    assert "left for later" not in told.err
    assert "nobody answers" in told.err
