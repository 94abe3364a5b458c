"""What a source is asked for a day."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from kubetally.domain.window import Window


class DayRequest(NamedTuple):
    """One request, as it is sent. path: below the prefix of the source's API."""

    path: str
    parameters: tuple[tuple[str, str], ...]


DayRequests = Callable[[Window, str | None], Sequence[DayRequest]]
"""The requests for a day, and the cluster that the account is one of (None: the only one of its source)."""


def no_requests(_day: Window, _cluster_id: str | None) -> Sequence[DayRequest]:
    """For readers that know no source."""
    return ()
