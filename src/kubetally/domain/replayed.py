"""A kept answer that was interpreted again, and how that compares with what is stored."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from kubetally.domain.booking import Booking
from kubetally.domain.booking_comparison import BookingComparison
from kubetally.domain.errors import KubetallyError
from kubetally.domain.window import Window

_NOT_COMPARED = BookingComparison()


class ReplayOutcome(StrEnum):
    """What became of the answer in a file."""

    SAME = "same"
    DIFFERENT = "different"
    DAMAGED = "damaged"
    """What is stored of the day can't be read."""
    UNREADABLE = "unreadable"
    """The file is damaged, or this version can't interpret its answer."""
    NOT_STORED = "not_stored"
    """Nothing is stored of just its window."""
    COLLECTED_LATER = "collected_later"
    """What is stored was made of another answer, collected later or kept nowhere."""
    NO_DATA = "no_data"
    """The source had nothing of its window, and nothing is stored of it."""
    OTHER_ANSWER = "other_answer"
    """Another answer about its window, or about more of the day, counts; this one was not interpreted."""


COMPARED = frozenset({ReplayOutcome.SAME, ReplayOutcome.DIFFERENT})
"""Those of answers that were compared with a stored day."""
FAILED = frozenset({ReplayOutcome.DIFFERENT, ReplayOutcome.DAMAGED, ReplayOutcome.UNREADABLE})
"""Those that somebody has to look at."""


class AnswerFile(Protocol):
    """A file with an answer about the costs of a window. account: its id, or None. url: of the source, masked."""

    @property
    def file(self) -> str: ...

    @property
    def account(self) -> str | None: ...

    @property
    def url(self) -> str: ...

    @property
    def window(self) -> Window: ...

    @property
    def received_at(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Replayed:
    """An answer and what became of it.

    booking: as this version books it; None where it was not interpreted or could not be.
    why: of what is damaged or unreadable.
    """

    answer: AnswerFile
    outcome: ReplayOutcome
    booking: Booking | None = None
    comparison: BookingComparison = _NOT_COMPARED
    why: KubetallyError | None = None


@dataclass(frozen=True, slots=True)
class UnreadableFile:
    """A file that can't be opened."""

    file: str
    why: KubetallyError

    @property
    def outcome(self) -> ReplayOutcome:
        """Always the same."""
        return ReplayOutcome.UNREADABLE
