"""What a source answered for the part of a window that is not stored."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from kubetally.domain.booking import Booking
from kubetally.domain.currency import OriginatedCurrency
from kubetally.domain.issues import Issue
from kubetally.domain.source_identity import SourceIdentity


@dataclass(frozen=True, slots=True)
class LiveCosts:
    """The costs of a cluster that its source was asked for.

    currency: of a source that states none.
    bookings: each within one UTC day, in order; none where the whole window is stored.
    issues:   of the window and of the answers.
    """

    source: SourceIdentity
    currency: OriginatedCurrency
    bookings: tuple[Booking, ...]
    issues: tuple[Issue, ...]

    @property
    def nodes(self) -> frozenset[str]:
        """The nodes that workloads ran on."""
        return frozenset(row.node for booking in self.bookings for row in booking.rows if row.node)


def by_day(bookings: Iterable[Booking]) -> dict[date, list[Booking]]:
    """Bookings by their UTC day; a day whose ends are asked for apart has several."""
    days = dict[date, list[Booking]]()
    for booking in bookings:
        days.setdefault(booking.window.start.date(), []).append(booking)
    return days
