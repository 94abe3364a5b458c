"""Costs in words, the same on a terminal and on a page. Money is rounded here, and nowhere before."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from kubetally.domain.component import Component
from kubetally.domain.issues import IssueKind
from kubetally.domain.money import to_decimal, to_shown
from kubetally.domain.report import ClusterReport, CostReport
from kubetally.domain.row import CAUSE_IN_WORDS, Cause
from kubetally.domain.status import DayState, Status
from kubetally.domain.window import Window, rfc3339
from kubetally.domain.words import component_word, not_checked_words, period_words
from kubetally.present.rounding import round_amount, round_parts, round_table
from kubetally.present.verification import ComponentCheck, Verification

UNKNOWN = "-"
NOT_MEASURED = "not measured"
BALANCE = ("cost", "workloads", "idle", "unmounted", "overhead", "difference", "source shows")
"""The columns of a balance; those between the first and the last add up to the first."""


@dataclass(frozen=True, slots=True)
class Note:
    """An issue for people. windows: in order; none if it is about the whole answer."""

    message: str
    windows: tuple[Window, ...]
    is_missing_data: bool

    @property
    def mark(self) -> str:
        """`missing` if data is missing, else `note`."""
        return "missing" if self.is_missing_data else "note"

    @property
    def words(self) -> str:
        """The message with its windows: `no data (20 Nov 2026 UTC; 22 Nov 2026 UTC)`."""
        return self.message + (f" ({'; '.join(map(period_words, self.windows))})" if self.windows else "")


def money(micros: int | None) -> str:
    """An amount with two decimals; a dash if unknown, never a zero."""
    return UNKNOWN if micros is None else to_shown(micros)


def percent(ratio: float | None) -> str:
    """`76 %`; a dash without a ratio."""
    return UNKNOWN if ratio is None else f"{ratio * 100:.0f} %"


def zero_words(columns: Iterable[str]) -> str | None:
    """`GPU, external: 0 everywhere`: the columns that a table leaves out; None of none."""
    names = ", ".join(columns)
    return f"{names}: 0 everywhere" if names else None


def hours_of(costs: CostReport) -> str:
    """`72 of 72`: hours covered of hours requested."""
    return f"{costs.coverage.hours_covered:g} of {costs.coverage.hours_asked:g}"


def status_words(costs: CostReport) -> str:
    """`ok, assets complete, settled`: the status of an answer."""
    if costs.status is Status.NO_DATA:
        return "no data"
    words = [costs.status.value, "assets complete" if costs.assets_complete else "assets incomplete"]
    if costs.coverage.state is DayState.SETTLED:
        words.append("settled")
    if costs.question.as_of is not None:
        words.append(f"as of {rfc3339(costs.question.as_of)}")
    return ", ".join(words)


def currency_words(costs: CostReport) -> str:
    """`EUR`; `USD (assumed)` if neither source nor account states it."""
    return f"{costs.currency} (assumed)" if costs.currency_assumed else costs.currency or ""


def efficiency_in_words(costs: ClusterReport) -> str:
    """`Efficiency: CPU 76 %, RAM 50 %, both 70 % of requests`."""
    cpu, ram, total = map(percent, costs.efficiency)
    return f"Efficiency: CPU {cpu}, RAM {ram}, both {total} of requests"


def savings_in_words(costs: ClusterReport) -> str | None:
    """The potential savings; None if the source has no estimate."""
    if costs.savings is None or costs.savings.per_month is None:
        return None
    return f"Potential savings: up to {costs.savings.per_month:,.2f} {costs.currency} a month"


@dataclass(frozen=True, slots=True)
class BalanceTable:
    """The balance as it is printed, rounded to cents: `rows` of components with any cost, and their `total`.

    Columns are those of `BALANCE`. Totals of rows and columns, and what the source shows, are rounded by themselves.
    """

    rows: dict[Component, tuple[int, ...]]
    total: tuple[int, ...]

    @property
    def differences(self) -> dict[Component, int]:
        """The column of differences."""
        return {component: row[BALANCE.index("difference")] for component, row in self.rows.items()}


def balance_table(checked: Verification) -> BalanceTable:
    """The balance of a window, rounded so that the printed figures add up."""
    shown = [check for check in checked.components if any(_parts_of(check)) or check.bill or check.source_shows]
    parts = [_parts_of(check) for check in shown]
    # Where bill and source are equal as printed, a cent would look like a difference.
    equal = {at for at, check in enumerate(shown) if round_amount(check.source_shows) == round_amount(check.bill)}
    of_source = round_parts([check.source_shows for check in shown], spared=equal)
    rows = {
        check.component: (round_amount(check.bill), *cells, source_shows)
        for check, cells, source_shows in zip(shown, round_table(parts), of_source, strict=True)
    }
    columns = [sum(column) for column in zip(*parts, strict=True)] or [0] * (len(BALANCE) - 2)
    total = tuple(map(round_amount, (checked.ours, *columns, checked.source_shows)))
    return BalanceTable(rows, total)


def rounding_words(where: str, *, adds_up: bool = True) -> str:
    """The foot of tables. where: what has all decimals. adds_up: whether every column adds up as printed."""
    words = "Rounded so that parts add up" if adds_up else "Figures are rounded on screen"
    return f"{words}; {where} all six decimals."


def _parts_of(check: ComponentCheck) -> tuple[int, ...]:
    """The columns that make up the cost, in the order of `BALANCE`."""
    return check.workload, check.idle, check.unmounted, check.overhead, check.difference


def _causes_of(check: ComponentCheck, shown: int) -> Iterator[tuple[Cause, int]]:
    """The causes of a component's difference that show in two decimals; they add up to `shown`."""
    amounts = round_parts([amount for _, amount in check.causes], shown)
    return ((cause, amount) for (cause, _), amount in zip(check.causes, amounts, strict=True) if amount)


def causes_in_words(checked: Verification, differences: Mapping[Component, int]) -> Iterator[str]:
    """Why cost and use differ, if that shows in two decimals. differences: as they are printed, by component."""
    for check in checked.components:
        for cause, amount in _causes_of(check, differences.get(check.component, 0)):
            yield f"difference {component_word(check.component)} {to_decimal(amount):+,.2f}: {CAUSE_IN_WORDS[cause]}"


def notes_of(costs: ClusterReport) -> list[Note]:
    """The issues of an answer as notes, missing data first; equal issues of several windows are one note."""
    not_checked = [issue.window for issue in costs.issues if issue.kind is IssueKind.HOURS_NOT_CHECKED and issue.window]
    days = {day for window in not_checked for day in window.dates()}
    windows: dict[tuple[bool, str], list[Window]] = {}
    for issue in costs.issues:
        message = not_checked_words(len(days)) if issue.kind is IssueKind.HOURS_NOT_CHECKED else issue.message
        windows.setdefault((issue.is_missing_data, message), []).extend(filter(None, [issue.window]))

    def shown(windows: list[Window], *, is_missing_data: bool) -> tuple[Window, ...]:
        everywhere = all(any(window.contains(span) for window in windows) for span in costs.coverage.spans)
        return () if everywhere and not is_missing_data else tuple(sorted(windows))

    notes = [
        Note(message, shown(spans, is_missing_data=is_missing), is_missing)
        for (is_missing, message), spans in windows.items()
    ]
    return sorted(notes, key=lambda note: not note.is_missing_data)
