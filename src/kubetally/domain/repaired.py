"""What a repair of the stores did."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from kubetally.domain.damage import FileDamage


class Origin(StrEnum):
    """What a damaged day was restored from."""

    SOURCE = "its source"
    BACKUP = "the backup"
    NOTHING = "nothing"


class LogRepair(StrEnum):
    """What was done about a damaged file of a log."""

    PUT_BACK = "restored from the backup"
    REMOVED = "removed; other files of the log replace it"
    GIVEN_UP = "no backup has it; days that lake and database differ in are reported and collected again"


@dataclass(frozen=True, slots=True)
class RepairedDay:
    """A day, or its savings, and what it was restored from; NOTHING: it was set aside."""

    account_id: str
    day: date
    origin: Origin
    is_savings: bool = False


@dataclass(frozen=True, slots=True)
class RepairedLog:
    """A damaged file of a log, and what was done about it."""

    file: FileDamage
    repair: LogRepair
