"""The URL and the credentials of an account's source, after a change."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

import httpx

from kubetally.domain.account import Credentials
from kubetally.domain.source_url import SourceUrl
from kubetally.ledger.ports.account_sources import EnteredUrl
from kubetally.sources.access import check_headers
from kubetally.sources.address import checked_addresses

_MAX_WAIT_SECONDS = 5.0  # somebody waits at the command line


def update_access(
    old_url: SourceUrl | None,
    old: Credentials,
    *,
    url: EnteredUrl,
    token: str | None,
    headers: Mapping[str, str] | None,
) -> tuple[SourceUrl | None, Credentials]:
    """A URL without a login and the credentials for it; None: unchanged, empty: cleared. A token replaces a user.

    Changing the host clears stored credentials. Raises: InvalidCredential.
    """
    new_url, credentials = old_url, old
    if url is not None:
        new_url = SourceUrl(url.address) if url else None
        if new_url is None or old_url is None or not _may_share_credentials(new_url, old_url):
            credentials = Credentials()
        if url and url.has_login:
            credentials = replace(credentials, token=None, user=url.user, password=url.password)
    if token is not None:
        credentials = replace(credentials, token=token.strip() or None, user=None, password=None)
    if headers is not None:
        credentials = replace(credentials, headers=dict(headers))
    check_headers(credentials.headers, credentials.token)
    return new_url, credentials


def _may_share_credentials(new_url: SourceUrl, old_url: SourceUrl) -> bool:
    """Whether credentials for the old URL may be sent to the new one: the same host, with TLS if it had TLS."""
    new, old = new_url.parts, old_url.parts
    return new.hostname == old.hostname and new.scheme in {old.scheme, "https"}


async def check_address(url: SourceUrl, *, connect_seconds: float, allow_link_local: bool) -> None:
    """Refuse a URL at an address where no source may be. Raises InvalidSourceUrl, AddressRefused."""
    url.check()
    with suppress(httpx.TransportError):  # a name that is not known yet
        await checked_addresses(
            url.parts.hostname or "",
            url.parts.port or (443 if url.parts.scheme == "https" else 80),
            connect_seconds=min(connect_seconds, _MAX_WAIT_SECONDS),
            allow_link_local=allow_link_local,
        )
