"""What a diagnosis finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """The level of a finding."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding: its subject, what was seen, and what to do, if anything."""

    level: Level
    subject: str
    seen: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The findings about one cluster; `place` is its URL without credentials, or its name.

    account_label: what its account is called beside others on screen, if not by its name.
    """

    place: str
    findings: Sequence[Finding]
    account_id: str | None = None
    account_name: str | None = None
    account_label: str | None = None

    @property
    def has_failed(self) -> bool:
        """Whether costs, or what was stated to be read beside them, can't be read."""
        return any(finding.level is Level.FAILED for finding in self.findings)
