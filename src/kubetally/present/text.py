"""Costs in words, the same on a terminal and on a page. Money is rounded here, and nowhere before."""

from collections.abc import Iterator
from dataclasses import dataclass

from kubetally.domain.cluster_costs import ClusterCosts, DayState, Status
from kubetally.domain.money import to_decimal, to_shown
from kubetally.domain.row import CAUSE_IN_WORDS
from kubetally.domain.window import Window, rfc3339
from kubetally.domain.words import component_word
from kubetally.present.verification import ComponentCheck, Verification

UNKNOWN = "-"
NOT_MEASURED = "not measured"
BALANCE = ("cost", "workloads", "idle", "unmounted", "overhead", "difference", "source shows")
"""What a component's figures are; those between the first and the last add up to the first."""
_LEAST_CAUSE = 5_000  # micros: below half a cent, the table shows nothing of a cause either


@dataclass(frozen=True, slots=True)
class Note:
    """What is wrong with the data, and when: `windows` in order, none where it is of all that was answered."""

    message: str
    windows: tuple[Window, ...]
    is_missing_data: bool

    @property
    def mark(self) -> str:
        """Whether figures are missing because of it."""
        return "missing" if self.is_missing_data else "note"


def money(micros: int | None) -> str:
    """Two decimals, for the eye; unknown is a dash, never a zero."""
    return UNKNOWN if micros is None else to_shown(micros)


def percent(ratio: float | None) -> str:
    """`76 %`; a dash where there is none."""
    return UNKNOWN if ratio is None else f"{ratio * 100:.0f} %"


def hours_of(costs: ClusterCosts) -> str:
    """`72 of 72`: hours covered of hours asked."""
    return f"{costs.hours_covered:g} of {costs.hours_asked:g}"


def status_words(costs: ClusterCosts) -> str:
    """Whether anything is missing, and whether there was a bill to hold it against."""
    if costs.status is Status.NO_DATA:
        return "no data"
    words = [costs.status.value, "assets complete" if costs.assets_complete else "assets incomplete"]
    if costs.state is DayState.SETTLED:
        words.append("settled")
    if costs.as_of is not None:
        words.append(f"as of {rfc3339(costs.as_of)}")
    return ", ".join(words)


def currency_words(costs: ClusterCosts) -> str:
    """`EUR`; `USD (assumed)` where nobody states it."""
    return f"{costs.currency} (assumed)" if costs.currency_assumed else costs.currency


def efficiency_in_words(costs: ClusterCosts) -> str:
    """What of the requests was used."""
    cpu, ram, total = map(percent, costs.efficiency)
    return f"Efficiency: CPU {cpu}, RAM {ram}, both {total} of what was requested"


def savings_in_words(costs: ClusterCosts) -> str | None:
    """What could be saved, where the source tells."""
    if costs.savings is None or costs.savings.per_month is None:
        return None
    return f"Potential savings: up to {costs.savings.per_month:,.2f} {costs.currency} a month"


def balance_of(check: ComponentCheck) -> tuple[int, ...]:
    """The figures of a component in micros, in the order of `BALANCE`."""
    return (
        check.bill, check.workload, check.idle, check.unmounted, check.overhead, check.difference, check.source_shows,
    )  # fmt: skip


def total_balance(checked: Verification) -> tuple[int, ...]:
    """The same of all components together; what the source shows is its own total."""
    columns = zip(*map(balance_of, checked.components), strict=True)
    return (*[sum(column) for column in columns][:-1], checked.source_shows)


def causes_in_words(checked: Verification) -> Iterator[str]:
    """Why cost and use differ, where that is known and shows in two decimals."""
    for row in checked.components:
        for cause, amount in row.causes:
            if abs(amount) >= _LEAST_CAUSE:
                signed = f"{to_decimal(amount):+,.2f}"
                yield f"difference {component_word(row.component)} {signed}: {CAUSE_IN_WORDS[cause]}"


def notes_of(costs: ClusterCosts) -> list[Note]:
    """What is wrong with the data, missing ones first; what is said alike of several windows is one note."""
    windows: dict[tuple[bool, str], list[Window]] = {}
    for issue in costs.issues:
        windows.setdefault((issue.is_missing_data, issue.message), []).extend(filter(None, [issue.window]))
    answered = [span for booking in costs.bookings for span in booking.covered]

    def told(of: list[Window], *, is_missing_data: bool) -> tuple[Window, ...]:
        everywhere = all(any(window.contains(span) for window in of) for span in answered)
        return () if everywhere and not is_missing_data else tuple(sorted(of))

    notes = [
        Note(message, told(of, is_missing_data=is_missing), is_missing) for (is_missing, message), of in windows.items()
    ]
    return sorted(notes, key=lambda note: not note.is_missing_data)
