"""What a diagnosis finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How a finding stands."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found: what it is about, what was seen, and what to do (None where nothing is to be done)."""

    level: Level
    subject: str
    seen: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found at one cluster; `place` is where, fit to be shown."""

    place: str
    findings: Sequence[Finding]
    account_id: str | None = None
    account_name: str | None = None

    @property
    def has_failed(self) -> bool:
        """Whether costs, or what was stated to be read beside them, can't be read."""
        return any(finding.level is Level.FAILED for finding in self.findings)
