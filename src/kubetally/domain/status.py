"""How much of a window an answer covers, and how certain it is."""

from dataclasses import dataclass
from enum import StrEnum

from kubetally.domain.window import Window, covered_hours


class DayState(StrEnum):
    """How certain a day is: its source may still correct it, or was asked so late that it will not."""

    PROVISIONAL = "provisional"
    SETTLED = "settled"


class Status(StrEnum):
    """Whether data are missing; it says nothing about how good the figures are (see `assets_complete`)."""

    OK = "ok"
    PARTIAL = "partial"
    NO_DATA = "no_data"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Coverage:
    """Hours of a window with data.

    hours_asked: of the part of the window that is over. spans: with evidence of data, in any order, may overlap.
    state:       of the least certain day.
    """

    hours_asked: float
    spans: tuple[Window, ...] = ()
    state: DayState = DayState.PROVISIONAL

    @property
    def hours_covered(self) -> float:
        """Hours for which the source's answer gives evidence."""
        return covered_hours(self.spans)
