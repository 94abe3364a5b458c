"""How much and how long a source may answer, and where none is."""

from contextlib import suppress

import httpx

from kubetally.settings import Settings
from kubetally.sources.address import checked_addresses
from kubetally.sources.transport import Limits
from kubetally.wiring.access import checked_url

PATIENCE_SECONDS = 5.0  # for what is looked at while somebody waits at the command line


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


async def refuse_forbidden(url: str, settings: Settings) -> None:
    """Refuse a URL at an address that no source has, before it is kept. Raises InvalidSourceUrl, AddressRefused."""
    checked_url(url)
    parts = httpx.URL(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    with suppress(httpx.TransportError):  # a name that is not known yet
        await checked_addresses(
            parts.raw_host.decode("ascii"),
            port,
            connect_seconds=min(settings.connect_seconds, PATIENCE_SECONDS),
            allow_link_local=settings.allow_link_local,
        )
