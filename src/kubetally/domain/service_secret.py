"""The secret that callers of the service send."""

from dataclasses import dataclass, field
from typing import Final

MIN_SECRET_LENGTH: Final = 16


@dataclass(frozen=True, slots=True)
class ServiceSecret:
    """The secret in use; `file` is where it is stored, None if it is from the environment."""

    text: str = field(repr=False)
    file: str | None


def is_weak(secret: str) -> bool:
    """Whether a secret is short enough to be guessed."""
    return len(secret.strip()) < MIN_SECRET_LENGTH
