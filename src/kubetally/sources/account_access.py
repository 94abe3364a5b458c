"""The URL and the credentials of an account's source, after a change."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

import httpx

from kubetally.domain.account import Credentials
from kubetally.sources.access import Access
from kubetally.sources.address import checked_addresses

_MAX_WAIT_SECONDS = 5.0  # somebody waits at the command line


def update_access(
    old_url: str | None,
    old: Credentials,
    *,
    url: str | None,
    token: str | None,
    headers: Mapping[str, str] | None,
) -> tuple[str | None, Credentials]:
    """A URL without userinfo and the credentials for it; None: unchanged, empty: cleared. A token replaces a user.

    Changing the host clears stored credentials. Raises: InvalidSourceUrl, InvalidCredential.
    """
    new_url, credentials = old_url, old
    if url is not None:
        access = Access.parse(url) if url.strip() else None
        new_url = access.url if access else None
        if access is None or old_url is None or not _may_share_credentials(access.url, old_url):
            credentials = Credentials()
        if access is not None and access.credentials_in_url:
            credentials = replace(credentials, token=None, user=access.user, password=access.password)
    if token is not None:
        credentials = replace(credentials, token=token.strip() or None, user=None, password=None)
    if headers is not None:
        credentials = replace(credentials, headers=dict(headers))
    Access.parse(new_url or "http://unstated", token=credentials.token, headers=credentials.headers)
    return new_url, credentials


def _may_share_credentials(new_url: str, old_url: str) -> bool:
    """Whether credentials for the old URL may be sent to the new one: the same host, with TLS if it had TLS."""
    new, old = httpx.URL(new_url), httpx.URL(old_url)
    return new.host == old.host and new.scheme in {old.scheme, "https"}


async def check_address(url: str, *, connect_seconds: float, allow_link_local: bool) -> None:
    """Refuse a URL at an address where no source may be. Raises InvalidSourceUrl, AddressRefused."""
    place = httpx.URL(Access.parse(url).url)
    with suppress(httpx.TransportError):  # a name that is not known yet
        await checked_addresses(
            place.raw_host.decode("ascii"),
            place.port or (443 if place.scheme == "https" else 80),
            connect_seconds=min(connect_seconds, _MAX_WAIT_SECONDS),
            allow_link_local=allow_link_local,
        )
