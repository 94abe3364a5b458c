"""Facts of many stored days: unmeasured components, and issues with their hours."""

from datetime import date
from typing import NamedTuple

from kubetally.domain.booking import Booking
from kubetally.domain.component import Component
from kubetally.domain.issues import Issue
from kubetally.domain.window import HOUR, Window, covered_hours

COMPONENTS = frozenset(component.value for component in Component)
"""Names of facts that are components; no kind of issue has such a name."""


class Fact(NamedTuple):
    """An unmeasured component of a stored day, or an issue of that day.

    what: the component, or the kind of the issue. hours: of the day; None if the issue has no time.
    issue: None for a component.
    """

    what: str
    hours: float | None
    issue: Issue | None = None


class FactSum(NamedTuple):
    """The same fact of many stored days of an account. hours: of all of them; None if no day states its time."""

    account_id: str
    what: str
    days: int
    hours: float | None
    first: date
    last: date

    @property
    def is_issue(self) -> bool:
        """Whether it is an issue; else an unmeasured component."""
        return self.what not in COMPONENTS


def facts_of(head: Booking) -> list[Fact]:
    """The facts of a stored day: components in their order, then issues in theirs."""
    hours = covered_hours(head.covered)
    components = [Fact(component.value, hours) for component in Component if component in head.not_measured]
    return [*components, *(Fact(issue.kind.value, _hours(issue.window, head.window), issue) for issue in head.issues)]


def _hours(window: Window | None, of: Window) -> float | None:
    if window is None:
        return None
    return max((min(window.end, of.end) - max(window.start, of.start)) / HOUR, 0.0)
