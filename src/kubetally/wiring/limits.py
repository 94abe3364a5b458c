"""The settings' limits on sources."""

from kubetally.settings import Settings
from kubetally.sources.account_access import check_address as check_address_within
from kubetally.sources.transport import Limits

MAX_WAIT_SECONDS = 5.0
"""For what is asked while somebody waits at the command line."""


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


async def check_address(url: str, settings: Settings) -> None:
    """Raises InvalidSourceUrl, AddressRefused, where no source may be at a URL."""
    await check_address_within(
        url,
        connect_seconds=min(settings.connect_seconds, MAX_WAIT_SECONDS),
        allow_link_local=settings.allow_link_local,
    )
