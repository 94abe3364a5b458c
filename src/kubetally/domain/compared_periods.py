"""The two periods of a comparison, and what of a change their coverage explains."""

from collections.abc import Iterator, Mapping, Sequence
from math import fsum, isclose
from typing import NamedTuple

from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.report import CostReport, CostRow


class PeriodCosts(NamedTuple):
    """What accounts cost in a period. covered: the covered hours of each account that has any."""

    report: CostReport
    covered: Mapping[str, float]

    @property
    def is_known(self) -> bool:
        """Whether any hour is covered."""
        return self.report.coverage.hours_covered > 0

    @property
    def has_all_hours(self) -> bool:
        """Whether all hours are covered that are over."""
        return self.report.coverage.hours_covered >= self.report.coverage.hours_asked

    @property
    def total(self) -> int | None:
        """Micros of all rows."""
        return self.report.bill.total if self.is_known else None

    def cost_of(self, row: CostRow | None, same: CostRow) -> int | None:
        """Micros of a row; of one that the period lacks, 0 if it would have it. same: the row of either period."""
        if not self.is_known:
            return None
        if row is not None:
            return row.costs.total
        return 0 if same.account_id is None or same.account_id in self.covered else None

    def share_covered(self, account_id: str) -> float:
        """The part of the period that is covered, of an account that has covered hours."""
        return self.covered[account_id] / self.report.window.hours


def unequal_coverage(before: PeriodCosts, now: PeriodCosts) -> Iterator[Issue]:
    """Issues that name the accounts that one period covers more than the other, or alone.

    None where a whole period is not covered: there is no change then.
    """
    if not (before.is_known and now.is_known):
        return
    yield from _one_sided(before, now)
    both = sorted(before.covered.keys() & now.covered.keys())
    accounts = [id_ for id_ in both if not isclose(before.share_covered(id_), now.share_covered(id_))]
    if accounts:
        window = now.report.window
        lacks_no_data = before.has_all_hours and now.has_all_hours
        hours = "that are not over; compare windows that end before today" if lacks_no_data else "without data"
        message = (
            f"the periods cover {_count(accounts)} unequally, {_hours(before, accounts)} hours before and "
            f"{_hours(now, accounts)} now: a part of the change comes from hours {hours}"
        )
        about = {"accounts": accounts, "days": len(accounts) * sum(1 for _ in window.days())}
        yield Issue(IssueKind.UNEQUAL_COVERAGE, message, None, window, None, about)


def _one_sided(before: PeriodCosts, now: PeriodCosts) -> Iterator[Issue]:
    """Issues that name the accounts that are covered in one period only."""
    sides = (
        (before, now, "the period before has no covered hour of {}: what they cost now is new in the total"),
        (now, before, "now has no covered hour of {}: what they cost before is gone in the total"),
    )
    for lacking, other, words in sides:
        if accounts := sorted(other.covered.keys() - lacking.covered.keys()):
            window = lacking.report.window
            about = {"accounts": accounts, "days": len(accounts) * sum(1 for _ in window.days())}
            yield Issue(IssueKind.WINDOW_WITHOUT_DATA, words.format(_count(accounts)), None, window, None, about)


def _hours(period: PeriodCosts, accounts: Sequence[str]) -> str:
    """`168 of 336`: covered hours of the hours in the period, summed over accounts."""
    covered = round(fsum(period.covered[id_] for id_ in accounts), 2)
    return " of ".join(
        f"{hours:,}".removesuffix(".0") for hours in (covered, len(accounts) * period.report.window.hours)
    )


def _count(accounts: Sequence[str]) -> str:
    return "1 account" if len(accounts) == 1 else f"{len(accounts):,} accounts"
