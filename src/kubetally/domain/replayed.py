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
    """The outcome for the answer in a file."""

    SAME = "same"
    DIFFERENT = "different"
    DAMAGED = "damaged"
    """The stored day can't be read."""
    UNREADABLE = "unreadable"
    """The file is damaged, or this version can't interpret its answer."""
    NOT_STORED = "not_stored"
    """No day with exactly its window is stored."""
    COLLECTED_LATER = "collected_later"
    """The stored day was made from another answer, collected later or not kept."""
    NO_DATA = "no_data"
    """The source had no data, and nothing is stored."""
    OTHER_ANSWER = "other_answer"
    """Another answer for its window, or for more of the day, was used; this one was not interpreted."""


COMPARED = frozenset({ReplayOutcome.SAME, ReplayOutcome.DIFFERENT})
"""Those of answers that were compared with a stored day."""
FAILED = frozenset({ReplayOutcome.DIFFERENT, ReplayOutcome.DAMAGED, ReplayOutcome.UNREADABLE})
"""Outcomes that need attention."""


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
    """An answer and its outcome.

    booking: as this version books it; None if it was not, or could not be interpreted.
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
