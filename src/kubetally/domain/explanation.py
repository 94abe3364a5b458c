"""How a figure came about: the rows of the ledger that make it, their days, sources and rules."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final, NamedTuple

from kubetally.domain.allocation import Kind
from kubetally.domain.booking_rules import BookingRule, rules_of
from kubetally.domain.component import ZERO, Costs
from kubetally.domain.day_request import DayRequest
from kubetally.domain.efficiency import NO_HOURS, Hours
from kubetally.domain.errors import BalanceError
from kubetally.domain.issues import IssueKind
from kubetally.domain.report import CostReport, StepSum
from kubetally.domain.row import Cause
from kubetally.domain.source_identity import SourceIdentity

MAX_LINES: Final = 200
"""The largest rows that an explanation lists."""
MAX_SOURCES: Final = 100
GIVEN_IN_WORDS: Final = (
    "Cost of shared namespaces and labels, which the question gives to the other workloads of the day."
)


class LedgerLine(NamedTuple):
    """A row of the ledger in a figure. Costs in micros, of the figure's components.

    hours:      allocated, requested and used; None where unknown.
    idle_share: micros of shared idle in its costs; None where idle is not shared.
    given:      micros of its shared cost that the question gives it; None where it shares nothing.
    """

    day: date
    account_id: str
    account: str
    kind: Kind
    cause: Cause | None = None
    namespace: str | None = None
    controller_kind: str | None = None
    controller: str | None = None
    pod: str | None = None
    container: str | None = None
    node: str | None = None
    costs: Costs = ZERO
    hours: Hours = NO_HOURS
    idle_share: int | None = None
    given: int | None = None

    @property
    def rules(self) -> list[BookingRule]:
        """The booking rules that it follows; what the question gives it follows none."""
        booked = self.costs._replace(shared=self.costs.shared - (self.given or 0))
        return rules_of(self.kind, booked, self.cause)


class AccountLines(NamedTuple):
    """The rows of an account in a figure: how many, what they cost, and the last of their days."""

    account_id: str
    rows: int
    costs: Costs
    last: date


class ExplainedSource(NamedTuple):
    """Who answered what an account cost. As of the last of its days in the figure: `day`.

    url: without credentials. requests: what it was asked for that day.
    """

    account_id: str
    account: str
    day: date
    identity: SourceIdentity
    requests: tuple[DayRequest, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """How a figure came about.

    report: the figure itself, by day. lines: the largest rows first. count: of all rows that cost something.
    sources: of the accounts that cost most.
    """

    report: CostReport
    lines: tuple[LedgerLine, ...]
    count: int
    sources: tuple[ExplainedSource, ...]

    @property
    def rest(self) -> Costs:
        """What the rows that are not listed cost together."""
        return self.report.bill.minus(Costs.sum(line.costs for line in self.lines))

    @property
    def rules(self) -> list[BookingRule]:
        """The booking rules that the lines follow, in their order."""
        rules = {rule for line in self.lines for rule in line.rules}
        if any(issue.kind is IssueKind.RESOURCE_WITHOUT_ASSET for issue in self.report.issues):
            rules.add(BookingRule.WITHOUT_ASSET)
        return sorted(rules)


def costs_by_day(report: CostReport) -> list[tuple[StepSum, Costs]]:
    """The days of a report that is divided into days, with what each cost."""
    costs = defaultdict[object, list[Costs]](list)
    for row in (*report.rows, *report.lines):
        costs[row.start].append(row.costs)
    return [(step, Costs.sum(costs[step.window.start])) for step in report.steps]


def largest_first(lines: Iterable[LedgerLine]) -> list[LedgerLine]:
    """By amount whatever its sign, then by day and account; equal ones stay in their order."""
    return sorted(lines, key=lambda line: (-abs(line.costs.total), line.day, line.account_id))


def check_sum(figure: Costs, of_rows: Costs) -> None:
    """Raises BalanceError, unless a figure is the sum of its rows, component by component."""
    if figure != of_rows:
        raise BalanceError(
            f"the rows of the ledger add up to {of_rows.total} micros and the figure is {figure.total}: please report "
            "this defect",
            code="parts_do_not_add_up",
        )
