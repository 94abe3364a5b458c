"""What maintenance of the lake did, and what it found."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Maintained:
    """What maintenance did.

    compacted: partitions (days of a table) made one file. vacuumed: files removed. checkpoint: its version.
    kept: the retention of replaced data in use; None if the lake is empty.
    held_back: expired files that would be removed if the clock were trusted.
    silence: why they were not: nothing was collected from the first of these instants to the second.
    is_all_kept: collecting took less time in all than the retention, so that nothing is removed.
    """

    compacted: int = 0
    vacuumed: int = 0
    checkpoint: int | None = None
    kept: timedelta | None = None
    held_back: int = 0
    silence: tuple[datetime, datetime] | None = None
    is_all_kept: bool = False


class EarlierDays(NamedTuple):
    """How many days of an account an earlier version of the lake stored, and the first and the last of them."""

    account: str
    number: int
    first: date
    last: date
