"""Bill and use of a window against each other, by component."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from kubetally.domain.booking import ComponentBalance
from kubetally.domain.component import Component
from kubetally.domain.issues import Issue
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.row import Cause
from kubetally.domain.status import Coverage
from kubetally.domain.window import Window

NO_BALANCE = ComponentBalance(0, 0, 0, 0, 0, 0)


class BalanceRow(NamedTuple):
    """A component in a step of the window.

    start:   of the step; None without steps. balance: None where no day measured the component.
    causes:  parts of the difference in micros, largest first; they add up to it.
    """

    start: datetime | None
    component: Component
    balance: ComponentBalance | None
    causes: tuple[tuple[Cause, int], ...]


@dataclass(frozen=True, slots=True)
class StepBalance:
    """All components of a step. balance: None where no hour of it is covered."""

    window: Window
    balance: ComponentBalance | None
    coverage: Coverage
    assets_complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceReport:
    """The rows by step and component, and every step of the window. whole: all of it together.

    not_measured: components that no day measured.
    """

    question: CostQuestion
    currency: str | None
    whole: StepBalance
    rows: tuple[BalanceRow, ...]
    steps: tuple[StepBalance, ...]
    not_measured: frozenset[Component]
    issues: tuple[Issue, ...]


def add_balances(balances: Iterable[ComponentBalance]) -> ComponentBalance:
    """The sum of balances, which balances too."""
    return ComponentBalance(*map(sum, zip(NO_BALANCE, *balances, strict=True)))
