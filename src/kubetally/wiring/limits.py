"""The settings' limits on sources."""

from kubetally.settings import Settings
from kubetally.sources.transport import Limits


def limits_of(settings: Settings) -> Limits:
    """How long and how much a source may answer."""
    return Limits(
        connect_seconds=settings.connect_seconds,
        read_seconds=settings.read_seconds,
        deadline_seconds=settings.deadline_seconds,
        max_bytes=settings.max_answer_mib * 1024 * 1024,
        attempts=settings.attempts,
        allow_link_local=settings.allow_link_local,
    )
