"""How much of a window an answer covers, and how certain it is."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

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
    """Hours of a window with data, summed over clusters.

    hours_asked: of the part of the window that is over. hours_covered: with evidence of data.
    state:       of the least certain day. spans: of one cluster, with evidence; in any order, may overlap.
    """

    hours_asked: float
    hours_covered: float = 0.0
    state: DayState = DayState.PROVISIONAL
    spans: tuple[Window, ...] = ()

    @classmethod
    def of_spans(cls, hours_asked: float, spans: Iterable[Window], state: DayState) -> Self:
        """The coverage of one cluster; hours that two spans share count once."""
        all_spans = tuple(spans)
        return cls(hours_asked, covered_hours(all_spans), state, all_spans)
