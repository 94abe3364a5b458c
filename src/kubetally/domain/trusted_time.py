"""How much time has passed for certain, judged by collections: a clock may be ahead."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

MAX_SILENCE = timedelta(hours=30)
"""Longest time between collections that counts as passed; a daily job may be hours late."""


@dataclass(frozen=True, slots=True)
class TrustedTime:
    """The clock, and when something was collected by it.

    A longer silence may be a clock that was set wrong, or a machine that was off. Neither counts, so that what is
    removed is old enough in both cases. What was replaced before a silence stays until as much time was collected
    after it as history is kept.

    spans: first and last collection of each day, newest first.
    """

    now: datetime
    spans: Sequence[tuple[datetime, datetime]]

    def lengthen(self, keep: timedelta) -> timedelta | None:
        """How long to keep history by the clock, so that `keep` has passed for certain; None for all of it."""
        passed, at = timedelta(), self.now
        for first, last in self._past():
            if at - last <= MAX_SILENCE:
                passed += at - last
            if passed >= keep:
                return self.now - last - (passed - keep)
            passed += last - first
            if passed >= keep:
                return self.now - first - (passed - keep)
            at = first
        return None

    def silence(self, keep: timedelta) -> tuple[datetime, datetime] | None:
        """The newest silence that does not count, if one makes history be kept longer than `keep`."""
        at = self.now
        for first, last in self._past():
            if at - last > MAX_SILENCE:
                return last, at
            if self.now - first >= keep:
                return None
            at = first
        return None

    def _past(self) -> Sequence[tuple[datetime, datetime]]:
        """The spans without collections in the future, which a clock that was ahead left."""
        return [(first, min(last, self.now)) for first, last in self.spans if first <= self.now]
